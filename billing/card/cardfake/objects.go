package cardfake

import (
	"encoding/json"
	"fmt"
)

// The objects, with those of the provider's fields that somebody reads.

type session struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	AmountTotal       int64             `json:"amount_total"`
	Currency          string            `json:"currency"`
	ClientReferenceID string            `json:"client_reference_id"`
	Created           int64             `json:"created"`
	ExpiresAt         int64             `json:"expires_at"`
	Live              bool              `json:"livemode"`
	Metadata          map[string]string `json:"metadata"`
	Mode              string            `json:"mode"`
	PaymentIntent     string            `json:"payment_intent,omitempty"`
	PaymentStatus     string            `json:"payment_status"`
	Status            string            `json:"status"`
	SuccessURL        string            `json:"success_url"`
	CancelURL         string            `json:"cancel_url"`
	URL               string            `json:"url,omitempty"`

	intentMetadata map[string]string
}

type intent struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	Amount         int64             `json:"amount"`
	AmountReceived int64             `json:"amount_received"`
	Charge         string            `json:"latest_charge"`
	Created        int64             `json:"created"`
	Currency       string            `json:"currency"`
	Live           bool              `json:"livemode"`
	Metadata       map[string]string `json:"metadata"`
	Status         string            `json:"status"`

	refunded int64
	disputed bool
}

type refund struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Amount        int64             `json:"amount"`
	Charge        string            `json:"charge"`
	Created       int64             `json:"created"`
	Currency      string            `json:"currency"`
	FailureReason string            `json:"failure_reason,omitempty"`
	Metadata      map[string]string `json:"metadata"`
	PaymentIntent string            `json:"payment_intent"`
	Reason        string            `json:"reason,omitempty"`
	Status        string            `json:"status"`
}

type dispute struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Amount        int64             `json:"amount"`
	Charge        string            `json:"charge"`
	Created       int64             `json:"created"`
	Currency      string            `json:"currency"`
	Live          bool              `json:"livemode"`
	Metadata      map[string]string `json:"metadata"`
	PaymentIntent string            `json:"payment_intent"`
	Reason        string            `json:"reason"`
	Status        string            `json:"status"`
}

// shown is an object as JSON, with the payment intent in full where that is asked for.
func (f *Fake) shown(object any, expand bool) (map[string]any, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("showing an object: %w", err)
	}
	var form map[string]any
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, fmt.Errorf("showing an object: %w", err)
	}
	if id, found := form["payment_intent"].(string); found && expand && f.intents[id] != nil {
		form["payment_intent"], err = f.shown(f.intents[id], false)
	}
	return form, err
}

func (f *Fake) session(id string) (*session, error) {
	for _, s := range f.sessions {
		if s.ID == id {
			return s, nil
		}
	}
	return nil, fmt.Errorf("session %.60s: %w", id, ErrUnknown)
}

// problem is the provider's form of an error.
type problem struct {
	Status  int    `json:"-"`
	Type    string `json:"type"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
}

func invalid(code, format string, args ...any) *problem {
	return &problem{Status: 400, Type: "invalid_request_error", Code: code, Message: fmt.Sprintf(format, args...)}
}

func missing(what, id string) *problem {
	return &problem{Status: 404, Type: "invalid_request_error", Code: "resource_missing", Message: fmt.Sprintf("No such %s: '%.60s'", what, id)}
}

// refund makes one.
func (f *Fake) refund(payment string, cents int64, metadata map[string]string) (*refund, *problem) {
	i := f.intents[payment]
	switch {
	case i == nil:
		return nil, missing("payment_intent", payment)
	case i.AmountReceived == 0:
		return nil, invalid("", "This PaymentIntent (%s) does not have a successful charge to refund.", payment)
	case i.disputed:
		return nil, invalid("charge_disputed", "Charge %s has been charged back; cannot issue a refund.", i.Charge)
	case i.refunded == i.AmountReceived:
		return nil, invalid("charge_already_refunded", "Charge %s has already been refunded.", i.Charge)
	case cents <= 0:
		return nil, invalid("parameter_invalid_integer", "This value must be greater than or equal to 1.")
	case cents > i.AmountReceived-i.refunded:
		return nil, invalid("amount_too_large", "Refund amount (%d) is greater than unrefunded amount on charge (%d)", cents, i.AmountReceived-i.refunded)
	}
	r := &refund{
		ID: f.id("re"), Object: "refund", Amount: cents, Charge: i.Charge, Created: f.config.Now().Unix(), Currency: i.Currency, Metadata: metadata,
		PaymentIntent: payment, Status: "succeeded",
	}
	if f.slow {
		r.Status = "pending"
	}
	i.refunded += cents
	f.refunds = append(f.refunds, r)
	f.emit("refund.created", r)
	return r, nil
}
