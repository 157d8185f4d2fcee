package settle_test

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/fake"
)

const (
	episodes = 60
	rounds   = 240
	tenants  = 3
	fortune  = int64(1) << 40 // of each tenant and the admin, in minor units
	window   = 20             // heights that a transaction can be taken
	maxLag   = 6              // heights that a node is behind at the most, and the margin of payers and signers
)

// owners are the proven wallets: that of tenant 0.
func (w *world) owners(address string) []string {
	if address == string(w.payers[0]) {
		return []string{tenantName(0)}
	}
	return nil
}

func tenantName(i int) string { return fmt.Sprint("acc-", i) }

// named are the wallets of these names. They cost an Ed25519 key each, so that a world makes them once.
func named(n int, name func(int) string) []chain.Address {
	var list []chain.Address
	for i := range n {
		list = append(list, addressOf(name(i)))
	}
	return list
}

func addressOf(name string) chain.Address {
	return chain.AddressOf(fake.Key(name).Public().(ed25519.PublicKey))
}

// TestCrashTable lets two coordinators and two signers live through bad weather, with a first node that lies, and die at any step, then lets the
// sky clear and counts.
func TestCrashTable(t *testing.T) {
	died, happened := map[string]int{}, map[string]int{}
	for seed := range uint64(episodes) {
		w := newWorld(t, seed)
		w.populate()
		e := w.open()
		w.deadly = true
		for range rounds {
			e.event()
			w.turn(w.actors[w.rng.IntN(len(w.actors))]) // its errors are the weather's
			e.checkAlways()
		}
		w.deadly = false
		e.clear()
		e.checkEnd()
		e.count(happened)
		for step, n := range w.died {
			died[step] += n
		}
	}
	total := 0
	for _, step := range slices.Sorted(maps.Keys(died)) {
		total += died[step]
		t.Logf("%4d died at %s", died[step], step)
	}
	if total < 1000 {
		t.Errorf("%d deaths, wanted 1000", total)
	}
	t.Logf("%d deaths; %v", total, happened)
	for _, what := range []string{"deposit", "suspense", "paid", "expired", "failed", "split", "lie", "caught", "hoarded", "paid settlement",
		"paid withdrawal", "paid refund", "paid burn"} {
		if happened[what] < 20 {
			t.Errorf("only %d times: %s", happened[what], what)
		}
	}
	for _, step := range namedSteps() {
		for _, when := range []string{" before", " after"} {
			if died[step+when] == 0 {
				t.Errorf("nobody died at %s%s", step, when)
			}
		}
	}
}

func namedSteps() []string {
	return []string{"watcher: cursors", "watcher: history", "watcher: effect", "watcher: observe", "watcher: second history", "watcher: second effect", "leader: request", "leader: batch",
		"signer: work", "signer: height", "signer: status", "signer: blockhash", "signer: second blockhash", "signer: attempt", "signer: second height", "signer: second status",
		"payer: alive", "payer: height", "payer: status", "payer: second height", "payer: second status", "payer: send", "payer: outcome", "checker: unchecked", "checker: account", "checker: check"}
}

// episode is one world's story.
type episode struct {
	*world
	topups  int
	used    int
	lied    int
	hoarded int
	sent    map[chain.Signature]deposit.Deposit // what each payment of a tenant must be credited as
}

func (w *world) open() *episode {
	e := &episode{world: w, sent: map[chain.Signature]deposit.Deposit{}}
	rules := deposit.DefaultRules() // by which half of the deposits are big
	rules.Big = map[money.Asset]int64{money.USDC: 20_000_000, money.IO: 20_000_000}
	w.must(w.deposits.Configure(w.deposits.Treasury, rules))
	for _, asset := range assets() {
		mint := mintOf(asset)
		for _, wallet := range w.payers {
			w.chain.Fund(w.chain.Open(wallet, mint), fortune)
		}
		for _, wallet := range w.receivers {
			w.chain.Open(wallet, mint)
		}
		w.chain.Tick(4) // final: no fork takes fortunes away
		e.pay(0, asset, 500_000_000, "capital", "memo")
	}
	for i := range suppliers {
		takes := assets()[i%2]
		w.must(w.payouts.Set(supplierName(i), payout.Setting{Takes: takes, Wallet: string(w.receivers[i])}, true))
	}
	return e
}

// pay lets a tenant send tokens for a new top-up, named as via says.
func (e *episode) pay(tenant int, asset money.Asset, amount int64, lot, via string) {
	e.topups++
	reference := addressOf(fmt.Sprint("reference", e.topups))
	top := deposit.Topup{ID: fmt.Sprint("top-", e.topups), Account: tenantName(tenant), Asset: asset, Reference: string(reference), Lot: lot, ExpiresAt: e.now.Add(time.Hour)}
	e.must(e.deposits.OpenTopup(e.now, top))
	want := deposit.Deposit{Asset: asset, Amount: amount, To: ledger.Tenant(top.Account)}
	if lot != "" {
		want.To = ledger.Lot(lot)
	}
	payment := fake.Payment{From: fake.Key(tenantName(tenant)), To: e.purses[asset].Account, Amount: amount}
	switch via {
	case "reference":
		payment.References = []chain.Address{reference}
	case "memo":
		payment.Memo = top.ID
	default:
		want.To = "suspense"
		if tenant == 0 { // whose wallet is proven
			want.To = ledger.Tenant(tenantName(0))
		}
	}
	if amount < e.deposits.Rules.Min[asset] {
		want.To = "suspense"
	}
	if signature, err := e.chain.Pay(payment); err == nil {
		e.sent[signature] = want
	}
}

// event is what happens to the world before somebody's turn.
func (e *episode) event() {
	e.strike()
	asset := assets()[e.rng.IntN(2)]
	supplier, _ := e.chain.TokenAccount(e.receivers[e.rng.IntN(len(e.receivers))], mintOf(asset))
	switch e.rng.IntN(25) {
	case 0, 1:
		e.pay(e.rng.IntN(tenants), asset, 1+e.rng.Int64N(40_000_000), "", []string{"reference", "memo", "nothing"}[e.rng.IntN(3)])
	case 2, 3, 4:
		e.use(asset)
	case 5:
		e.chain.Drop(1 + e.rng.IntN(2))
	case 6:
		e.chain.Lose(1)
	case 7:
		e.chain.Break(1 + e.rng.IntN(3))
	case 8:
		e.chain.Lag(uint64(e.rng.IntN(6)))
	case 9:
		e.chain.Lag(0)
		e.chain.Freeze(supplier)
	case 10:
		e.chain.Thaw(supplier)
	case 11:
		_ = e.chain.Close(supplier) // refused while there is money in it
	case 12:
		if landed := e.chain.Landed(); len(landed) > 0 {
			_ = e.chain.ForkBack(landed[len(landed)-1]) // refused once it is final
		}
	case 13, 15, 16:
		e.chain.FailNext([]chain.FailureCode{chain.Other, chain.NoAccount, chain.Insufficient}[e.rng.IntN(3)])
	case 14:
		e.chain.Open(e.receivers[e.rng.IntN(len(e.receivers))], mintOf(asset))
	case 18:
		e.lie()
	case 19:
		e.plot()
	case 20, 21:
		e.confess()
	case 22:
		e.withdraw(asset)
	case 23:
		e.giveBack()
	case 24:
		e.burn()
	}
	if e.chance(40) {
		e.chain.Tick(uint64(1 + e.rng.IntN(4)))
		e.now = e.now.Add(time.Second)
	}
}

// use lets a tenant's balance become a supplier's earning.
func (e *episode) use(asset money.Asset) {
	from, to := ledger.Tenant(tenantName(e.rng.IntN(tenants))), ledger.Supplier(supplierName(e.rng.IntN(suppliers)))
	if balance := e.ledger.Balance(from, asset); balance > 0 {
		amount := 1 + e.rng.Int64N(balance)
		e.used++
		e.post([]ledger.Entry{{Kind: "use", Ref: fmt.Sprint(e.used), Postings: []ledger.Posting{
			{Account: from, Amount: money.Amount{Minor: -amount, Asset: asset}}, {Account: to, Amount: money.Amount{Minor: amount, Asset: asset}}}}})
	}
}

// request asks for a payout as somebody does by the API, where it was just looked that the receiver can be paid.
func (e *episode) request(r payout.Request) bool {
	e.used++
	r.ID = fmt.Sprint("asked-", e.used)
	if r.Kind != payout.Burn {
		account, _ := e.chain.TokenAccount(e.receivers[home], mintOf(r.Asset))
		r.Wallet = string(e.receivers[home])
		e.must(e.payouts.CheckDestination(e.now, r.Wallet, r.Asset, payout.Existence{TokenAccount: string(account), Exists: true}))
	}
	entries, err := e.payouts.Request(e.now, r, e.ledger.Balance(payout.Source(r.Kind, r.Account), r.Asset), true)
	if err == nil { // refused where it is below the minimum
		e.post(entries)
	}
	return err == nil
}

// withdraw lets a tenant ask for some of his balance back.
func (e *episode) withdraw(asset money.Asset) {
	account := tenantName(e.rng.IntN(tenants))
	if balance := e.ledger.Balance(ledger.Tenant(account), asset); balance > 0 {
		e.request(payout.Request{Kind: payout.Withdrawal, Account: account, Asset: asset, Amount: 1 + e.rng.Int64N(min(balance, 100_000_000))})
	}
}

// giveBack lets an admin return a deposit in suspense.
func (e *episode) giveBack() {
	if len(e.deposits.Suspense) == 0 {
		return
	}
	key := e.deposits.Suspense[e.rng.IntN(len(e.deposits.Suspense))]
	amount, err := e.deposits.Refundable(key)
	e.must(err)
	if e.request(payout.Request{Kind: payout.Refund, Account: tenantName(1), Asset: amount.Asset, Amount: amount.Minor, Item: key}) {
		e.must(e.deposits.Refund(key, fmt.Sprint("asked-", e.used), "admin"))
	}
}

// burn lets a part of a tenant's IO become what a buy-back bought, and asks for it to be burnt.
func (e *episode) burn() {
	from := ledger.Tenant(tenantName(e.rng.IntN(tenants)))
	if balance := e.ledger.Balance(from, money.IO); balance > 0 {
		amount := 1 + e.rng.Int64N(balance)
		e.used++
		e.post([]ledger.Entry{{Kind: "use", Ref: fmt.Sprint(e.used), Postings: []ledger.Posting{
			{Account: from, Amount: money.Amount{Minor: -amount, Asset: money.IO}}, {Account: ledger.Lot("burn"), Amount: money.Amount{Minor: amount, Asset: money.IO}}}}})
		e.request(payout.Request{Kind: payout.Burn, Account: "house", Asset: money.IO, Amount: amount})
	}
}

// clear ends all faults and lets everybody act until nothing is in flight.
func (e *episode) clear() {
	e.chain.Drop(0)
	e.chain.Lose(0)
	e.chain.Break(0)
	e.chain.Lag(0)
	e.chain.FailNext("")
	e.confess()
	for _, wallet := range e.receivers {
		for _, asset := range assets() {
			e.chain.Thaw(e.chain.Open(wallet, mintOf(asset)))
		}
	}
	for range 80 {
		e.chain.Tick(2)
		e.now = e.now.Add(2 * time.Minute)
		for _, a := range e.actors {
			// Refusals of what the other one did first are part of it; what matters is how it ends.
			_ = e.turn(a)
		}
		for _, id := range slices.Clone(e.payouts.Blocked) {
			_ = e.payouts.Retry(e.now, id) // refused until its receiver's account was looked at again
		}
	}
}

// count says what the episode was made of, so that a table of nothing does not pass.
func (e *episode) count(happened map[string]int) {
	happened["lie"] += e.lied
	happened["caught"] += e.caught
	happened["hoarded"] += e.hoarded
	happened["deposit"] += len(e.deposits.Deposits)
	happened["suspense"] += len(e.deposits.Suspense)
	for _, p := range e.payouts.Payouts {
		happened[string(p.State)]++
		happened[string(p.State)+" "+string(p.Kind)]++
	}
	for _, b := range e.payouts.Batches {
		happened[string(b.State)]++
		for _, a := range b.Attempts {
			happened[string(a.Stage)]++
		}
	}
}

// checkAlways is what holds at every moment: nothing was paid that was not asked for, nothing credited that did not come.
func (e *episode) checkAlways() {
	e.t.Helper()
	sums := map[money.Asset]int64{}
	for _, a := range e.ledger.Accounts() {
		sums[a.Balance.Asset] += a.Balance.Minor
	}
	for _, asset := range assets() {
		if sums[asset] != 0 {
			e.t.Fatalf("the ledger sums to %d %s", sums[asset], asset)
		}
		for i, wallet := range e.receivers {
			asked, posted := int64(0), int64(0)
			for _, p := range e.payouts.Payouts {
				if p.Wallet == string(wallet) && p.Asset == asset && p.State != payout.Cancelled {
					asked += p.Amount
					if p.State == payout.Paid {
						posted += p.Amount
					}
				}
			}
			account, _ := e.chain.TokenAccount(wallet, mintOf(asset))
			if got := e.chain.Balance(account); got > asked || got < posted {
				e.t.Fatalf("for receiver %d was asked %d %s, was posted %d and got %d", i, asked, asset, posted, got)
			}
		}
	}
}

// checkEnd is what holds when the sky is clear: chain and ledger agree to the unit.
func (e *episode) checkEnd() {
	e.t.Helper()
	e.checkAlways()
	if len(e.payouts.Halts) != 0 || len(e.payouts.Open) != 0 || len(e.payouts.Blocked) != 0 {
		e.t.Fatalf("left over: halts %v, open batches %v, blocked %v", e.payouts.Halts, e.payouts.Open, e.payouts.Blocked)
	}
	for _, asset := range assets() {
		if held, booked := e.chain.Balance(e.purses[asset].Account), -e.ledger.Balance("treasury:chain", asset); held != booked {
			e.t.Fatalf("the chain holds %d %s, the books say %d", held, asset, booked)
		}
		burnt := int64(0)
		for _, p := range e.payouts.Payouts {
			if p.Kind == payout.Burn && p.State == payout.Paid && p.Asset == asset {
				burnt += p.Amount
			}
		}
		if supply, err := e.chain.Supply(e.t.Context(), mintOf(asset).Address); err != nil || supply != tenants*fortune-burnt {
			e.t.Fatalf("there are %d %s (%v), and %d of %d were burnt", supply, asset, err, burnt, tenants*fortune)
		}
		came, credited := int64(0), int64(0)
		for _, wallet := range e.payers {
			account, _ := e.chain.TokenAccount(wallet, mintOf(asset))
			came += fortune - e.chain.Balance(account)
		}
		for _, d := range e.deposits.Deposits {
			if d.Asset == asset {
				credited += d.Amount
			}
		}
		if came != credited {
			e.t.Fatalf("%d %s came, %d were credited", came, asset, credited)
		}
	}
	e.checkCredits()
	paid := map[string]bool{}
	for _, entry := range e.ledger.Entries(0, 1<<30) {
		if entry.Kind == "payout.paid" {
			paid[entry.Ref] = true
		}
	}
	for id, p := range e.payouts.Payouts {
		if p.State == payout.Paid != paid[id] || p.State == payout.Batched || strings.Contains(string(p.State), "approval") {
			e.t.Fatalf("payout %+v, posted %v", p, paid[id])
		}
	}
}
