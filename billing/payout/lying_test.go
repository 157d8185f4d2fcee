package payout

import (
	"testing"
	"time"

	"raylink/billing/money"
)

// TestDeadThatLived: a node said that an attempt was dead, and it took effect all the same. Whatever an admin does then, nothing is paid again.
func TestDeadThatLived(t *testing.T) {
	for _, second := range []struct {
		what  string
		stage Stage
		code  Code
	}{{"expires", Expired, ""}, {"fails", Failed, "other"}} {
		t.Run("the second "+second.what, func(t *testing.T) {
			d := newDesk(t)
			p := d.request("a", 5_000_000)
			b := d.batch()
			d.attempt(b, 1)
			d.outcome(b, 1, Expired, "")
			d.attempt(b, 2)
			d.outcome(b, 1, Finalized, "")
			if _, halted := d.book.Halted(money.USDC); !halted {
				t.Error("not halted while two attempts may pay")
			}
			if _, err := d.book.Cancel(d.now, "po-a"); err == nil {
				t.Error("cancelled though paid")
			}
			d.book.Resume("")
			if len(d.book.Work()) != 0 || d.book.Attempt(d.now, attempted(b, 3)) == nil {
				t.Error("a third attempt is wanted")
			}
			d.outcome(b, 2, second.stage, second.code)
			if p.State != Paid || p.Signature != attempted(b, 1).Signature || b.State != Done || len(d.book.Open) != 0 {
				t.Errorf("%+v %+v", p, b)
			}
			if got := d.ledger.Balance("payout:po-a", money.USDC); got != 0 {
				t.Errorf("%d still in flight", got)
			}
		})
	}
}

// TestDeadThatLivedInTime: nothing was signed in its place yet.
func TestDeadThatLivedInTime(t *testing.T) {
	d := newDesk(t)
	p := d.request("a", 5_000_000)
	b := d.batch()
	d.attempt(b, 1)
	d.outcome(b, 1, Expired, "")
	d.outcome(b, 1, Finalized, "")
	if _, halted := d.book.Halted(money.USDC); halted || p.State != Paid {
		t.Errorf("%+v", p)
	}
}

// TestNoAttemptLivesForever: an attempt that no height ever ends would lock its batch's payouts; one after a long pause is as good as any.
func TestNoAttemptLivesForever(t *testing.T) {
	d := newDesk(t)
	d.request("a", 5_000_000)
	b := d.batch()
	tries := func(n int, height uint64) error {
		a := attempted(b, n)
		a.LastValidHeight = height
		return d.book.Attempt(d.now, a)
	}
	ends := func(n int, height uint64) {
		t.Helper()
		r := Result{Batch: b.ID, N: n, Signature: attempted(b, n).Signature, Stage: Expired, Height: height + 1}
		if _, err := d.book.Outcome(d.now, r); err != nil {
			t.Fatal(err)
		}
	}
	const first = 289_000_000
	if tries(1, 1<<64-1) == nil || tries(1, 1<<48) == nil {
		t.Error("the first may live forever")
	}
	if err := tries(1, first); err != nil {
		t.Fatal(err)
	}
	ends(1, first)
	if tries(2, 1<<64-1) == nil || tries(2, first+maxAhead+1) == nil {
		t.Error("taken far beyond the first")
	}
	d.now = d.now.Add(24 * time.Hour) // 216,000 blocks of 0.4 s
	if err := tries(2, first+216_150); err != nil {
		t.Errorf("after a day without payouts: %v", err)
	}
	ends(2, first+216_150)
	d.now = d.now.Add(-time.Hour) // a clock set back opens nothing, and overflows nothing
	if tries(3, first+216_150+maxAhead+1) == nil {
		t.Error("taken by a clock set back")
	}
	if err := tries(3, first+216_150+maxAhead); err != nil {
		t.Error(err)
	}
}
