package card

import (
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"
)

// Limits of a webhook.
const (
	MaxBody   = 64 << 10        // bytes; the provider's events are a few KiB
	Tolerance = 5 * time.Minute // between the signature's time and ours, either way
)

// SignatureHeader is where the provider puts the signature.
const SignatureHeader = "Stripe-Signature"

// Why a webhook is not believed; tell them apart with errors.Is. All are to be answered with 400, ErrTooLarge with 413.
var (
	ErrTooLarge   = errors.New("webhook is too large")
	ErrSignature  = errors.New("webhook is not signed with one of our secrets")
	ErrReplayed   = errors.New("webhook was signed too long ago, or in the future")
	ErrUnreadable = errors.New("webhook is signed but is not an event")
)

// Kind says what sort of object an event is about.
type Kind string

// The kinds that Fetch can ask for.
const (
	KindSession Kind = "checkout.session"
	KindPayment Kind = "payment_intent"
	KindRefund  Kind = "refund"
	KindDispute Kind = "dispute"
)

// Object names an object at the provider.
type Object struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

// Notice is all that is taken from an event: that something has happened to an object, which is then to be fetched. So it does not matter in which
// order events come, how often, and which version of the provider's API wrote their bodies.
type Notice struct {
	ID      string // the event's
	Type    string
	Object  Object
	Live    bool
	Version string // of the API, as the event says; for the log only
	Ignored bool   // of a type that moves no money of ours: to be acknowledged and forgotten
}

// EventTypes are those that a webhook endpoint should be subscribed to; others are ignored.
func EventTypes() []string {
	return []string{
		"checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed", "checkout.session.expired",
		"payment_intent.succeeded", "refund.created", "refund.updated", "refund.failed",
		"charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated",
	}
}

// ReadBody reads a webhook's body as it came, up to MaxBody. It has to happen before anything else reads the request.
func ReadBody(body io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(body, MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading a webhook: %w", err)
	}
	if len(raw) > MaxBody {
		return nil, ErrTooLarge
	}
	return raw, nil
}

// Open checks the signature over the raw body and says what the event is about. Any of the secrets may have signed, so that they can be rotated.
func Open(raw []byte, header string, secrets []string, now time.Time) (Notice, error) {
	if len(raw) > MaxBody {
		return Notice{}, ErrTooLarge
	}
	if err := verify(raw, header, secrets, now); err != nil {
		return Notice{}, err
	}
	var event struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Type    string `json:"type"`
		Version string `json:"api_version"`
		Account string `json:"account"`
		Live    bool   `json:"livemode"`
		Data    struct {
			Object struct {
				ID     string `json:"id"`
				Object string `json:"object"`
			} `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		return Notice{}, fmt.Errorf("%w: %v", ErrUnreadable, err)
	}
	notice := Notice{ID: event.ID, Type: event.Type, Live: event.Live, Version: event.Version}
	// Another `object` is another family of events; an `account` is somebody else's, whose payments go through ours.
	if event.Object != "event" || event.Account != "" || !concerns(event.Type) {
		notice.Ignored = true
		return notice, nil
	}
	notice.Object = Object{Kind: Kind(event.Data.Object.Object), ID: event.Data.Object.ID}
	if err := notice.Object.check(); err != nil {
		return Notice{}, fmt.Errorf("%w: event %.60q of type %.60q: %w", ErrUnreadable, event.ID, event.Type, err)
	}
	return notice, nil
}

func concerns(eventType string) bool {
	return slices.Contains(EventTypes(), eventType)
}

// check refuses ids that could not be the provider's; they become part of a URL.
func (o Object) check() error {
	switch o.Kind {
	case KindSession, KindPayment, KindRefund, KindDispute:
	default:
		return fmt.Errorf("object of kind %.40q", o.Kind)
	}
	if o.ID == "" || len(o.ID) > 120 {
		return fmt.Errorf("id of %d bytes", len(o.ID))
	}
	for _, char := range []byte(o.ID) {
		if char != '_' && (char < '0' || char > '9') && (char < 'a' || char > 'z') && (char < 'A' || char > 'Z') {
			return fmt.Errorf("id %.40q", o.ID)
		}
	}
	return nil
}

// verify is the check of the library's webhook package, except that time is an argument, that a signature from the future is refused as an old one
// is, and that a second timestamp is refused.
func verify(raw []byte, header string, secrets []string, now time.Time) error {
	if len(header) > 4096 {
		return ErrSignature
	}
	var signed time.Time
	var signatures [][]byte
	for _, field := range strings.Split(header, ",") {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "t":
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil || !signed.IsZero() {
				return ErrSignature
			}
			signed = time.Unix(seconds, 0)
		case "v1":
			if signature, err := hex.DecodeString(value); err == nil {
				signatures = append(signatures, signature)
			}
		}
	}
	if signed.IsZero() || len(signatures) == 0 {
		return ErrSignature
	}
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		want := webhook.ComputeSignature(signed, raw, secret)
		for _, signature := range signatures {
			if hmac.Equal(want, signature) {
				if age := now.Sub(signed); age > Tolerance || age < -Tolerance {
					return ErrReplayed
				}
				return nil
			}
		}
	}
	return ErrSignature
}
