package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"raylink/billing/card"
	"raylink/billing/card/cardfake"
	"raylink/billing/cardbook"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
)

// Two accounts.
const (
	ada raylink.AccountID = "acc-adaadaadaa"
	bob raylink.AccountID = "acc-bobbobbobb"
)

// cardTill is the card loop between books and a card company whose webhooks are all lost. They share a clock that only moves when told.
type cardTill struct {
	t    *testing.T
	loop *cardLoop
	fake *cardfake.Fake
	s    *state.State

	mu  sync.Mutex // the fake reads the clock in its server
	now time.Time
}

func (w *cardTill) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *cardTill) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *cardTill) step() { w.loop.step(w.t.Context(), w.clock()) }

func (w *cardTill) Read(see func(*state.State)) { see(w.s) }

func (w *cardTill) propose(_ context.Context, c state.Command) error {
	raw, err := state.Encode("test", "", c)
	if err != nil {
		return err
	}
	return state.ReadResult(w.s.Apply(w.s.Index+1, w.clock(), []json.RawMessage{raw})[0], nil)
}

func (w *cardTill) do(commands ...state.Command) {
	w.t.Helper()
	for _, c := range commands {
		if err := w.propose(w.t.Context(), c); err != nil {
			w.t.Fatal(err)
		}
	}
}

func newCardTill(t *testing.T) *cardTill {
	t.Helper()
	w := &cardTill{t: t, s: state.New(), now: time.Now()}
	fake, err := cardfake.New(cardfake.Config{Key: "sk_test_1234567890", Secret: "whsec_first", Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	key, err := card.ParseKey("sk_test_1234567890")
	if err != nil {
		t.Fatal(err)
	}
	client, err := card.New(card.Config{Key: key, BaseURL: server.URL, SuccessURL: "https://127.0.0.1/", CancelURL: "https://127.0.0.1/",
		Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	w.fake, w.loop = fake, &cardLoop{books: w, cards: &cards{Client: client}, log: slog.New(slog.DiscardHandler)}
	w.do(&state.OpenAccount{ID: ada, Name: "ada"}, &state.OpenAccount{ID: bob, Name: "bob"})
	return w
}

// request announces a top-up of ten dollars and makes its session, which the books do not know yet.
func (w *cardTill) request(id string, account raylink.AccountID) (session string) {
	w.t.Helper()
	w.do(&state.RequestCardTopup{ID: id, Account: account, Amount: money.MicroUSD(10_000_000)})
	checkout, err := w.loop.cards.Create(w.t.Context(), w.topup(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return checkout.Session
}

// open is request, and tells the books.
func (w *cardTill) open(id string, account raylink.AccountID) (session string) {
	w.t.Helper()
	session = w.request(id, account)
	w.do(&state.OpenCardTopup{ID: id, Session: session})
	return session
}

func (w *cardTill) pay(session string) {
	w.t.Helper()
	if err := w.fake.Pay(session, cardfake.CardGood); err != nil {
		w.t.Fatal(err)
	}
}

// down makes the next n requests fail.
func (w *cardTill) down(n int) {
	for range n {
		w.fake.Fail(cardfake.FaultDown)
	}
}

func (w *cardTill) topup(id string) cardbook.Topup {
	t, _ := w.s.Cards.Topup(id)
	return t
}

func (w *cardTill) refund(id string) cardbook.Refund {
	r, _ := w.s.Cards.Refund(id)
	return r
}

func (w *cardTill) balance(account raylink.AccountID) int64 {
	return w.s.Ledger.Balance(ledger.TenantCard(string(account)), money.USD)
}

// TestLostWebhooks: what was paid is credited without any, in a session from before the sweep's time as in one just made.
func TestLostWebhooks(t *testing.T) {
	w := newCardTill(t)
	w.pay(w.open("top-old", ada))
	w.wait(30 * time.Hour)
	w.pay(w.open("top-new", bob))
	w.loop.swept = w.clock().Add(time.Hour) // no help from the sweep
	w.wait(cardQuiet + time.Second)
	w.step()
	if old, fresh := w.balance(ada), w.balance(bob); old != 10_000_000 || fresh != 10_000_000 {
		t.Errorf("credited %d for the old session, %d for the new one", old, fresh)
	}
}

// TestCheckoutTurns: all open sessions get their turn, though the first ones cannot be fetched, and none has two within cardQuiet.
func TestCheckoutTurns(t *testing.T) {
	w := newCardTill(t)
	var session string
	for i := range 25 {
		session = w.open(fmt.Sprintf("top-%02d", i), []raylink.AccountID{ada, bob}[i%2])
	}
	w.pay(session)
	w.wait(30 * time.Hour)
	w.down(cardPage)
	w.step()
	if got := w.topup("top-24"); got.State != cardbook.Open {
		t.Fatalf("a step asked for more than %d: %+v", cardPage, got)
	}
	w.wait(cardBeat)
	w.step()
	if first, last := w.topup("top-00").State, w.topup("top-24").State; first != cardbook.Open || last != cardbook.Paid {
		t.Errorf("the second step left the first one %s, the last one %s", first, last)
	}
	w.wait(cardQuiet)
	w.step()
	if got := w.topup("top-00").State; got != cardbook.Expired {
		t.Errorf("the first one is %s after its second turn", got)
	}
}

// TestSweepGoesOn: an hour whose sessions cannot be had hides no other hour. Nobody saw how this session was made.
func TestSweepGoesOn(t *testing.T) {
	w := newCardTill(t)
	w.pay(w.request("top-unseen", ada))
	w.wait(90 * time.Minute)
	w.down(1)
	w.step()
	if got := w.balance(ada); got != 10_000_000 {
		t.Errorf("credited %d", got)
	}
}

// TestHangingRefunds: neither refunds that stay pending nor such as cannot be made keep a new one from being made, or a settled one from being seen.
func TestHangingRefunds(t *testing.T) {
	w := newCardTill(t)
	var sessions []string
	for i := range 3 {
		sessions = append(sessions, w.open(fmt.Sprintf("top-%d", i), ada))
	}
	for _, session := range sessions {
		w.pay(session)
	}
	w.wait(cardQuiet + time.Second)
	w.step()
	ask := func(id string) {
		w.wait(time.Second)
		w.do(&state.RefundCard{ID: id, Account: ada, Amount: money.MicroUSD(1_000_000)})
	}
	w.fake.SlowRefunds(true)
	for i := range 25 {
		ask(fmt.Sprintf("ref-%02d", i))
	}
	w.down(cardPage) // the first of them fail
	w.step()
	w.wait(cardBeat)
	w.step()
	if first, last := w.refund("ref-00.1"), w.refund("ref-24.1"); last.Provider == "" {
		t.Fatalf("the second step did not come to the last one: %+v, %+v", first, last)
	}
	for range 2 { // until all 25 hang
		w.wait(cardBeat)
		w.step()
	}
	if first := w.refund("ref-00.1"); first.Provider == "" || first.State != cardbook.RefundPending {
		t.Fatalf("%+v", first)
	}
	w.fake.SlowRefunds(false)
	ask("ref-new")
	w.step()
	if got := w.refund("ref-new.1"); got.State != cardbook.RefundDone {
		t.Errorf("a new refund behind 25 that hang: %+v", got)
	}
	for _, id := range []string{"ref-00.1", "ref-24.1"} {
		if err := w.fake.SettleRefund(w.refund(id).Provider, "succeeded"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		w.wait(cardBeat)
		w.step()
	}
	for _, id := range []string{"ref-00.1", "ref-24.1"} {
		if got := w.refund(id); got.State != cardbook.RefundDone {
			t.Errorf("settled, and not seen: %+v", got)
		}
	}
}

// TestHalfConfiguredCards: a key without the webhooks' secrets, and the other way round, is refused with the flag that lacks.
func TestHalfConfiguredCards(t *testing.T) {
	for _, c := range []struct{ key, secrets, lacks string }{
		{"", "", ""}, {"key", "secrets", ""}, {"key", "", "--stripe-webhook-file"}, {"", "secrets", "--stripe-key-file"},
	} {
		cfg := Config{ID: "a", URL: "https://127.0.0.1:7443", StripeKey: c.key, StripeSecrets: c.secrets}
		err := cfg.check()
		var refusal *raylink.Error
		if c.lacks == "" && err != nil || c.lacks != "" && (!errors.As(err, &refusal) || !strings.Contains(refusal.Hint, "add "+c.lacks)) {
			t.Errorf("key %q, secrets %q: %v", c.key, c.secrets, err)
		}
	}
}
