package consensus

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"raylink/coordinator/consensus/pipenet"
	"raylink/raylink"
)

var errTransfer = fmt.Errorf("applying: %w", raft.ErrLeadershipTransferInProgress)
var errTest = raylink.Errorf(raylink.CodeUnavailable, "for a test")

func testLogOrNone(t *testing.T) *slog.Logger {
	if log := testLog(t, ""); log != nil {
		return log
	}
	return slog.New(slog.DiscardHandler)
}

// TestHeartbeatsTakeTheOrdinaryWay guards against hashicorp/raft #695, with the plain transport as the control: there the handler, called on the
// connection's own goroutine, swallows the heartbeat.
func TestHeartbeatsTakeTheOrdinaryWay(t *testing.T) {
	for _, wrapped := range []bool{true, false} {
		t.Run(fmt.Sprint("wrapped ", wrapped), func(t *testing.T) {
			net := pipenet.New()
			from, to := plainTransport(t, net, "a"), plainTransport(t, net, "b")
			fast := make(chan struct{}, 1)
			handler := func(rpc raft.RPC) {
				fast <- struct{}{}
				rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
			}
			var under raft.Transport = to
			if wrapped {
				under = plainHeartbeats{to}
			}
			under.SetHeartbeatHandler(handler)
			slow, done := make(chan struct{}, 1), make(chan struct{})
			go func() {
				defer close(done)
				select {
				case rpc := <-under.Consumer():
					slow <- struct{}{}
					rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
				case <-t.Context().Done():
				}
			}()
			beat := &raft.AppendEntriesRequest{Term: 7, Leader: []byte("a"), RPCHeader: raft.RPCHeader{Addr: []byte("a"), ID: []byte("a"), ProtocolVersion: 3}}
			var answer raft.AppendEntriesResponse
			if err := from.AppendEntries("b", "b", beat, &answer); err != nil || !answer.Success {
				t.Fatal(answer, err)
			}
			if wrapped && (len(slow) != 1 || len(fast) != 0) {
				t.Error("a heartbeat overtakes raft's main goroutine")
			}
			if !wrapped && (len(slow) != 0 || len(fast) != 1) {
				t.Error("the control shows nothing: this transport has no fast path any more")
			}
			if wrapped {
				<-done
			}
		})
	}
	var _ raft.WithPreVote = plainHeartbeats{} // wrapping must not switch pre-votes off
	var _ raft.WithClose = plainHeartbeats{}
}

func plainTransport(t *testing.T, net *pipenet.Network, id string) *raft.NetworkTransport {
	t.Helper()
	layer, err := net.Listen(id)
	if err != nil {
		t.Fatal(err)
	}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: layer, MaxPool: 1, Timeout: 10 * time.Second,
		Logger: bridge(testLogOrNone(t), "transport")})
	t.Cleanup(func() {
		transport.CloseStreams()
		if err := transport.Close(); err != nil {
			t.Error(err)
		}
	})
	return transport
}

func TestStores(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	for life := range 2 {
		s, err := openStores(&Config{Dir: dir, Log: testLogOrNone(t)})
		if err != nil {
			t.Fatal(err)
		}
		if m, ok := s.logs.(raft.MonotonicLogStore); !ok || !m.IsMonotonic() {
			t.Error("raft does not see that the log is monotonic")
		}
		term, err := s.stable.GetUint64([]byte("LastVoteTerm"))
		candidate, errC := s.stable.Get([]byte("LastVoteCand"))
		if life == 0 {
			if err == nil || err.Error() != "not found" || errC == nil || errC.Error() != "not found" {
				t.Error("a vote before any:", term, candidate, err, errC)
			}
			set(t, s.stable.SetUint64([]byte("CurrentTerm"), 5))
			set(t, s.stable.SetUint64([]byte("LastVoteTerm"), 5))
			set(t, s.stable.Set([]byte("LastVoteCand"), []byte("n2")))
			set(t, s.stable.SetUint64([]byte("LastVoteTerm"), 6)) // and then the power fails
		} else if term != 5 || string(candidate) != "n2" || err != nil || errC != nil {
			t.Error("after a crash between the two halves of a vote:", term, string(candidate), err, errC)
		}
		if current, err := s.stable.GetUint64([]byte("CurrentTerm")); err != nil || current != 5 {
			t.Error("the term is", current, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "raft.db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

func set(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestJudge(t *testing.T) {
	s, year := time.Second, 365*24*time.Hour
	for _, c := range []struct {
		offsets  []time.Duration
		voters   int
		ok, sure bool
	}{
		{nil, 1, true, false},
		{nil, 2, false, false},
		{nil, 3, false, false}, // too few answers prove nothing
		{[]time.Duration{10 * s}, 3, true, false},
		{[]time.Duration{30 * s}, 2, true, false},
		{[]time.Duration{31 * s}, 2, false, false}, // one against one
		{[]time.Duration{year}, 3, false, false},
		{[]time.Duration{-year, -year + s}, 3, false, true}, // we are a year ahead
		{[]time.Duration{year, 0}, 3, true, false},          // one peer is
		{[]time.Duration{31 * s, -31 * s}, 3, true, false},  // we are the median
		{[]time.Duration{40 * s, 35 * s}, 3, false, true},
		{[]time.Duration{year, year, s}, 5, false, false},
		{[]time.Duration{year, year, s, 0}, 5, true, false},
		{[]time.Duration{year, year, year, 0}, 5, false, true},
		{[]time.Duration{0}, 5, false, false},
	} {
		if v := judge(c.offsets, c.voters, 30*s); v.ok != c.ok || v.sure != c.sure || v.refusal() == nil {
			t.Errorf("%v of %d voters: %+v", c.offsets, c.voters, v)
		}
	}
}

func TestEntryForm(t *testing.T) {
	zone := time.FixedZone("elsewhere", 3600)
	at := time.Date(2026, 11, 23, 13, 0, 0, 5, zone)
	commands := []json.RawMessage{json.RawMessage(`{"a":"<&>", "b":1.50}`), json.RawMessage(`"x"`)}
	data := encodeEntry(at, commands)
	if want := `{"at":"2026-11-23T12:00:00.000000005Z","commands":[{"a":"<&>", "b":1.50},"x"]}`; string(data) != want {
		t.Errorf("an entry is %s", data)
	}
	back, got, err := decodeEntry(data)
	if err != nil || !back.Equal(at) || back.Location() != time.UTC || !equalJSON(got, commands) {
		t.Error(back, got, err)
	}
	for _, bad := range []string{
		``, `null`, `[]`, `{}`, `{"at":"2026-11-23T12:00:00Z"}`, `{"at":"2026-11-23T12:00:00Z","commands":[]}`,
		`{"at":"2026-11-23T13:00:00+01:00","commands":[1]}`, `{"at":"2026-11-23T12:00:00.50Z","commands":[1]}`, `{"at":5,"commands":[1]}`,
		`{"at":"2026-11-23T12:00:00Z","commands":[1],"more":1}`, `{"at":"2026-11-23T12:00:00Z","commands":[1]} {}`,
		`{"at":"2026-11-23T12:00:00Z","commands":[1`, `{"at":"2026-11-23","commands":[1]}`,
	} {
		if _, _, err := decodeEntry([]byte(bad)); err == nil {
			t.Errorf("%s is an entry", bad)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(encodeEntry(time.Unix(0, 0), []json.RawMessage{line("x"), line("y")}))
	f.Add([]byte(`{"at":"2026-11-23T12:00:00Z","commands":[1,{"a":null}]}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		at, commands, err := decodeEntry(data)
		if err != nil {
			return
		}
		again, same, err := decodeEntry(encodeEntry(at, commands))
		if err != nil || !again.Equal(at) || !equalJSON(commands, same) {
			t.Errorf("%q reads as %v %s, and then as %v %s, %v", data, at, commands, again, same, err)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(question{id: 1, time: time.Second, flags: flagLeader, method: "m", body: []byte("b")}.encode())
	f.Add(answer{id: 1, status: statusLater, body: []byte("{}")}.encode())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := readQuestion(bufio.NewReader(bytes.NewReader(data))); err == nil && !bytes.HasPrefix(q.encode(), data[:8]) {
			t.Errorf("%x reads as %+v", data, q)
		}
		if a, err := readAnswer(bufio.NewReader(bytes.NewReader(data))); err == nil && !bytes.HasPrefix(data, a.encode()) {
			t.Errorf("%x reads as %+v", data, a)
		}
	})
}

func TestRefusedConfigurations(t *testing.T) {
	layer, err := pipenet.New().Listen("n1")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"no id":                        {Stream: layer},
		"no TLS":                       {ID: "n1", Listen: "127.0.0.1:0"},
		"a lease longer than the beat": {ID: "n1", Stream: layer, Heartbeat: time.Second, Lease: 2 * time.Second},
	} {
		if n, err := Open(c, newBook(), true); err == nil {
			t.Errorf("%s: opened", name)
			err = n.Close()
			t.Log(err)
		}
	}
	if !errors.Is(later{errTest}, errTest) {
		t.Error("later hides its reason")
	}
}

// early is a machine that prepares its entries, and looks whether it is held meanwhile.
type early struct {
	*book
	t        *testing.T
	f        *replica
	prepared []string
}

func (e *early) Prepare(at time.Time, commands []json.RawMessage) {
	if !e.f.mu.TryLock() {
		e.t.Error("the machine is held while it prepares")
		return
	}
	e.f.mu.Unlock()
	e.prepared = append(e.prepared, string(commands[0]))
}

func (e *early) Apply(index uint64, at time.Time, commands []json.RawMessage) []json.RawMessage {
	if e.f.mu.TryLock() {
		e.t.Error("the machine is not held while it applies")
	}
	if last := len(e.prepared) - 1; last < 0 || e.prepared[last] != string(commands[0]) {
		e.t.Errorf("entry %d was not prepared", index)
	}
	return e.book.Apply(index, at, commands)
}

// TestEntriesArePrepared: a machine that can begin an entry does so before it is held still, entry by entry; what cannot be read is not given to it.
func TestEntriesArePrepared(t *testing.T) {
	var halted error
	e := &early{book: newBook(), t: t}
	e.f = &replica{halt: func(err error) { halted = err }, machine: e, moved: make(chan struct{})}
	for i, text := range []string{"one", "two"} {
		done := e.f.Apply(&raft.Log{Index: uint64(i + 1), Data: encodeEntry(time.Now(), []json.RawMessage{line("%s", text)})}).(applied)
		if done.err != nil || len(done.results) != 1 {
			t.Errorf("%s: %+v", text, done)
		}
	}
	if done := e.f.Apply(&raft.Log{Index: 3, Data: []byte("rubbish")}).(applied); done.err == nil || halted == nil || len(e.prepared) != 2 {
		t.Errorf("rubbish gives %+v, prepared %q", done, e.prepared)
	}
}
