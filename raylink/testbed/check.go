package testbed

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/billing/verify"
	"raylink/coordinator/state"
	"raylink/raylink"
)

// End brings everything to its end in order: weather clears, what is dead lives again, clusters are deleted. Then it checks the books and the
// hosts.
func (b *Bed) End() {
	b.t.Helper()
	b.Heal()
	for _, c := range b.coordinators {
		c.skew.Store(0)
		if !c.living() {
			c.start(false)
		}
	}
	for _, p := range b.parts {
		if p.stop == nil {
			p.start()
		}
	}
	b.Leader()
	for _, id := range b.clusters() {
		if !b.Cluster(id).Phase.Over() {
			b.Delete(id)
		}
	}
	b.Until("every cluster is over", 15*time.Minute, func() bool {
		for _, id := range b.clusters() {
			if !b.Cluster(id).Phase.Over() {
				return false
			}
		}
		return true
	})
	b.nothingLeft()
	b.allEqual()
	b.grantsKept()
	b.everyMinuteOnce()
	b.booksBalance()
}

func (b *Bed) clusters() []raylink.ClusterID {
	var ids []raylink.ClusterID
	b.Read(func(s *state.State) {
		for id := range s.Clusters {
			ids = append(ids, id)
		}
	})
	return ids
}

// allEqual: at one index all coordinators have the same digest, and no entry is from the future.
func (b *Bed) allEqual() {
	b.t.Helper()
	digests := map[string]bool{}
	b.Until("all coordinators stand at one index", time.Minute, func() bool {
		clear(digests)
		indexes := map[uint64]bool{}
		for _, c := range b.coordinators {
			index, digest := c.node.Digest()
			indexes[index], digests[digest] = true, true
		}
		return len(indexes) == 1
	})
	if len(digests) != 1 {
		b.t.Errorf("at one index the coordinators differ: %v", digests)
	}
	b.history.mu.Lock()
	if again := b.history.again; again == 0 && len(b.coordinators) > 1 {
		b.t.Error("no entry was applied twice: nothing was compared")
	}
	b.history.mu.Unlock()
	b.Read(func(s *state.State) {
		if s.Now.After(time.Now()) {
			b.t.Errorf("the replicated clock is ahead: %v", s.Now)
		}
	})
}

// grantsKept: what was acknowledged is in the journal once; what was not, at most once.
func (b *Bed) grantsKept() {
	b.t.Helper()
	found := map[string]int{}
	b.Read(func(s *state.State) {
		for _, e := range s.Ledger.Entries(0, 1<<30) {
			var note struct {
				Reason string `json:"reason"`
			}
			if e.Kind == "grant" && json.Unmarshal(e.Note, &note) == nil {
				found[note.Reason]++
			}
		}
	})
	for reason, how := range b.grants {
		if n := found[reason]; n > 1 || (how == "acknowledged" && n != 1) {
			b.t.Errorf("%s was %s, and stands %d times in the journal", reason, how, n)
		}
	}
}

// everyMinuteOnce: each lease's minutes up to its cluster's end are all settled, each in one entry of the journal.
func (b *Bed) everyMinuteOnce() {
	b.t.Helper()
	b.Read(func(s *state.State) {
		entries := map[string]int{}
		for _, e := range s.Ledger.Entries(0, 1<<30) {
			if e.Kind == meter.KindCharged || e.Kind == meter.KindWaived {
				entries[e.Ref]++
			}
		}
		total := int64(0)
		for id, l := range s.Leases {
			if due := l.Due(s.Now, s.Clusters[l.Cluster].EndingAt); l.Meter.Next != due || l.Meter.Charged+l.Meter.Waived != due {
				b.t.Errorf("lease %s: of %d minutes %d are settled, %d charged and %d waived", l.Node, due, l.Meter.Next, l.Meter.Charged, l.Meter.Waived)
			}
			for ordinal := range l.Meter.Next {
				if n := entries[meter.Ref(string(id), ordinal)]; n != 1 {
					b.t.Errorf("lease %s: minute %d stands %d times in the journal", l.Node, ordinal, n)
				}
			}
			total += l.Meter.Next
		}
		if int64(len(entries)) != total {
			b.t.Errorf("the journal has %d minutes, the leases %d", len(entries), total)
		}
	})
}

// booksBalance: the exported journal verifies, nothing is held any more, and nobody but the treasury is below zero.
func (b *Bed) booksBalance() {
	b.t.Helper()
	var file bytes.Buffer
	b.must(b.Admin.Journal(b.ctx(), &file))
	report, err := verify.Verify(&file)
	b.must(err)
	for _, problem := range report.Problems {
		b.t.Errorf("verify: %s", problem)
	}
	key, err := b.auth.SigningKey()
	b.must(err)
	if !report.Key.Equal(key.Public().(ed25519.PublicKey)) {
		b.t.Error("the journal is not signed by the group")
	}
	if report.Unsigned > 0 {
		b.t.Errorf("no coordinator signed for %d charged minutes", report.Unsigned)
	}
	sums := map[money.Asset]int64{}
	b.Read(func(s *state.State) {
		for _, a := range s.Ledger.Accounts() {
			sums[a.Balance.Asset] += a.Balance.Minor
			if a.Balance.Minor < 0 && !ledger.MayBeNegative(a.Name) || strings.HasPrefix(a.Name, ledger.Hold("")) {
				b.t.Errorf("at the end account %s has %s", a.Name, a.Balance)
			}
		}
	})
	for asset, sum := range sums {
		if sum != 0 {
			b.t.Errorf("the books sum to %d in %s", sum, asset)
		}
	}
}

// nothingLeft: no lease holds anything, in the books or on the hosts.
func (b *Bed) nothingLeft() {
	b.t.Helper()
	b.Until("the machines have removed everything", time.Minute, func() bool {
		present, _ := b.host.Count()
		for _, m := range b.machines {
			planes, err := b.host.Planes(m).List(b.ctx())
			if err != nil {
				return false
			}
			present += len(planes)
		}
		return present == 0
	})
	b.Read(func(s *state.State) {
		for id, l := range s.Leases {
			if !l.Gone {
				b.t.Errorf("lease %s outlives its cluster", id)
			}
		}
		for id := range s.Machines {
			if used := s.Used(id); used.CPU != 0 || used.Memory != 0 {
				b.t.Errorf("machine %s still has %+v taken", id, used)
			}
		}
	})
}
