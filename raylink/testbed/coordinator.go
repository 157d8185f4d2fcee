package testbed

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"raylink/coordinator/api"
	"raylink/coordinator/consensus"
	"raylink/coordinator/reconcile"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/challenge/kernel"
	"raylink/raylink/identity"
)

// Raft's pace is slower than usual: its idle chatter would be most of the real time, and an election still takes seconds only.
const (
	heartbeat = 3 * time.Second
	commit    = 500 * time.Millisecond
)

// coordinator is one member of the group. It is put together as package coordinator does it, less the sockets.
type coordinator struct {
	b    *Bed
	id   string
	skew atomic.Int64 // of its clock, nanoseconds
	kept *shelf

	mu      sync.Mutex
	up      bool
	node    *consensus.Node
	state   *state.State
	handler http.Handler
	ctx     context.Context
	stop    context.CancelFunc
	tasks   sync.WaitGroup
}

// group shows the consensus and its state to the API and the loop.
type group struct {
	*consensus.Node
	state *state.State
}

// Read runs f while the state stands still.
func (g *group) Read(f func(*state.State)) { g.Node.Read(func(uint64) { f(g.state) }) }

// Changed is closed at the next change.
func (g *group) Changed() <-chan struct{} { return g.Node.Changed(g.Index()) }

// Leader is the leader's name.
func (g *group) Leader() string {
	id, _ := g.Node.Leader()
	return id
}

// Voters says who votes.
func (g *group) Voters() map[string]bool {
	voters := map[string]bool{}
	for _, m := range g.Members() {
		voters[m.ID] = m.Voter
	}
	return voters
}

func (c *coordinator) url() string { return "https://" + c.id + ".test:7443" }

func (c *coordinator) living() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

func (b *Bed) coordinator(name string) *coordinator {
	for _, c := range b.coordinators {
		if c.id == name {
			return c
		}
	}
	return nil
}

// start opens the coordinator on its directory.
func (c *coordinator) start(bootstrap bool) {
	b := c.b
	b.t.Helper()
	layer, err := b.net.Listen(c.id)
	b.must(err)
	dir := filepath.Join(b.dir, "coordinator", c.id)
	b.must(os.MkdirAll(dir, 0o700))
	st := state.New()
	node, err := consensus.Open(consensus.Config{ID: c.id, Dir: dir, Stream: layer, Log: b.log.With("at", c.id),
		Heartbeat: heartbeat, Commit: commit, SnapshotEntries: 60, TrailingEntries: 20, SnapshotCheck: 20 * time.Second, // so that a story sees some
		Check: func(raw json.RawMessage) error { _, _, err := state.Decode(raw); return err },
		Now:   func() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }}, &replica{State: st, b: b, id: c.id}, bootstrap)
	b.must(err)
	g := &group{node, st}
	memory, told := reconcile.NewMemory(), &api.Told{}
	(&api.Leader{Group: g, Memory: memory, Told: told}).Register(node.Handle)
	key, err := b.auth.SigningKey()
	b.must(err)
	loop := &reconcile.Loop{Group: g, Memory: memory, Log: b.log.With("at", c.id), Key: key}
	server := &api.Server{ID: c.id, Version: "testbed", Group: g, Roster: g, Authority: b.auth, Log: b.log.With("at", c.id), Told: told,
		Judge: &api.Judge{Transcripts: c.kept, Multiplier: kernel.New(1), Band: band}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up, c.node, c.state, c.handler = true, node, st, server.Handler()
	c.ctx, c.stop = context.WithCancel(context.Background())
	run := c.ctx
	c.tasks.Go(func() { node.Lead(run, loop.Run) })
	c.tasks.Go(func() {
		select {
		case err := <-node.Fatal():
			b.t.Errorf("coordinator %s cannot go on: %v", c.id, err)
		case <-run.Done():
		}
	})
}

// kill ends the coordinator without a word to anybody.
func (c *coordinator) kill() {
	c.mu.Lock()
	if !c.up {
		c.mu.Unlock()
		return
	}
	c.up = false
	c.stop()
	c.mu.Unlock()
	if err := c.node.Kill(); err != nil {
		c.b.t.Errorf("killing coordinator %s: %v", c.id, err)
	}
	c.tasks.Wait()
}

// found founds the group, with an admin.
func (b *Bed) found(size int) {
	b.t.Helper()
	for i := range size {
		b.coordinators = append(b.coordinators, &coordinator{b: b, kept: &shelf{}, id: string(rune('a' + i))})
	}
	first := b.coordinators[0]
	first.start(true)
	b.Leader()
	token, err := identity.NewAccessToken(rand.Reader)
	b.must(err)
	secret, err := identity.ParseAccessToken(token)
	b.must(err)
	account, err := raylink.NewID[raylink.AccountID](rand.Reader, "acc")
	b.must(err)
	id, err := raylink.NewID[raylink.TokenID](rand.Reader, "tok")
	b.must(err)
	commands := []state.Command{&state.OpenAccount{ID: account, Name: "admin"},
		&state.IssueToken{ID: id, Account: account, Role: raylink.RoleAdmin, Hash: identity.HashToken(secret)}}
	for i, c := range b.coordinators {
		if i > 0 {
			c.start(false)
			b.must(first.node.AddVoter(b.ctx(), c.id, c.id))
		}
		commands = append(commands, &state.JoinMember{ID: c.id, Raft: c.id, API: c.url()})
	}
	b.propose(first, commands)
	b.Admin = b.client("admin", token, "")
}

func (b *Bed) propose(c *coordinator, commands []state.Command) {
	b.t.Helper()
	var raws []json.RawMessage
	for _, command := range commands {
		raw, err := state.Encode("founder", "", command)
		b.must(err)
		raws = append(raws, raw)
	}
	results, _, err := c.node.Propose(b.ctx(), raws...)
	b.must(err)
	for _, r := range results {
		b.must(state.ReadResult(r, nil))
	}
}

// Read shows the state of a coordinator: of the one that has come furthest.
func (b *Bed) Read(f func(s *state.State)) {
	b.t.Helper()
	var best *coordinator
	for _, c := range b.coordinators {
		if c.living() && (best == nil || c.node.Index() > best.node.Index()) {
			best = c
		}
	}
	if best == nil {
		b.t.Fatal("no coordinator lives")
	}
	best.node.Read(func(uint64) { f(best.state) })
}

// describe is what the group looks like, for a failure's message.
func (b *Bed) describe() string {
	text := ""
	for _, c := range b.coordinators {
		if !c.living() {
			text += fmt.Sprintf("coordinator %s is dead\n", c.id)
			continue
		}
		leader, _ := c.node.Leader()
		text += fmt.Sprintf("coordinator %s at %d, its leader is %q\n", c.id, c.node.Index(), leader)
	}
	b.Read(func(s *state.State) {
		for _, cl := range s.Clusters {
			text += fmt.Sprintf("cluster %s: %s since %v; %s %s\n", cl.ID, cl.Phase, cl.Stages[len(cl.Stages)-1].At, cl.Reason, cl.Warning)
			for _, l := range s.ClusterLeases(cl.ID) {
				text += fmt.Sprintf("  %s on %s: stage %q gone %v next %d key %v ray %q failure %+v\n", l.Node, l.Machine, l.Stage, l.Gone, l.Meter.Next, l.PublicKey != "", l.RayNode, l.Failure)
			}
		}
	})
	return text
}
