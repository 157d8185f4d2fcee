package card

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stripe/stripe-go/v85"

	"raylink/billing/cardbook"
)

// pageSize is the most that the provider lists at once.
const pageSize = 100

// maxSessions is how many sessions one call of Sessions reads.
const maxSessions = 2000

// ErrWindow says that Sessions was asked about too long a time.
var ErrWindow = errors.New("too many checkout sessions in this time")

// Fetch asks the provider for an object and for the payment it belongs to. What carries no top-up of ours is cardbook.ErrForeign. A payment comes with
// all its refunds and disputes.
func (c *Client) Fetch(ctx context.Context, object Object) (cardbook.Fact, error) {
	doing := fmt.Sprintf("fetching %s %.40s", object.Kind, object.ID)
	if err := object.check(); err != nil {
		return cardbook.Fact{}, fmt.Errorf("%s: %w: %w", doing, ErrNotFound, err)
	}
	var fact cardbook.Fact
	var err error
	switch object.Kind {
	case KindSession:
		params := &stripe.CheckoutSessionRetrieveParams{}
		params.AddExpand("payment_intent")
		session, failed := c.api.V1CheckoutSessions.Retrieve(ctx, object.ID, params)
		if err = failed; err == nil {
			fact = sessionFact(session)
		}
	case KindPayment:
		payment, failed := c.api.V1PaymentIntents.Retrieve(ctx, object.ID, nil)
		if err = failed; err == nil {
			fact = paymentFact(payment)
			err = c.follow(ctx, object.ID, &fact)
		}
	case KindRefund:
		params := &stripe.RefundRetrieveParams{}
		params.AddExpand("payment_intent")
		refund, failed := c.api.V1Refunds.Retrieve(ctx, object.ID, params)
		if err = failed; err == nil {
			fact = paymentFact(refund.PaymentIntent)
			fact.Refunds = []cardbook.RefundFact{refundFact(refund)}
		}
	case KindDispute:
		params := &stripe.DisputeRetrieveParams{}
		params.AddExpand("payment_intent")
		dispute, failed := c.api.V1Disputes.Retrieve(ctx, object.ID, params)
		if err = failed; err == nil {
			fact = paymentFact(dispute.PaymentIntent)
			fact.Disputes = []cardbook.DisputeFact{disputeFact(dispute)}
		}
	}
	if err != nil {
		return cardbook.Fact{}, mapped(doing, err)
	}
	return ours(doing, fact)
}

func ours(doing string, fact cardbook.Fact) (cardbook.Fact, error) {
	if fact.Topup == "" {
		return cardbook.Fact{}, fmt.Errorf("%s: %w", doing, cardbook.ErrForeign)
	}
	return fact, nil
}

// follow adds a payment's refunds and disputes.
func (c *Client) follow(ctx context.Context, payment string, fact *cardbook.Fact) error {
	refunds := &stripe.RefundListParams{PaymentIntent: stripe.String(payment)}
	refunds.Limit = stripe.Int64(pageSize)
	for refund, err := range c.api.V1Refunds.List(ctx, refunds).All(ctx) {
		if err != nil {
			return err
		}
		if fact.Refunds = append(fact.Refunds, refundFact(refund)); len(fact.Refunds) == pageSize {
			break
		}
	}
	disputes := &stripe.DisputeListParams{PaymentIntent: stripe.String(payment)}
	disputes.Limit = stripe.Int64(pageSize)
	for dispute, err := range c.api.V1Disputes.List(ctx, disputes).All(ctx) {
		if err != nil {
			return err
		}
		if fact.Disputes = append(fact.Disputes, disputeFact(dispute)); len(fact.Disputes) == pageSize {
			break
		}
	}
	return nil
}

// Sessions are our checkout sessions created from `from` on and before `to`, newest first, whatever became of them: it finds those whose creation ended
// in ErrUnknownOutcome and those whose events were lost. More than 2,000 in that time is ErrWindow.
func (c *Client) Sessions(ctx context.Context, from, to time.Time) ([]cardbook.Fact, error) {
	params := &stripe.CheckoutSessionListParams{
		CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: from.Unix(), LesserThan: to.Unix()},
	}
	params.Limit = stripe.Int64(pageSize)
	params.Expand = stripe.StringSlice([]string{"data.payment_intent"})
	var facts []cardbook.Fact
	seen := 0
	for session, err := range c.api.V1CheckoutSessions.List(ctx, params).All(ctx) {
		if err != nil {
			return nil, mapped("listing checkout sessions", err)
		}
		if seen++; seen > maxSessions {
			return nil, fmt.Errorf("listing checkout sessions: %w: ask for less than %v", ErrWindow, to.Sub(from))
		}
		if fact := sessionFact(session); fact.Topup != "" {
			facts = append(facts, fact)
		}
	}
	return facts, nil
}

// Refund makes one of our refunds, or finds that it was made. A *RefusedError is for good (tell the book: RefuseRefund).
func (c *Client) Refund(ctx context.Context, r cardbook.Refund) (cardbook.Fact, error) {
	const doing = "making a refund"
	cents, err := cardbook.Cents(r.Amount)
	if err != nil {
		return cardbook.Fact{}, err
	}
	// The provider may have forgotten the name of a refund that was made a day ago; its list of refunds it does not forget.
	made := &stripe.RefundListParams{PaymentIntent: stripe.String(r.Payment)}
	made.Limit = stripe.Int64(pageSize)
	made.Expand = stripe.StringSlice([]string{"data.payment_intent"})
	for refund, err := range c.api.V1Refunds.List(ctx, made).All(ctx) {
		if err != nil {
			return cardbook.Fact{}, mapped(doing, err)
		}
		if refund.Metadata[metaRefund] == r.ID {
			return madeFact(r, refund), nil
		}
	}
	params := &stripe.RefundCreateParams{
		PaymentIntent: stripe.String(r.Payment),
		Amount:        stripe.Int64(cents),
		Reason:        stripe.String(stripe.RefundReasonRequestedByCustomer),
		Metadata:      map[string]string{metaRefund: r.ID, metaTopup: r.Topup, metaAccount: r.Account},
	}
	params.AddExpand("payment_intent")
	params.SetIdempotencyKey("raylink:refund:" + r.ID)
	refund, err := c.api.V1Refunds.Create(ctx, params)
	if err != nil {
		return cardbook.Fact{}, mapped(doing, err)
	}
	return madeFact(r, refund), nil
}

// madeFact is a fact on one of our refunds, whose top-up is known whatever has become of the payment's metadata.
func madeFact(r cardbook.Refund, refund *stripe.Refund) cardbook.Fact {
	fact := paymentFact(refund.PaymentIntent)
	fact.Topup, fact.Refunds = r.Topup, []cardbook.RefundFact{refundFact(refund)}
	return fact
}

func sessionFact(session *stripe.CheckoutSession) cardbook.Fact {
	fact := paymentFact(session.PaymentIntent)
	fact.Topup, fact.Live = session.Metadata[metaTopup], session.Livemode
	fact.Session = &cardbook.SessionFact{ID: session.ID, Status: string(session.Status)}
	return fact
}

// paymentFact reads an expanded payment intent; none gives an empty fact, which belongs to nobody.
func paymentFact(payment *stripe.PaymentIntent) cardbook.Fact {
	if payment == nil {
		return cardbook.Fact{}
	}
	return cardbook.Fact{
		Topup: payment.Metadata[metaTopup], Live: payment.Livemode,
		Payment: &cardbook.PaymentFact{
			ID: payment.ID, Status: string(payment.Status), Received: payment.AmountReceived, Currency: string(payment.Currency),
		},
	}
}

func refundFact(refund *stripe.Refund) cardbook.RefundFact {
	return cardbook.RefundFact{
		ID: refund.ID, Ours: refund.Metadata[metaRefund], Amount: refund.Amount, Currency: string(refund.Currency),
		Status: string(refund.Status), Reason: string(refund.FailureReason),
	}
}

func disputeFact(dispute *stripe.Dispute) cardbook.DisputeFact {
	return cardbook.DisputeFact{
		ID: dispute.ID, Amount: dispute.Amount, Currency: string(dispute.Currency), Status: string(dispute.Status), Reason: string(dispute.Reason),
	}
}
