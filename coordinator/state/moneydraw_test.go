package state

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"raylink/billing/cardbook"
	"raylink/billing/exchange"
	"raylink/billing/lot"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/raylink"
)

func (k *walker) ofClusters() Command {
	name := draw(k.dice, "cluster", k.clusters()[:4])
	cluster, owner := id[raylink.ClusterID]("c", name), draw(k.dice, "owner", k.tenants[:2])
	micro := draw(k.dice, "budget", []int64{0, 0, 102_000, 333_333, 1_000_001, 5_000_000})
	c := k.w.s.Clusters[cluster]
	switch {
	case c == nil:
		q := k.w.quoteOf(name, owner, 1, k.machines()[:rapid.IntRange(1, 3).Draw(k.t, "nodes")]...)
		q.ID = raylink.QuoteID(fmt.Sprintf("q-%s%c%caaaaaa", name, 'a'+len(k.w.log)/20%20, 'a'+len(k.w.log)%20))
		q.Purse, q.Budget = draw(k.dice, "purse", append(exchange.Purses(), "")), micro
		q.Bounded = micro == 0 && len(k.w.log)%2 == 0
		if k.w.try(q) != nil {
			return nil
		}
		create := createOf(name, owner, 3)
		create.Quote = q.ID
		return create
	case c.Phase.Order() >= 0 && c.Phase != raylink.PhaseReady:
		return &AdvanceCluster{ID: cluster, Phase: raylink.PhaseReady}
	}
	switch draw(k.dice, "do", []string{"settle", "settle", "settle", "budget", "end", "gone", "close", "takes", "cap"}) {
	case "settle":
		return k.settle(name)
	case "budget":
		return &SetBudget{ID: cluster, Budget: micro}
	case "end":
		return &EndCluster{ID: cluster, Reason: "x"}
	case "gone":
		k.w.try(&EndCluster{ID: cluster, Reason: "x"})
		k.settleRest(c)
		k.w.gone(cluster)
		return &CloseCluster{ID: cluster}
	case "cap":
		return &SetCap{Account: owner, PerDay: micro, Alarm: 50}
	case "takes":
		a := draw(k.dice, "supplier", k.tenants[2:])
		return &SetSettlement{Account: a, Takes: draw(k.dice, "takes", []money.Asset{money.USDC, money.IO}), Wallet: address(string(a)), Minimum: draw(k.dice, "minimum", []int64{0, 10})}
	}
	return &CloseCluster{ID: cluster}
}

// settleRest waives what a cluster has not settled, so that it can be closed.
func (k *walker) settleRest(c *Cluster) {
	settle := &SettleMinutes{}
	for _, l := range k.w.s.ClusterLeases(c.ID) {
		for ordinal := l.Meter.Next; ordinal < min(l.Due(k.w.s.Now, c.EndingAt), l.Meter.Next+200); ordinal++ {
			settle.Minutes = append(settle.Minutes, SettleMinute{Lease: l.ID, Ordinal: ordinal})
		}
	}
	k.w.must(settle)
}

func (k *walker) ofDeposits() Command {
	asset := draw(k.dice, "asset", []money.Asset{money.USDC, money.IO})
	owner := draw(k.dice, "owner", k.tenants)
	switch draw(k.dice, "do", []string{"arrive", "watch", "watch", "swap", "assign", "again", "topup", "arrive", "rewind", "wallet"}) {
	case "arrive":
		reference := ""
		if open := slices.Sorted(keys(k.w.s.Deposits.References)); len(open) > 0 {
			reference = draw(k.dice, "reference", append(open, ""))
		}
		k.arrive(asset, draw(k.dice, "delta", []int64{1, 100_000, 7_000_000, 300_000_000, -5_000_000, 0}), draw(k.dice, "from", []string{"", "stranger", string(owner)}), reference)
		return k.watch(asset)
	case "again": // a watcher that has begun anew somewhere
		if past := k.past[asset]; len(past) > 0 {
			i := rapid.IntRange(0, len(past)-1).Draw(k.t, "past")
			o := k.w.seen(past[i].signature, asset, past[i].delta)
			if o.After = ""; i > 0 {
				o.After = past[i-1].signature
			}
			return &ObserveDeposit{Observation: o}
		}
		return nil
	case "topup":
		name := fmt.Sprint("t", len(k.w.log))
		return &OpenTopup{ID: name, Account: owner, Asset: asset, Reference: address(name), Expected: draw(k.dice, "expected", []int64{0, 7_000_000}),
			Lot: draw(k.dice, "lot", []string{"", LotGrants, LotCard, LotCapital}), TTL: time.Hour}
	case "assign":
		if waiting := k.w.s.Deposits.Suspense; len(waiting) > 0 {
			return &AssignSuspense{Key: draw(k.dice, "key", waiting), Account: owner, By: "x"}
		}
		return nil
	case "rewind":
		return &RewindDeposits{Account: ours(asset)}
	case "swap":
		return k.swap()
	case "wallet":
		return &RemoveWallet{Account: owner, Address: address(draw(k.dice, "which", []string{string(owner), "stranger", "stranger", "stranger", "stranger"}))}
	}
	return k.watch(asset)
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

// swap happens on the chain, is observed on both sides, and is to be booked.
func (k *walker) swap() Command {
	gave, got := money.USDC, money.IO
	if draw(k.dice, "way", []bool{true, false}) {
		gave, got = got, gave
	}
	left := chainSays(k.w.s, gave) / 100
	if left <= 0 {
		return nil
	}
	signature := k.arrive(gave, -left, "", "")
	k.past[got] = append(k.past[got], transaction{signature: signature, delta: left})
	for _, asset := range []money.Asset{gave, got} {
		for c := k.watch(asset); c != nil && k.w.try(c) == nil; {
			c = k.watch(asset)
		}
	}
	return &RecordSwap{Signature: signature, Purpose: draw(k.dice, "purpose", []string{SwapPosition, SwapBuyback}), By: "x"}
}

func (k *walker) ofPayouts() Command {
	asset, owner := draw(k.dice, "asset", []money.Asset{money.USDC, money.IO}), draw(k.dice, "owner", k.tenants)
	book := k.w.s.Payouts
	if draw(k.dice, "push", []bool{true, true, false}) { // what is under way goes on, mostly
		switch {
		case len(book.Alive()) > 0:
			return k.outcome()
		case len(book.Work()) > 0:
			return k.attempt()
		case len(book.Queue[asset]) > 0 && book.Ready(k.w.s.Now, asset, k.w.s.Treasury(asset).MayLeave()):
			return &MakeBatch{Asset: asset, Aside: true}
		}
	}
	switch draw(k.dice, "do", []string{"withdraw", "outcome", "attempt", "batch", "withdraw", "run", "outcome", "attempt", "batch", "outcome", "attempt", "refund", "change", "change", "seen", "halt"}) {
	case "withdraw":
		r := payout.Request{ID: fmt.Sprint("w", len(k.w.log)%40), Kind: draw(k.dice, "kind", []payout.Kind{payout.Withdrawal, payout.Withdrawal, payout.Settlement}), Account: string(owner),
			Asset: asset, Amount: draw(k.dice, "amount", []int64{1_000_000, 6_000_000, 90_000_000, 1}), Wallet: address(string(owner))}
		return &RequestPayout{By: "x", Request: r}
	case "refund":
		if waiting := k.w.s.Deposits.Suspense; len(waiting) > 0 {
			d := k.w.s.Deposits.Deposits[draw(k.dice, "key", waiting)]
			return &RequestPayout{By: draw(k.dice, "by", []string{"x", ""}), Request: payout.Request{ID: fmt.Sprint("r", len(k.w.log)), Kind: payout.Refund, Account: string(owner), Asset: d.Asset,
				Amount: d.Amount, Wallet: address(string(owner)), Item: d.Key}}
		}
		return nil
	case "run":
		return &RunPayouts{}
	case "batch":
		return &MakeBatch{Asset: asset, Aside: true}
	case "attempt":
		return k.attempt()
	case "outcome":
		return k.outcome()
	case "change":
		if known := slices.Sorted(keys(k.w.s.Payouts.Payouts)); len(known) > 0 {
			return &ChangePayout{ID: draw(k.dice, "id", known), Action: draw(k.dice, "action", []string{PayoutApprove, PayoutRetry, PayoutCancel, "pay"}), By: "x"}
		}
		return nil
	case "halt":
		return &HaltPayouts{Asset: asset, By: "x", Reason: draw(k.dice, "reason", []string{"", "", "odd"})}
	}
	c := exists(string(owner), asset)
	c.Seen.Frozen = draw(k.dice, "frozen", []bool{false, false, true})
	return c
}

func (k *walker) ofPrices() Command {
	switch draw(k.dice, "do", []string{"set", "set", "set", "override", "halt", "go", "resume", "policy"}) {
	case "set":
		return &SetPrice{Sample: k.w.sample(draw(k.dice, "price", []string{"0.25", "0.26", "0.24", "0.9"}), draw(k.dice, "by", []string{"oracle", "oracle", "thief"}))}
	case "override":
		return &SetPrice{Sample: k.w.sample(draw(k.dice, "price", []string{"0.25", "0.5", "0.000001", "1000"}), "oracle"), Override: true}
	case "halt":
		return &HaltPrice{Reason: "x"}
	case "go":
		return &HaltPrice{}
	case "policy":
		p := pricePolicy("oracle")
		p.MaxAge = draw(k.dice, "age", []time.Duration{time.Second, time.Hour, price.Default().MaxAge})
		return &SetPricePolicy{Policy: p}
	}
	if paused := k.w.s.Paused(); len(paused) > 0 {
		c := draw(k.dice, "paused", paused)
		return &c
	}
	return nil
}

func (k *walker) ofCards() Command {
	owner := draw(k.dice, "owner", k.tenants[:2])
	name := draw(k.dice, "topup", []string{"ca1", "ca2", "first-" + string(owner)})
	switch draw(k.dice, "do", []string{"fact", "refund", "request", "fact", "refuse", "pardon", "open"}) {
	case "request":
		return &RequestCardTopup{ID: name, Account: owner, Amount: usd("10")}
	case "open":
		return &OpenCardTopup{ID: name, Session: draw(k.dice, "session", []string{"", "cs_" + name, "other"})}
	case "refund":
		return &RefundCard{ID: fmt.Sprint("cr", len(k.w.log)%5), Account: owner, Amount: usd(draw(k.dice, "amount", []string{"1", "9", "0.001"}))}
	case "refuse":
		return &RefuseCardRefund{ID: fmt.Sprintf("cr%d.1", len(k.w.log)%5), Reason: "x"}
	case "pardon":
		return &PardonCard{Account: owner}
	}
	cents := int64(1000)
	if strings.HasPrefix(name, "first") {
		cents = 3000
	}
	c := cardPaid(name, cents)
	if draw(k.dice, "dispute", []bool{false, true}) {
		c.Fact.Disputes = []cardbook.DisputeFact{{ID: "dp_" + name, Amount: cents, Currency: "usd", Status: draw(k.dice, "status", []string{"needs_response", "won", "lost", "warning_closed"})}}
	}
	for _, r := range k.w.s.Cards.PendingRefunds(1) {
		if t, ok := k.w.s.Cards.Topup(r.Topup); ok && t.ID == name {
			c.Fact.Refunds = []cardbook.RefundFact{{ID: "re_" + r.ID, Ours: r.ID, Amount: r.Amount.Minor / cardbook.MicroPerCent, Currency: "usd", Status: draw(k.dice, "refund", []string{"pending", "succeeded", "failed"})}}
		}
	}
	return c
}

func (k *walker) ofHouse() Command {
	asset := draw(k.dice, "asset", []money.Asset{money.USDC, money.IO})
	switch draw(k.dice, "do", []string{"release", "release", "policy", "propose", "burn", "bounds", "grant", "sweep"}) {
	case "release":
		return &ReleaseLot{Origin: draw(k.dice, "origin", []lot.Origin{lot.Grant, lot.Card}), Asset: asset}
	case "policy":
		return &SetBuyback{Threshold: draw(k.dice, "threshold", []int64{0, 1, 10}), Interval: time.Minute}
	case "propose":
		return &ProposeBuyback{}
	case "burn":
		return &BurnBought{}
	case "bounds":
		p := k.w.s.Payouts.Policy
		p.MaxTries = draw(k.dice, "tries", []int{0, 1, 3})
		return &SetPayoutPolicy{Policy: p, Every: draw(k.dice, "every", []time.Duration{0, time.Hour})}
	case "grant":
		return &GrantCredit{ID: fmt.Sprint("g", len(k.w.log)), Account: k.tenants[0], Amount: usd("3"), Reason: "x"}
	}
	return &Sweep{}
}
