package payout

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

var start = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// desk is a book with its ledger and a clock.
type desk struct {
	t      *testing.T
	now    time.Time
	book   *Book
	ledger *ledger.Ledger
	count  int
}

func newDesk(t *testing.T) *desk {
	return &desk{t: t, now: start, book: NewBook(), ledger: ledger.New()}
}

const plenty = int64(1) << 50

// earn gives an account money to be paid out, and a wallet that can be paid.
func (d *desk) earn(account string, asset money.Asset, minor int64) {
	d.t.Helper()
	d.count++
	d.post([]ledger.Entry{{Kind: "test", Ref: fmt.Sprint(d.count), Postings: []ledger.Posting{
		{Account: "treasury:chain", Amount: money.Amount{Minor: -minor, Asset: asset}}, {Account: ledger.Supplier(account), Amount: money.Amount{Minor: minor, Asset: asset}}}}})
	d.look("wallet-"+account, asset, Existence{TokenAccount: "ata-" + account, Exists: true})
}

func (d *desk) look(wallet string, asset money.Asset, seen Existence) {
	d.t.Helper()
	if err := d.book.CheckDestination(d.now, wallet, asset, seen); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) post(entries []ledger.Entry) {
	d.t.Helper()
	for _, e := range entries {
		if _, err := d.ledger.Post(d.now, e.Kind, e.Ref, e.Postings, e.Note); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *desk) request(account string, minor int64) *Payout {
	d.t.Helper()
	d.earn(account, money.USDC, minor)
	r := Request{ID: "po-" + account, Kind: Settlement, Account: account, Asset: money.USDC, Amount: minor, Wallet: "wallet-" + account}
	for range 2 { // the same once more changes nothing
		entries, err := d.book.Request(d.now, r, d.ledger.Balance(ledger.Supplier(account), money.USDC), true)
		if err != nil {
			d.t.Fatal(err)
		}
		d.post(entries)
	}
	if d.ledger.Balance("payout:po-"+account, money.USDC) != minor {
		d.t.Fatalf("not reserved: %v", d.ledger.Accounts())
	}
	return d.book.Payouts["po-"+account]
}

func (d *desk) batch() *Batch {
	d.t.Helper()
	b := d.book.NextBatch(d.now, money.USDC, plenty)
	if b == nil {
		d.t.Fatal("no batch")
	}
	return b
}

func attempted(b *Batch, n int) Attempted {
	name := fmt.Sprintf("sig-%s-%d", b.ID, n)
	return Attempted{Batch: b.ID, N: n, Signature: name, Raw: base64.StdEncoding.EncodeToString([]byte(name)), LastValidHeight: uint64(100 * n)}
}

func (d *desk) attempt(b *Batch, n int) {
	d.t.Helper()
	for range 2 {
		if err := d.book.Attempt(d.now, attempted(b, n)); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *desk) outcome(b *Batch, n int, stage Stage, code Code) {
	d.t.Helper()
	r := Result{Batch: b.ID, N: n, Signature: attempted(b, n).Signature, Stage: stage, Code: code, Height: uint64(100*n + 1)}
	for range 2 {
		entries, err := d.book.Outcome(d.now, r)
		if err != nil {
			d.t.Fatal(err)
		}
		d.post(entries)
	}
}

func TestPaidOnce(t *testing.T) {
	d := newDesk(t)
	p, q := d.request("a", 5_000_000), d.request("b", 7_000_000)
	b := d.batch()
	if len(b.Transfers) != 2 || b.Transfers[0] != (Transfer{"po-a", "wallet-a", "ata-a", 5_000_000}) || d.book.NextBatch(d.now, money.USDC, plenty) != nil {
		t.Fatalf("batch %+v", b)
	}
	d.attempt(b, 1)
	d.outcome(b, 1, Finalized, "")
	if p.State != Paid || q.State != Paid || p.Signature != "sig-pb-00000001-1" || b.State != Done || b.Attempts[0].Raw != "" {
		t.Errorf("%+v %+v %+v", p, q, b)
	}
	if len(d.ledger.Accounts()) != 0 {
		t.Errorf("all came and went: %v", d.ledger.Accounts())
	}
	if !d.book.Ours("sig-pb-00000001-1") || d.book.Ours("thief") || len(d.book.Active) != 0 {
		t.Error("signatures or active payouts are wrong")
	}
	if _, err := d.book.Cancel(d.now, "po-a"); err == nil {
		t.Error("a paid payout was cancelled")
	}
}

func TestNextAttemptOnlyAfterTheLastIsDead(t *testing.T) {
	d := newDesk(t)
	p := d.request("a", 5_000_000)
	b := d.batch()
	d.attempt(b, 1)
	if d.book.Attempt(d.now, attempted(b, 2)) == nil {
		t.Fatal("a second attempt beside a living first")
	}
	other := attempted(b, 1)
	other.Signature = "sig-other"
	if d.book.Attempt(d.now, other) == nil {
		t.Fatal("the first attempt was exchanged")
	}
	early := Result{Batch: b.ID, N: 1, Signature: attempted(b, 1).Signature, Stage: Expired, Height: 100}
	if _, err := d.book.Outcome(d.now, early); err == nil {
		t.Fatal("expired at the last valid height itself")
	}
	if _, err := d.book.Cancel(d.now, "po-a"); err == nil {
		t.Fatal("cancelled while it may be paid")
	}
	d.outcome(b, 1, Expired, "")
	if work := d.book.Work(); len(work) != 1 || work[0].N != 2 {
		t.Fatalf("work %+v", work)
	}
	d.attempt(b, 2)
	d.outcome(b, 2, Finalized, "")
	if p.State != Paid || p.Signature != attempted(b, 2).Signature {
		t.Errorf("%+v", p)
	}
}

func TestFailureSplitsAndBlocks(t *testing.T) {
	d := newDesk(t)
	good, bad := d.request("a", 5_000_000), d.request("b", 7_000_000)
	b := d.batch()
	d.attempt(b, 1)
	d.outcome(b, 1, Failed, ChainFrozen)
	for range 2 {
		single := d.batch()
		if len(single.Transfers) != 1 {
			t.Fatalf("batch of %d after a split", len(single.Transfers))
		}
		d.attempt(single, 1)
		if single.Transfers[0].Payout == bad.ID {
			d.outcome(single, 1, Failed, ChainFrozen)
		} else {
			d.outcome(single, 1, Finalized, "")
		}
	}
	if good.State != Paid || bad.State != Blocked || bad.Code != ChainFrozen || d.ledger.Balance("payout:po-b", money.USDC) != 7_000_000 {
		t.Fatalf("%+v %+v %v", good, bad, d.ledger.Accounts())
	}
	if d.book.NextBatch(d.now, money.USDC, plenty) != nil || d.book.Retry(d.now, bad.ID) == nil {
		t.Fatal("a blocked payout goes on by itself")
	}
	d.look("wallet-b", money.USDC, Existence{TokenAccount: "ata-b", Exists: true})
	if err := d.book.Retry(d.now, bad.ID); err != nil {
		t.Fatal(err)
	}
	last := d.batch()
	d.attempt(last, 1)
	d.outcome(last, 1, Finalized, "")
	if bad.State != Paid || len(d.ledger.Accounts()) != 0 {
		t.Errorf("%+v %v", bad, d.ledger.Accounts())
	}
}

func TestOtherFailuresAreTriedAgainAFewTimes(t *testing.T) {
	d := newDesk(t)
	p := d.request("a", 5_000_000)
	for range d.book.Policy.MaxTries {
		b := d.batch()
		d.attempt(b, 1)
		d.outcome(b, 1, Expired, "insufficient") // refused in preflight, then dead
	}
	if p.State != Blocked || p.Code != "insufficient" {
		t.Fatalf("%+v", p)
	}
	entries, err := d.book.Cancel(d.now, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	d.post(entries)
	if d.ledger.Balance("supplier:a", money.USDC) != 5_000_000 || p.State != Cancelled {
		t.Errorf("%+v %v", p, d.ledger.Accounts())
	}
	if entries, err := d.book.Cancel(d.now, p.ID); err != nil || entries != nil {
		t.Error("cancelled twice")
	}
}

func TestCancelOutOfABatch(t *testing.T) {
	d := newDesk(t)
	p, q := d.request("a", 5_000_000), d.request("b", 7_000_000)
	b := d.batch()
	d.attempt(b, 1)
	d.outcome(b, 1, Expired, "")
	entries, err := d.book.Cancel(d.now, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	d.post(entries)
	if d.book.Attempt(d.now, attempted(b, 2)) == nil {
		t.Error("the batch of a cancelled payout was tried again")
	}
	if next := d.batch(); len(next.Transfers) != 1 || next.Transfers[0].Payout != q.ID {
		t.Errorf("the other one: %+v", next)
	}
}

func TestCaps(t *testing.T) {
	d := newDesk(t)
	policy := DefaultPolicy()
	policy.PerPayout[money.USDC], policy.PerHour[money.USDC] = 10_000_000, 15_000_000
	if err := d.book.Configure(policy); err != nil {
		t.Fatal(err)
	}
	large, first, second := d.request("a", 10_000_001), d.request("b", 10_000_000), d.request("c", 6_000_000)
	if large.State != WaitingApproval || len(d.batch().Transfers) != 1 {
		t.Fatalf("%+v", large)
	}
	if why := d.book.Why(d.now, second, plenty); why != CapHour || first.State != Batched {
		t.Errorf("the hour's cap: %q", why)
	}
	if list := d.book.Awaiting(d.now, money.USDC, plenty); len(list) != 2 || list[0].Code != NeedsApproval || list[1].Code != CapHour {
		t.Errorf("awaiting %+v", list)
	}
	d.now = d.now.Add(time.Hour - time.Nanosecond)
	if d.book.Ready(d.now, money.USDC, plenty) {
		t.Error("ready within the hour")
	}
	d.now = d.now.Add(time.Nanosecond)
	if b := d.batch(); b.Transfers[0].Payout != second.ID {
		t.Errorf("after the hour: %+v", b)
	}
	for range 2 {
		if err := d.book.Approve(d.now, large.ID, "acc-admin"); err != nil {
			t.Fatal(err)
		}
	}
	if b := d.batch(); b.Transfers[0].Payout != large.ID {
		t.Errorf("after approval: %+v", b)
	}
}

func TestTreasuryShort(t *testing.T) {
	d := newDesk(t)
	large, small := d.request("a", 10_000_000), d.request("b", 6_000_000)
	b := d.book.NextBatch(d.now, money.USDC, 9_999_999)
	if len(b.Transfers) != 1 || b.Transfers[0].Payout != small.ID || d.book.Why(d.now, large, 9_999_999) != TreasuryShort {
		t.Fatalf("%+v", b)
	}
	if d.book.Ready(d.now, money.USDC, 15_999_999) { // of which 6 are on their way
		t.Error("what is in flight was spent again")
	}
	if !d.book.Ready(d.now, money.USDC, 16_000_000) {
		t.Error("not ready with enough")
	}
}

func TestBatchesOfFifteen(t *testing.T) {
	d := newDesk(t)
	for i := range MaxTransfers + 1 {
		d.now = d.now.Add(time.Second)
		d.request(fmt.Sprintf("s%02d", i), 2_000_000)
	}
	if first, second := d.batch(), d.batch(); len(first.Transfers) != MaxTransfers || len(second.Transfers) != 1 || second.Transfers[0].Payout != "po-s15" {
		t.Errorf("%d and %d", len(first.Transfers), len(second.Transfers))
	}
}

func TestHalts(t *testing.T) {
	d := newDesk(t)
	d.request("a", 5_000_000)
	if err := d.book.Halt(d.now, money.IO, "acc-admin", "price"); err != nil {
		t.Fatal(err)
	}
	b := d.batch()
	if err := d.book.Halt(d.now, "", "acc-admin", "looking"); err != nil {
		t.Fatal(err)
	}
	if len(d.book.Work()) != 0 || d.book.Attempt(d.now, attempted(b, 1)) == nil {
		t.Error("signed during a halt")
	}
	d.book.Resume("")
	d.attempt(b, 1)
	if err := d.book.Halt(d.now, money.USDC, "acc-admin", "looking"); err != nil {
		t.Fatal(err)
	}
	if len(d.book.Alive()) != 1 {
		t.Error("a halt forgets what may have been sent")
	}
	d.outcome(b, 1, Finalized, "")
}

func TestTookEffectAfterAll(t *testing.T) {
	d := newDesk(t)
	p := d.request("a", 5_000_000)
	b := d.batch()
	d.attempt(b, 1)
	d.outcome(b, 1, Expired, "")
	d.outcome(b, 1, Finalized, "") // the node had been behind, nothing else was signed
	if p.State != Paid || len(d.ledger.Accounts()) != 0 {
		t.Fatalf("%+v", p)
	}
	q := d.request("b", 5_000_000)
	c := d.batch()
	d.attempt(c, 1)
	d.outcome(c, 1, Expired, "")
	d.attempt(c, 2)
	d.outcome(c, 1, Finalized, "")
	if _, halted := d.book.Halted(money.IO); !halted || q.State != Batched {
		t.Error("two transactions for one batch, and nothing stops")
	}
}

func TestReasonForEveryZero(t *testing.T) {
	d := newDesk(t)
	due := func(minor int64) Code { _, code := d.book.Due(d.now, "po-x", "a", money.USDC, minor); return code }
	set := func(s Setting) {
		if err := d.book.Set("a", s, true); err != nil {
			t.Fatal(err)
		}
	}
	check := func(got, want Code) {
		t.Helper()
		if got != want {
			t.Errorf("%q, wanted %q", got, want)
		}
	}
	check(due(0), NothingEarned)
	check(due(5_000_000), NoWallet)
	set(Setting{Wallet: "wallet-a", Minimum: 6_000_000})
	check(due(5_000_000), BelowMinimum)
	check(due(6_000_000), NoTokenAccount)
	d.look("wallet-a", money.USDC, Existence{TokenAccount: "ata-a", Exists: true, Frozen: true})
	check(due(6_000_000), NoTokenAccount)
	d.look("wallet-a", money.USDC, Existence{TokenAccount: "ata-a", Exists: true})
	check(due(6_000_000), "")
	d.now = d.now.Add(d.book.Policy.Fresh)
	check(due(6_000_000), NoTokenAccount)
	if list := d.book.Unchecked(d.now, 10); !reflect.DeepEqual(list, []Destination{{"wallet-a", money.IO}, {"wallet-a", money.USDC}}) {
		t.Errorf("unchecked %v", list)
	}
	if err := d.book.Halt(d.now, "", "acc-admin", "x"); err != nil {
		t.Fatal(err)
	}
	check(due(6_000_000), Halted)
	var codes []Code
	for _, line := range d.book.Explain(d.now, "a", money.USDC, Earned{HeldGrant: 1, HeldCard: 2, Paused: 3}, 0) {
		codes = append(codes, line.Code)
	}
	if !reflect.DeepEqual(codes, []Code{HeldGrant, HeldCard, PricePaused}) || d.book.Explain(d.now, "z", money.IO, Earned{}, 0)[0].Code != NothingEarned {
		t.Errorf("codes %v", codes)
	}
}

func TestBurnGoesAlone(t *testing.T) {
	d := newDesk(t)
	r := Request{ID: "burn-1", Kind: Burn, Account: "house", Asset: money.IO, Amount: 8}
	if _, err := d.book.Request(d.now, r, 7, false); err == nil {
		t.Fatal("burnt more than there is")
	}
	if entries, err := d.book.Request(d.now, r, 8, false); err != nil || entries[0].Postings[0].Account != "lot:burn" {
		t.Fatal(entries, err)
	}
	if b := d.book.NextBatch(d.now, money.IO, 8); b == nil || !b.Burn || b.Total() != 8 {
		t.Errorf("%+v", b)
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	d := newDesk(t)
	d.request("a", 5_000_000)
	d.book.Policy.Own = []string{"treasury"}
	d.look("treasury", money.USDC, Existence{TokenAccount: "ata", Exists: true})
	b := d.batch()
	d.attempt(b, 1)
	before, _ := json.Marshal(d.book)
	good := Request{ID: "po-x", Kind: Settlement, Account: "a", Asset: money.USDC, Amount: 2_000_000, Wallet: "wallet-a"}
	for name, change := range map[string]func(*Request) (available int64, proven bool){
		"taken id":    func(r *Request) (int64, bool) { r.ID = "po-a"; return plenty, true },
		"too much":    func(r *Request) (int64, bool) { return r.Amount - 1, true },
		"too little":  func(r *Request) (int64, bool) { r.Amount = 999_999; return plenty, true },
		"not proven":  func(*Request) (int64, bool) { return plenty, false },
		"no account":  func(r *Request) (int64, bool) { r.Wallet = "wallet-z"; return plenty, true },
		"to itself":   func(r *Request) (int64, bool) { r.Wallet = "treasury"; return plenty, true },
		"dollars":     func(r *Request) (int64, bool) { r.Asset = money.USD; return plenty, true },
		"kind":        func(r *Request) (int64, bool) { r.Kind = "gift"; return plenty, true },
		"refund":      func(r *Request) (int64, bool) { r.Kind = Refund; return plenty, true },
		"burn USDC":   func(r *Request) (int64, bool) { r.Kind, r.Wallet = Burn, ""; return plenty, true },
		"minus":       func(r *Request) (int64, bool) { r.Amount = -5; return plenty, true },
		"no name":     func(r *Request) (int64, bool) { r.Account = ""; return plenty, true },
		"spaced name": func(r *Request) (int64, bool) { r.ID = "po x"; return plenty, true },
	} {
		r := good
		available, proven := change(&r)
		if _, err := d.book.Request(d.now, r, available, proven); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	finalized := Result{Batch: b.ID, N: 1, Signature: "another", Stage: Finalized}
	if _, err := d.book.Outcome(d.now, finalized); err == nil {
		t.Error("an outcome of another transaction was taken")
	}
	if d.book.Set("a", Setting{Wallet: "wallet-q"}, false) == nil || d.book.Configure(Policy{}) == nil || d.book.Halt(d.now, "EUR", "x", "y") == nil {
		t.Error("bad settings were taken")
	}
	after, _ := json.Marshal(d.book)
	if !bytes.Equal(before, after) {
		t.Errorf("a refusal changed the book:\n%s\n%s", before, after)
	}
	restored := NewBook()
	if err := json.Unmarshal(before, restored); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.Marshal(restored); !bytes.Equal(before, again) {
		t.Error("a restored book is another one")
	}
}
