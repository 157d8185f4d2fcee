package state

import (
	"strings"
	"testing"
	"time"

	"raylink/billing/cardbook"
	"raylink/billing/deposit"
	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink"
)

// TestNobodyAsks: who does not say who he is is refused before anything is done, not after.
func TestNobodyAsks(t *testing.T) {
	w := rich(t)
	refund := func(by string) *RequestPayout {
		return &RequestPayout{By: by, Request: payout.Request{ID: "r", Kind: payout.Refund, Account: string(acc("ada")), Asset: money.USDC, Amount: 5_000_000,
			Wallet: address("adaw"), Item: "sig-lost/" + ours(money.USDC)}}
	}
	for _, by := range []string{"", "two words", "é", strings.Repeat("a", 97)} {
		w.refused("a refund by "+by, refund(by), raylink.CodeInvalid)
		w.refused("a swap by "+by, &RecordSwap{Signature: "sig-pos", Purpose: SwapPosition, By: by}, raylink.CodeInvalid)
	}
	w.must(refund("account:x"), &RecordSwap{Signature: "sig-pos", Purpose: SwapPosition, By: "account:x"})
	w.refused("a wallet of nobody", &RemoveWallet{Account: acc("nobody")}, raylink.CodeNotFound)
	w.refused("no wallet", &RemoveWallet{Account: acc("ada")}, raylink.CodeInvalid)
}

// TestBoundsSurvive: bounds of one asset only, and of foreign ones, are the same after a restart: what is not bounded is not bounded by a default.
func TestBoundsSurvive(t *testing.T) {
	w := rich(t)
	one := map[money.Asset]int64{money.USDC: 7, "GOLD": 5, money.USD: -1}
	policy := payout.Policy{Minimum: one, PerPayout: one, PerHour: one, MaxTries: 1, Fresh: time.Hour}
	w.must(&SetPayoutPolicy{Policy: policy, Every: time.Hour}, &SetTreasury{Treasury: treasuryOf(), Rules: deposit.Rules{Min: one, Big: one}, Cluster: "local"})
	again := reload(t, w.s)
	if again.Digest() != w.s.Digest() {
		t.Errorf("restored: %+v, %+v; was %+v, %+v", again.Payouts.Policy, again.Deposits.Rules, w.s.Payouts.Policy, w.s.Deposits.Rules)
	}
	if len(w.s.Payouts.Policy.PerHour) != 2 || len(w.s.Deposits.Rules.Min) != 2 || len(w.s.Payouts.Policy.Own) == 0 {
		t.Errorf("%+v %+v", w.s.Payouts.Policy, w.s.Deposits.Rules)
	}
	w.must(&SetPayoutPolicy{Policy: payout.Policy{MaxTries: 1, Fresh: 1}, Every: time.Hour}, &SetTreasury{Treasury: treasuryOf(), Cluster: "local"})
	if reload(t, w.s).Digest() != w.s.Digest() {
		t.Error("bounds of nothing come back as defaults")
	}
}

// TestSwapIsOutgoing: only what really left one of our accounts is the other side of a swap: no failed transaction, no foreign mint.
func TestSwapIsOutgoing(t *testing.T) {
	w := rich(t)
	for what, change := range map[string]func(*deposit.Observation){
		"failed": func(o *deposit.Observation) { o.Failed = true }, "foreign": func(o *deposit.Observation) { o.Mint = address("foreign") },
		"2022": func(o *deposit.Observation) { o.Program = deposit.Token2022 }, "nothing": func(o *deposit.Observation) { o.Delta = 0 },
	} {
		o := w.seen("sig-"+what, money.IO, -800_000_000)
		change(&o)
		w.must(&ObserveDeposit{Observation: o}, &ObserveDeposit{Observation: w.seen("sig-"+what, money.USDC, 2_000_000)})
		w.refused(what, &RecordSwap{Signature: "sig-" + what, Purpose: SwapPosition, By: "x"}, raylink.CodeConflict)
	}
}

// TestTwoBurns: two buy-backs whose IO is not all there any more: the one that can be burnt is, and then nothing changes.
func TestTwoBurns(t *testing.T) {
	w := rich(t)
	w.must(&ProposeBuyback{})
	gave, got := amount("0.01 USDC"), amount("0.05 IO")
	w.must(&ObserveDeposit{Observation: w.seen("sig-b2", gave.Asset, -gave.Minor)}, &ObserveDeposit{Observation: w.seen("sig-b2", got.Asset, got.Minor)},
		&RecordSwap{Signature: "sig-b2", Purpose: SwapBuyback, By: "x"})
	w.must(&RequestPayout{By: "x", Request: payout.Request{ID: "by-hand", Kind: payout.Burn, Account: "house", Asset: money.IO, Amount: 2_000_000}})
	w.must(&BurnBought{})
	if b := w.s.Buybacks; b[0].Burn == "" || b[1].Burn != "" {
		t.Errorf("%+v %+v", b[0], b[1])
	}
	w.refused("what is not there", &BurnBought{}, raylink.CodeFunds)
	even(t, w.s)
}

// TestBudgetInEveryPurse: a leader comes back late, and every proven minute is there: no purse pays more than the budget, lowered in the
// middle or not.
func TestBudgetInEveryPurse(t *testing.T) {
	for _, lowered := range []bool{false, true} {
		w := rich(t)
		w.must(&GrantCredit{ID: "more", Account: acc("ada"), Amount: usd("1000"), Reason: "x"}, &SetPrice{Sample: w.sample("0.25", "oracle")})
		for _, name := range []string{"grant", "card", "usdc", "io"} {
			budget := int64(10_000_001)
			if lowered {
				budget = 0
			}
			cluster := id[raylink.ClusterID]("c", "b"+name)
			q := w.quoteOf("b"+name, acc("ada"), 1, "mone", "mtwo")
			q.Purse, q.Budget = exchange.Purse(name), budget
			w.must(q, createOf("b"+name, acc("ada"), 2), &AdvanceCluster{ID: cluster, Phase: raylink.PhaseReady})
			if lowered {
				w.must(&SetBudget{ID: cluster, Budget: 9_999_999})
			}
		}
		w.now = w.now.Add(20 * time.Minute)
		for _, name := range []string{"grant", "card", "usdc", "io"} {
			c := w.s.Clusters[id[raylink.ClusterID]("c", "b"+name)]
			w.settleAll("b"+name, 20)
			if spent := w.s.Spent(c); spent > c.Budget || spent < c.Budget-2_040_000 {
				t.Errorf("%s, lowered %v: %d spent of a budget of %d", name, lowered, spent, c.Budget)
			}
			if held := w.s.Held(c); name != "io" && held.Minor+w.s.Spent(c) > c.Budget {
				t.Errorf("%s, lowered %v: %s held after %d of %d", name, lowered, held, w.s.Spent(c), c.Budget)
			}
		}
		even(t, w.s)
		export(t, w.s)
	}
}

// TestLoweredByCard: what a lowered budget gives back of card money is frozen at once where a dispute waits for it.
func TestLoweredByCard(t *testing.T) {
	w := rich(t)
	disputed := cardPaid("c1", 100000)
	disputed.Fact.Disputes = append(disputed.Fact.Disputes, cardbook.DisputeFact{ID: "dp_9", Amount: 50000, Currency: "usd", Status: "needs_response"})
	w.must(disputed)
	w.settleAll("paidcard", 5)
	before := w.balance("dispute:dp_9")
	w.must(&SetBudget{ID: id[raylink.ClusterID]("c", "paidcard"), Budget: 20_000_000})
	if after := w.balance("dispute:dp_9"); after <= before || w.balance(ledger.TenantCard(string(acc("ada")))) != 0 {
		t.Errorf("frozen: %d before, %d after", before, after)
	}
	export(t, w.s)
}
