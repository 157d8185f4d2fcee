// Package card is the way to the card provider, Stripe, by its own library (stripe-go v85, pinned to that library's version of the API). It makes
// checkouts and refunds, fetches what the provider knows as cardbook.Fact, and opens webhooks. The rules of the money are cardbook's.
//
// A card only ever tops up the account's USD balance, by a checkout on the provider's own page: no card number comes near Raylink, and no card is
// charged by the minute or without its owner. Every object that we make carries the top-up's id in its metadata, which is how a fact finds back, and is
// made under a name of ours (idempotency key raylink:topup:<id>, raylink:refund:<id>), so that asking twice is asking once. The provider may forget
// names after 24 hours; a checkout is not asked for that late, and before a refund is made the provider's own list of refunds is read.
//
// An event is only a hint to fetch (Notice), so lost, late, repeated and unordered events do no harm as long as open top-ups and pending refunds are
// fetched once in a while (cardbook.Book Waiting, PendingRefunds; Sessions for those whose creation nobody saw).
package card

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/stripe/stripe-go/v85"

	"raylink/billing/cardbook"
	"raylink/raylink"
)

// The keys of our metadata at the provider.
const (
	metaTopup   = "raylink_topup"
	metaAccount = "raylink_account" // for people who look at the provider's dashboard; never read
	metaRefund  = "raylink_refund"
)

// Limits of one call.
const (
	callTimeout = 30 * time.Second
	maxAnswer   = 4 << 20 // bytes
)

// Config says how to reach the provider.
type Config struct {
	Key        Key
	BaseURL    string            // default: the provider's own; http only on this machine, and there never with a live key
	SuccessURL string            // where the browser goes after paying; ?topup=<id> is added
	CancelURL  string            // where it goes after giving up
	Transport  http.RoundTripper // default: http.DefaultTransport
}

// Client talks to the provider. It is safe for use by several goroutines. It does not try again by itself: after ErrUnknownOutcome the caller does the
// same again, whenever he likes.
type Client struct {
	api     *stripe.Client
	live    bool
	key     string // which one, in words
	success *url.URL
	cancel  *url.URL
}

// New makes a client; nothing is sent yet.
func New(config Config) (*Client, error) {
	if config.Key.secret == "" {
		return nil, raylink.Errorf(raylink.CodeInvalid, "cards need the provider's secret key").WithHint("give the path of the file that holds it")
	}
	if config.BaseURL == "" {
		config.BaseURL = stripe.APIURL
	}
	base, err := webURL("the card provider's URL", config.BaseURL)
	if err != nil {
		return nil, err
	}
	if loopback(base) && config.Key.Live() {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%s is on this machine, where a live key does not belong", base.Host).WithHint("use a test key (sk_test_…)")
	}
	success, err := webURL("the URL after paying by card", config.SuccessURL)
	if err != nil {
		return nil, err
	}
	cancel, err := webURL("the URL after giving up paying by card", config.CancelURL)
	if err != nil {
		return nil, err
	}
	transport := config.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	backends := stripe.NewBackendsWithConfig(&stripe.BackendConfig{
		HTTPClient: &http.Client{
			Transport:     limited{transport},
			Timeout:       callTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		URL:               stripe.String(config.BaseURL),
		MaxNetworkRetries: stripe.Int64(0),
		EnableTelemetry:   stripe.Bool(false),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull}, // errors are returned, and logged once by whoever handles them
	})
	return &Client{
		api: stripe.NewClient(config.Key.secret, stripe.WithBackends(backends)), live: config.Key.Live(), key: config.Key.String(), success: success, cancel: cancel,
	}, nil
}

// Live says whether real money moves.
func (c *Client) Live() bool { return c.live }

// String names the provider and the mode: `Stripe (test key)`.
func (c *Client) String() string { return "Stripe (" + c.key + ")" }

// webURL allows https, and http on this machine.
func webURL(what, text string) (*url.URL, error) {
	parsed, err := url.Parse(text)
	if err == nil && parsed.Host != "" && parsed.User == nil && (parsed.Scheme == "https" || parsed.Scheme == "http" && loopback(parsed)) {
		return parsed, nil
	}
	return nil, raylink.Errorf(raylink.CodeInvalid, "%s is %.100q, which is neither https nor http on this machine", what, text)
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// limited cuts answers that are too long; what is cut is not JSON anymore, so the outcome is unknown.
type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxAnswer), response.Body}
	return response, nil
}

// Checkout is where a top-up can be paid.
type Checkout struct {
	Session string    `json:"session"`
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
}

// Create makes the top-up's checkout session, or finds the one that it has. The same top-up again gives the same session; write it into the book (Opened)
// before anybody is given the URL. A checkout that cannot be paid anymore is a *RefusedError.
func (c *Client) Create(ctx context.Context, t cardbook.Topup) (Checkout, error) {
	const doing = "making a checkout"
	cents, err := cardbook.Cents(t.Amount)
	if err != nil {
		return Checkout{}, err
	}
	if t.Live != c.live {
		return Checkout{}, &RefusedError{Code: "mode", Message: "the top-up and the key are of different modes, test and live"}
	}
	if t.State != cardbook.Open {
		return Checkout{}, &RefusedError{Code: "over", Message: "the top-up is " + string(t.State)}
	}
	if t.Session != "" {
		session, err := c.api.V1CheckoutSessions.Retrieve(ctx, t.Session, nil)
		if err != nil {
			return Checkout{}, mapped("finding a checkout", err)
		}
		return checkout(session)
	}
	if time.Until(t.Expires) < cardbook.Lifetime/2 {
		return Checkout{}, &RefusedError{Code: "late", Message: "the top-up was asked for too long ago; ask for a new one"}
	}
	ours := map[string]string{metaTopup: t.ID, metaAccount: t.Account}
	params := &stripe.CheckoutSessionCreateParams{
		Mode:               stripe.String(stripe.CheckoutSessionModePayment),
		PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
		LineItems: []*stripe.CheckoutSessionCreateLineItemParams{{
			Quantity: stripe.Int64(1),
			PriceData: &stripe.CheckoutSessionCreateLineItemPriceDataParams{
				Currency:    stripe.String(stripe.CurrencyUSD),
				UnitAmount:  stripe.Int64(cents),
				ProductData: &stripe.CheckoutSessionCreateLineItemPriceDataProductDataParams{Name: stripe.String("Raylink balance in USD")},
			},
		}},
		AdaptivePricing:   &stripe.CheckoutSessionCreateAdaptivePricingParams{Enabled: stripe.Bool(false)}, // what is received must be what was asked
		ClientReferenceID: stripe.String(t.ID),
		Metadata:          ours,
		PaymentIntentData: &stripe.CheckoutSessionCreatePaymentIntentDataParams{Metadata: ours},
		SuccessURL:        stripe.String(withTopup(c.success, t.ID)),
		CancelURL:         stripe.String(withTopup(c.cancel, t.ID)),
		ExpiresAt:         stripe.Int64(t.Expires.Unix()),
	}
	params.SetIdempotencyKey("raylink:topup:" + t.ID)
	session, err := c.api.V1CheckoutSessions.Create(ctx, params)
	if err != nil {
		return Checkout{}, mapped(doing, err)
	}
	return checkout(session)
}

func withTopup(base *url.URL, topup string) string {
	target := *base
	query := target.Query()
	query.Set("topup", topup)
	target.RawQuery = query.Encode()
	return target.String()
}

// checkout reads a session that should be payable. Its URL will be shown as a link, so it must be one for the web.
func checkout(session *stripe.CheckoutSession) (Checkout, error) {
	if session.Status != stripe.CheckoutSessionStatusOpen {
		return Checkout{}, &RefusedError{Code: "over", Message: "the checkout is " + string(session.Status)}
	}
	if err := (Object{KindSession, session.ID}).check(); err != nil {
		return Checkout{}, mapped("reading a checkout", err)
	}
	if _, err := webURL("the checkout's URL", session.URL); err != nil {
		return Checkout{}, mapped("reading a checkout", err)
	}
	return Checkout{Session: session.ID, URL: session.URL, Expires: time.Unix(session.ExpiresAt, 0).UTC()}, nil
}
