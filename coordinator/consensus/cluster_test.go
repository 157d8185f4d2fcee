package consensus

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raylink/coordinator/authority"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// onLoopback is a group with TLS, files and ports, as in earnest but for its timeouts.
func onLoopback(t *testing.T, trust *authority.Authority, size int) *group {
	t.Helper()
	dir := t.TempDir()
	addresses := map[string]string{}
	g := &group{t: t, nodes: map[string]*Node{}, books: map[string]*book{}}
	g.config = func(id string) Config {
		listen := addresses[id] // a node that starts again keeps its address
		if listen == "" {
			listen = "127.0.0.1:0"
		}
		return Config{ID: id, Dir: filepath.Join(dir, id), Listen: listen, TLS: trust.PeerTLS(trust.ServerCertificate(id)), Log: testLog(t, id),
			Heartbeat: 300 * time.Millisecond, SnapshotEntries: 10, SnapshotCheck: 100 * time.Millisecond, TrailingEntries: 5}
	}
	for i := range size {
		g.ids = append(g.ids, fmt.Sprintf("c%d", i+1))
	}
	g.begin()
	for _, id := range g.ids {
		addresses[id] = g.nodes[id].mux.advertise
	}
	return g
}

func newAuthority(t *testing.T) *authority.Authority {
	t.Helper()
	a, err := authority.Init(filepath.Join(t.TempDir(), "authority"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestGroupOverTLS(t *testing.T) {
	g := onLoopback(t, newAuthority(t), 3)
	defer g.close()
	for i := range 12 {
		g.propose(g.nodes[g.ids[i%3]], line("before %d", i))
	}
	dead := g.leader()
	if err := dead.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if err := dead.Kill(); err != nil {
		t.Fatal(err)
	}
	next := g.leader(dead.cfg.ID)
	for i := range 30 { // more than the log keeps behind a snapshot
		g.propose(next, line("without the dead one %d", i))
	}
	waitFor(t, "a snapshot", func() bool {
		first, err := next.stores.logs.FirstIndex()
		return err == nil && first > dead.Index()
	})
	back := g.open(dead.cfg.ID, true) // bootstrap does not count any more
	if restored := back.Restored(); restored == 0 || back.Index() < restored {
		t.Errorf("it starts at index %d with the snapshot of %d", back.Index(), restored)
	}
	g.agree(g.propose(back, line("after")))
	if back.Restored() <= dead.Index() {
		t.Errorf("it did not catch up from a snapshot: restored %d, it had %d", back.Restored(), dead.Index())
	}
	if lines := len(g.books[back.cfg.ID].Lines); lines != 12+30+1 {
		t.Errorf("it has %d lines", lines)
	}
	for _, id := range g.ids { // a whole group that stops and starts again
		if err := g.nodes[id].Close(); err != nil {
			t.Error(err)
		}
	}
	for _, id := range g.ids {
		g.open(id, false)
	}
	g.agree(g.propose(g.nodes["c2"], line("again")))
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !done() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatal("waited in vain for", what)
		}
	}
}

func TestStrangersAtTheRaftPort(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	g := onLoopback(t, ours, 1)
	defer g.close()
	index := g.propose(g.leader(), line("x"))
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.CertificateRequest(rand.Reader, key)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ours.IssueCSR(csr, identity.Machine)
	if err != nil {
		t.Fatal(err)
	}
	machine, err := identity.KeyPair(issued.PEM, key)
	if err != nil {
		t.Fatal(err)
	}
	foreign := theirs.PeerTLS(theirs.ServerCertificate("c1"))
	ask := question{id: 1, time: time.Second, flags: flagLeader, method: callPropose, body: []byte(`["evil"]`)}
	for name, config := range map[string]*tls.Config{
		"a machine of ours":             {InsecureSkipVerify: true, Certificates: []tls.Certificate{machine}},
		"a coordinator of other people": {InsecureSkipVerify: true, GetClientCertificate: foreign.GetClientCertificate},
		"nobody":                        {InsecureSkipVerify: true},
	} {
		conn, err := tls.Dial("tcp", g.nodes["c1"].mux.advertise, config)
		if err != nil {
			continue
		}
		_, err = conn.Write(append([]byte{forCalls}, ask.encode()...))
		if err == nil {
			err = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		}
		n, readErr := io.ReadFull(conn, make([]byte, 1))
		if err = errors.Join(err, readErr); err == nil || n > 0 {
			t.Errorf("%s is answered", name)
		}
		if err := conn.Close(); err != nil {
			t.Log(err) // the other side was faster
		}
	}
	if _, err := tls.Dial("tcp", g.nodes["c1"].mux.advertise, foreign); err == nil {
		t.Error("other people's coordinator trusts ours")
	}
	if g.nodes["c1"].Index() != index {
		t.Error("a stranger's proposal is in the log")
	}
	peer, err := tls.Dial("tcp", g.nodes["c1"].mux.advertise, ours.PeerTLS(ours.ServerCertificate("c2")))
	if err != nil {
		t.Fatal("a peer is refused:", err)
	}
	if err := peer.Close(); err != nil {
		t.Error(err)
	}
}

func TestCallsToTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := inMemory(t, 3, nil)
		defer g.close()
		refusal := raylink.Errorf(raylink.CodeFunds, "not enough").WithHint("top up")
		for _, id := range g.ids {
			g.nodes[id].Handle("test.who", func(_ context.Context, body []byte) ([]byte, error) { return append(body, id...), nil })
			g.nodes[id].Handle("test.refuse", func(context.Context, []byte) ([]byte, error) { return nil, refusal })
			g.nodes[id].Handle("test.fail", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("plain") })
			g.nodes[id].Handle("test.slow", func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
			g.nodes[id].Handle("test.big", func(context.Context, []byte) ([]byte, error) { return make([]byte, frameLimit+1), nil })
		}
		leader := g.leader().cfg.ID
		for _, id := range g.ids {
			n := g.nodes[id]
			if body, err := n.CallLeader(g.ctx(time.Minute), "test.who", []byte("it is ")); err != nil || string(body) != "it is "+leader {
				t.Errorf("%s is told %q, %v", id, body, err)
			}
			_, err := n.CallLeader(g.ctx(time.Minute), "test.refuse", nil)
			if e := raylink.AsError(err); *e != *refusal {
				t.Errorf("%s is told %+v", id, e)
			}
			_, err = n.CallLeader(g.ctx(time.Minute), "test.none", nil)
			wantCode(t, "a call that nobody knows", err, raylink.CodeUnsupported)
			if id != leader {
				_, err = n.CallLeader(g.ctx(time.Minute), "test.fail", nil)
				wantCode(t, "a plain error", err, raylink.CodeInternal)
				_, err = n.CallLeader(g.ctx(time.Second), "test.slow", nil)
				wantCode(t, "a slow answer", err, raylink.CodeUnavailable)
				_, err = n.CallLeader(g.ctx(time.Minute), "test.big", nil)
				wantCode(t, "a large answer", err, raylink.CodeTooLarge)
				_, err = n.CallLeader(g.ctx(time.Minute), "test.who", make([]byte, frameLimit+1))
				wantCode(t, "a large question", err, raylink.CodeTooLarge)
				_, err = g.nodes[leader].callers.call(g.ctx(time.Minute), id, "test.who", flagLeader, nil)
				if _, again := errors.AsType[later](err); !again {
					t.Errorf("%s, which does not lead, answers %v", id, err)
				}
				_, _, err = n.ProposeHere(g.ctx(time.Minute), line("x"))
				wantCode(t, "a follower's own proposal", err, raylink.CodeUnavailable)
			}
		}
		// Many at once share one connection.
		var wait sync.WaitGroup
		for i := range 500 {
			wait.Go(func() {
				want := fmt.Sprint(i, " ")
				if body, err := g.nodes["n3"].CallLeader(t.Context(), "test.who", []byte(want)); err != nil || string(body) != want+leader {
					t.Errorf("%q, %v", body, err)
				}
			})
		}
		wait.Wait()
	})
}

func TestMembersAndWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := inMemory(t, 3, nil)
		defer g.close()
		leader := g.leader()
		follower := g.nodes["n3"]
		past := follower.Index()
		waiting := follower.Changed(past)
		select {
		case <-waiting:
			t.Error("changed before anything did")
		default:
		}
		index := g.propose(follower, line("x"))
		<-waiting
		if err := follower.WaitIndex(g.ctx(time.Minute), index); err != nil {
			t.Error(err)
		}
		select {
		case <-follower.Changed(index - 1):
		default:
			t.Error("an index that is past is still awaited")
		}
		wantCode(t, "waiting for an index that never comes", follower.WaitIndex(g.ctx(time.Second), index+100), raylink.CodeUnavailable)
		if at, err := follower.Barrier(g.ctx(time.Minute)); err != nil || at < index || follower.Index() < at {
			t.Error("barrier", at, err)
		}
		g.pause(10 * time.Second)
		members := leader.Members()
		for _, m := range members {
			if !m.Voter || m.Leader != (m.ID == leader.cfg.ID) || time.Since(m.LastContact) > 6*time.Second || m.Address != m.ID {
				t.Errorf("%+v", m)
			}
		}
		if id, address := follower.Leader(); len(members) != 3 || id != leader.cfg.ID || address != id {
			t.Error(len(members), id, address)
		}
		if err := follower.Remove(g.ctx(time.Minute), "n2"); err != nil {
			t.Error(err)
		}
		wantCode(t, "removing nobody", follower.Remove(g.ctx(time.Minute), "n9"), raylink.CodeNotFound)
		if err := follower.Remove(g.ctx(time.Minute), "n3"); err != nil { // itself
			t.Error(err)
		}
		wantCode(t, "removing the last", leader.Remove(g.ctx(time.Minute), "n1"), raylink.CodeConflict)
		if len(leader.Members()) != 1 {
			t.Errorf("%+v", leader.Members())
		}
		g.propose(leader, line("alone"))
	})
}

func TestLeadFollowsTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := inMemory(t, 3, nil)
		defer g.close()
		ctx, stop := context.WithCancel(t.Context())
		var mu sync.Mutex
		reigns, now := 0, map[string]bool{}
		var wait sync.WaitGroup
		for _, id := range g.ids {
			wait.Go(func() {
				g.nodes[id].Lead(ctx, func(ctx context.Context) {
					mu.Lock()
					reigns++
					now[id] = true
					mu.Unlock()
					<-ctx.Done()
					mu.Lock()
					delete(now, id)
					mu.Unlock()
				})
			})
		}
		g.pause(time.Second)
		old := g.leader().cfg.ID
		g.net.Isolate(old, g.ids...)
		next := g.leader(old).cfg.ID
		synctest.Wait()
		mu.Lock()
		if reigns != 2 || !now[next] || now[old] {
			t.Errorf("%d reigns, now %v, should be %s", reigns, now, next)
		}
		mu.Unlock()
		g.net.HealAll()
		stop()
		wait.Wait()
		if len(now) != 0 {
			t.Errorf("%v still leads", now)
		}
	})
}

func TestCloseHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := inMemory(t, 3, nil)
		defer g.close()
		old := g.leader()
		began := time.Now()
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		next := g.leader(old.cfg.ID)
		g.propose(next, line("x"))
		if took := time.Since(began); took > 900*time.Millisecond { // an election takes at least the heartbeat timeout of 1 s
			t.Errorf("the group was without a leader for %v", took)
		}
		if reflect.ValueOf(next.transport).Elem().FieldByName("heartbeatFn").IsNil() == false {
			t.Error("raft has set its fast path for heartbeats on the node's transport")
		}
	})
}
