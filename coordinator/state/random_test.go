package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/raylink"
)

// TestReplicas lets random commands loose. Three replicas read the same log: one command an entry, several commands an entry, and one that
// is saved and loaded between entries and prepares none. They must stay equal, and the state sound.
func TestReplicas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		d := dice{t: t, w: w}
		tenant, other := w.account("ada", "3"), w.account("bob", "0.20")
		supplier := w.account("sam", "")
		d.tenants = []raylink.AccountID{tenant, other}
		for _, m := range d.machines() {
			w.machine(m, supplier, offerOf(2, 4, "0.300000"))
		}
		w.gateway("gone")
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 20, 60, 61, 300, 700, -30}).Draw(t, "s")) * time.Second)
			key := rapid.SampledFrom([]string{"", "", "", "k1", "k2"}).Draw(t, "key")
			w.do(rapid.SampledFrom([]string{"account:a", "account:b"}).Draw(t, "by"), key, d.command())
			w.sound()
			check(t, w.s)
		}
		replay(t, w)
	})
}

// replay reads the log again on two fresh replicas.
func replay(t *rapid.T, w *world) {
	reloaded := New()
	for i, raw := range w.log {
		if rapid.IntRange(0, 5).Draw(t, "reload") == 0 {
			reloaded = reload(t, reloaded)
		}
		reloaded.Apply(uint64(i+1), w.times[i], []json.RawMessage{raw})
	}
	if reloaded.Digest() != w.s.Digest() {
		t.Errorf("a replica that was restored is another one")
	}
	var one, two bytes.Buffer
	if err := w.s.Save(&one); err != nil {
		t.Fatal(err)
	}
	if err := reload(t, w.s).Save(&two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("saved, loaded and saved again it is another text: %v", err)
	}
	batched := New()
	for from := 0; from < len(w.log); {
		to := from + 1
		for to < len(w.log) && w.times[to].Equal(w.times[from]) {
			to++
		}
		batched.Prepare(w.times[from], w.log[from:to])
		if got := batched.Apply(uint64(to), w.times[from], w.log[from:to]); len(got) != to-from {
			t.Fatalf("%d results for %d commands", len(got), to-from)
		}
		from = to
	}
	if batched.Digest() != w.s.Digest() {
		t.Errorf("the same commands in fewer entries give another state")
	}
}

// check holds the state against what must always be true.
func check(t *rapid.T, s *State) {
	for id, m := range s.Machines {
		used := s.Used(id)
		if used.CPU > m.Offer.Resources.CPU || used.Memory > m.Offer.Resources.Memory {
			t.Errorf("machine %s has leases for %+v and offers %+v", id, used, m.Offer.Resources)
		}
	}
	subnets := map[int]bool{}
	for id, c := range s.Clusters {
		if !c.Phase.Over() && subnets[c.Subnet] {
			t.Errorf("subnet %d is given out twice", c.Subnet)
		}
		subnets[c.Subnet] = subnets[c.Subnet] || !c.Phase.Over()
		if hold := s.Ledger.Balance(ledger.Hold(string(id)), "USD"); c.Phase.Over() && hold != 0 {
			t.Errorf("the ended cluster %s still holds %d", id, hold)
		}
		for _, l := range s.ClusterLeases(id) {
			if due := l.Due(s.Now, c.EndingAt); l.Meter.Next > due || l.Meter.Charged+l.Meter.Waived != l.Meter.Next || c.Phase.Over() && l.Meter.Next != due {
				t.Errorf("lease %s in phase %s: %+v, %d minutes due", l.ID, c.Phase, l.Meter, due)
			}
			for k := range l.Meter.Next {
				_, charged := s.Ledger.Find(meter.KindCharged, meter.Ref(string(l.ID), k))
				_, waived := s.Ledger.Find(meter.KindWaived, meter.Ref(string(l.ID), k))
				if charged == waived {
					t.Errorf("minute %d of %s: charged %v, waived %v", k, l.ID, charged, waived)
				}
			}
		}
	}
}

// dice draws commands: mostly such as make sense, some that do not.
type dice struct {
	t       *rapid.T
	w       *world
	tenants []raylink.AccountID
}

func (d dice) machines() []string { return []string{"mone", "mtwo", "mthree"} }
func (d dice) clusters() []string { return []string{"ca", "cb", "cc", "cd", "ce", "cf"} }

func draw[T any](d dice, what string, list []T) T { return rapid.SampledFrom(list).Draw(d.t, what) }

func (d dice) command() Command {
	name := draw(d, "cluster", d.clusters())
	cluster := id[raylink.ClusterID]("c", name)
	owner := draw(d, "owner", d.tenants)
	on := slices.Clone(d.machines()[:rapid.IntRange(1, 3).Draw(d.t, "nodes")])
	switch draw(d, "what", []string{"quote", "quote", "create", "create", "advance", "advance", "settle", "settle", "settle", "settle", "end", "gone", "close",
		"machine", "grant", "token", "sweep", "warn", "join", "offer", "gateway"}) {
	case "quote":
		q := d.w.quoteOf(name, owner, int64(rapid.IntRange(1, 3).Draw(d.t, "cores")), on...)
		q.ID = raylink.QuoteID(fmt.Sprintf("q-%s%c%caaaaaa", name, 'a'+len(d.w.log)/20%20, 'a'+len(d.w.log)%20))
		return q
	case "create":
		c := createOf(name, owner, 3)
		for _, quote := range slices.Sorted(quotesOf(d.w.s, name)) {
			c.Quote = quote
		}
		return c
	case "advance":
		return &AdvanceCluster{ID: cluster, Phase: draw(d, "phase", append(raylink.Phases(), raylink.PhaseReady, raylink.PhaseReady, raylink.PhaseEnded))}
	case "settle":
		return d.settle(name)
	case "end":
		return &EndCluster{ID: cluster, Reason: "x"}
	case "gone":
		return &RecordLeases{Facts: []LeaseFact{{Lease: leaseOf(name, 0), Stage: raylink.StageGone}, {Lease: leaseOf(name, 1), Stage: raylink.StageGone},
			{Lease: leaseOf(name, 2), Stage: draw(d, "stage", []raylink.Stage{raylink.StageRunning, raylink.StageGone})}}}
	case "close":
		return &CloseCluster{ID: cluster}
	}
	return d.other(owner, cluster)
}

func quotesOf(s *State, name string) func(func(raylink.QuoteID) bool) {
	return func(yield func(raylink.QuoteID) bool) {
		for id, q := range s.Quotes {
			if q.Spec.Name == name && !yield(id) {
				return
			}
		}
	}
}

func (d dice) other(owner raylink.AccountID, cluster raylink.ClusterID) Command {
	machine := draw(d, "machine", d.machines())
	switch draw(d, "other", []string{"machine", "grant", "token", "sweep", "warn", "join", "offer", "gateway"}) {
	case "machine":
		return &SetMachine{ID: machineID(machine), State: draw(d, "state", []string{MachineActive, MachineActive, MachineDraining, MachineBanned})}
	case "grant":
		return &GrantCredit{ID: fmt.Sprint("g", len(d.w.log)), Account: owner, Amount: usd("0.10"), Reason: "x"}
	case "token":
		return &IssueToken{ID: id[raylink.TokenID]("tok", draw(d, "token", []string{"x", "y"})), Account: owner, Role: raylink.RoleTenant, Hash: hashOf(machine)}
	case "warn":
		return &WarnCluster{ID: cluster, Warning: machine}
	case "join":
		return d.w.joinMachine(machine, offerOf(2, 4, "0.300000"))
	case "offer":
		return &SetOffer{ID: machineID(machine), Offer: offerOf(2, 4, draw(d, "price", []string{"0.300000", "0.200000", "0.400000"}))}
	case "gateway":
		return &RecordGateway{Cluster: cluster, Gateway: gatewayID("gone"), PublicKey: "x"}
	}
	return &Sweep{}
}

func (d dice) settle(name string) Command {
	c := &SettleMinutes{}
	for i, m := range d.machines() {
		lease := leaseOf(name, i)
		next := int64(0)
		if l, ok := d.w.s.Leases[lease]; ok {
			next = l.Meter.Next
		}
		for k := range int64(rapid.IntRange(1, 8).Draw(d.t, "minutes")) {
			c.Minutes = append(c.Minutes, d.w.minute(lease, next+k-1, m, "gone", draw(d, "agent", []int{60, 60, 45, 44, -1}), draw(d, "gateway", []int{60, 60, 0, -1})))
		}
	}
	return c
}
