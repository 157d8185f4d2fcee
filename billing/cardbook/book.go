// Package cardbook holds the rules of money that comes by card: top-ups, refunds, disputes. It is a plain value for a replicated state: no clock,
// no line to the provider; the same calls give the same bytes, a call repeated changes nothing, and a call that errs changes nothing.
//
// It never hears of events. What it is told are facts: what the provider answered when it was asked for an object (package card asks). Facts may
// come late, twice and in any order; each carries the payment it is about, so none has to wait for another. What they do to the books:
//
//	card.topup           treasury:card -A, tenant-card +A               once for each payment intent, by the amount that was received
//	card.refund          tenant-card -A, refund:<id> +A                 asked for by the account: at most what is unspent
//	card.refunded        refund:<id> -A, treasury:card +A
//	card.refund-failed   refund:<id> -A (treasury:card -A if it had been paid out), tenant-card +A
//	card.refund-outside  treasury:card +A, tenant-card -x, treasury:card-loss -(A-x)     made in the provider's dashboard; x as far as it goes
//	card.refund-outside-failed  the opposite
//	card.dispute         no postings: the account is flagged
//	card.freeze          tenant-card -x, dispute:<id> +x                all that is there, again whenever more comes in while a dispute is open
//	card.dispute-won     dispute:<id> -x, tenant-card +x
//	card.dispute-lost    dispute:<id> -x, treasury:card +A, tenant-card +(x-A) as far as it goes, the rest treasury:card-loss
//	card.recovered       tenant-card -x, dispute:<id> -y, treasury:card-loss +(x+y)      what the account owed after a loss, as soon as it has something
//
// treasury:card is minus what we have received and not given back, before the provider's own fees; treasury:card-loss is minus what accounts owe.
package cardbook

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// What the book refuses; tell them apart with errors.Is.
var (
	ErrInvalid    = errors.New("not a valid card request")
	ErrLimit      = fmt.Errorf("%w: amount out of limits", ErrInvalid)   // of a top-up, or a refund of nothing
	ErrFlagged    = errors.New("account takes no cards after a dispute") // until the dispute is won or an admin pardons
	ErrConflict   = errors.New("already recorded with other content")
	ErrForeign    = errors.New("not one of our top-ups") // another product on the same provider's account; nothing to do
	ErrMode       = errors.New("test and live mode mixed")
	ErrCurrency   = errors.New("not in US dollars")
	ErrUnspent    = errors.New("more than the unspent money from cards")
	ErrUnknown    = errors.New("no such top-up or refund")
	ErrImpossible = errors.New("the provider's answer contradicts itself")
)

// Accounts of the ledger that only cards touch. Both may fall below zero.
const (
	Treasury = ledger.TreasuryPrefix + "card"
	Loss     = ledger.TreasuryPrefix + "card-loss"
)

// TenantCard is the account that holds an account's money from cards.
func TenantCard(account string) string { return "tenant-card:" + account }

// RefundHold is the account of money on its way back to a card.
func RefundHold(refund string) string { return "refund:" + refund }

// DisputeHold is the account of money frozen by a dispute.
func DisputeHold(dispute string) string { return "dispute:" + dispute }

// Limits of one top-up, in micro-USD, and how long its checkout can be paid. The provider wants 30 minutes to 24 hours, counted from when it is
// asked, so a checkout is not asked for anymore once half of Lifetime is gone.
const (
	MinTopup = 1_000_000
	MaxTopup = 10_000_000_000
	Lifetime = 2 * time.Hour
)

// MicroPerCent is how many micro-USD a cent has.
const MicroPerCent = 10_000

// maxParts is how many payments one refund request may be spread over.
const maxParts = 50

// Balances reads the ledger; *ledger.Ledger does.
type Balances interface {
	// Balance is what the account holds of the asset, in minor units.
	Balance(account string, asset money.Asset) int64
}

// Movement is one entry for the journal, to be posted as it stands, in the order given. There may be no postings.
type Movement struct {
	Kind     string
	Ref      string
	Postings []ledger.Posting
	Note     Note
}

// Note says what an entry came from.
type Note struct {
	Account string `json:"account"`
	Topup   string `json:"topup,omitempty"`
	Session string `json:"session,omitempty"`
	Payment string `json:"payment,omitempty"`
	Refund  string `json:"refund,omitempty"`
	Dispute string `json:"dispute,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// TopupState is how far a top-up has come.
type TopupState string

// The states of a top-up. Paid can become any of those after it.
const (
	Open        TopupState = "open"
	Expired     TopupState = "expired" // should it be paid all the same, it is Paid
	Paid        TopupState = "paid"
	Refunded    TopupState = "refunded" // all of it
	Disputed    TopupState = "disputed"
	ChargedBack TopupState = "charged-back"
)

// Topup is one checkout and what became of it. A second payment for the same one is a Topup of its own, named by the payment.
type Topup struct {
	ID       string       `json:"id"`
	Account  string       `json:"account"`
	Amount   money.Amount `json:"amount"` // asked for
	Live     bool         `json:"live"`   // real money, not the provider's test mode
	State    TopupState   `json:"state"`
	Created  time.Time    `json:"created"`
	Expires  time.Time    `json:"expires"`           // of the checkout
	Session  string       `json:"session,omitempty"` // the provider's checkout session
	Payment  string       `json:"payment,omitempty"` // the provider's payment intent
	Received money.Amount `json:"received"`          // what was paid and credited
	Returned money.Amount `json:"returned"`          // refunds on their way or done
	PaidAt   time.Time    `json:"paid_at,omitzero"`
}

// RefundState is how far a refund has come.
type RefundState string

// The states of a refund. Failed is final; a refund can fail after it was done, when the card's bank sends it back.
const (
	RefundPending RefundState = "pending"
	RefundDone    RefundState = "done"
	RefundFailed  RefundState = "failed"
)

// Refund is money of one payment going back to its card.
type Refund struct {
	ID       string       `json:"id"`                // ours; of one made outside, the provider's
	Request  string       `json:"request,omitempty"` // what the account asked for, of which this is a part; empty if made outside
	Account  string       `json:"account"`
	Topup    string       `json:"topup"`
	Payment  string       `json:"payment"`
	Amount   money.Amount `json:"amount"`
	State    RefundState  `json:"state"`
	Provider string       `json:"provider,omitempty"` // the provider's refund
	Reason   string       `json:"reason,omitempty"`   // of a failure
	Lost     money.Amount `json:"lost"`               // of one made outside: what the balance could not cover
	At       time.Time    `json:"at"`
}

// DisputeState is how far a dispute has come.
type DisputeState string

// The states of a dispute. The first outcome is the one that is booked.
const (
	DisputeOpen DisputeState = "open"
	DisputeWon  DisputeState = "won"
	DisputeLost DisputeState = "lost"
)

// Dispute is a payment that the card's holder has contested.
type Dispute struct {
	ID      string       `json:"id"`
	Account string       `json:"account"`
	Topup   string       `json:"topup"`
	Payment string       `json:"payment"`
	Amount  money.Amount `json:"amount"`
	State   DisputeState `json:"state"`
	Frozen  money.Amount `json:"frozen"`          // what lies in DisputeHold now
	Freezes int64        `json:"freezes"`         // entries card.freeze so far
	Lost    money.Amount `json:"lost"`            // what the account's money could not cover
	Later   DisputeState `json:"later,omitempty"` // another outcome named after the booked one: to be settled by hand
	Reason  string       `json:"reason,omitempty"`
	At      time.Time    `json:"at"`
}

// Standing is what disputes and losses have left on an account.
type Standing struct {
	OpenDisputes int64        `json:"open_disputes"`
	LostDisputes int64        `json:"lost_disputes"`
	Pardoned     int64        `json:"pardoned"` // of the lost ones
	Owed         money.Amount `json:"owed"`     // the account's part of Loss
	Recoveries   int64        `json:"recoveries"`
}

// Flagged says whether the account takes no new top-ups by card.
func (s Standing) Flagged() bool { return s.OpenDisputes > 0 || s.LostDisputes > s.Pardoned }

// Book is all of it. Its JSON form is sorted; indexes are made anew on reading.
type Book struct {
	topups    map[string]Topup
	refunds   map[string]Refund
	disputes  map[string]Dispute
	standings map[string]Standing

	byAccount map[string][]string // topups, in the order of their coming
	byPayment map[string]string   // topup
	byRequest map[string][]string // refunds
	providers map[string]string   // refund, by the provider's name for it
	open      map[string]bool     // topups
	pending   map[string]bool     // refunds that the provider has not confirmed or refused yet
	contested map[string][]string // disputes of an account
}

// New is an empty book.
func New() *Book {
	b := &Book{topups: map[string]Topup{}, refunds: map[string]Refund{}, disputes: map[string]Dispute{}, standings: map[string]Standing{}}
	b.index()
	return b
}

type saved struct {
	Topups    map[string]Topup    `json:"topups"`
	Refunds   map[string]Refund   `json:"refunds"`
	Disputes  map[string]Dispute  `json:"disputes"`
	Standings map[string]Standing `json:"standings"`
}

// MarshalJSON writes the book, always in the same order.
func (b *Book) MarshalJSON() ([]byte, error) {
	return json.Marshal(saved{b.topups, b.refunds, b.disputes, b.standings})
}

// UnmarshalJSON reads a book.
func (b *Book) UnmarshalJSON(text []byte) error {
	var form saved
	if err := json.Unmarshal(text, &form); err != nil {
		return fmt.Errorf("reading the card book: %w", err)
	}
	fresh := New()
	for id, t := range form.Topups {
		t.Created, t.Expires, t.PaidAt = t.Created.UTC(), t.Expires.UTC(), t.PaidAt.UTC()
		fresh.topups[id] = t
	}
	for id, r := range form.Refunds {
		r.At = r.At.UTC()
		fresh.refunds[id] = r
	}
	for id, d := range form.Disputes {
		d.At = d.At.UTC()
		fresh.disputes[id] = d
	}
	for account, s := range form.Standings {
		fresh.standings[account] = s
	}
	fresh.index()
	*b = *fresh
	return nil
}

// index makes the indexes from the records.
func (b *Book) index() {
	b.byAccount, b.byPayment, b.byRequest = map[string][]string{}, map[string]string{}, map[string][]string{}
	b.providers, b.open, b.pending, b.contested = map[string]string{}, map[string]bool{}, map[string]bool{}, map[string][]string{}
	for _, t := range sorted(b.topups, orderTopups) {
		b.indexTopup(t, false)
	}
	for _, r := range sorted(b.refunds, orderRefunds) {
		b.indexRefund(r, false)
	}
	for _, d := range sorted(b.disputes, orderDisputes) {
		b.indexDispute(d, false)
	}
}

func (b *Book) indexTopup(t Topup, known bool) {
	if !known {
		b.byAccount[t.Account] = insert(b.byAccount[t.Account], t.ID, b.topups, orderTopups)
	}
	if t.Payment != "" {
		b.byPayment[t.Payment] = t.ID
	}
	if delete(b.open, t.ID); t.State == Open {
		b.open[t.ID] = true
	}
}

func (b *Book) indexRefund(r Refund, known bool) {
	if !known && r.Request != "" {
		b.byRequest[r.Request] = append(b.byRequest[r.Request], r.ID)
	}
	if r.Provider != "" {
		b.providers[r.Provider] = r.ID
	}
	if delete(b.pending, r.ID); r.State == RefundPending {
		b.pending[r.ID] = true
	}
}

func (b *Book) indexDispute(d Dispute, known bool) {
	if !known {
		b.contested[d.Account] = insert(b.contested[d.Account], d.ID, b.disputes, orderDisputes)
	}
}

// insert puts the id of a record that is among records in its place.
func insert[R any](ids []string, id string, records map[string]R, order func(x, y R) int) []string {
	place, _ := slices.BinarySearchFunc(ids, records[id], func(other string, record R) int { return order(records[other], record) })
	return slices.Insert(ids, place, id)
}

func sorted[R any](records map[string]R, order func(x, y R) int) []R {
	list := make([]R, 0, len(records))
	for _, record := range records {
		list = append(list, record)
	}
	slices.SortFunc(list, order)
	return list
}

// Records of one kind are ordered by when they came and, of one command, by their names; so a restored book orders as the one that never stopped.

func orderTopups(x, y Topup) int {
	return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID))
}

func orderRefunds(x, y Refund) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID)) }

func orderDisputes(x, y Dispute) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID)) }
