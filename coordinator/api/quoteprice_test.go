package api

import (
	"crypto/ed25519"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/billing/price"
	"raylink/coordinator/state"
	"raylink/raylink/wire"
)

// TestQuoteNamesThePriceOfIO: the price at which a quote was made is under the signature, like all else in it; and where none is believed, none is named.
func TestQuoteNamesThePriceOfIO(t *testing.T) {
	r := newRig(t)
	quote := func(pay string) (q wire.Quote) {
		r.call("ada", "POST", "/v1/quotes", wire.QuoteRequest{Manifest: r.manifest, Pay: pay}).into(t, &q)
		signed, err := wire.QuoteBytes(q)
		if err != nil || !ed25519.Verify(q.Contract.Key, signed, q.Contract.Signature) {
			t.Fatalf("the signature does not fit: %v", err)
		}
		return q
	}
	policy := price.Default()
	policy.Sources = []string{"pyth", "jupiter"}
	r.apply(time.Now(), &state.SetPricePolicy{Policy: policy}, &state.HaltPrice{Reason: "a look at it"})
	if q := quote("usdc"); q.PriceIO != 0 {
		t.Errorf("nobody believes a price, and the quote names %v", q.PriceIO)
	}
	r.apply(time.Now(), &state.HaltPrice{})
	for _, s := range []price.Sample{{Source: "pyth", Price: 250_000_000_000}, {Source: "jupiter", Price: 252_000_000_000}} {
		s.ObservedAt = time.Now()
		r.apply(time.Now(), &state.SetPrice{Sample: s})
	}
	for _, pay := range []string{"usdc", "grant"} {
		q := quote(pay)
		if want := money.Price(251_000_000_000); q.PriceIO != want { // the median of both
			t.Errorf("paid by %s: %v, want %v", pay, q.PriceIO, want)
		}
		q.PriceIO++
		if signed, err := wire.QuoteBytes(q); err != nil || ed25519.Verify(q.Contract.Key, signed, q.Contract.Signature) {
			t.Errorf("paid by %s: another price fits the same signature, %v", pay, err)
		}
	}
}
