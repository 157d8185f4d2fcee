package card_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"raylink/billing/card"
	"raylink/billing/card/cardfake"
	"raylink/billing/cardbook"
)

func TestCheckoutIsMadeOnce(t *testing.T) {
	b := newBench(t)
	asked, err := b.book.Request(b.now, "t1", "ada", cardbook.FromCents(2512), false)
	if err != nil {
		t.Fatal(err)
	}
	b.fake.Fail(cardfake.FaultLost, cardfake.FaultGarbage, cardfake.FaultDropped, cardfake.FaultDown, cardfake.FaultBusy)
	for n, want := range []error{card.ErrUnknownOutcome, card.ErrUnknownOutcome, card.ErrUnknownOutcome, card.ErrUnknownOutcome, card.ErrRateLimit} {
		if _, err := b.client.Create(t.Context(), asked); !errors.Is(err, want) {
			t.Fatalf("fault %d: %v, wanted %v", n, err, want)
		}
	}
	first, err := b.client.Create(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := b.book.Opened("t1", first.Session)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.client.Create(t.Context(), opened) // by now it is found by its session
	if err != nil || first != second {
		t.Fatalf("%+v, then %+v, %v", first, second, err)
	}
	if !strings.HasPrefix(first.URL, b.url+"/pay/") || first.Expires.Unix() != asked.Expires.Unix() {
		t.Errorf("checkout: %+v", first)
	}
	facts, err := b.client.Sessions(t.Context(), b.now.Add(-time.Minute), b.now.Add(time.Minute))
	if err != nil || len(facts) != 1 || facts[0].Session.ID != first.Session || facts[0].Topup != "t1" {
		t.Fatalf("sessions: %+v, %v", facts, err)
	}
	changed := asked
	changed.Amount = cardbook.FromCents(9999)
	if _, err := b.client.Create(t.Context(), changed); !errors.Is(err, card.ErrIdempotency) {
		t.Errorf("the same top-up with another amount: %v", err)
	}
	var refused *card.RefusedError
	late := asked
	late.ID, late.Expires = "t2", time.Now().Add(time.Minute)
	if _, err := b.client.Create(t.Context(), late); !errors.As(err, &refused) || refused.Code != "late" {
		t.Errorf("late: %v", err)
	}
	live := asked
	live.Live = true
	if _, err := b.client.Create(t.Context(), live); !errors.As(err, &refused) || refused.Code != "mode" {
		t.Errorf("live: %v", err)
	}
	if err := b.fake.Expire(first.Session); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Create(t.Context(), opened); !errors.As(err, &refused) || refused.Code != "over" {
		t.Errorf("expired: %v", err)
	}
}

func TestWrongKey(t *testing.T) {
	b := newBench(t)
	client := newClient(t, b.url, "sk_test_another", nil)
	_, err := client.Fetch(t.Context(), card.Object{Kind: card.KindSession, ID: "cs_test_1"})
	if !errors.Is(err, card.ErrAuth) || strings.Contains(err.Error(), "sk_test_another") {
		t.Errorf("wrong key: %v", err)
	}
}

func TestFetch(t *testing.T) {
	b := newBench(t)
	session := b.topup("t1", "ada", 5000)
	fact, err := b.client.Fetch(t.Context(), card.Object{Kind: card.KindSession, ID: session})
	if err != nil || fact.Payment != nil || fact.Session.Status != "open" || fact.Topup != "t1" || fact.Live {
		t.Fatalf("open: %+v, %v", fact, err)
	}
	b.pay(session, cardfake.CardSlow)
	fact, err = b.client.Fetch(t.Context(), card.Object{Kind: card.KindSession, ID: session})
	if err != nil || fact.Session.Status != "complete" || fact.Payment.Received != 0 {
		t.Fatalf("complete, not paid: %+v, %v", fact, err)
	}
	b.apply(fact)
	b.want("tenant-card:ada", 0)
	if err := b.fake.Settle(session, true); err != nil {
		t.Fatal(err)
	}
	fact, err = b.client.Fetch(t.Context(), card.Object{Kind: card.KindSession, ID: session})
	if err != nil || *fact.Payment != (cardbook.PaymentFact{ID: fact.Payment.ID, Status: "succeeded", Received: 5000, Currency: "usd"}) {
		t.Fatalf("paid: %+v, %v", fact, err)
	}
	b.apply(fact)
	b.want("tenant-card:ada", 5000)
	payment := b.payment("t1")
	made, err := b.fake.RefundOutside(payment, 300)
	if err != nil {
		t.Fatal(err)
	}
	contested, err := b.fake.Dispute(payment, 4700)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []card.Object{{Kind: card.KindRefund, ID: made}, {Kind: card.KindDispute, ID: contested}, {Kind: card.KindPayment, ID: payment}} {
		fact, err := b.client.Fetch(t.Context(), object)
		if err != nil || fact.Topup != "t1" || fact.Payment == nil || fact.Payment.ID != payment || fact.Payment.Received != 5000 {
			t.Fatalf("%v: %+v, %v", object, fact, err)
		}
		if object.Kind != card.KindDispute && (len(fact.Refunds) != 1 || fact.Refunds[0] != (cardbook.RefundFact{ID: made, Amount: 300, Currency: "usd", Status: "succeeded"})) {
			t.Errorf("%v: %+v", object, fact.Refunds)
		}
		if object.Kind != card.KindRefund && (len(fact.Disputes) != 1 || fact.Disputes[0].ID != contested || fact.Disputes[0].Amount != 4700 ||
			fact.Disputes[0].Status != "needs_response" || fact.Disputes[0].Reason != "fraudulent") {
			t.Errorf("%v: %+v", object, fact.Disputes)
		}
	}
	for _, object := range []card.Object{{Kind: card.KindRefund, ID: "re_none"}, {Kind: card.KindPayment, ID: "../v1/charges"}, {Kind: "charge", ID: "ch_1"}, {Kind: card.KindSession}} {
		if _, err := b.client.Fetch(t.Context(), object); !errors.Is(err, card.ErrNotFound) {
			t.Errorf("%v: %v", object, err)
		}
	}
}

func TestFailedSlowPaymentEndsTheTopup(t *testing.T) {
	b := newBench(t)
	session := b.topup("t1", "ada", 5000)
	b.pay(session, cardfake.CardSlow)
	heard := b.hearAll(0)
	if err := b.fake.Settle(session, false); err != nil {
		t.Fatal(err)
	}
	b.hearAll(heard)
	if got, _ := b.book.Topup("t1"); got.State != cardbook.Expired {
		t.Errorf("top-up: %+v", got)
	}
}

func TestForeignSessionsAreLeftAlone(t *testing.T) {
	b := newBench(t)
	form := url.Values{
		"mode": {"payment"}, "line_items[0][quantity]": {"1"}, "line_items[0][price_data][currency]": {"usd"},
		"line_items[0][price_data][unit_amount]": {"5000"}, "success_url": {"https://shop.example/"}, "expires_at": {fmt.Sprint(time.Now().Add(time.Hour).Unix())},
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v1/checkout/sessions", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	_, rest, _ := strings.Cut(string(text), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	if _, err := b.client.Fetch(t.Context(), card.Object{Kind: card.KindSession, ID: id}); !errors.Is(err, cardbook.ErrForeign) {
		t.Errorf("a session without our metadata: %v (%s)", err, text)
	}
	if facts, err := b.client.Sessions(t.Context(), b.now.Add(-time.Minute), b.now.Add(time.Minute)); err != nil || len(facts) != 0 {
		t.Errorf("listed: %+v, %v", facts, err)
	}
}

func TestSessionsComeInPages(t *testing.T) {
	b := newBench(t)
	for n := range 203 {
		b.topup(fmt.Sprintf("t%d", n), fmt.Sprintf("a%d", n), 100)
	}
	facts, err := b.client.Sessions(t.Context(), b.now.Add(-time.Minute), b.now.Add(time.Minute))
	if err != nil || len(facts) != 203 || facts[0].Topup != "t202" || facts[202].Topup != "t0" {
		t.Fatalf("%d sessions, %v", len(facts), err)
	}
	if facts, err := b.client.Sessions(t.Context(), b.now.Add(-time.Hour), b.now.Add(-time.Minute)); err != nil || len(facts) != 0 {
		t.Fatalf("before: %d sessions, %v", len(facts), err)
	}
}

func TestRefundIsMadeOnce(t *testing.T) {
	b := newBench(t)
	b.fake.SlowRefunds(true)
	b.pay(b.topup("t1", "ada", 5000), cardfake.CardGood)
	heard := b.hearAll(0)
	parts, moves, err := b.book.RequestRefund(b.now, "r1", "ada", cardbook.FromCents(1200), b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	b.post(moves)
	b.fake.Fail("", cardfake.FaultLost) // the refunds so far are read, then one is made and nobody learns of it
	if _, err := b.client.Refund(t.Context(), parts[0]); !errors.Is(err, card.ErrUnknownOutcome) {
		t.Fatalf("lost: %v", err)
	}
	for range 3 {
		fact, err := b.client.Refund(t.Context(), parts[0])
		if err != nil {
			t.Fatal(err)
		}
		b.apply(fact)
	}
	b.want("refund:r1.1", 1200)
	pending := b.book.PendingRefunds(10)
	if len(pending) != 1 || pending[0].Provider == "" {
		t.Fatalf("pending: %+v", pending)
	}
	if err := b.fake.SettleRefund(pending[0].Provider, "succeeded"); err != nil {
		t.Fatal(err)
	}
	b.hearAll(heard)
	b.want("refund:r1.1", 0)
	b.want("tenant-card:ada", 3800)
	b.want("treasury:card", -3800)
}

func TestRefundThatIsRefused(t *testing.T) {
	b := newBench(t)
	b.pay(b.topup("t1", "ada", 5000), cardfake.CardGood)
	b.hearAll(0)
	parts, moves, err := b.book.RequestRefund(b.now, "r1", "ada", cardbook.FromCents(5000), b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	b.post(moves)
	if _, err := b.fake.RefundOutside(b.payment("t1"), 2000); err != nil { // somebody was quicker, by hand
		t.Fatal(err)
	}
	var refused *card.RefusedError
	if _, err := b.client.Refund(t.Context(), parts[0]); !errors.As(err, &refused) || refused.Code != "amount_too_large" {
		t.Fatalf("refund of what has gone: %v", err)
	}
	moves, err = b.book.RefuseRefund(b.now, parts[0].ID, refused.Code, b.ledger)
	if err != nil {
		t.Fatal(err)
	}
	b.post(moves)
	fact, err := b.client.Fetch(t.Context(), card.Object{Kind: card.KindPayment, ID: b.payment("t1")})
	if err != nil {
		t.Fatal(err)
	}
	b.apply(fact)
	b.want("tenant-card:ada", 3000)
	b.want("treasury:card", -3000)
}

func TestNewRefusesWhatIsNotSafe(t *testing.T) {
	test, _ := card.ParseKey("sk_test_1234")
	live, _ := card.ParseKey("rk_live_1234")
	good := card.Config{Key: test, BaseURL: "http://127.0.0.1:1", SuccessURL: "https://ray.example/ok", CancelURL: "https://ray.example/no"}
	if client, err := card.New(good); err != nil || client.Live() || client.String() != "Stripe (test key)" {
		t.Fatalf("good: %v, %v", client, err)
	}
	for name, change := range map[string]func(c *card.Config){
		"no key":             func(c *card.Config) { c.Key = card.Key{} },
		"http far away":      func(c *card.Config) { c.BaseURL = "http://stripe.example" },
		"live key, fake":     func(c *card.Config) { c.Key = live },
		"script":             func(c *card.Config) { c.SuccessURL = "javascript:alert(1)" },
		"password in URL":    func(c *card.Config) { c.CancelURL = "https://a:b@ray.example/" },
		"no success URL":     func(c *card.Config) { c.SuccessURL = "" },
		"localhost, ftp":     func(c *card.Config) { c.BaseURL = "ftp://localhost/" },
		"looks like a local": func(c *card.Config) { c.BaseURL = "http://localhost.example" },
	} {
		bad := good
		change(&bad)
		if _, err := card.New(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if client, err := card.New(card.Config{Key: live, SuccessURL: good.SuccessURL, CancelURL: good.CancelURL}); err != nil || client.String() != "Stripe (live key)" {
		t.Errorf("live: %v, %v", client, err)
	}
}
