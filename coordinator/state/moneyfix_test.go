package state

import (
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
)

// TestLateAnchor: the anchor of an earlier checkpoint that comes after a later one must not hide what is new behind both.
func TestLateAnchor(t *testing.T) {
	w, tenant := small(t, "10")
	grant := func(name string) {
		w.must(&GrantCredit{ID: name, Account: tenant, Amount: money.MicroUSD(1), Reason: "news"})
	}
	var roots []uint64
	for _, name := range []string{"g-one", "g-two"} {
		grant(name)
		w.now = w.now.Add(2 * time.Hour)
		w.must(&Sweep{})
		seq, hash, due := w.s.CheckpointDue(w.now, time.Hour)
		if !due {
			t.Fatalf("not due after %s", name)
		}
		w.must(&RecordCheckpoint{Root: rootOf(seq, hash, groupKey())})
		roots = append(roots, seq)
	}
	for _, seq := range roots {
		w.must(&RecordAnchor{Seq: seq, Signature: strings.Repeat("5", 80)})
	}
	w.now = w.now.Add(2 * time.Hour)
	w.must(&Sweep{})
	if _, _, due := w.s.CheckpointDue(w.now, time.Hour); due {
		t.Error("due though nothing is new")
	}
	grant("g-three")
	if _, _, due := w.s.CheckpointDue(w.now, time.Hour); !due {
		t.Error("not due though a grant is new")
	}
}

// TestOtherKey: a root that another key has signed is not the group's.
func TestOtherKey(t *testing.T) {
	w, _ := small(t, "10")
	seq, hash := w.s.Ledger.Head()
	w.must(&RecordCheckpoint{Root: rootOf(seq, hash, groupKey())})
	seq, hash = w.s.Ledger.Head()
	w.refused("a root by another key", &RecordCheckpoint{Root: rootOf(seq, hash, keyOf("stranger"))}, raylink.CodeForbidden)
}
