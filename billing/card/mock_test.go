package card_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v85"

	"raylink/billing/card"
	"raylink/billing/cardbook"
)

// mockVersion is the stripe-mock whose OpenAPI description judges our requests.
const mockVersion = "v0.203.0"

// mock finds or builds the provider's own stripe-mock. It is stateless: it proves the shape of requests and answers, nothing about money.
func mock(t *testing.T) string {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("asks the card provider's own stripe-mock; set RAYLINK_REAL=1")
	}
	if path := os.Getenv("RAYLINK_STRIPE_MOCK"); path != "" {
		return path
	}
	dir := filepath.Join(os.TempDir(), "raylink-stripe-mock", mockVersion)
	path := filepath.Join(dir, "stripe-mock")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "install", "github.com/stripe/stripe-mock@"+mockVersion)
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	build.Dir = t.TempDir() // outside of our module
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("stripe-mock %s could not be built (%v); is the Go module proxy out of reach? Set RAYLINK_STRIPE_MOCK to a binary.\n%s", mockVersion, err, text)
	}
	return path
}

// startMock runs stripe-mock on free ports and returns its URL.
func startMock(t *testing.T) string {
	t.Helper()
	binary := mock(t)
	plain, secure := freeAddress(t), freeAddress(t)
	var out strings.Builder
	server := exec.Command(binary, "-http-addr", plain, "-https-addr", secure)
	server.Stdout, server.Stderr = &out, &out
	if err := server.Start(); err != nil {
		t.Fatalf("starting stripe-mock: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Process.Kill(); err != nil {
			t.Errorf("ending stripe-mock: %v", err)
		}
		_ = server.Wait() // it was killed
	})
	deadline := time.Now().Add(30 * time.Second)
	dialer := net.Dialer{Timeout: 100 * time.Millisecond}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if line, err := dialer.DialContext(t.Context(), "tcp", plain); err == nil {
			line.Close()
			return "http://" + plain
		}
		if <-tick.C; time.Now().After(deadline) {
			t.Fatalf("stripe-mock does not answer: %s", out.String())
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// recorder passes requests on and keeps what they were.
type recorder struct {
	mu       sync.Mutex
	requests []*http.Request
	forms    []url.Values
	statuses []int
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	form, err := formOf(request)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.forms, r.statuses = append(r.requests, request), append(r.forms, form), append(r.statuses, response.StatusCode)
	return response, nil
}

// formOf reads a request's parameters, and leaves its body as if nobody had.
func formOf(request *http.Request) (url.Values, error) {
	if request.Body == nil {
		return request.URL.Query(), nil
	}
	text, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(strings.NewReader(string(text)))
	return url.ParseQuery(string(text))
}

// twist changes one parameter of each request.
type twist struct{ name, value string }

func (tw twist) RoundTrip(request *http.Request) (*http.Response, error) {
	form, err := formOf(request)
	if err != nil {
		return nil, err
	}
	form.Set(tw.name, tw.value)
	request.Body, request.ContentLength = io.NopCloser(strings.NewReader(form.Encode())), int64(len(form.Encode()))
	return http.DefaultTransport.RoundTrip(request)
}

// TestShapes sends each of our requests to stripe-mock, which checks them against the provider's OpenAPI description and answers from it.
func TestShapes(t *testing.T) {
	base := startMock(t)
	seen := &recorder{}
	client := newClient(t, base, "sk_test_1234", seen)
	book := cardbook.New()
	topup, err := book.Request(time.Now(), "t1", "ada", cardbook.FromCents(2500), false)
	if err != nil {
		t.Fatal(err)
	}
	// The mock's canned session has no URL to pay at and is already complete, so that these are read right up to where ours become choosy.
	var refused *card.RefusedError
	if _, err := client.Create(t.Context(), topup); err != nil && !errors.As(err, &refused) && !errors.Is(err, card.ErrUnknownOutcome) {
		t.Errorf("creating a session: %v", err)
	}
	for _, object := range []card.Object{{Kind: card.KindSession, ID: "cs_1"}, {Kind: card.KindPayment, ID: "pi_1"}, {Kind: card.KindRefund, ID: "re_1"}, {Kind: card.KindDispute, ID: "du_1"}} {
		if _, err := client.Fetch(t.Context(), object); !errors.Is(err, cardbook.ErrForeign) { // the canned objects carry no metadata of ours
			t.Errorf("fetching %v: %v", object, err)
		}
	}
	if _, err := client.Sessions(t.Context(), time.Now().Add(-time.Hour), time.Now()); err != nil {
		t.Errorf("listing: %v", err)
	}
	refund := cardbook.Refund{ID: "r1.1", Account: "ada", Topup: "t1", Payment: "pi_1", Amount: cardbook.FromCents(100)}
	if fact, err := client.Refund(t.Context(), refund); err != nil || len(fact.Refunds) != 1 || fact.Topup != "t1" || fact.Payment == nil {
		t.Errorf("refund: %+v, %v", fact, err)
	}
	paths := map[string]int{}
	for i, request := range seen.requests {
		if seen.statuses[i] != http.StatusOK {
			t.Errorf("%s %s was answered with %d: %v", request.Method, request.URL.Path, seen.statuses[i], seen.forms[i])
		}
		if got := request.Header.Get("Stripe-Version"); got != stripe.APIVersion {
			t.Errorf("%s asks for version %q", request.URL.Path, got)
		}
		paths[request.Method+" "+request.URL.Path]++
		switch request.Method + " " + request.URL.Path {
		case "POST /v1/checkout/sessions":
			wantForm(t, seen.forms[i], map[string]string{
				"mode": "payment", "line_items[0][price_data][currency]": "usd", "line_items[0][price_data][unit_amount]": "2500", "line_items[0][quantity]": "1",
				"metadata[raylink_topup]": "t1", "metadata[raylink_account]": "ada", "payment_intent_data[metadata][raylink_topup]": "t1",
				"client_reference_id": "t1", "success_url": "http://127.0.0.1:7443/money?paid=1&topup=t1", "cancel_url": "http://127.0.0.1:7443/money?topup=t1",
				"payment_method_types[0]": "card", "adaptive_pricing[enabled]": "false",
			})
			if got := request.Header.Get("Idempotency-Key"); got != "raylink:topup:t1" {
				t.Errorf("the session's name is %q", got)
			}
		case "POST /v1/refunds":
			wantForm(t, seen.forms[i], map[string]string{"payment_intent": "pi_1", "amount": "100", "metadata[raylink_refund]": "r1.1", "metadata[raylink_topup]": "t1"})
			if got := request.Header.Get("Idempotency-Key"); got != "raylink:refund:r1.1" {
				t.Errorf("the refund's name is %q", got)
			}
		}
	}
	for _, path := range []string{"POST /v1/checkout/sessions", "GET /v1/checkout/sessions/cs_1", "GET /v1/checkout/sessions", "GET /v1/payment_intents/pi_1",
		"GET /v1/refunds/re_1", "GET /v1/refunds", "POST /v1/refunds", "GET /v1/disputes/du_1", "GET /v1/disputes"} {
		if paths[path] == 0 {
			t.Errorf("%s was never asked", path)
		}
	}
}

func wantForm(t *testing.T, form url.Values, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := form.Get(name); got != value {
			t.Errorf("%s is %q, wanted %q", name, got, value)
		}
	}
}

// TestMockRefusesNonsense shows that TestShapes can fail: the mock refuses a request that its description does not allow. The same goes for the fake.
func TestMockRefusesNonsense(t *testing.T) {
	b := newBench(t)
	servers := map[string]string{"fake": b.url}
	if os.Getenv("RAYLINK_REAL") == "1" {
		servers["mock"] = startMock(t)
	}
	for name, base := range servers {
		for n, change := range []twist{{"mode", "nonsense"}, {"line_items[0][price_data][unit_amount]", "many"}} {
			topup, err := cardbook.New().Request(time.Now(), fmt.Sprint("t", n), "ada", cardbook.FromCents(2500), false)
			if err != nil {
				t.Fatal(err)
			}
			var refused *card.RefusedError
			if _, err := newClient(t, base, testKey, change).Create(t.Context(), topup); !errors.As(err, &refused) || refused.Code == "over" {
				t.Errorf("%s, %v: %v", name, change, err)
			}
		}
	}
}
