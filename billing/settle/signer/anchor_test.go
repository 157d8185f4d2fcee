package signer

import (
	"context"
	"errors"
	"testing"

	"raylink/billing/ledger"
)

// roots are checkpoints of a group that may be out of reach.
type roots struct {
	seq  uint64
	memo string
	done string
	down bool
}

func (r *roots) Unanchored(context.Context) (uint64, string, error) {
	if r.done != "" {
		return 0, "", nil
	}
	return r.seq, r.memo, nil
}

func (r *roots) Anchored(_ context.Context, seq uint64, signature string) error {
	if r.down || seq != r.seq {
		return errors.New("nobody answers")
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
