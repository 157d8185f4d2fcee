package plan

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/billing/wallet"
	"raylink/coordinator/state"
	"raylink/raylink"
)

func address(name string) string { return wallet.Encode(publicOf(name)) }

// priced says what IO costs now, signed by the operator.
func (w *world) priced(text string) {
	w.t.Helper()
	p, err := money.ParsePrice(text + " USD/IO")
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	s := price.Sample{Source: price.SourceAdministered, Price: p, ObservedAt: w.now, Key: base64.StdEncoding.EncodeToString(publicOf("oracle"))}
	s.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(keyOf("oracle"), price.SampleBytes(s)))
	w.apply(&state.SetPrice{Sample: s})
}

// market opens treasury and price, gives an account 200 USDC and 1,000 IO, and lets the supplier take IO into a proven wallet.
func (w *world) market(tenant, supplier raylink.AccountID, takes money.Asset) {
	w.t.Helper()
	var t deposit.Treasury
	for _, asset := range []money.Asset{money.USDC, money.IO} {
		t = append(t, deposit.Mint{Asset: asset, Mint: address("mint " + string(asset)), Program: address("program"), Decimals: asset.Decimals(),
			Account: address("ours " + string(asset)), Wallet: address("treasury")})
	}
	policy := price.Default()
	policy.Operators = []string{base64.StdEncoding.EncodeToString(publicOf("oracle"))}
	w.apply(&state.SetTreasury{Treasury: t, Rules: deposit.DefaultRules(), Cluster: "local"}, &state.SetPricePolicy{Policy: policy})
	w.priced("0.25")
	for i, a := range []raylink.AccountID{tenant, supplier} {
		nonce, name := fmt.Sprintf("nonce-%010d", i), string(a)
		text := wallet.Text("group", name, address(name), nonce)
		w.apply(&state.ChallengeWallet{Account: a, Nonce: nonce}, &state.ProveWallet{Account: a, Address: address(name), Nonce: nonce, Group: "group",
			Signature: wallet.Encode(ed25519.Sign(keyOf(name), []byte(text)))})
	}
	w.apply(&state.SetSettlement{Account: supplier, Takes: takes, Wallet: address(string(supplier))})
	for i, m := range t {
		w.apply(&state.ObserveDeposit{Observation: deposit.Observation{Signature: "sig-" + string(m.Asset), Account: m.Account, Mint: m.Mint, Program: m.Program, Decimals: m.Decimals,
			Delta: []int64{200_000_000, 100_000_000_000}[i], Senders: []string{address(string(tenant))}, Witnesses: []string{"one"}}})
	}
}

// agreed is the budget of a quote that names none.
const agreed = -1

// paying is as alive, but pays from a purse, with a budget in micro-USD; one minute of it costs 2 dollars, and 2 % more in USDC.
func paying(t *testing.T, p exchange.Purse, budget int64, takes money.Asset) (*world, *state.Cluster, []*state.Lease) {
	t.Helper()
	w, _, leases := alive(t, "10")
	tenant, supplier := id[raylink.AccountID]("acc", "ada"), leases[0].Supplier
	w.market(tenant, supplier, takes)
	for _, name := range []string{"mone", "mtwo"} {
		w.apply(&state.SetOffer{ID: machineID(name), Offer: offerOf(2, 8, 60_000_000)})
	}
	w.apply(&state.EndCluster{ID: leases[0].Cluster, Reason: "makes room"})
	spec := specOf("paying", 1, 1)
	w.report()
	nodes, err := Place(w.s, w.seen, w.now, spec)
	if err != nil {
		t.Fatal(err)
	}
	c := &state.CreateCluster{ID: id[raylink.ClusterID]("c", "paying"), Owner: tenant, Quote: id[raylink.QuoteID]("q", "paying"),
		Leases: []raylink.LeaseID{id[raylink.LeaseID]("l", "payinga"), id[raylink.LeaseID]("l", "payingb")}}
	w.apply(&state.MakeQuote{ID: c.Quote, Owner: tenant, Spec: spec, Image: "raylink/worker", Nodes: nodes, Purse: p, Budget: max(budget, 0), Bounded: budget == agreed}, c,
		&state.AdvanceCluster{ID: c.ID, Phase: raylink.PhaseReady})
	return w, w.s.Clusters[c.ID], w.s.ClusterLeases(c.ID)
}

// live lets a minute pass in which both sides vouch for every lease, and the leader do what it wants; it gives the cluster's warning.
func (w *world) live(c *state.Cluster, leases []*state.Lease) string {
	w.t.Helper()
	w.now = w.now.Add(time.Minute)
	for _, l := range leases {
		w.says(l, nil, l.Meter.Next, 60, 60)
	}
	w.next()
	for _, a := range w.s.Ledger.Accounts() {
		if a.Balance.Minor < 0 && !ledger.MayBeNegative(a.Name) {
			w.t.Fatalf("%s holds %s", a.Name, a.Balance)
		}
	}
	return c.Warning
}

// untilEnd lets a cluster live until the leader ends it, and gives all warnings on the way, each once.
func (w *world) untilEnd(c *state.Cluster, leases []*state.Lease, each func(minute int)) string {
	w.t.Helper()
	var warnings []string
	for minute := 0; c.Phase == raylink.PhaseReady; minute++ {
		if minute > 500 {
			w.t.Fatalf("it never ends: %+v", w.s.Runway(c))
		}
		each(minute)
		if warning := w.live(c, leases); warning != "" && (len(warnings) == 0 || warnings[len(warnings)-1] != warning) {
			warnings = append(warnings, warning)
		}
	}
	for _, l := range leases {
		if l.Meter.Waived != 0 {
			w.t.Fatalf("%s ended with %d minutes that nobody pays", l.ID, l.Meter.Waived)
		}
	}
	return strings.Join(warnings, "|")
}

// TestPriceHaltEndsInOrder: when the price goes stale, a payer in IO uses up what is held and ends in order, with every minute paid; what his supplier
// earned meanwhile is converted when the price is back, once.
func TestPriceHaltEndsInOrder(t *testing.T) {
	w, c, leases := paying(t, exchange.IO, 0, money.USDC)
	warned := w.untilEnd(c, leases, func(minute int) {
		if minute < 20 && minute%5 == 0 {
			w.priced("0.25")
		}
	})
	if !strings.Contains(warned, "price-stale") || !strings.Contains(c.Reason, "price of IO cannot be believed") || c.Phase != raylink.PhaseEnding {
		t.Errorf("%s, reason %q, warnings %q", c.Phase, c.Reason, warned)
	}
	if charged := leases[0].Meter.Charged; charged < 15+60 || w.s.Held(c).Minor > 20_00000000 {
		t.Errorf("%d minutes, %s left of the hold", charged, w.s.Held(c))
	}
	supplier := string(leases[0].Supplier)
	paused, earned := ledger.SupplierPaused("io", supplier), ledger.Supplier(supplier)
	if w.s.Ledger.Balance(paused, money.IO) == 0 || len(Money(w.s, w.now)) != 0 {
		t.Errorf("paused: %v, steps %v", w.s.Paused(), Money(w.s, w.now))
	}
	before := w.s.Ledger.Balance(earned, money.USDC)
	w.priced("0.25")
	w.next()
	if w.s.Ledger.Balance(paused, money.IO) != 0 || w.s.Ledger.Balance(earned, money.USDC) <= before || len(w.s.Paused()) != 0 {
		t.Errorf("after the halt: %v", w.s.Paused())
	}
}

// TestHaltForDollars: a payer in dollars does not notice, whatever his supplier takes.
func TestHaltForDollars(t *testing.T) {
	w, c, leases := paying(t, exchange.USDC, 0, money.IO)
	w.apply(&state.HaltPrice{Reason: "closed"})
	for range 5 {
		if warning := w.live(c, leases); warning != "" {
			t.Errorf("warned: %s", warning)
		}
	}
	if leases[0].Meter.Charged != 5 || w.s.Ledger.Balance(ledger.SupplierPaused("usdc", string(leases[0].Supplier)), money.USDC) != 10_000_000 {
		t.Errorf("%+v, %v", leases[0].Meter, w.s.Paused())
	}
}

// TestBudgetEndsInOrder: in each purse a cluster warns, and ends before it costs more than its budget; raised in the middle it lives longer.
func TestBudgetEndsInOrder(t *testing.T) {
	for _, p := range []exchange.Purse{exchange.USDC, exchange.IO} {
		w, c, leases := paying(t, p, 25_000_000, money.USDC)
		warned := w.untilEnd(c, leases, func(minute int) {
			if minute == 8 {
				w.apply(&state.SetBudget{ID: c.ID, Budget: 41_000_000})
			}
			w.priced("0.25")
		})
		spent := w.s.Spent(c)
		if !strings.Contains(c.Reason, "budget") || spent > 41_000_000 || spent < 41_000_000-2*2_040_000 || !strings.Contains(warned, "budget") {
			t.Errorf("%s: %d spent, reason %q, warnings %q", p, spent, c.Reason, warned)
		}
	}
}

// TestBudgetAlarm: a cluster carries a warning from the part of its budget on that its owner chose, 80 % where he chose none, and loses it when the budget
// is raised.
func TestBudgetAlarm(t *testing.T) {
	const budget, minute = 180_000_000, 2_040_000
	for chosen, at := range map[int64]int64{0: 144_000_000, 30: 54_000_000} {
		w, c, leases := paying(t, exchange.USDC, budget, money.USDC)
		w.apply(&state.SetBudget{ID: c.ID, Budget: budget, Alarm: chosen})
		for !strings.Contains(w.live(c, leases), "of its budget is spent") {
			if w.s.Spent(c) >= at+minute {
				t.Fatalf("alarm at %d %%: %d spent, and no warning but %q", chosen, w.s.Spent(c), c.Warning)
			}
		}
		if spent := w.s.Spent(c); spent < at || !strings.Contains(c.Warning, fmt.Sprintf("%d %% of its budget is spent, which is 180.000000 USD in all; `raylink budget cluster paying AMOUNT`", at*100/budget)) {
			t.Errorf("alarm at %d %%: %d spent, warning %q", chosen, spent, c.Warning)
		}
		w.apply(&state.SetBudget{ID: c.ID, Budget: 2 * budget})
		if warning := w.live(c, leases); warning != "" {
			t.Errorf("alarm at %d %%: of twice as much it warns %q", chosen, warning)
		}
	}
}

// TestContractEndsInOrder: a cluster of a quote that named no budget ends by what its purse held then, whatever was topped up since. The warning before
// says what lets the rest be spent, and with the owner's word it is.
func TestContractEndsInOrder(t *testing.T) {
	const held, more = 200_000_000, 50_000_000
	for _, word := range []bool{false, true} {
		w, c, leases := paying(t, exchange.USDC, agreed, money.USDC)
		m, _ := w.s.Deposits.Treasury.Of(money.USDC)
		w.apply(&state.ObserveDeposit{Observation: deposit.Observation{Signature: "sig-later", After: "sig-USDC", Account: m.Account, Mint: m.Mint, Program: m.Program, Decimals: m.Decimals,
			Delta: more, Senders: []string{address(string(c.Owner))}, Witnesses: []string{"one"}}})
		most := int64(held)
		warned := w.untilEnd(c, leases, func(int) {
			if word && strings.Contains(c.Warning, "there is more in the purse, and `raylink budget cluster paying AMOUNT` lets it be spent") {
				most = held + more
				w.apply(&state.SetBudget{ID: c.ID, Budget: most})
			}
		})
		spent := w.s.Spent(c)
		if spent > most || spent < most-2*2_040_000 || !strings.Contains(warned, "at most 200.000000 USD in all, lasts for") {
			t.Errorf("agreed to more: %v; %d spent of %d, warnings %q", word, spent, most, warned)
		}
		if why := "its budget is used up: it was agreed to cost at most 200.000000 USD; a new quote agrees to another sum (`--budget`)"; (c.Reason == why) == word || c.Failure != nil {
			t.Errorf("agreed to more: %v; reason %q", word, c.Reason)
		}
	}
}

// TestCapEndsInOrder: the day's cap raises an alarm, warns, and ends the cluster before it is passed; the next day nothing is spent yet.
func TestCapEndsInOrder(t *testing.T) {
	w, c, leases := paying(t, exchange.USDC, 0, money.USDC)
	w.apply(&state.SetCap{Account: c.Owner, PerDay: 41_000_000, Alarm: 30})
	warned := w.untilEnd(c, leases, func(int) {})
	_, today := w.s.CapOf(c.Owner)
	if today > 41_000_000 || today < 41_000_000-2*2_040_000 || !strings.Contains(c.Reason, "cap for today") {
		t.Errorf("%d spent, reason %q", today, c.Reason)
	}
	if alarm, last := strings.Index(warned, "30 %"), strings.Index(warned, "lasts for"); alarm < 0 || last < alarm {
		t.Errorf("warnings %q", warned)
	}
	w.now = w.now.Add(13 * time.Hour)
	w.apply(&state.Sweep{})
	if _, today := w.s.CapOf(c.Owner); today != 0 {
		t.Errorf("%d spent on the next day", today)
	}
}

// TestMoneyRests: each step that the plan wants is taken, and after it there is nothing left to want, until an hour has passed.
func TestMoneyRests(t *testing.T) {
	w, c, leases := paying(t, exchange.USDC, 0, money.USDC)
	supplier := string(leases[0].Supplier)
	w.apply(&state.CheckDestination{Wallet: address(supplier), Asset: money.USDC, Seen: payout.Existence{TokenAccount: address("x"), Exists: true}},
		&state.SetBuyback{Threshold: 10, Interval: time.Minute})
	for range 65 {
		w.live(c, leases)
	}
	if len(Money(w.s, w.now)) != 0 || len(w.s.Payouts.Batches) != 2 || len(w.s.Buybacks) != 1 {
		t.Errorf("steps %v, %d batches, %d buy-backs", Money(w.s, w.now), len(w.s.Payouts.Batches), len(w.s.Buybacks))
	}
	w.apply(&state.HaltPayouts{By: "x", Reason: "x"})
	w.now = w.now.Add(time.Hour)
	for range 3 {
		w.next()
	}
	if len(Money(w.s, w.now)) != 0 || len(w.s.Payouts.Batches) != 2 {
		t.Errorf("while payouts are halted: %v", Money(w.s, w.now))
	}
}
