package cardbook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"raylink/billing/cardbook"
	"raylink/billing/ledger"
	"raylink/billing/money"
)

func start() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

// books are a book and a ledger that live together as they do in the replicated state.
type books struct {
	t      *testing.T
	book   *cardbook.Book
	ledger *ledger.Ledger
	now    time.Time
	quick  bool // without comparing the book before and after each fact
}

func open(t *testing.T) *books {
	return &books{t: t, book: cardbook.New(), ledger: ledger.New(), now: start()}
}

func (b *books) post(moves []cardbook.Movement) {
	b.t.Helper()
	for _, m := range moves {
		before, _ := b.ledger.Head()
		if _, err := b.ledger.Post(b.now, m.Kind, m.Ref, m.Postings, m.Note); err != nil {
			b.t.Fatalf("posting %s %s: %v", m.Kind, m.Ref, err)
		}
		if after, _ := b.ledger.Head(); after == before {
			b.t.Fatalf("%s %s was moved before", m.Kind, m.Ref)
		}
	}
	b.check()
}

// check compares the book's own counts with the ledger.
func (b *books) check() {
	b.t.Helper()
	sums := map[string]int64{}
	accounts := map[string]bool{}
	for _, a := range b.ledger.Accounts() {
		kind, name, _ := strings.Cut(a.Name, ":")
		sums[kind] += a.Balance.Minor
		if kind == "tenant-card" {
			accounts[name] = true
		}
	}
	var frozen, owed int64
	for _, account := range []string{"ada", "bob", "eve"} {
		for _, d := range b.book.Disputes(account) {
			frozen += d.Frozen.Minor
			if owed := b.book.Standing(account).Owed.Minor; owed > 0 && d.Frozen.Minor > 0 {
				b.t.Fatalf("%s owes %d while %s holds %v", account, owed, d.ID, d.Frozen)
			}
			if got := b.balance(cardbook.DisputeHold(d.ID)); got != d.Frozen.Minor {
				b.t.Fatalf("dispute %s holds %d, the book says %d", d.ID, got, d.Frozen.Minor)
			}
		}
		standing := b.book.Standing(account)
		owed += standing.Owed.Minor
		if unspent := b.balance(cardbook.TenantCard(account)); unspent > 0 && (standing.Owed.Minor > 0 || standing.OpenDisputes > 0) {
			b.t.Fatalf("%s has %d to spend, owes %v and has %d open disputes", account, unspent, standing.Owed, standing.OpenDisputes)
		}
	}
	var pending int64
	for _, r := range b.book.PendingRefunds(1000) {
		if r.Request != "" {
			pending += r.Amount.Minor
		}
	}
	if sums["dispute"] != frozen || sums["refund"] != pending || b.balance(cardbook.Loss) != -owed {
		b.t.Fatalf("ledger: disputes %d, refunds %d, losses %d; book: %d, %d, %d", sums["dispute"], sums["refund"], b.balance(cardbook.Loss), frozen, pending, -owed)
	}
}

func (b *books) balance(account string) int64 { return b.ledger.Balance(account, money.USD) }

func (b *books) want(account string, cents int64) {
	b.t.Helper()
	if got := b.balance(account); got != cents*cardbook.MicroPerCent {
		b.t.Fatalf("%s has %v, wanted %v", account, money.MicroUSD(got), cardbook.FromCents(cents))
	}
}

func (b *books) request(id, account string, cents int64) {
	b.t.Helper()
	if _, err := b.book.Request(b.now, id, account, cardbook.FromCents(cents), false); err != nil {
		b.t.Fatal(err)
	}
}

// apply applies the fact twice: the second time moves nothing.
func (b *books) apply(f cardbook.Fact) {
	b.t.Helper()
	var before []byte
	if !b.quick {
		before, _ = json.Marshal(b.book)
	}
	changes := b.book.Changes(f)
	moves, err := b.book.Apply(b.now, f, b.ledger)
	if err != nil {
		b.t.Fatal(err)
	}
	if !b.quick {
		if after, _ := json.Marshal(b.book); changes != (string(after) != string(before)) {
			b.t.Fatalf("Changes said %v of %+v", changes, f)
		}
	}
	b.post(moves)
	if again, err := b.book.Apply(b.now, f, b.ledger); err != nil || len(again) > 0 {
		b.t.Fatalf("a fact repeated moved %+v, %v", again, err)
	}
}

func (b *books) state(topup string, want cardbook.TopupState) {
	b.t.Helper()
	if got, _ := b.book.Topup(topup); got.State != want {
		b.t.Fatalf("top-up %s is %q, wanted %q", topup, got.State, want)
	}
}

// paid is the fact that a payment was received, with what else is to be known of it.
func paid(topup, payment string, cents int64, more ...any) cardbook.Fact {
	f := cardbook.Fact{
		Topup:   topup,
		Session: &cardbook.SessionFact{ID: "cs_" + payment, Status: "complete"},
		Payment: &cardbook.PaymentFact{ID: payment, Status: "succeeded", Received: cents, Currency: "usd"},
	}
	for _, object := range more {
		switch object := object.(type) {
		case cardbook.RefundFact:
			object.Currency = "usd"
			f.Session, f.Refunds = nil, append(f.Refunds, object)
		case cardbook.DisputeFact:
			object.Currency = "usd"
			f.Session, f.Disputes = nil, append(f.Disputes, object)
		}
	}
	return f
}

func dispute(id string, cents int64, status string) cardbook.DisputeFact {
	return cardbook.DisputeFact{ID: id, Amount: cents, Status: status, Reason: "fraudulent"}
}

func refund(id, ours string, cents int64, status string) cardbook.RefundFact {
	return cardbook.RefundFact{ID: id, Ours: ours, Amount: cents, Status: status}
}

func TestRequestLimits(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		id, account string
		amount      money.Amount
		want        error
	}{
		{"min", "ada", money.MicroUSD(1_000_000), nil},
		{"below", "ada", money.MicroUSD(990_000), cardbook.ErrLimit},
		{"max", "ada", money.MicroUSD(10_000_000_000), nil},
		{"above", "ada", money.MicroUSD(10_000_010_000), cardbook.ErrLimit},
		{"fraction", "ada", money.MicroUSD(1_000_001), cardbook.ErrInvalid},
		{"usdc", "ada", money.Amount{Minor: 5_000_000, Asset: money.USDC}, cardbook.ErrInvalid},
		{"", "ada", money.MicroUSD(5_000_000), cardbook.ErrInvalid},
		{"a b", "ada", money.MicroUSD(5_000_000), cardbook.ErrInvalid},
		{"x", "", money.MicroUSD(5_000_000), cardbook.ErrInvalid},
		{"min", "ada", money.MicroUSD(2_000_000), cardbook.ErrConflict},
		{"min", "bob", money.MicroUSD(1_000_000), cardbook.ErrConflict},
		{"min", "ada", money.MicroUSD(1_000_000), nil},
	} {
		if _, err := b.book.Request(b.now, c.id, c.account, c.amount, false); !errors.Is(err, c.want) {
			t.Errorf("%q for %q of %v: %v, wanted %v", c.id, c.account, c.amount, err, c.want)
		}
	}
	for n := range 18 {
		b.request(fmt.Sprintf("many%d", n), "ada", 100)
	}
	if _, err := b.book.Request(b.now, "one-more", "ada", cardbook.FromCents(100), false); !errors.Is(err, cardbook.ErrLimit) {
		t.Errorf("the 21st open top-up: %v", err)
	}
	if got := b.book.Waiting(b.now.Add(time.Second), 5); len(got) != 5 || len(b.book.Waiting(b.now, 5)) != 0 {
		t.Errorf("waiting: %d", len(got))
	}
}

func TestTopupIsCreditedOnce(t *testing.T) {
	b := open(t)
	b.request("t1", "ada", 5000)
	if _, err := b.book.Opened("t1", "cs_p1"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.book.Opened("t1", "cs_other"); !errors.Is(err, cardbook.ErrConflict) {
		t.Errorf("another session: %v", err)
	}
	b.apply(cardbook.Fact{Topup: "t1", Session: &cardbook.SessionFact{ID: "cs_p1", Status: "complete"}}) // complete is not paid
	b.want("tenant-card:ada", 0)
	b.apply(cardbook.Fact{Topup: "t1", Session: &cardbook.SessionFact{ID: "cs_p1", Status: "expired"}})
	b.state("t1", cardbook.Expired)
	b.apply(paid("t1", "p1", 5000))
	b.state("t1", cardbook.Paid)
	b.apply(cardbook.Fact{Topup: "t1", Session: &cardbook.SessionFact{ID: "cs_p1", Status: "expired"}}) // old news
	b.state("t1", cardbook.Paid)
	b.want("tenant-card:ada", 5000)
	b.want("treasury:card", -5000)
	if _, found := b.ledger.Find("card.topup", "p1"); !found {
		t.Error("no entry card.topup p1")
	}
	b.apply(paid("t1", "p2", 5000)) // two tabs, two sessions, both paid: both are credited
	b.want("tenant-card:ada", 10000)
	if second, _ := b.book.ByPayment("p2"); second.ID != "p2" || second.Account != "ada" || second.State != cardbook.Paid {
		t.Errorf("the second payment: %+v", second)
	}
}

func TestFactsThatAreRefusedChangeNothing(t *testing.T) {
	b := open(t)
	b.request("t1", "ada", 5000)
	b.request("t2", "bob", 5000)
	b.apply(paid("t1", "p1", 5000))
	before, _ := json.Marshal(b.book)
	wrong := func(change func(f *cardbook.Fact)) cardbook.Fact {
		f := paid("t2", "p2", 5000, refund("re_1", "", 100, "succeeded"))
		change(&f)
		return f
	}
	for name, c := range map[string]struct {
		fact cardbook.Fact
		want error
	}{
		"unknown":         {wrong(func(f *cardbook.Fact) { f.Topup = "t9" }), cardbook.ErrForeign},
		"no metadata":     {wrong(func(f *cardbook.Fact) { f.Topup = "" }), cardbook.ErrForeign},
		"live":            {wrong(func(f *cardbook.Fact) { f.Live = true }), cardbook.ErrMode},
		"euro":            {wrong(func(f *cardbook.Fact) { f.Payment.Currency = "eur" }), cardbook.ErrCurrency},
		"negative":        {wrong(func(f *cardbook.Fact) { f.Payment.Received = -5 }), cardbook.ErrImpossible},
		"absurd":          {wrong(func(f *cardbook.Fact) { f.Payment.Received = 1 << 62 }), cardbook.ErrImpossible},
		"no payment":      {wrong(func(f *cardbook.Fact) { f.Payment = nil }), cardbook.ErrImpossible},
		"unpaid":          {wrong(func(f *cardbook.Fact) { f.Payment.Received = 0 }), cardbook.ErrImpossible},
		"refund too much": {wrong(func(f *cardbook.Fact) { f.Refunds[0].Amount = 5001 }), cardbook.ErrImpossible},
		"refund of yen":   {wrong(func(f *cardbook.Fact) { f.Refunds[0].Currency = "jpy" }), cardbook.ErrCurrency},
		"bad id":          {wrong(func(f *cardbook.Fact) { f.Refunds[0].ID = "re 1" }), cardbook.ErrInvalid},
		"another's":       {wrong(func(f *cardbook.Fact) { f.Payment.ID = "p1" }), cardbook.ErrImpossible},
		"other amount":    {paid("t1", "p1", 4000), cardbook.ErrImpossible},
	} {
		if moves, err := b.book.Apply(b.now, c.fact, b.ledger); !errors.Is(err, c.want) || moves != nil {
			t.Errorf("%s: %v, %v, wanted %v", name, moves, err, c.want)
		}
		if after, _ := json.Marshal(b.book); string(after) != string(before) {
			t.Fatalf("%s changed the book:\n%s\n%s", name, before, after)
		}
	}
}

func TestRefund(t *testing.T) {
	b := open(t)
	b.request("t1", "ada", 3000)
	b.apply(paid("t1", "p1", 3000))
	b.now = b.now.Add(time.Hour)
	b.request("t2", "ada", 2000)
	b.apply(paid("t2", "p2", 2000))
	if _, err := b.ledger.Post(b.now, "test.spend", "1", []ledger.Posting{
		{Account: "tenant-card:ada", Amount: money.MicroUSD(-5_000_001)}, {Account: "fees", Amount: money.MicroUSD(5_000_001)}}, nil); err != nil {
		t.Fatal(err)
	}
	if got := b.book.Refundable("ada", b.ledger); got != cardbook.FromCents(4499) { // whole cents
		t.Fatalf("refundable: %v", got)
	}
	if _, _, err := b.book.RequestRefund(b.now, "r0", "ada", cardbook.FromCents(4500), b.ledger); !errors.Is(err, cardbook.ErrUnspent) {
		t.Fatalf("more than unspent: %v", err)
	}
	parts, moves, err := b.book.RequestRefund(b.now, "r1", "ada", cardbook.FromCents(4499), b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	b.post(moves)
	if len(parts) != 2 || parts[0].Payment != "p2" || parts[0].Amount != cardbook.FromCents(2000) || parts[1].ID != "r1.2" || parts[1].Amount != cardbook.FromCents(2499) {
		t.Fatalf("parts: %+v", parts)
	}
	b.state("t2", cardbook.Refunded)
	b.want("refund:r1.1", 2000)
	again, moves, err := b.book.RequestRefund(b.now, "r1", "ada", cardbook.FromCents(4499), b.ledger)
	if err != nil || len(moves) > 0 || len(again) != 2 || again[1] != parts[1] {
		t.Fatalf("again: %+v, %v, %v", again, moves, err)
	}
	if _, _, err := b.book.RequestRefund(b.now, "r1", "ada", cardbook.FromCents(100), b.ledger); !errors.Is(err, cardbook.ErrConflict) {
		t.Fatalf("same id, other amount: %v", err)
	}
	b.apply(paid("t2", "p2", 2000, refund("re_1", "r1.1", 2000, "pending")))
	b.want("refund:r1.1", 2000)
	if _, err := b.book.RefuseRefund(b.now, "r1.1", "no", b.ledger); !errors.Is(err, cardbook.ErrConflict) {
		t.Fatalf("refusing what the provider has: %v", err)
	}
	b.apply(paid("t2", "p2", 2000, refund("re_1", "r1.1", 2000, "succeeded")))
	b.want("refund:r1.1", 0)
	b.want("treasury:card", -3000)
	b.apply(paid("t2", "p2", 2000, refund("re_1", "r1.1", 2000, "failed"))) // the bank sent it back
	b.want("treasury:card", -5000)
	b.state("t2", cardbook.Paid)
	moves, err = b.book.RefuseRefund(b.now, "r1.2", "charge_already_refunded", b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	b.post(moves)
	if moves, err = b.book.RefuseRefund(b.now, "r1.2", "charge_already_refunded", b.ledger); err != nil || moves != nil {
		t.Fatalf("refused again: %v, %v", moves, err)
	}
	if got := b.balance("tenant-card:ada"); got != 44_999_999 || len(b.book.PendingRefunds(10)) != 0 || len(b.book.Refunds("ada")) != 2 {
		t.Fatalf("after both came back: %d, %+v", got, b.book.PendingRefunds(10))
	}
}

func TestRefundMadeTwiceUnderOneNameIsBookedTwice(t *testing.T) {
	b := open(t)
	b.request("t1", "ada", 3000)
	b.apply(paid("t1", "p1", 3000))
	_, moves, err := b.book.RequestRefund(b.now, "r1", "ada", cardbook.FromCents(1000), b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	b.post(moves)
	b.apply(paid("t1", "p1", 3000, refund("re_1", "r1.1", 1000, "succeeded"), refund("re_2", "r1.1", 1000, "succeeded")))
	b.want("treasury:card", -1000)
	b.want("tenant-card:ada", 1000)
}

func TestRefundOutside(t *testing.T) {
	b := open(t)
	b.request("t1", "ada", 3000)
	b.apply(paid("t1", "p1", 3000))
	if _, err := b.ledger.Post(b.now, "test.spend", "1", []ledger.Posting{
		{Account: "tenant-card:ada", Amount: cardbook.FromCents(-2500)}, {Account: "fees", Amount: cardbook.FromCents(2500)}}, nil); err != nil {
		t.Fatal(err)
	}
	b.apply(paid("t1", "p1", 3000, refund("re_1", "", 3000, "succeeded")))
	b.want("tenant-card:ada", 0)
	b.want("treasury:card", 0)
	b.want("treasury:card-loss", -2500)
	b.state("t1", cardbook.Refunded)
	b.request("t2", "ada", 1000) // it owes, but it may pay
	b.apply(paid("t2", "p2", 1000))
	b.want("tenant-card:ada", 0)
	b.want("treasury:card-loss", -1500)
	b.apply(paid("t1", "p1", 3000, refund("re_1", "", 3000, "failed")))
	b.want("treasury:card-loss", 0)
	b.want("tenant-card:ada", 1500)
}

func TestDispute(t *testing.T) {
	b := open(t)
	b.request("t1", "ada", 3000)
	b.request("t2", "ada", 1000)
	b.request("t3", "ada", 1000)
	b.apply(paid("t1", "p1", 3000))
	b.apply(paid("t2", "p2", 1000))
	b.apply(paid("t1", "p1", 3000, dispute("du_0", 3000, "warning_needs_response"))) // an inquiry freezes nothing
	b.want("tenant-card:ada", 4000)
	b.apply(paid("t1", "p1", 3000, dispute("du_1", 3000, "needs_response")))
	b.want("tenant-card:ada", 0)
	b.want("dispute:du_1", 4000)
	b.state("t1", cardbook.Disputed)
	if _, err := b.book.Request(b.now, "t4", "ada", cardbook.FromCents(100), false); !errors.Is(err, cardbook.ErrFlagged) {
		t.Fatalf("top-up while disputed: %v", err)
	}
	b.apply(paid("t3", "p3", 1000)) // was under way; is frozen as well
	b.want("dispute:du_1", 5000)
	b.apply(paid("t2", "p2", 1000, dispute("du_2", 1000, "under_review")))
	b.apply(paid("t1", "p1", 3000, dispute("du_1", 3000, "won")))
	b.want("dispute:du_2", 5000) // what is released stays frozen by the other
	b.state("t1", cardbook.Paid)
	b.apply(paid("t2", "p2", 1000, dispute("du_2", 1000, "lost")))
	b.want("tenant-card:ada", 4000)
	b.want("treasury:card", -4000)
	b.want("treasury:card-loss", 0)
	b.state("t2", cardbook.ChargedBack)
	b.apply(paid("t2", "p2", 1000, dispute("du_2", 1000, "needs_response"))) // old news
	b.apply(paid("t1", "p1", 3000, dispute("du_1", 3000, "lost")))           // contradicts: noted, not booked
	if d, _ := b.book.Dispute("du_1"); d.State != cardbook.DisputeWon || d.Later != cardbook.DisputeLost {
		t.Fatalf("du_1: %+v", d)
	}
	if !b.book.Standing("ada").Flagged() {
		t.Fatal("a lost dispute flags")
	}
	if err := b.book.Pardon("ada"); err != nil || b.book.Standing("ada").Flagged() {
		t.Fatalf("pardon: %v", err)
	}
}

func TestDisputeOfSpentMoney(t *testing.T) {
	b := open(t)
	b.request("t1", "eve", 3000)
	b.apply(paid("t1", "p1", 3000))
	hold := []ledger.Posting{{Account: "tenant-card:eve", Amount: cardbook.FromCents(-2900)}, {Account: "hold:c1", Amount: cardbook.FromCents(2900)}}
	if _, err := b.ledger.Post(b.now, "test.hold", "1", hold, nil); err != nil {
		t.Fatal(err)
	}
	b.apply(paid("t1", "p1", 3000, dispute("du_1", 3000, "lost")))
	b.want("treasury:card-loss", -2900)
	b.want("treasury:card", 0)
	back := []ledger.Posting{{Account: "hold:c1", Amount: cardbook.FromCents(-700)}, {Account: "tenant-card:eve", Amount: cardbook.FromCents(700)}}
	if _, err := b.ledger.Post(b.now, "test.release", "1", back, nil); err != nil {
		t.Fatal(err)
	}
	b.post(b.book.Sweep(b.now, "eve", b.ledger))
	b.want("treasury:card-loss", -2200)
	b.want("tenant-card:eve", 0)
	if got := b.book.Sweep(b.now, "eve", b.ledger); len(got) != 0 {
		t.Fatalf("swept again: %+v", got)
	}
}

func TestAbandon(t *testing.T) {
	b := open(t)
	b.request("t1", "ada", 100)
	if err := b.book.Abandon(b.now, "t1"); !errors.Is(err, cardbook.ErrConflict) {
		t.Fatalf("before its time: %v", err)
	}
	for range 2 {
		if err := b.book.Abandon(b.now.Add(cardbook.Lifetime), "t1"); err != nil {
			t.Fatal(err)
		}
	}
	b.state("t1", cardbook.Expired)
	b.apply(paid("t1", "p1", 100)) // a session that nobody saw being made was paid all the same
	b.want("tenant-card:ada", 100)
}
