package deposit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/wallet"
)

var start = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

func address(n byte) string { return wallet.Encode(append(make([]byte, 31), n)) }

const program = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"

func usdc() Mint {
	return Mint{Asset: money.USDC, Mint: address(1), Program: program, Decimals: 6, Account: address(2), Wallet: address(3)}
}

func io() Mint {
	return Mint{Asset: money.IO, Mint: address(4), Program: program, Decimals: 8, Account: address(5), Wallet: address(3)}
}

// desk is a book with its ledger and a clock.
type desk struct {
	t      *testing.T
	now    time.Time
	book   *Book
	ledger *ledger.Ledger
	owners map[string][]string
	count  int
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, now: start, book: NewBook(), ledger: ledger.New(), owners: map[string][]string{
		"wallet-a": {"acc-a"}, "wallet-a2": {"acc-a"}, "wallet-b": {"acc-b"}, "wallet-ab": {"acc-a", "acc-b"},
	}}
	if err := d.book.Configure(Treasury{usdc(), io()}, DefaultRules()); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) topup(change func(*Topup)) {
	d.t.Helper()
	top := Topup{ID: "top-1", Account: "acc-t", Asset: money.USDC, Reference: address(50), Expected: 50_000_000, ExpiresAt: d.now.Add(time.Hour)}
	if change != nil {
		change(&top)
	}
	if err := d.book.OpenTopup(d.now, top); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) seen(change func(*Observation)) Observation {
	d.count++
	m := usdc()
	o := Observation{Signature: fmt.Sprintf("sig-%d", d.count), Account: m.Account, Mint: m.Mint, Program: m.Program, Decimals: 6, Delta: 50_000_000,
		Slot: uint64(d.count), Witnesses: []string{"one"}}
	if change != nil {
		change(&o)
	}
	o.After = d.book.Cursors[o.Account].Signature
	return o
}

func (d *desk) observe(o Observation) error {
	entries, err := d.book.Observe(d.now, o, func(address string) []string { return d.owners[address] })
	d.post(entries)
	return err
}

func (d *desk) post(entries []ledger.Entry) {
	d.t.Helper()
	for _, e := range entries {
		if _, err := d.ledger.Post(d.now, e.Kind, e.Ref, e.Postings, e.Note); err != nil {
			d.t.Fatal(err)
		}
	}
}

func TestAttribution(t *testing.T) {
	for _, c := range []struct {
		name    string
		topup   func(*Topup)
		seen    func(*Observation)
		later   time.Duration
		to      string
		via     string
		reasons []Reason
	}{
		{"reference", nil, func(o *Observation) { o.References = []string{"x", address(50)}; o.Senders = []string{"wallet-a"} }, 0, "tenant:acc-t", ViaReference, nil},
		{"memo", nil, func(o *Observation) { o.Memo = " top-1\n"; o.Senders = []string{"wallet-a"} }, 0, "tenant:acc-t", ViaMemo, nil},
		{"wallet", nil, func(o *Observation) { o.Memo = "hello"; o.Senders = []string{"wallet-a", "wallet-a2"} }, 0, "tenant:acc-a", ViaWallet, nil},
		{"shared wallet", nil, func(o *Observation) { o.Senders = []string{"wallet-ab"} }, 0, "suspense", "", []Reason{Ambiguous}},
		{"two accounts", nil, func(o *Observation) { o.Senders = []string{"wallet-a", "wallet-b"} }, 0, "suspense", "", []Reason{Ambiguous}},
		{"one of two unknown", nil, func(o *Observation) { o.Senders = []string{"wallet-a", "exchange"} }, 0, "suspense", "", []Reason{UnknownSender}},
		{"nobody", nil, nil, 0, "suspense", "", []Reason{UnknownSender}},
		{"the amount alone is no name", nil, func(o *Observation) { o.Senders = []string{"exchange"} }, 0, "suspense", "", []Reason{UnknownSender}},
		{"dust", nil, func(o *Observation) { o.Delta = 99_999; o.Memo = "top-1" }, 0, "suspense", ViaMemo, []Reason{Dust}},
		{"just no dust", nil, func(o *Observation) { o.Delta = 100_000; o.Senders = []string{"wallet-a"} }, 0, "tenant:acc-a", ViaWallet, nil},
		{"over", nil, func(o *Observation) { o.Delta++; o.Memo = "top-1" }, 0, "tenant:acc-t", ViaMemo, []Reason{Over}},
		{"under and late", nil, func(o *Observation) { o.Delta--; o.Memo = "top-1" }, time.Hour, "tenant:acc-t", ViaMemo, []Reason{Late, Under}},
		{"any amount", func(x *Topup) { x.Expected = 0 }, func(o *Observation) { o.Memo = "top-1" }, 0, "tenant:acc-t", ViaMemo, nil},
		{"lot", func(x *Topup) { x.Lot = "grants" }, func(o *Observation) { o.Memo = "top-1" }, 0, "lot:grants", ViaMemo, nil},
		{"other asset", func(x *Topup) { x.Asset = money.IO }, func(o *Observation) { o.Memo = "top-1" }, 0, "tenant:acc-t", ViaMemo, []Reason{OtherAsset}},
		{"other asset for a lot", func(x *Topup) { x.Asset, x.Lot = money.IO, "card" }, func(o *Observation) { o.Memo = "top-1" }, 0, "suspense", ViaMemo, []Reason{OtherAsset}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.topup(c.topup)
			d.now = d.now.Add(c.later)
			o := d.seen(c.seen)
			for range 2 { // observed again it changes nothing
				if err := d.observe(o); err != nil {
					t.Fatal(err)
				}
			}
			got := d.book.Deposits[o.Key()]
			if got == nil || got.To != c.to || got.Via != c.via || !slices.Equal(got.Reasons, c.reasons) {
				t.Errorf("deposit %+v", got)
			}
			if d.ledger.Balance(c.to, money.USDC) != o.Delta || d.ledger.Balance("treasury:chain", money.USDC) != -o.Delta {
				t.Errorf("balances %v", d.ledger.Accounts())
			}
			if (c.to == "suspense") != (len(d.book.Waiting(10)) == 1) {
				t.Errorf("in suspense: %v", d.book.Suspense)
			}
		})
	}
}

func TestIgnored(t *testing.T) {
	for _, c := range []struct {
		reason Reason
		change func(*Observation)
	}{
		{WrongMint, func(o *Observation) { o.Mint = address(9) }},
		{WrongMint, func(o *Observation) { o.Decimals = 9 }},
		{WrongMint, func(o *Observation) { o.Program = address(9) }},
		{Program2022, func(o *Observation) { o.Program = Token2022 }},
		{FailedTx, func(o *Observation) { o.Failed, o.Delta = true, 0 }},
		{Outgoing, func(o *Observation) { o.Delta = -5 }},
		{Outgoing, func(o *Observation) { o.Delta = 0 }},
	} {
		d := newDesk(t)
		d.topup(nil)
		o := d.seen(c.change)
		o.Memo = "top-1"
		if err := d.observe(o); err != nil {
			t.Fatal(err)
		}
		if n := len(d.book.Ignored); n != 1 || d.book.Ignored[0].Reasons[0] != c.reason || len(d.ledger.Accounts()) != 0 {
			t.Errorf("%s: %+v, %v", c.reason, d.book.Ignored, d.ledger.Accounts())
		}
		if d.book.Cursors[o.Account].Signature != o.Signature {
			t.Errorf("%s: the cursor stays at %+v", c.reason, d.book.Cursors)
		}
	}
}

func TestTwoTabsAreBothCredited(t *testing.T) {
	d := newDesk(t)
	d.topup(nil)
	for range 2 {
		if err := d.observe(d.seen(func(o *Observation) { o.References = []string{address(50)} })); err != nil {
			t.Fatal(err)
		}
	}
	if d.ledger.Balance("tenant:acc-t", money.USDC) != 100_000_000 || d.book.Topups["top-1"].Received != 100_000_000 {
		t.Errorf("balances %v", d.ledger.Accounts())
	}
	if second := d.book.Deposits["sig-2/"+usdc().Account]; !slices.Equal(second.Reasons, []Reason{Twice, Over}) {
		t.Errorf("reasons %v", second.Reasons)
	}
}

func TestOrderAndRewind(t *testing.T) {
	d := newDesk(t)
	d.topup(nil)
	first := d.seen(func(o *Observation) { o.Memo = "top-1" })
	second := d.seen(nil) // into suspense
	second.After = first.Signature
	if err := d.observe(second); err == nil {
		t.Fatal("the second was taken in before the first")
	}
	for _, o := range []Observation{first, second, first, second} {
		if err := d.observe(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.book.Rewind(usdc().Account, ""); err != nil {
		t.Fatal(err)
	}
	if err := d.book.Rewind(usdc().Account, "unheard-of"); err == nil {
		t.Error("rewound to a place that is none")
	}
	for _, o := range []Observation{first, second} {
		if err := d.observe(o); err != nil {
			t.Fatal(err)
		}
	}
	if d.ledger.Balance("tenant:acc-t", money.USDC) != 50_000_000 || d.ledger.Balance("suspense", money.USDC) != 50_000_000 || d.book.Cursors[usdc().Account].Signature != second.Signature {
		t.Errorf("balances %v, cursors %v", d.ledger.Accounts(), d.book.Cursors)
	}
	if d.book.Topups["top-1"].Received != 50_000_000 || len(d.book.Suspense) != 1 {
		t.Errorf("counted twice: %+v, %v", d.book.Topups["top-1"], d.book.Suspense)
	}
}

func TestBigNeedsTwoNodes(t *testing.T) {
	const big = 1_000_000_001
	d := newDesk(t)
	d.topup(nil)
	for n, witnesses := range [][]string{nil, {"one"}, {"one", "one"}} {
		o := d.seen(func(o *Observation) { o.Delta, o.Witnesses, o.References = big, witnesses, []string{address(50)} })
		if err := d.observe(o); err != nil {
			t.Fatal(err)
		}
		kept := d.book.Deposits[o.Key()]
		if !slices.Equal(kept.Reasons, []Reason{NeedsTwoNodes}) || kept.Account != "acc-t" || d.book.Cursors[o.Account].Signature != o.Signature {
			t.Errorf("on the word of %v: %+v", witnesses, kept)
		}
		if sum := d.ledger.Balance("suspense", money.USDC); sum != big*int64(n+1) || d.ledger.Balance("tenant:acc-t", money.USDC) != 0 {
			t.Errorf("on the word of %v: %v", witnesses, d.ledger.Accounts())
		}
	}
	if top := d.book.Topups["top-1"]; top.Received != 0 || len(top.Deposits) != 0 {
		t.Errorf("the top-up counts what was not credited: %+v", top)
	}
	entries, err := d.book.Assign(d.book.Suspense[0], "acc-t", "acc-admin")
	if err != nil {
		t.Fatal(err)
	}
	d.post(entries)
	o := d.seen(func(o *Observation) {
		o.Delta, o.Senders, o.Witnesses = big, []string{"wallet-a"}, []string{"one", "two"}
	})
	if err := d.observe(o); err != nil {
		t.Fatal(err)
	}
	if d.ledger.Balance("tenant:acc-t", money.USDC) != big || d.ledger.Balance("tenant:acc-a", money.USDC) != big || len(d.book.Suspense) != 2 {
		t.Errorf("balances %v", d.ledger.Accounts())
	}
}

func TestSuspense(t *testing.T) {
	d := newDesk(t)
	for range 2 {
		if err := d.observe(d.seen(nil)); err != nil {
			t.Fatal(err)
		}
	}
	first, second := d.book.Suspense[0], d.book.Suspense[1]
	for range 2 {
		entries, err := d.book.Assign(first, "acc-a", "acc-admin")
		if err != nil {
			t.Fatal(err)
		}
		d.post(entries)
	}
	if d.ledger.Balance("tenant:acc-a", money.USDC) != 50_000_000 || d.ledger.Balance("suspense", money.USDC) != 50_000_000 {
		t.Errorf("balances %v", d.ledger.Accounts())
	}
	if _, err := d.book.Assign(first, "acc-b", "acc-admin"); err == nil {
		t.Error("assigned twice")
	}
	for range 2 {
		if err := d.book.Refund(second, "po-1", "acc-admin"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.book.Refund(second, "po-2", "acc-admin"); err == nil || len(d.book.Suspense) != 0 {
		t.Error("refunded twice")
	}
	d.book.Reopen(second, "po-2")
	if len(d.book.Suspense) != 0 {
		t.Error("reopened by another payout")
	}
	d.book.Reopen(second, "po-1")
	if amount, err := d.book.Refundable(second); err != nil || amount.Minor != 50_000_000 {
		t.Errorf("reopened: %v, %v", amount, err)
	}
}

// TestDustHidesNothing: the list of what waits is of a hundred, and whoever sends dust by the hundred, before or after, pushes nobody's money off it.
func TestDustHidesNothing(t *testing.T) {
	d := newDesk(t)
	send := func(name string, minor int64) {
		t.Helper()
		if err := d.observe(d.seen(func(o *Observation) { o.Signature, o.Delta, o.Senders = name, minor, []string{address(77)} })); err != nil {
			t.Fatal(err)
		}
	}
	const crowd = 120
	for i := range 3 * crowd {
		switch name := fmt.Sprintf("sig-%03d", i); {
		case i%crowd == crowd-1: // at the end of each crowd a real one
			send(name, 5_000_000)
		default:
			send(name, 1)
		}
	}
	var first []string
	for _, w := range d.book.Waiting(5) {
		first = append(first, strings.TrimSuffix(w.Key, "/"+usdc().Account))
	}
	if want := []string{"sig-359", "sig-239", "sig-119", "sig-358", "sig-357"}; !slices.Equal(first, want) {
		t.Errorf("first come %v, want %v", first, want)
	}
	if n, all := len(d.book.Waiting(100)), len(d.book.Waiting(1000)); n != 100 || all != 3*crowd {
		t.Errorf("%d of a hundred, %d of all", n, all)
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	d := newDesk(t)
	d.topup(nil)
	before, _ := json.Marshal(d.book)
	refused := map[string]error{
		"malformed":       d.observe(d.seen(func(o *Observation) { o.Signature = "" })),
		"spaces":          d.observe(d.seen(func(o *Observation) { o.Senders = []string{"a b"} })),
		"too much":        d.observe(d.seen(func(o *Observation) { o.Delta = MaxAmount + 1 })),
		"not ours":        d.observe(d.seen(func(o *Observation) { o.Account = address(77) })),
		"token-2022":      d.book.Configure(Treasury{{money.USDC, address(1), Token2022, 6, address(2), address(3)}}, DefaultRules()),
		"decimals":        d.book.Configure(Treasury{{money.IO, address(1), program, 6, address(2), address(3)}}, DefaultRules()),
		"one mint twice":  d.book.Configure(Treasury{usdc(), usdc()}, DefaultRules()),
		"same id":         d.book.OpenTopup(start, Topup{ID: "top-1", Account: "acc-x", Asset: money.USDC, Reference: address(51), ExpiresAt: start.Add(time.Hour)}),
		"same reference":  d.book.OpenTopup(start, Topup{ID: "top-2", Account: "acc-x", Asset: money.USDC, Reference: address(50), ExpiresAt: start.Add(time.Hour)}),
		"no address":      d.book.OpenTopup(start, Topup{ID: "top-2", Account: "acc-x", Asset: money.USDC, Reference: "0OIl", ExpiresAt: start.Add(time.Hour)}),
		"dust":            d.book.OpenTopup(start, Topup{ID: "top-2", Account: "acc-x", Asset: money.USDC, Reference: address(52), Expected: 1, ExpiresAt: start.Add(time.Hour)}),
		"card money":      d.book.OpenTopup(start, Topup{ID: "top-2", Account: "acc-x", Asset: money.USD, Reference: address(52), ExpiresAt: start.Add(time.Hour)}),
		"over already":    d.book.OpenTopup(start, Topup{ID: "top-2", Account: "acc-x", Asset: money.USDC, Reference: address(52), ExpiresAt: start}),
		"nothing waiting": d.book.Refund("sig/acc", "po-1", "admin"),
	}
	for name, err := range refused {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if after, _ := json.Marshal(d.book); !bytes.Equal(before, after) {
		t.Errorf("a refusal changed the book:\n%s\n%s", before, after)
	}
	restored := NewBook()
	if err := json.Unmarshal(before, restored); err != nil || !reflect.DeepEqual(restored.Topups, d.book.Topups) || !reflect.DeepEqual(restored.Treasury, d.book.Treasury) {
		t.Errorf("restored %+v, %v", restored, err)
	}
}

func TestTopupsAreLimited(t *testing.T) {
	d := newDesk(t)
	open := func(n int) error {
		return d.book.OpenTopup(d.now, Topup{ID: fmt.Sprintf("top-%d", n), Account: "acc-t", Asset: money.USDC, Reference: wallet.Encode([]byte(fmt.Sprintf("%032d", n))), ExpiresAt: d.now.Add(time.Hour)})
	}
	for n := range MaxTopups {
		if err := open(n); err != nil {
			t.Fatal(err)
		}
	}
	if open(1000) == nil {
		t.Error("one too many")
	}
	if err := open(0); err != nil {
		t.Errorf("the same once more: %v", err)
	}
	d.now = d.now.Add(time.Hour)
	if err := open(1000); err != nil {
		t.Errorf("after the others expired: %v", err)
	}
}
