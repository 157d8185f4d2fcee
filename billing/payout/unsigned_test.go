package payout

import (
	"testing"
	"time"

	"raylink/billing/money"
)

// TestUnsigned: a payout that an admin let exceed the hour's cap is batched, and a signer whose own caps are lower never signs it. Whoever waits, beside it in
// the batch too, is told that it waits for the signer; after a while it is late, until it is signed, halted or cancelled. So is one whose attempt has died.
func TestUnsigned(t *testing.T) {
	d := newDesk(t)
	policy := DefaultPolicy()
	policy.PerPayout[money.USDC], policy.PerHour[money.USDC] = 10_000_000, 15_000_000
	if err := d.book.Configure(policy); err != nil {
		t.Fatal(err)
	}
	beside, large := d.request("a", 5_000_000), d.request("b", 20_000_000)
	if err := d.book.Approve(d.now, large.ID, "acc-admin"); err != nil {
		t.Fatal(err)
	}
	b := d.batch()
	check := func(what string, code Code, late int) {
		t.Helper()
		if got := d.book.Why(d.now, beside, plenty); got != code {
			t.Errorf("%s: what is beside it is %q, want %q", what, got, code)
		}
		if got := d.book.Late(d.now, 5*time.Minute); len(got) != late {
			t.Errorf("%s: late are %+v, want %d", what, got, late)
		}
	}
	if large.Batch != b.ID || beside.Batch != b.ID {
		t.Fatalf("not in one batch: %+v", b)
	}
	check("at once", WaitsForSigner, 0)
	d.now = d.now.Add(5 * time.Minute)
	check("after five minutes", WaitsForSigner, 0)
	d.now = d.now.Add(time.Nanosecond)
	check("after more", WaitsForSigner, 1)
	if err := d.book.Halt(d.now, money.USDC, "acc-admin", "looking"); err != nil {
		t.Fatal(err)
	}
	check("halted", Halted, 0)
	d.book.Resume(money.USDC)
	d.attempt(b, 1)
	check("signed", InFlight, 0)
	d.now = d.now.Add(time.Hour)
	d.outcome(b, 1, Expired, "")
	check("expired an hour later", WaitsForSigner, 0)
	d.now = d.now.Add(6 * time.Minute)
	check("not signed anew", WaitsForSigner, 1)
	entries, err := d.book.Cancel(d.now, large.ID)
	if err != nil {
		t.Fatal(err)
	}
	d.post(entries)
	check("the large one is taken out", "", 0)
	if next := d.batch(); len(next.Transfers) != 1 || next.Transfers[0].Payout != beside.ID {
		t.Errorf("then goes %+v", next)
	}
}
