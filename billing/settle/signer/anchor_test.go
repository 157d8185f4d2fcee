package signer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"raylink/billing/ledger"
	"raylink/raylink"
)

// roots are checkpoints of a group that may be out of reach.
type roots struct {
	oldest uint64
	seq    uint64
	memo   string
	done   string
	down   bool
}

func (r *roots) Unanchored(context.Context) (uint64, string, error) {
	if r.done != "" {
		return 0, "", nil
	}
	return r.seq, r.memo, nil
}

func (r *roots) Anchored(_ context.Context, seq uint64, signature string) error {
	if r.down {
		return errors.New("nobody answers")
	}
	if seq < r.oldest || seq > r.seq {
		return raylink.Errorf(raylink.CodeNotFound, "no checkpoint %d", seq)
	}
	r.done = signature
	return nil
}

// TestAnchor: the memo is on the chain once it is said to be, whatever is lost on the way.
func TestAnchor(t *testing.T) {
	b := newBench(t)
	r := &roots{seq: 7, memo: ledger.RootMemo(7, "ab"), down: true}
	b.chain.Drop(1) // the first send vanishes
	for range 12 {
		if err := b.signer.Anchor(t.Context(), r); err != nil && !r.down {
			t.Fatal(err)
		}
		b.chain.Tick(1)
	}
	if r.done != "" {
		t.Fatal("anchored though nobody answered")
	}
	b.open() // the signer is killed, and begins anew
	r.down = false
	for range 12 {
		if err := b.signer.Anchor(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		b.chain.Tick(1)
	}
	landed := b.chain.Landed()
	if r.done == "" || len(landed) == 0 || string(landed[len(landed)-1]) != r.done {
		t.Errorf("anchored by %q, on the chain are %v", r.done, landed)
	}
}

// TestAnchorsNoOtherText: a coordinator cannot have anything else written with the treasury's key.
func TestAnchorsNoOtherText(t *testing.T) {
	b := newBench(t)
	before := len(b.chain.Landed())
	for _, memo := range []string{"", "hello", "rl:po:pb-00000001", "rl:cp:" + string(make([]byte, 200))} {
		if err := b.signer.Anchor(t.Context(), &roots{seq: 1, memo: memo}); err == nil {
			t.Errorf("%.20q was signed", memo)
		}
	}
	if len(b.chain.Landed()) != before {
		t.Error("something landed")
	}
}

// TestAnchorsThoughNewerComeFaster: a checkpoint each second, and still memos come to their end, though not one for each.
func TestAnchorsThoughNewerComeFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		r, before := &roots{}, len(b.chain.Landed())
		var recorded []string
		for second := range uint64(60) {
			r.seq = second + 1
			r.memo = ledger.RootMemo(r.seq, "ab")
			if err := b.signer.Anchor(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if r.done != "" {
				recorded, r.done = append(recorded, r.done), ""
			}
			b.chain.Tick(1)
			<-time.After(time.Second)
		}
		if landed := b.chain.Landed()[before:]; len(recorded) != 2 || len(landed) != 2 {
			t.Errorf("in a minute of a checkpoint each second %d were recorded, of %d memos", len(recorded), len(landed))
		}
	})
}

// TestAnchorOfALostCheckpoint: a group that was restored does not know the checkpoint any more; the newer ones are not held up by it.
func TestAnchorOfALostCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		r := &roots{seq: 7, memo: ledger.RootMemo(7, "ab")}
		if err := b.signer.Anchor(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		b.chain.Tick(1)
		r.oldest, r.seq, r.memo = 8, 8, ledger.RootMemo(8, "cd")
		refusals := 0
		for range 60 {
			if b.signer.Anchor(t.Context(), r) != nil {
				refusals++
			}
			b.chain.Tick(1)
			<-time.After(time.Second)
		}
		if refusals != 1 || r.done == "" {
			t.Errorf("%d refusals, and then %q", refusals, r.done)
		}
	})
}
