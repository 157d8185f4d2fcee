package consensus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"raylink/coordinator/consensus/pipenet"
	"raylink/raylink"
)

// book is a state machine for tests: it keeps the text of each command once, in the order of their first entries, and chains hashes over everything.
type book struct {
	Lines []string
	Seen  map[string]int
	Chain string
	Last  time.Time

	entries int           // Apply's calls, not part of the state
	gate    chan struct{} // if set, Apply waits for it
}

func newBook() *book { return &book{Seen: map[string]int{}} }

func (b *book) Apply(index uint64, at time.Time, commands []json.RawMessage) []json.RawMessage {
	if b.gate != nil {
		<-b.gate
	}
	b.entries++
	var results []json.RawMessage
	for _, command := range commands {
		var line string
		if json.Unmarshal(command, &line) != nil || at.Location() != time.UTC {
			return nil
		}
		place, seen := b.Seen[line]
		if !seen {
			place = len(b.Lines)
			b.Seen[line] = place
			b.Lines = append(b.Lines, line)
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %v %s", b.Chain, index, at, command))
		b.Chain = hex.EncodeToString(sum[:])
		results = append(results, json.RawMessage(fmt.Sprint(place)))
	}
	if at.After(b.Last) {
		b.Last = at
	}
	return results
}

func (b *book) Save(w io.Writer) error { return json.NewEncoder(w).Encode(b) }

func (b *book) Load(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	fresh := newBook()
	if err := json.Unmarshal(text, fresh); err != nil {
		return err
	}
	*b = *fresh
	return nil
}

func (b *book) Digest() string {
	lines := slices.Sorted(maps.Keys(b.Seen))
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %q", b.Chain, lines, b.Lines))
	return hex.EncodeToString(sum[:])
}

func line(format string, args ...any) json.RawMessage {
	text, err := json.Marshal(fmt.Sprintf(format, args...))
	if err != nil {
		panic(err)
	}
	return text
}

// group is some nodes in one test.
type group struct {
	t      *testing.T
	net    *pipenet.Network // nil: TLS on loopback
	ids    []string
	config func(id string) Config
	nodes  map[string]*Node
	books  map[string]*book
}

func testLog(t *testing.T, id string) *slog.Logger {
	if !testing.Verbose() || os.Getenv("RAYLINK_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", id)
}

// inMemory is a group on a pipenet, with default timeouts; only bubbles have the time for them. It bootstraps the first node and adds the others.
func inMemory(t *testing.T, size int, change func(id string, c *Config)) *group {
	t.Helper()
	g := &group{t: t, net: pipenet.New(), nodes: map[string]*Node{}, books: map[string]*book{}}
	g.config = func(id string) Config {
		layer, err := g.net.Listen(id)
		if err != nil {
			t.Fatal(err)
		}
		c := Config{ID: id, Stream: layer, Log: testLog(t, id)}
		if change != nil {
			change(id, &c)
		}
		return c
	}
	for i := range size {
		g.ids = append(g.ids, fmt.Sprintf("n%d", i+1))
	}
	g.begin()
	return g
}

func (g *group) begin() {
	g.t.Helper()
	for i, id := range g.ids {
		g.open(id, i == 0)
		if i > 0 {
			if err := g.nodes[g.ids[0]].AddVoter(g.ctx(20*time.Second), id, g.nodes[id].mux.advertise); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	// A node that has not heard of the newest member yet would refuse it its vote, should the leader vanish at this very moment.
	for _, id := range g.ids {
		for tries := 0; len(g.nodes[id].Members()) < len(g.ids); tries++ {
			if tries == 1000 {
				g.t.Fatal(id, "does not learn who the members are")
			}
			g.pause(10 * time.Millisecond)
		}
	}
}

func (g *group) open(id string, bootstrap bool) *Node {
	g.t.Helper()
	b := newBook()
	node, err := Open(g.config(id), b, bootstrap)
	if err != nil {
		g.t.Fatal(err)
	}
	g.nodes[id], g.books[id] = node, b
	return node
}

func (g *group) close() {
	g.t.Helper()
	for _, id := range g.ids {
		if err := g.nodes[id].Close(); err != nil {
			g.t.Error(id, err)
		}
	}
}

func (g *group) ctx(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	g.t.Cleanup(cancel)
	return ctx
}

// leader waits until one of the nodes that are not in except leads.
func (g *group) leader(except ...string) *Node {
	g.t.Helper()
	ctx := g.ctx(30 * time.Second)
	for ctx.Err() == nil {
		for _, id := range g.ids {
			if !slices.Contains(except, id) && g.nodes[id].IsLeader() {
				return g.nodes[id]
			}
		}
		g.pause(20 * time.Millisecond)
	}
	g.t.Fatal("nobody leads")
	return nil
}

// pause polls; nothing is ever assumed to have happened after it.
func (g *group) pause(d time.Duration) { <-time.After(d) }

func (g *group) propose(n *Node, commands ...json.RawMessage) uint64 {
	g.t.Helper()
	results, index, err := n.Propose(g.ctx(30*time.Second), commands...)
	if err != nil || len(results) != len(commands) {
		g.t.Fatal(n.cfg.ID, results, err, raylink.AsError(err))
	}
	return index
}

// agree waits until every node has applied the index, and compares their digests.
func (g *group) agree(index uint64) {
	g.t.Helper()
	digests := map[string]bool{}
	for _, id := range g.ids {
		if err := g.nodes[id].WaitIndex(g.ctx(30*time.Second), index); err != nil {
			g.t.Fatal(err)
		}
		at, digest := g.nodes[id].Digest()
		if at != index {
			g.t.Fatalf("%s stands at %d, wanted is %d", id, at, index)
		}
		digests[digest] = true
	}
	if len(digests) != 1 {
		g.t.Fatalf("at index %d the replicas differ: %v", index, digests)
	}
}

func wantCode(t *testing.T, what string, err error, want raylink.Code) {
	t.Helper()
	var e *raylink.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Errorf("%s gives %v, want code %s", what, err, want)
	}
}

func equalJSON(a, b []json.RawMessage) bool {
	return slices.EqualFunc(a, b, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) })
}
