package state

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink"
)

// customers is what the treasury must not be without in an asset, counted from the journal's balances and the payouts alone: what customers have, what is set
// aside for their clusters, deposits that somebody may claim, lots, and what is reserved to leave for anybody but a supplier and has not left.
func customers(s *State, asset money.Asset) int64 {
	sum := int64(0)
	s.Ledger.Each(asset, func(account string, minor int64) {
		kind, name, _ := strings.Cut(account, ":")
		switch kind {
		case "tenant", "tenant-card", "hold", "suspense":
			sum += minor
		case "lot":
			if name != LotCapital {
				sum += minor
			}
		case "payout":
			if s.Payouts.Payouts[name].Kind != payout.Settlement {
				sum += minor
			}
		}
	})
	return sum
}

// stays is what the books say that the chain holds, when all settlements on their way have been paid.
func stays(s *State, asset money.Asset) int64 {
	sum := -s.Ledger.Balance(ledger.TreasuryChain, asset)
	for _, b := range s.Payouts.Batches {
		for _, t := range b.Transfers {
			if b.Asset == asset && b.State == payout.Open && s.Payouts.Payouts[t.Payout].Kind == payout.Settlement {
				sum -= t.Amount
			}
		}
	}
	return sum
}

// swappedAway is what admins have swapped of an asset: nothing else takes what is customers', since the chain does not ask us.
func swappedAway(s *State, asset money.Asset) int64 {
	sum := int64(0)
	for _, e := range s.Ledger.Entries(0, 1<<20) {
		for _, p := range e.Postings {
			if e.Kind == "swap" && p.Account == ledger.TreasuryChain && p.Amount.Asset == asset {
				sum += p.Amount.Minor
			}
		}
	}
	return sum
}

// kept wants that suppliers are never paid with what is somebody else's, and that what customers have asked back is there: a withdrawal which nothing halts
// or caps is never treasury-short.
func kept(t tester, s *State, after string) {
	t.Helper()
	for _, asset := range []money.Asset{money.USDC, money.IO} {
		left, owed := stays(s, asset), customers(s, asset)
		if left < owed && left+swappedAway(s, asset) < owed {
			t.Errorf("%s: %d %s stay, and %d are others' than suppliers'", after, left, asset, owed)
		}
		for _, id := range s.Payouts.Queue[asset] {
			p := s.Payouts.Payouts[id]
			code := s.Payouts.Why(s.Now, p, s.Treasury(asset).MayLeave())
			if code == payout.TreasuryShort && p.Kind != payout.Settlement && left >= owed {
				t.Errorf("%s: the %s %s of %d %s is %s", after, p.Kind, id, p.Amount, asset, code)
			}
			if code == "" && p.Kind == payout.Settlement && p.Amount > s.Treasury(asset).Free() {
				t.Errorf("%s: the settlement %s of %d %s could go out, and only %d are free", after, id, p.Amount, asset, s.Treasury(asset).Free())
			}
		}
	}
}

// short is where a supplier waits for a treasury that has nothing of its own in what he takes: Sam in USDC, earned from IO. After him Ada asks for
// less than she has, and will be asking until a walk does something about it.
func (k *walker) short() {
	w := k.w
	w.paidFrom("short", k.tenants[0], exchange.IO, 0, "mone")
	w.now = w.now.Add(12 * time.Minute)
	w.must(&SetPrice{Sample: w.sample("0.25", "oracle")})
	w.settleAll("short", 12)
	c := w.s.Clusters[id[raylink.ClusterID]("c", "short")]
	w.must(&EndCluster{ID: c.ID, Reason: "x"})
	k.settleRest(c)
	w.gone(c.ID)
	w.must(&CloseCluster{ID: c.ID}, &RunPayouts{})
	if queue := w.s.Payouts.Queue[money.USDC]; len(queue) != 1 || w.s.Payouts.Why(w.s.Now, w.s.Payouts.Payouts[queue[0]], w.s.Treasury(money.USDC).MayLeave()) != payout.TreasuryShort {
		w.t.Fatalf("nobody is short: %v", queue)
	}
	w.now = w.now.Add(time.Second)
	w.must(withdrawal("back", k.tenants[0], string(k.tenants[0]), "4 USDC"))
}

// TestBatchOfBefore: an entry from before money was kept aside makes the batch that it made then, since what was signed for it pays that one.
func TestBatchOfBefore(t *testing.T) {
	for body, kind := range map[string]payout.Kind{`{"asset":"USDC"}`: payout.Settlement, `{"asset":"USDC","aside":true}`: payout.Withdrawal} {
		w := begun(t).w
		w.apply(json.RawMessage(`{"kind":"payout.batch","by":"leader","body":` + body + `}`))
		batch := w.s.Payouts.Batches["pb-00000001"]
		if batch == nil || len(batch.Transfers) != 1 || w.s.Payouts.Payouts[batch.Transfers[0].Payout].Kind != kind {
			t.Errorf("%s makes %+v, want one %s", body, batch, kind)
		}
	}
}
