package card

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/stripe/stripe-go/v85"
)

// What a call to the provider can end in beside *RefusedError; tell them apart with errors.Is.
var (
	ErrUnknownOutcome = errors.New("the provider gave no clear answer: it may or may not have happened") // do the same again, with the same name
	ErrRateLimit      = errors.New("the provider asks to slow down; nothing happened")
	ErrAuth           = errors.New("the provider does not accept the key") // wrong, revoked, or without this permission
	ErrNotFound       = errors.New("the provider knows no such object")
	ErrIdempotency    = errors.New("the provider has seen this name with other parameters")
)

// RefusedError is a refusal for good: nothing happened, and the same call will be refused again.
type RefusedError struct {
	Code    string // the provider's, such as charge_already_refunded, or its type of error
	Decline string // the bank's reason, of a card that was declined
	Message string
}

func (e *RefusedError) Error() string {
	if e.Decline != "" {
		return fmt.Sprintf("the card provider declined (%s): %s", e.Decline, e.Message)
	}
	return fmt.Sprintf("the card provider refused (%s): %s", e.Code, e.Message)
}

// mapped gives an error of the library one of our kinds. The library's text of an error of the API is JSON with links and ids of the request; of it only
// the message is kept.
func mapped(doing string, err error) error {
	if err == nil {
		return nil
	}
	var answer *stripe.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: %w: %w", doing, ErrUnknownOutcome, err)
	}
	message := fmt.Sprintf("%.200s", answer.Msg)
	kind := error(nil)
	switch status := answer.HTTPStatusCode; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		kind = ErrAuth
	case status == http.StatusTooManyRequests || answer.Code == stripe.ErrorCodeRateLimit:
		kind = ErrRateLimit
	case answer.Code == stripe.ErrorCodeIdempotencyKeyInUse || answer.Code == stripe.ErrorCodeLockTimeout:
		kind = ErrUnknownOutcome // the same call is still at work
	case answer.Type == stripe.ErrorTypeIdempotency:
		kind = ErrIdempotency
	case status >= 500 || status < 400 || status == http.StatusConflict:
		kind = ErrUnknownOutcome
	case status == http.StatusNotFound:
		kind = ErrNotFound
	default:
		code := string(answer.Code)
		if code == "" {
			code = string(answer.Type)
		}
		return fmt.Errorf("%s: %w", doing, &RefusedError{Code: code, Decline: string(answer.DeclineCode), Message: message})
	}
	return fmt.Errorf("%s: %w: %s", doing, kind, message)
}
