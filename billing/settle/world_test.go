package settle_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/fake"
	"raylink/billing/settle/signer"
)

var start = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

func assets() []money.Asset { return []money.Asset{money.USDC, money.IO} }

func mintOf(asset money.Asset) chain.Mint {
	if asset == money.IO {
		return fake.IO()
	}
	return fake.USDC()
}

func walletOf(name string) chain.Address { return chain.Address(keyOf(name).Address()) }

// keyOf is the fake's key of the name, read through a key file, as the signer reads its own.
func keyOf(name string) signer.Key {
	dir, err := os.MkdirTemp("", "key")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	key, err := signer.ReadKey(writeKey(filepath.Join(dir, "key"), name))
	if err != nil {
		panic(err)
	}
	return key
}

func writeKey(path, name string) string {
	var numbers []int
	for _, b := range fake.Key(name) {
		numbers = append(numbers, int(b))
	}
	text, err := json.Marshal(numbers)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		panic(err)
	}
	return path
}

// world is a chain, the books of the pure packages, and whoever acts on them. Chance comes from a seed, and nothing runs at once: an actor
// gives another one its turn, or dies, wherever it calls out.
type world struct {
	t         testing.TB
	rng       *rand.Rand
	chain     *fake.Chain
	now       time.Time
	deposits  *deposit.Book
	payouts   *payout.Book
	ledger    *ledger.Ledger
	purses    map[money.Asset]settle.Purse
	actors    []*actor
	payers    []chain.Address // tenants' wallets
	receivers []chain.Address // suppliers' wallets, and at home one that withdrawals and refunds go to
	deadly    bool            // actors may die
	depth     int
	died      map[string]int // by the step at which
	requests  int
	posted    int
	lies      fake.Lies // of the first node, now
	hoards    bool      // the first node takes first attempts and keeps them, now
	hoard     map[string]bool
	caught    int // times that two nodes did not agree
	log       *slog.Logger
}

// actor is one process of one coordinator, or a signer.
type actor struct {
	world *world
	name  string
	birth func(*actor) func(context.Context) error // begins it anew: what it had in memory is gone
	step  func(context.Context) error
}

type death struct{}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), chain: fake.New(fake.Config{FinalityAge: 3, Window: window}), now: start,
		deposits: deposit.NewBook(), payouts: payout.NewBook(), ledger: ledger.New(), purses: map[money.Asset]settle.Purse{}, payers: named(tenants, tenantName), receivers: named(suppliers+1, supplierName), died: map[string]int{}, hoard: map[string]bool{},
		log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	var treasury deposit.Treasury
	house := walletOf("treasury")
	for _, asset := range assets() {
		mint := mintOf(asset)
		purse := settle.Purse{Mint: mint, Account: w.chain.Open(house, mint), Wallet: house}
		w.purses[asset] = purse
		treasury = append(treasury, deposit.Mint{Asset: asset, Mint: string(mint.Address), Program: string(mint.Program), Decimals: mint.Decimals,
			Account: string(purse.Account), Wallet: string(house)})
	}
	w.must(w.deposits.Configure(treasury, deposit.DefaultRules()))
	policy := payout.DefaultPolicy()
	policy.Own, policy.Fresh = []string{string(house)}, 1000*time.Hour
	w.must(w.payouts.Configure(policy))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

// cross is called wherever an actor reaches out, before and after.
func (a *actor) cross(step string) {
	w := a.world
	if !w.deadly {
		return
	}
	if w.depth == 0 && w.chance(4) {
		w.depth++
		w.turn(w.actors[w.rng.IntN(len(w.actors))])
		w.depth--
	}
	if w.chance(3) {
		w.died[strings.TrimRight(a.name, "0123456789")+": "+step]++
		panic(death{})
	}
}

// turn lets an actor take one step. If it dies, it begins anew.
func (w *world) turn(a *actor) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			if _, dead := cause.(death); !dead {
				panic(cause)
			}
			a.step = a.birth(a)
		}
	}()
	if w.deadly && w.chance(5) {
		w.restore()
	}
	err = a.step(context.Background())
	if err != nil && (strings.Contains(err.Error(), "do not agree") || strings.Contains(err.Error(), "one node says")) {
		w.caught++
	}
	return err
}

// restore replaces the books by what a snapshot of them gives.
func (w *world) restore() {
	deposits, payouts, books := deposit.NewBook(), payout.NewBook(), ledger.New()
	for _, pair := range [][2]any{{w.deposits, deposits}, {w.payouts, payouts}, {w.ledger, books}} {
		text, err := json.Marshal(pair[0])
		w.must(err)
		w.must(json.Unmarshal(text, pair[1]))
	}
	w.deposits, w.payouts, w.ledger = deposits, payouts, books
}

func (w *world) join(name string, birth func(*actor) func(context.Context) error) {
	a := &actor{world: w, name: name, birth: birth}
	a.step = birth(a)
	w.actors = append(w.actors, a)
}

// populate starts two coordinators and two signers, each with a first node that may lie and an honest second, and the second signer with a journal of its own that knows nothing of the first.
func (w *world) populate() {
	key, dir := keyOf("treasury"), w.t.TempDir()
	for i := range 2 {
		w.join(fmt.Sprint("watcher", i), func(a *actor) func(context.Context) error {
			p := port{a}
			loop := &settle.Watcher{Books: p, First: settle.Node{Name: "one", Reader: p}, Second: settle.Node{Name: "two", Reader: honest{p}}, Log: w.log}
			return func(ctx context.Context) error { _, err := loop.Step(ctx); return err }
		})
		w.join(fmt.Sprint("payer", i), func(a *actor) func(context.Context) error {
			p := port{a}
			return (&settle.Payer{Books: p, Node: p, Second: honest{p}, Builder: w.chain, Purses: w.purses, Margin: maxLag, Log: w.log}).Step
		})
		w.join(fmt.Sprint("checker", i), func(a *actor) func(context.Context) error {
			p := port{a}
			return (&settle.Checker{Books: p, Reader: p, Builder: w.chain, Purses: w.purses, Log: w.log}).Step
		})
		w.join(fmt.Sprint("leader", i), func(a *actor) func(context.Context) error { return a.lead })
		journal := filepath.Join(dir, fmt.Sprint("journal", i))
		var policy signer.Policy
		for _, asset := range assets() {
			policy.Rules = append(policy.Rules, signer.Rule{Purse: w.purses[asset], PerTransfer: 1 << 50, PerHour: 1 << 50, Burn: asset == money.IO})
		}
		var old *signer.Signer
		w.join(fmt.Sprint("signer", i), func(a *actor) func(context.Context) error {
			if old != nil {
				w.must(old.Close())
			}
			s, err := signer.Open(signer.Config{Key: key, Policy: policy, Journal: journal, Books: port{a}, Node: port{a}, Second: honest{port{a}}, Margin: maxLag, Builder: w.chain, Log: w.log})
			w.must(err)
			old = s
			return s.Step
		})
		w.t.Cleanup(func() { w.must(old.Close()) })
	}
}

// post is what the replicated state does with entries: a refusal would be a broken invariant.
func (w *world) post(entries []ledger.Entry) {
	w.t.Helper()
	for _, e := range entries {
		_, err := w.ledger.Post(w.now, e.Kind, e.Ref, e.Postings, e.Note)
		w.must(err)
	}
}

// free is what the treasury may pay with: not what is its customers'.
func (w *world) free(asset money.Asset) int64 {
	free := -w.ledger.Balance("treasury:chain", asset)
	for _, a := range w.ledger.Accounts() {
		if a.Balance.Asset == asset && (strings.HasPrefix(a.Name, "tenant:") || a.Name == "suspense" || a.Name == ledger.Lot("burn")) {
			free -= a.Balance.Minor
		}
	}
	return free
}

// lead is what a leader's loop does beside: it asks for the payouts that are due, and for batches.
func (a *actor) lead(context.Context) error {
	w := a.world
	for i := range suppliers {
		name := supplierName(i)
		for _, asset := range assets() {
			available := w.ledger.Balance(ledger.Supplier(name), asset)
			w.requests++
			r, code := w.payouts.Due(w.now, fmt.Sprint("po-", w.requests), name, asset, available)
			if code != "" {
				continue
			}
			a.cross("request before")
			// Another one may have come first: the state decides by the balance of the moment.
			if entries, err := w.payouts.Request(w.now, r, w.ledger.Balance(ledger.Supplier(name), asset), true); err == nil {
				w.post(entries)
			}
			a.cross("request after")
		}
	}
	for _, asset := range assets() {
		a.cross("batch before")
		w.payouts.NextBatch(w.now, asset, w.free(asset))
		a.cross("batch after")
	}
	return nil
}

// suppliers is how many there are; home is the place of the wallet behind theirs.
const (
	suppliers = 5
	home      = suppliers
)

func supplierName(i int) string { return fmt.Sprint("sup-", i) }
