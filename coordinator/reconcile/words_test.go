package reconcile

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"raylink/billing/meter"
	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// hired is a group with one lease of an hour ago, and a loop that has heard its machine and its gateway.
func hired(t *testing.T) (g *group, l *Loop, lease *state.Lease, say func(agent, confirm string)) {
	t.Helper()
	g = &group{s: state.New()}
	machine, gateway := keyOf("machine").Public().(ed25519.PublicKey), keyOf("gateway").Public().(ed25519.PublicKey)
	began := time.Now().Add(-2 * time.Minute)
	lease = &state.Lease{ID: "l-one", Cluster: "c-one", Node: "head", Machine: identity.MachineID(machine), Supplier: "acc-sam", ReadyAt: &began, Meter: meter.Lease{Rate: 60_000}}
	g.s.Accounts["acc-ada"], g.s.Accounts["acc-sam"] = &state.Account{ID: "acc-ada"}, &state.Account{ID: "acc-sam"}
	g.s.Machines[lease.Machine] = &state.Machine{ID: lease.Machine, PublicKey: identity.EncodeKey(machine), State: state.MachineActive}
	id := identity.GatewayID(gateway)
	g.s.Gateways[id] = &state.Gateway{ID: id, PublicKey: identity.EncodeKey(gateway)}
	g.s.Leases[lease.ID] = lease
	g.s.Clusters["c-one"] = &state.Cluster{ID: "c-one", Owner: "acc-ada", Phase: raylink.PhaseReady, Leases: []raylink.LeaseID{lease.ID}}
	l = &Loop{Group: g, Memory: NewMemory(), Log: slog.New(slog.DiscardHandler), Key: keyOf("group")}
	return g, l, lease, func(agent, confirm string) {
		record := func(by string, statement func(string, int64, int, string) []byte) []wire.MinuteRecord {
			return []wire.MinuteRecord{{Lease: lease.ID, Seconds: 60, RayNode: "r", Signature: identity.Sign(keyOf(by), statement(string(lease.ID), 0, 60, "r"))}}
		}
		l.Memory.Agent(lease.Machine, wire.AgentReport{Leases: []wire.LeaseReport{{Lease: lease.ID, Stage: raylink.StageRunning, Minutes: record(agent, identity.MinuteBytes)}}})
		l.Memory.Gateway(id, wire.GatewayReport{Clusters: []wire.ClusterReport{{Cluster: "c-one", Minutes: record(confirm, identity.ConfirmBytes)}}})
	}
}

func settles(steps []state.Command) (found []*state.SettleMinutes) {
	for _, c := range steps {
		if s, ok := c.(*state.SettleMinutes); ok {
			found = append(found, s)
		}
	}
	return found
}

// The words of a minute are known to hold before the look that judges them, each checked once; a forged one counts as none, and the leader signs what is left.
func TestWordsAreCheckedBeforeTheLook(t *testing.T) {
	g, l, lease, say := hired(t)
	say("machine", "somebody")
	if found := settles(l.look()); len(found) != 0 {
		t.Fatalf("a forged confirmation settles %+v", found[0])
	}
	var holds, forged int
	for w, ok := range l.checked {
		if ok != w.Holds() {
			t.Errorf("%+v: %v", w, ok)
		}
		if ok {
			holds++
		} else {
			forged++
		}
	}
	if holds != 1 || forged != 1 {
		t.Errorf("%d hold, %d do not", holds, forged)
	}
	for w := range l.checked { // what is known is not asked again: a mark on it stays
		l.checked[w] = true
	}
	seen := l.Memory.Seen()
	l.check(&seen)
	for w, ok := range seen.Checked {
		if !ok {
			t.Errorf("%+v was checked again", w)
		}
	}
	l.checked = nil
	say("machine", "gateway")
	found := settles(l.look())
	if len(found) != 1 || found[0].Minutes[0].Agent == nil || found[0].Minutes[0].Gateway == nil {
		t.Fatalf("%+v", found)
	}
	commands, err := l.encode([]state.Command{found[0]})
	if err != nil {
		t.Fatal(err)
	}
	results, _, _ := g.ProposeHere(context.Background(), commands...)
	var done state.Settled
	if err := state.ReadResult(results[0], &done); err != nil || done.Charged+done.Waived != 1 || lease.Meter.Next != 1 || g.s.SealKey != identity.EncodeKey(keyOf("group").Public().(ed25519.PublicKey)) {
		t.Errorf("%v %+v, next minute %d, signed by %q", err, done, lease.Meter.Next, g.s.SealKey)
	}
	seen = l.Memory.Seen()
	if l.check(&seen); len(l.checked) != 0 {
		t.Errorf("%d words of settled minutes are kept", len(l.checked))
	}
}

// A word that the check has not seen, since it came due meanwhile, is checked in the look.
func TestUncheckedWord(t *testing.T) {
	g, l, _, say := hired(t)
	say("machine", "gateway")
	seen := l.Memory.Seen()
	if found := settles(plan.Next(g.s, seen, time.Now())); len(found) != 1 {
		t.Errorf("%d commands", len(found))
	}
	say("machine", "somebody")
	if found := settles(plan.Next(g.s, l.Memory.Seen(), time.Now())); len(found) != 0 {
		t.Errorf("a forged word settles %+v", found[0])
	}
}

func TestSpread(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		var mu sync.Mutex
		done := map[int]int{}
		spread(n, func(i int) { mu.Lock(); defer mu.Unlock(); done[i]++ })
		for i := range n {
			if done[i] != 1 {
				t.Errorf("%d of %d was done %d times", i, n, done[i])
			}
		}
	}
	l := &Loop{}
	raw, err := l.encode([]state.Command{&state.Sweep{}, &state.SettleMinutes{}})
	if want, _ := state.Encode("leader", "", &state.SettleMinutes{}); err != nil || string(raw[1]) != string(json.RawMessage(want)) {
		t.Errorf("%s %v", raw, err)
	}
}
