package payout

import (
	"testing"

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
