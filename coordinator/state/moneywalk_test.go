package state

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink"
)

// walker lets commands of money loose on a world with a chain of its own, which knows what really happened.
type walker struct {
	dice
	past   map[money.Asset][]transaction // of our account, oldest first: what a watcher reads
	landed map[string]bool               // attempts that took effect on the chain
	failed map[string]bool               // attempts that the chain took and refused
	height uint64
	done   map[string]int // accepted commands by kind
	dry    int            // transactions so far
}

type transaction struct {
	signature string
	delta     int64
	from      string // a wallet; or
	reference string
}

// TestMoneyWalk: whatever comes in whatever order, sums are zero, the books say what the chain says, nobody is paid twice, nothing is credited twice,
// no cluster costs more than was agreed, no supplier is paid with what is a customer's, a refusal changes nothing, and a stranger finds nothing wrong with the journal. With RAYLINK_REAL=1 the walks
// are longer.
func TestMoneyWalk(t *testing.T) {
	t.Parallel()
	all, first, lengths := map[string]int{}, begun(t), []int{14, 20, 8}
	if os.Getenv("RAYLINK_REAL") != "" {
		lengths = []int{50, 30, 100}
	}
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, s: reload(t, first.w.s), now: first.w.now, index: first.w.index, log: slices.Clone(first.w.log), times: slices.Clone(first.w.times)}
		k := &walker{dice: dice{t: t, w: w, tenants: first.tenants}, past: map[money.Asset][]transaction{}, landed: map[string]bool{}, failed: map[string]bool{},
			done: map[string]int{}, dry: first.dry}
		for asset, past := range first.past {
			k.past[asset] = slices.Clone(past)
		}
		for range rapid.SampledFrom(lengths).Draw(t, "steps") {
			w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{60, 0, 60, 120, 1, 0, 30, 60, 700, 3700, 700_000, -30}).Draw(t, "s")) * time.Second)
			k.step()
		}
		even(t, w.s)
		k.chain()
		export(t, w.s)
		replay(t, w)
		for kind, n := range k.done {
			all[kind] += n
		}
	})
	t.Logf("accepted: %v", all)
}

// begun is where every walk begins: accounts with money in every purse, machines, a price, suppliers whom the treasury is short for.
func begun(t *testing.T) *walker {
	w := newWorld(t)
	k := &walker{dice: dice{w: w}, past: map[money.Asset][]transaction{}}
	for _, name := range []string{"ada", "bob", "sam", "tom"} {
		k.tenants = append(k.tenants, w.account(name, "20"))
	}
	for i, m := range k.machines() {
		w.machine(m, k.tenants[2+i%2], offerOf(8, 8, []string{"6", "6.000001", "0.07"}[i]))
	}
	w.gateway("gone")
	w.market("0.25")
	w.must(&SetPayoutPolicy{Policy: payout.Policy{Minimum: map[money.Asset]int64{money.USDC: 1}, PerPayout: map[money.Asset]int64{money.USDC: 5_000_000, money.IO: 2_000_000_000},
		PerHour: map[money.Asset]int64{money.USDC: 9_000_000, money.IO: 4_000_000_000}, MaxTries: 2, Fresh: 1000 * time.Hour}, Every: time.Hour})
	for i, a := range k.tenants {
		name := string(a)
		w.proves(a, name)
		w.must(&SetSettlement{Account: a, Takes: []money.Asset{money.USDC, money.IO}[i%2], Wallet: address(name)}, exists(name, money.USDC), exists(name, money.IO))
	}
	for _, a := range k.tenants[:2] {
		k.arrive(money.USDC, 30_000_000, string(a), "")
		k.arrive(money.IO, 12_000_000_000, string(a), "")
		w.must(k.watch(money.USDC), k.watch(money.IO))
	}
	for _, a := range k.tenants[:2] {
		id := "first-" + string(a)
		w.must(&RequestCardTopup{ID: id, Account: a, Amount: usd("30")}, cardPaid(id, 3000))
	}
	w.must(&SetBuyback{Threshold: 1, Interval: time.Minute})
	k.short()
	return k
}

// step draws one command, does it, and looks at what must hold.
func (k *walker) step() {
	c := k.command()
	if c == nil {
		return
	}
	s := k.w.s
	before := still(s)
	err := k.w.try(c)
	switch {
	case err == nil:
		k.done[c.kind()]++
	case still(s) != before:
		k.t.Errorf("the refused %s (%v) changed the state: %+v", c.kind(), err, c)
	case raylink.AsError(err).Code == raylink.CodeInternal:
		k.t.Errorf("%s: %v: %+v", c.kind(), err, c)
	}
	for id, cl := range s.Clusters {
		if spent := s.Spent(cl); cl.Budget > 0 && spent > cl.Budget {
			k.t.Errorf("%s: cluster %s cost %d, its budget is %d", c.kind(), id, spent, cl.Budget)
		}
		if held := s.Held(cl).Minor; cl.Budget > 0 && PurseOf(cl) != exchange.IO && held+s.Spent(cl) > cl.Budget {
			k.t.Errorf("%s: cluster %s holds %d after %d of a budget of %d", c.kind(), id, held, s.Spent(cl), cl.Budget)
		}
	}
	even(k.t, s)
	kept(k.t, s, c.kind())
}

// chain holds the journal against the chain: treasury:chain is minus what was observed, once each, and each payout was paid by one landed attempt.
func (k *walker) chain() {
	s, sums := k.w.s, map[money.Asset]int64{}
	paid := map[string]int{}
	for _, b := range s.Payouts.Batches {
		for _, a := range b.Attempts {
			for _, t := range b.Transfers {
				if k.landed[a.Signature] {
					paid[t.Payout]++
				}
			}
		}
	}
	for _, e := range s.Ledger.Entries(0, 1<<20) {
		for _, p := range e.Postings {
			if p.Account == ledger.TreasuryChain {
				sums[p.Amount.Asset] -= p.Amount.Minor
			}
		}
		signature, _, _ := strings.Cut(e.Ref, "/")
		switch e.Kind {
		case "deposit":
			if tx, ok := k.find(signature, e.Postings[1].Amount.Asset); !ok || tx.delta != e.Postings[1].Amount.Minor {
				k.t.Errorf("%s is credited %s and was %+v", e.Ref, e.Postings[1].Amount, tx)
			}
		case "payout.paid":
			if paid[e.Ref] != 1 {
				k.t.Errorf("payout %s is posted as paid, and was paid %d times", e.Ref, paid[e.Ref])
			}
		}
	}
	for id, n := range paid {
		if n > 1 {
			k.t.Errorf("payout %s was paid %d times", id, n)
		}
	}
	for asset, sum := range sums {
		if chainSays(s, asset) != sum {
			k.t.Errorf("%s: the books say %d, the journal %d", asset, chainSays(s, asset), sum)
		}
	}
	for asset, past := range k.past {
		seen := 0
		for i, tx := range past {
			if tx.signature == s.Deposits.Cursors[ours(asset)].Signature {
				seen = i + 1
			}
		}
		want := int64(0)
		for _, tx := range past[:seen] {
			want += max(tx.delta, 0)
		}
		if want != k.entered(asset) && !k.rewound() {
			k.t.Errorf("%s: %d came in by transaction %d, and %d was booked", asset, want, seen, k.entered(asset))
		}
	}
}

// rewound says whether a cursor stands before what was taken in.
func (k *walker) rewound() bool { return k.done["deposit.rewind"] > 0 }

// entered is the sum of all deposits of an asset.
func (k *walker) entered(asset money.Asset) int64 {
	sum := int64(0)
	for _, d := range k.w.s.Deposits.Deposits {
		if d.Asset == asset {
			sum += d.Amount
		}
	}
	return sum
}

func (k *walker) find(signature string, asset money.Asset) (transaction, bool) {
	i := slices.IndexFunc(k.past[asset], func(t transaction) bool { return t.signature == signature })
	if i < 0 {
		return transaction{}, false
	}
	return k.past[asset][i], true
}

// arrive lets something happen to our account on the chain.
func (k *walker) arrive(asset money.Asset, delta int64, from, reference string) string {
	k.dry++
	signature := fmt.Sprint("tx-", k.dry)
	k.past[asset] = append(k.past[asset], transaction{signature, delta, from, reference})
	return signature
}

// watch observes the transaction behind the cursor, if there is one, as a watcher does.
func (k *walker) watch(asset money.Asset) Command {
	cursor, at := k.w.s.Deposits.Cursors[ours(asset)].Signature, 0
	for i, tx := range k.past[asset] {
		if tx.signature == cursor {
			at = i + 1
		}
	}
	if at == len(k.past[asset]) {
		return nil
	}
	tx := k.past[asset][at]
	o := k.w.seen(tx.signature, asset, tx.delta)
	if tx.from != "" {
		o.Senders = []string{address(tx.from)}
	}
	if tx.reference != "" {
		o.References = []string{tx.reference}
	}
	return &ObserveDeposit{Observation: o}
}

// attempts lets the chain have its way with what is alive, and tells the outcome: the truth, mostly.
func (k *walker) outcome() Command {
	alive := k.w.s.Payouts.Alive()
	if len(alive) == 0 {
		return nil
	}
	b := draw(k.dice, "batch", alive)
	a := b.Live()
	r := payout.Result{Batch: b.ID, N: a.N, Signature: a.Signature, Stage: payout.Finalized, Slot: k.height}
	k.height += uint64(rapid.IntRange(0, 12).Draw(k.t, "height"))
	switch lot := draw(k.dice, "fate", []string{"land", "land", "fail", "wait", "lie"}); {
	case k.landed[a.Signature]:
	case k.failed[a.Signature], lot == "fail" && k.height <= a.LastValidHeight:
		k.failed[a.Signature] = true
		r.Stage, r.Code = payout.Failed, draw(k.dice, "code", []payout.Code{payout.ChainFrozen, "other", payout.ChainNoAccount})
	case lot == "land" && k.height <= a.LastValidHeight:
		k.landed[a.Signature] = true
		for range draw(k.dice, "told", []int{1, 1, 0}) {
			return &RecordOutcome{Result: r}
		}
		return nil // landed, and nobody has told yet
	case lot == "lie":
		r.Stage, r.Height = payout.Expired, min(k.height, a.LastValidHeight) // must be refused
	case k.height > a.LastValidHeight:
		r.Stage, r.Height = payout.Expired, k.height
	default:
		return nil
	}
	return &RecordOutcome{Result: r}
}

func (k *walker) attempt() Command {
	work := k.w.s.Payouts.Work()
	if len(work) == 0 {
		return nil
	}
	one := draw(k.dice, "work", work)
	c := attemptOf(one.Batch.ID, one.N)
	c.Attempt.LastValidHeight = k.height + 10
	return c
}

// command draws one.
func (k *walker) command() Command {
	switch draw(k.dice, "room", []string{"out", "cluster", "out", "cluster", "in", "out", "cluster", "in", "price", "card", "rest"}) {
	case "cluster":
		return k.ofClusters()
	case "in":
		return k.ofDeposits()
	case "out":
		return k.ofPayouts()
	case "price":
		return k.ofPrices()
	case "card":
		return k.ofCards()
	}
	return k.ofHouse()
}
