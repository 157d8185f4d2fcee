package state

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"raylink/billing/ledger"
)

// groupKey is what a group signs with.
func groupKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{'G'}, ed25519.SeedSize))
}

func rootOf(seq uint64, hash string, key ed25519.PrivateKey) ledger.Root {
	return ledger.Root{Seq: seq, Hash: hash, Key: key.Public().(ed25519.PublicKey), Signature: ed25519.Sign(key, ledger.RootBytes(seq, hash))}
}

// TestCheckpoints: one an hour, if there is something new, and of what really stands there.
func TestCheckpoints(t *testing.T) {
	w, _ := small(t, "10")
	if _, _, due := w.s.CheckpointDue(w.now, time.Hour); due {
		t.Error("due at once")
	}
	w.now = w.now.Add(time.Hour)
	w.must(&Sweep{})
	seq, hash, due := w.s.CheckpointDue(w.now, time.Hour)
	if !due {
		t.Fatal("not due after an hour")
	}
	forged := rootOf(seq, hash, groupKey())
	forged.Signature[0]++
	for what, root := range map[string]ledger.Root{
		"another hash": rootOf(seq, "00"+hash[2:], groupKey()), "an entry to come": rootOf(seq+1, hash, groupKey()), "nothing": rootOf(0, "", groupKey()), "a forged signature": forged,
	} {
		if err := w.try(&RecordCheckpoint{Root: root}); err == nil {
			t.Errorf("a root of %s was taken", what)
		}
	}
	for range 2 { // two leaders at once
		w.must(&RecordCheckpoint{Root: rootOf(seq, hash, groupKey())})
	}
	if head, _ := w.s.Ledger.Head(); head != seq+1 || len(w.s.Checkpoints) != 1 {
		t.Errorf("%d entries after one checkpoint at %d", head, seq)
	}
	signature := string(bytes.Repeat([]byte{'5'}, 88))
	for range 2 {
		w.must(&RecordAnchor{Seq: seq, Signature: signature})
	}
	if w.s.Checkpoints[0].Anchor != signature {
		t.Errorf("anchored by %q", w.s.Checkpoints[0].Anchor)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.must(&Sweep{})
	if _, _, due := w.s.CheckpointDue(w.now, time.Hour); due {
		t.Error("due though nothing but the checkpoint and its anchor was added")
	}
}
