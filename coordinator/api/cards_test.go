package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"raylink/billing/card"
	"raylink/billing/card/cardfake"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// line is a card company's client with the secrets of its webhooks.
type line struct {
	*card.Client
	secrets []string
}

func (l *line) Secrets() ([]string, error) { return l.secrets, nil }

// withCards gives a rig a card company.
func withCards(t *testing.T, r *rig) *cardfake.Fake {
	t.Helper()
	fake, err := cardfake.New(cardfake.Config{Key: "sk_test_1234567890", Secret: "whsec_first", Client: r.callers[""]})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	key, err := card.ParseKey("sk_test_1234567890")
	if err != nil {
		t.Fatal(err)
	}
	client, err := card.New(card.Config{Key: key, BaseURL: server.URL, SuccessURL: "https://127.0.0.1/ui/balance", CancelURL: "https://127.0.0.1/ui/balance",
		Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	r.server.Cards = &line{client, []string{"whsec_second", "whsec_first"}}
	return fake
}

// card is what ada has in her purse of card money, in micro-USD.
func (r *rig) card() (minor int64) {
	r.group.Read(func(s *state.State) {
		minor = s.Ledger.Balance(ledger.TenantCard(string(id[raylink.AccountID]("acc", "ada"))), money.USD)
	})
	return minor
}

func TestCardTopup(t *testing.T) {
	r := newRig(t)
	fake := withCards(t, r)
	hook := r.url + "/v1/cards/webhook"
	var top wire.Topup
	request := wire.TopupRequest{Amount: money.MicroUSD(50_000_000), Card: true}
	for range 2 { // the answer was lost: the same key opens the same page
		got := r.call("ada", "POST", "/v1/topups", request, "Idempotency-Key", "once")
		again := top
		if got.status != 200 || json.Unmarshal(got.body, &top) != nil || top.URL == "" || (again.URL != "" && again.URL != top.URL) {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	session := top.URL[strings.LastIndex(top.URL, "/")+1:]
	if err := fake.Pay(session, cardfake.CardGood); err != nil {
		t.Fatal(err)
	}
	events := fake.Events()
	for range 2 { // each is delivered twice, the last first
		for i := range events {
			if err := fake.Deliver(t.Context(), hook, events[len(events)-1-i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := r.card(); got != 50_000_000 {
		t.Errorf("the card paid %d", got)
	}
	if got := r.call("ada", "GET", "/v1/topups/"+top.ID, nil); !strings.Contains(string(got.body), `"state":"paid"`) {
		t.Errorf("%s", got.body)
	}
	// It cannot leave as crypto, but back to the card.
	if got := r.call("ada", "POST", "/v1/withdrawals", `{"amount":"50.000000 USD","wallet":"11111111111111111111111111111112"}`); got.status < 400 {
		t.Errorf("card money left by the chain: %s", got.body)
	}
	if got := r.call("ada", "POST", "/v1/withdrawals", wire.WithdrawalRequest{Amount: money.MicroUSD(20_000_000), Card: true}); got.status != 200 || r.card() != 30_000_000 {
		t.Errorf("%d %s: %d left", got.status, got.body, r.card())
	}
	if got := r.call("ada", "POST", "/v1/withdrawals", wire.WithdrawalRequest{Amount: money.MicroUSD(40_000_000), Card: true}); got.status != 402 || r.card() != 30_000_000 {
		t.Errorf("more than there is: %d %s", got.status, got.body)
	}
}

// TestForgedWebhooks: whoever cannot sign moves nothing, and neither does who signed long ago.
func TestForgedWebhooks(t *testing.T) {
	r := newRig(t)
	fake := withCards(t, r)
	got := r.call("ada", "POST", "/v1/topups", wire.TopupRequest{Amount: money.MicroUSD(5_000_000), Card: true})
	var top wire.Topup
	if err := json.Unmarshal(got.body, &top); err != nil || got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if err := fake.Pay(top.URL[strings.LastIndex(top.URL, "/")+1:], cardfake.CardGood); err != nil {
		t.Fatal(err)
	}
	event := fake.Events()[0]
	good, old := fake.Sign(event, time.Now()), fake.Sign(event, time.Now().Add(-time.Hour))
	for what, c := range map[string]struct {
		body, signature string
		status          int
	}{
		"unsigned":         {string(event.Body), "", 400},
		"signed by others": {string(event.Body), strings.Replace(good, "v1=", "v1=00", 1), 400},
		"an hour old":      {string(event.Body), old, 400},
		"another body":     {strings.Replace(string(event.Body), "5", "6", 1), good, 400},
		"not JSON":         {"{", good, 400},
		"too large":        {string(event.Body) + strings.Repeat(" ", card.MaxBody), good, 413},
	} {
		got := r.call("", "POST", "/v1/cards/webhook", c.body, card.SignatureHeader, c.signature)
		if got.status != c.status || r.card() != 0 {
			t.Errorf("%s: %d %s, %d credited", what, got.status, got.body, r.card())
		}
	}
	if got := r.call("", "POST", "/v1/cards/webhook", string(event.Body), card.SignatureHeader, good); got.status != 204 {
		t.Errorf("the genuine one: %d %s", got.status, got.body)
	}
}
