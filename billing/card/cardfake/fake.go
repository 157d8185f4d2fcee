// Package cardfake stands in for the card provider in tests, and in a demonstration on one machine: a server with those endpoints of Stripe's API that
// package card uses, which keeps state. Sessions are paid on a page of its own, with the provider's well-known test cards; refunds and disputes take
// their course when told to; every change makes a signed event, to be delivered once, twice, late or out of order, as the test likes.
//
// It moves no money and takes test keys only; its page says what it is.
package cardfake

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stripe/stripe-go/v85"
)

// The test cards that the fake knows, as the provider has them. Every other number is declined.
const (
	CardGood     = "4242424242424242"
	CardDeclined = "4000000000000002"
	CardDisputed = "4000000000000259" // paid, then disputed as fraudulent
	CardSlow     = "4000000000009987" // the fake's own: the session is complete, the money comes with Settle
)

// Fault is what happens to a request instead of an answer.
type Fault string

// The faults.
const (
	FaultLost    Fault = "lost"    // it is done, and the line breaks before the answer
	FaultDropped Fault = "dropped" // the line breaks before it is done
	FaultDown    Fault = "down"    // 500, nothing is done
	FaultBusy    Fault = "busy"    // 429, nothing is done
	FaultGarbage Fault = "garbage" // it is done, and the answer is not JSON
)

// Errors of the controls.
var (
	ErrUnknown  = errors.New("the fake has no such object")
	ErrState    = errors.New("the object is in no state for this")
	ErrDeclined = errors.New("the card was declined")
)

// Config of a fake.
type Config struct {
	Key     string           // the only key that is taken; begins with sk_test_
	Secret  string           // signs the events; begins with whsec_
	Version string           // of the API, as events name it; default: the library's
	Now     func() time.Time // default time.Now
	Retry   time.Duration    // how long Run waits before it delivers an event again; default 1 s
	Client  *http.Client     // delivers events; default: one with a timeout of 10 s
}

// Fake is the provider. It is an http.Handler, safe for use by several goroutines.
type Fake struct {
	config Config
	mux    *http.ServeMux
	wake   chan struct{} // there are new events

	mu       sync.Mutex
	count    int
	slow     bool // refunds stay pending
	faults   []Fault
	sessions []*session
	intents  map[string]*intent
	refunds  []*refund
	disputes []*dispute
	answers  map[string]answer // by idempotency key
	events   []Event
}

// New makes a fake without any object.
func New(config Config) (*Fake, error) {
	if !strings.HasPrefix(config.Key, "sk_test_") || config.Secret == "" {
		return nil, fmt.Errorf("making a fake card provider: it needs a test key and a secret")
	}
	if config.Version == "" {
		config.Version = stripe.APIVersion
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Retry <= 0 {
		config.Retry = time.Second
	}
	if config.Client == nil {
		config.Client = &http.Client{Timeout: 10 * time.Second}
	}
	f := &Fake{config: config, wake: make(chan struct{}, 1), intents: map[string]*intent{}, answers: map[string]answer{}}
	f.mux = f.routes()
	return f, nil
}

// id makes the next id of a sort.
func (f *Fake) id(prefix string) string {
	f.count++
	return fmt.Sprintf("%s_test_%06d", prefix, f.count)
}

// Fail makes the next requests to the API, not to the page, end in these faults, one each.
func (f *Fake) Fail(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, faults...)
}

// SlowRefunds says whether refunds stay pending until SettleRefund.
func (f *Fake) SlowRefunds(slow bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow = slow
}

// Pay pays an open session with a card.
func (f *Fake) Pay(session, card string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.session(session)
	if err != nil {
		return err
	}
	return f.pay(s, card)
}

func (f *Fake) pay(s *session, card string) error {
	f.expire(s, false)
	if s.Status != "open" {
		return fmt.Errorf("paying session %s: %w: it is %s", s.ID, ErrState, s.Status)
	}
	switch card {
	case CardGood, CardDisputed, CardSlow:
	default:
		return ErrDeclined
	}
	i := &intent{
		ID: f.id("pi"), Object: "payment_intent", Amount: s.AmountTotal, Currency: s.Currency, Status: "processing",
		Metadata: s.intentMetadata, Created: f.config.Now().Unix(), Charge: f.id("ch"),
	}
	f.intents[i.ID] = i
	s.PaymentIntent, s.Status, s.URL = i.ID, "complete", ""
	if card == CardSlow {
		f.emit("checkout.session.completed", s)
		return nil
	}
	i.Status, i.AmountReceived, s.PaymentStatus = "succeeded", i.Amount, "paid"
	f.emit("payment_intent.succeeded", i)
	f.emit("checkout.session.completed", s)
	if card == CardDisputed {
		f.dispute(i, i.Amount)
	}
	return nil
}

// Settle ends the payment of a session that was paid with CardSlow.
func (f *Fake) Settle(session string, paid bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.session(session)
	if err != nil {
		return err
	}
	i := f.intents[s.PaymentIntent]
	if i == nil || i.Status != "processing" {
		return fmt.Errorf("settling session %s: %w", session, ErrState)
	}
	if !paid {
		i.Status = "requires_payment_method"
		f.emit("checkout.session.async_payment_failed", s)
		return nil
	}
	i.Status, i.AmountReceived, s.PaymentStatus = "succeeded", i.Amount, "paid"
	f.emit("payment_intent.succeeded", i)
	f.emit("checkout.session.async_payment_succeeded", s)
	return nil
}

// Expire ends an open session, as its time running out does.
func (f *Fake) Expire(session string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.session(session)
	if err != nil {
		return err
	}
	if s.Status != "open" {
		return fmt.Errorf("expiring session %s: %w: it is %s", session, ErrState, s.Status)
	}
	f.expire(s, true)
	return nil
}

// expire ends a session whose time is up, or any.
func (f *Fake) expire(s *session, now bool) {
	if s.Status == "open" && (now || f.config.Now().Unix() >= s.ExpiresAt) {
		s.Status, s.URL = "expired", ""
		f.emit("checkout.session.expired", s)
	}
}

// RefundOutside refunds a payment as somebody in the provider's dashboard would, and names the refund.
func (f *Fake) RefundOutside(payment string, cents int64) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, problem := f.refund(payment, cents, map[string]string{})
	if problem != nil {
		return "", fmt.Errorf("refunding %s: %w: %s", payment, ErrState, problem.Message)
	}
	return r.ID, nil
}

// SettleRefund gives a refund that status: succeeded, failed or canceled. A refund that succeeded can still fail.
func (f *Fake) SettleRefund(id, status string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.refunds {
		if r.ID != id {
			continue
		}
		back := status == "failed" || status == "canceled"
		if r.Status == "failed" || r.Status == "canceled" || r.Status == "succeeded" && !back {
			return fmt.Errorf("settling refund %s: %w: it is %s", id, ErrState, r.Status)
		}
		r.Status = status
		if back {
			r.FailureReason = "expired_or_canceled_card"
			f.intents[r.PaymentIntent].refunded -= r.Amount
			f.emit("refund.failed", r)
		}
		f.emit("refund.updated", r)
		return nil
	}
	return fmt.Errorf("settling refund %s: %w", id, ErrUnknown)
}

// Dispute opens a dispute over a payment, as its card's holder would, and names it.
func (f *Fake) Dispute(payment string, cents int64) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.intents[payment]
	if i == nil || i.AmountReceived == 0 {
		return "", fmt.Errorf("disputing %s: %w", payment, ErrUnknown)
	}
	return f.dispute(i, cents).ID, nil
}

func (f *Fake) dispute(i *intent, cents int64) *dispute {
	d := &dispute{
		ID: f.id("du"), Object: "dispute", Amount: cents, Currency: i.Currency, Charge: i.Charge, PaymentIntent: i.ID, Reason: "fraudulent",
		Status: "needs_response", Created: f.config.Now().Unix(), Metadata: map[string]string{},
	}
	f.disputes = append(f.disputes, d)
	i.disputed = true
	f.emit("charge.dispute.created", d)
	f.emit("charge.dispute.funds_withdrawn", d)
	return d
}

// CloseDispute ends a dispute.
func (f *Fake) CloseDispute(id string, won bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.disputes {
		if d.ID != id {
			continue
		}
		if d.Status == "won" || d.Status == "lost" {
			return fmt.Errorf("closing dispute %s: %w: it is %s", id, ErrState, d.Status)
		}
		d.Status = "lost"
		if won {
			d.Status = "won"
			f.emit("charge.dispute.funds_reinstated", d)
		}
		f.emit("charge.dispute.closed", d)
		return nil
	}
	return fmt.Errorf("closing dispute %s: %w", id, ErrUnknown)
}
