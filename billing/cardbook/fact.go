package cardbook

import (
	"fmt"
	"time"
)

// Fact is what the provider answered when it was asked for one object: the payment that the object belongs to, and the object. It is the whole of a
// command's body.
type Fact struct {
	Topup    string        `json:"topup"` // as we wrote it into the payment's metadata; only a hint to where in the book to look
	Live     bool          `json:"live"`
	Session  *SessionFact  `json:"session,omitempty"`
	Payment  *PaymentFact  `json:"payment,omitempty"` // absent while nobody has begun to pay
	Refunds  []RefundFact  `json:"refunds,omitempty"`
	Disputes []DisputeFact `json:"disputes,omitempty"`
}

// SessionFact is a checkout session. Status is open, complete or expired.
type SessionFact struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// PaymentFact is a payment intent. Received is in cents of Currency and stays zero until the money is there. Of Status only those matter that say
// that a completed session's money will not come: requires_payment_method and canceled.
type PaymentFact struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Received int64  `json:"received"`
	Currency string `json:"currency"`
}

// RefundFact is a refund. Ours is the id of our Refund, from the refund's metadata, empty for one made elsewhere. Status is pending,
// requires_action, succeeded, failed or canceled. Amount is in cents.
type RefundFact struct {
	ID       string `json:"id"`
	Ours     string `json:"ours,omitempty"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	Status   string `json:"status"`
	Reason   string `json:"reason,omitempty"` // of a failure
}

// DisputeFact is a dispute. Status is needs_response, under_review, won, lost, prevented, or one that begins with warning_ (an inquiry, which takes
// no money). Amount is in cents.
type DisputeFact struct {
	ID       string `json:"id"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	Status   string `json:"status"`
	Reason   string `json:"reason,omitempty"`
}

// maxObjects is how many refunds or disputes one fact may carry.
const maxObjects = 100

// usd is how the provider spells our currency.
const usd = "usd"

// maxName keeps ids short enough for names of accounts and refs in the ledger.
const maxName = 120

// checkID allows what our ids and the provider's are made of.
func checkID(what, id string) error {
	if id == "" || len(id) > maxName {
		return fmt.Errorf("%w: %s of %d bytes, wanted 1 to %d", ErrInvalid, what, len(id), maxName)
	}
	for _, char := range []byte(id) {
		letter := char >= 'a' && char <= 'z' || char >= 'A' && char <= 'Z' || char >= '0' && char <= '9'
		if !letter && char != '_' && char != '-' && char != '.' {
			return fmt.Errorf("%w: %s %q has characters other than letters, digits, _ - and .", ErrInvalid, what, id)
		}
	}
	return nil
}

// check says what is wrong with a fact on its own.
func (f Fact) check() error {
	if f.Session != nil {
		if err := checkID("session", f.Session.ID); err != nil {
			return err
		}
	}
	if f.Payment != nil {
		if err := checkMoney("payment", f.Payment.ID, f.Payment.Received, f.Payment.Currency); err != nil {
			return err
		}
	}
	if len(f.Refunds)+len(f.Disputes) > 0 && (f.Payment == nil || f.Payment.Received == 0) {
		return fmt.Errorf("%w: a refund or dispute without a payment", ErrImpossible)
	}
	if len(f.Refunds) > maxObjects || len(f.Disputes) > maxObjects {
		return fmt.Errorf("%w: more than %d refunds or disputes of one payment", ErrInvalid, maxObjects)
	}
	for _, r := range f.Refunds {
		if err := checkMoney("refund", r.ID, r.Amount, r.Currency); err != nil {
			return err
		}
		if r.Amount == 0 || r.Amount > f.Payment.Received {
			return fmt.Errorf("%w: refund %s of %d cents for a payment of %d", ErrImpossible, r.ID, r.Amount, f.Payment.Received)
		}
	}
	for _, d := range f.Disputes {
		if err := checkMoney("dispute", d.ID, d.Amount, d.Currency); err != nil {
			return err
		}
	}
	return nil
}

// maxCents bounds what one object may be worth: far above MaxTopup, far below an overflow.
const maxCents = 100_000_000_000

func checkMoney(what, id string, cents int64, currency string) error {
	if err := checkID(what, id); err != nil {
		return err
	}
	if cents < 0 || cents > maxCents {
		return fmt.Errorf("%w: %s %s of %d cents", ErrImpossible, what, id, cents)
	}
	if currency != usd {
		return fmt.Errorf("%w: %s %s is in %.10q", ErrCurrency, what, id, currency)
	}
	return nil
}

// clean cuts a text from the provider for a note.
func clean(text string) string {
	kept := make([]byte, 0, maxName)
	for _, char := range []byte(text) {
		if char >= ' ' && char <= '~' && len(kept) < maxName {
			kept = append(kept, char)
		}
	}
	return string(kept)
}

// stamp makes times equal on every replica.
func stamp(now time.Time) time.Time { return now.UTC().Round(0) }
