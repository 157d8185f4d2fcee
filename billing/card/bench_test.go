package card_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"raylink/billing/card"
	"raylink/billing/card/cardfake"
	"raylink/billing/cardbook"
	"raylink/billing/ledger"
	"raylink/billing/money"
)

const (
	testKey    = "sk_test_bench"
	testSecret = "whsec_bench_secret"
)

// bench is a whole way of money: the fake provider behind real HTTP, our client, the book and the ledger.
type bench struct {
	t      *testing.T
	fake   *cardfake.Fake
	url    string
	client *card.Client
	book   *cardbook.Book
	ledger *ledger.Ledger
	now    time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	fake, err := cardfake.New(cardfake.Config{Key: testKey, Secret: testSecret, Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	transport := &http.Transport{DisableKeepAlives: true} // on a connection used before, net/http itself repeats a request that was lost
	return &bench{
		t: t, fake: fake, url: server.URL, client: newClient(t, server.URL, testKey, transport), book: cardbook.New(), ledger: ledger.New(),
		now: time.Now().UTC().Round(0),
	}
}

func newClient(t *testing.T, base, secret string, transport http.RoundTripper) *card.Client {
	t.Helper()
	key, err := card.ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	client, err := card.New(card.Config{
		Key: key, BaseURL: base, SuccessURL: "http://127.0.0.1:7443/money?paid=1", CancelURL: "http://127.0.0.1:7443/money", Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// topup asks for a top-up and opens its checkout; it returns the session.
func (b *bench) topup(id, account string, cents int64) string {
	b.t.Helper()
	t, err := b.book.Request(b.now, id, account, cardbook.FromCents(cents), false)
	if err != nil {
		b.t.Fatal(err)
	}
	checkout, err := b.client.Create(b.t.Context(), t)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.book.Opened(id, checkout.Session); err != nil {
		b.t.Fatal(err)
	}
	return checkout.Session
}

func (b *bench) pay(session, number string) {
	b.t.Helper()
	if err := b.fake.Pay(session, number); err != nil {
		b.t.Fatal(err)
	}
}

// payment is the payment that paid the top-up.
func (b *bench) payment(topup string) string {
	b.t.Helper()
	t, _ := b.book.Topup(topup)
	if t.Payment == "" {
		b.t.Fatalf("top-up %s is not paid: %+v", topup, t)
	}
	return t.Payment
}

func (b *bench) apply(fact cardbook.Fact) {
	b.t.Helper()
	moves, err := b.book.Apply(b.now, fact, b.ledger)
	if err != nil {
		b.t.Fatal(err)
	}
	b.post(moves)
}

func (b *bench) post(moves []cardbook.Movement) {
	b.t.Helper()
	for _, m := range moves {
		if _, err := b.ledger.Post(b.now, m.Kind, m.Ref, m.Postings, m.Note); err != nil {
			b.t.Fatal(err)
		}
	}
	var sum int64
	for _, a := range b.ledger.Accounts() {
		sum += a.Balance.Minor
	}
	if sum != 0 {
		b.t.Fatalf("the books sum to %d", sum)
	}
}

// hear does what a coordinator does with a webhook: opens it, fetches the object, applies the fact.
func (b *bench) hear(raw []byte, header string) error {
	notice, err := card.Open(raw, header, []string{testSecret}, time.Now())
	if err != nil || notice.Ignored {
		return err
	}
	fact, err := b.client.Fetch(context.Background(), notice.Object)
	if err != nil {
		return err
	}
	moves, err := b.book.Apply(b.now, fact, b.ledger)
	if err != nil {
		return err
	}
	b.post(moves)
	return nil
}

// hearAll hears the events that came since the one numbered `after`.
func (b *bench) hearAll(after int) int {
	b.t.Helper()
	events := b.fake.Events()
	for _, event := range events[after:] {
		if err := b.hear(event.Body, b.fake.Sign(event, time.Now())); err != nil {
			b.t.Fatalf("%s: %v", event.Type, err)
		}
	}
	return len(events)
}

func (b *bench) want(account string, cents int64) {
	b.t.Helper()
	if got := b.ledger.Balance(account, money.USD); got != cents*cardbook.MicroPerCent {
		b.t.Fatalf("%s has %v, wanted %v", account, money.MicroUSD(got), cardbook.FromCents(cents))
	}
}

func (b *bench) accounts() string { return fmt.Sprint(b.ledger.Accounts()) }
