package card_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v85/webhook"

	"raylink/billing/card"
	"raylink/billing/card/cardfake"
)

func event(eventType, kind, id string) []byte {
	return fmt.Appendf(nil, `{"id":"evt_1","object":"event","api_version":"2026-03-25.dahlia","livemode":false,"type":%q,"data":{"object":{"id":%q,"object":%q}}}`, eventType, id, kind)
}

func sign(raw []byte, secret string, at time.Time) string {
	return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: raw, Secret: secret, Timestamp: at}).Header
}

func TestOpen(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	good := event("checkout.session.completed", "checkout.session", "cs_1")
	header := sign(good, "whsec_new", now)
	secrets := []string{"whsec_old", "whsec_new"}
	for name, c := range map[string]struct {
		raw     []byte
		header  string
		secrets []string
		now     time.Time
		want    error
	}{
		"good":                          {good, header, secrets, now, nil},
		"signed with the old one":       {good, sign(good, "whsec_old", now), secrets, now, nil},
		"signed with both":              {good, header + "," + strings.SplitN(sign(good, "whsec_old", now), ",", 2)[1], []string{"whsec_old"}, now, nil},
		"unknown parts":                 {good, header + ",v0=abcd,x=y", secrets, now, nil},
		"almost too old":                {good, header, secrets, now.Add(300 * time.Second), nil},
		"replayed":                      {good, header, secrets, now.Add(301 * time.Second), card.ErrReplayed},
		"from the future":               {good, header, secrets, now.Add(-301 * time.Second), card.ErrReplayed},
		"replayed with a new time":      {good, strings.Replace(header, "t=1795000000", "t=1795000600", 1), secrets, now.Add(10 * time.Minute), card.ErrSignature},
		"two times":                     {good, "t=1795000600," + header, secrets, now.Add(10 * time.Minute), card.ErrSignature},
		"forged":                        {good, sign(good, "whsec_guess", now), secrets, now, card.ErrSignature},
		"rotated out":                   {good, sign(good, "whsec_old", now), []string{"whsec_new"}, now, card.ErrSignature},
		"no secrets":                    {good, header, nil, now, card.ErrSignature},
		"an empty secret":               {good, sign(good, "", now), []string{""}, now, card.ErrSignature},
		"no header":                     {good, "", secrets, now, card.ErrSignature},
		"only a time":                   {good, "t=1795000000", secrets, now, card.ErrSignature},
		"only the test scheme":          {good, strings.Replace(header, "v1=", "v0=", 1), secrets, now, card.ErrSignature},
		"not hex":                       {good, "t=1795000000,v1=zz", secrets, now, card.ErrSignature},
		"a huge header":                 {good, header + strings.Repeat(",v1=00", 1000), secrets, now, card.ErrSignature},
		"truncated":                     {good[:len(good)-1], header, secrets, now, card.ErrSignature},
		"with a space more":             {append(bytes.Clone(good), ' '), header, secrets, now, card.ErrSignature},
		"truncated before it is signed": {good[:40], sign(good[:40], "whsec_new", now), secrets, now, card.ErrUnreadable},
		"oversized":                     {bytes.Repeat([]byte(" "), card.MaxBody+1), header, secrets, now, card.ErrTooLarge},
	} {
		notice, err := card.Open(c.raw, c.header, c.secrets, c.now)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, wanted %v", name, err, c.want)
		}
		if c.want == nil && (notice.Object != card.Object{Kind: card.KindSession, ID: "cs_1"} || notice.ID != "evt_1" || notice.Ignored || notice.Live) {
			t.Errorf("%s: %+v", name, notice)
		}
	}
}

func TestOpenKinds(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	for _, c := range []struct {
		raw     []byte
		ignored bool
		want    error
	}{
		{event("charge.dispute.created", "dispute", "du_1"), false, nil},
		{event("refund.failed", "refund", "re_1"), false, nil},
		{event("payment_intent.succeeded", "payment_intent", "pi_1"), false, nil},
		{event("customer.created", "customer", "cus_1"), true, nil}, // no concern of ours
		{event("charge.refunded", "charge", "ch_1"), true, nil},     // refund.created says it
		{bytes.Replace(event("refund.created", "refund", "re_1"), []byte("2026-03-25.dahlia"), []byte("2019-12-03"), 1), false, nil},
		{bytes.Replace(event("refund.created", "refund", "re_1"), []byte(`"object":"event"`), []byte(`"object":"v2.core.event"`), 1), true, nil},
		{bytes.Replace(event("refund.created", "refund", "re_1"), []byte(`"livemode"`), []byte(`"account":"acct_1","livemode"`), 1), true, nil},
		{event("refund.created", "refund", ""), false, card.ErrUnreadable},
		{event("refund.created", "refund", "../balance"), false, card.ErrUnreadable},
		{event("refund.created", "customer", "cus_1"), false, card.ErrUnreadable},
		{[]byte(`[]`), false, card.ErrUnreadable},
		{[]byte(`{}`), true, nil},
	} {
		notice, err := card.Open(c.raw, sign(c.raw, testSecret, now), []string{testSecret}, now)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || notice.Ignored != c.ignored {
			t.Errorf("%s: %+v, %v", c.raw, notice, err)
		}
	}
}

func TestReadBody(t *testing.T) {
	if raw, err := card.ReadBody(strings.NewReader(strings.Repeat("x", card.MaxBody))); err != nil || len(raw) != card.MaxBody {
		t.Errorf("64 KiB: %d, %v", len(raw), err)
	}
	if _, err := card.ReadBody(io.LimitReader(endless{}, 1<<40)); !errors.Is(err, card.ErrTooLarge) {
		t.Errorf("1 TiB: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestDelivered lets the fake post its events over HTTP to a handler as a coordinator has one, whose first answer is lost.
func TestDelivered(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	heard, done := 0, make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		raw, err := card.ReadBody(r.Body)
		if err == nil {
			err = b.hear(raw, r.Header.Get(card.SignatureHeader))
		}
		if err != nil {
			t.Errorf("hearing an event: %v", err)
		}
		if heard++; heard == 1 {
			w.WriteHeader(http.StatusBadGateway) // it was heard, but the provider does not learn it
		}
		if heard == 5 {
			close(done)
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	session := b.topup("t1", "ada", 5000)
	go func() {
		defer close(ended)
		b.fake.Run(ctx, server.URL)
	}()
	b.pay(session, cardfake.CardDisputed) // 4 events, the first of them twice
	<-done
	cancel()
	<-ended
	check := func() {
		t.Helper()
		b.want("tenant-card:ada", 0)
		b.want("treasury:card", -5000)
		if got := b.book.Disputes("ada"); len(got) != 1 || got[0].Frozen.Minor != 50_000_000 {
			t.Errorf("disputes: %+v", got)
		}
	}
	check()
	again := b.fake.Events()
	slices.Reverse(again)
	if err := b.fake.Deliver(t.Context(), server.URL, again...); err != nil {
		t.Fatal(err)
	}
	check()
	if heard != 9 {
		t.Errorf("heard %d events, wanted 9", heard)
	}
}
