package api

import (
	"crypto/ed25519"
	"encoding/json"
	"testing"

	"raylink/billing/money"
	"raylink/raylink/wire"
)

// TestQuoteIsAContract: a quote is signed by the group, and a repeated request gets the same one only if it asks for the same.
func TestQuoteIsAContract(t *testing.T) {
	r := newRig(t)
	five, six := money.MicroUSD(5_000_000), money.MicroUSD(6_000_000)
	var first, again wire.Quote
	for _, into := range []*wire.Quote{&first, &again} {
		got := r.call("ada", "POST", "/v1/quotes", wire.QuoteRequest{Manifest: r.manifest, Budget: &five}, "Idempotency-Key", "once")
		if err := json.Unmarshal(got.body, into); err != nil || got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if first.ID != again.ID || first.Maximum == nil || *first.Maximum != five {
		t.Errorf("%s with a maximum of %v, then %s", first.ID, first.Maximum, again.ID)
	}
	signed, err := wire.QuoteBytes(first)
	if err != nil || !ed25519.Verify(first.Contract.Key, signed, first.Contract.Signature) {
		t.Errorf("the signature does not fit: %v", err)
	}
	for what, other := range map[string]wire.QuoteRequest{
		"no budget": {Manifest: r.manifest}, "another budget": {Manifest: r.manifest, Budget: &six}, "another purse": {Manifest: r.manifest, Budget: &five, Pay: "usdc"},
	} {
		if got := r.call("ada", "POST", "/v1/quotes", other, "Idempotency-Key", "once"); got.status != 409 {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
}

// TestBudgetsAreTheOwners: an admin may make another's cluster cost less, and not more.
func TestBudgetsAreTheOwners(t *testing.T) {
	r := newRig(t)
	path := "/v1/clusters/" + string(cluster) + "/budget"
	set := func(who string, minor int64) int {
		return r.call(who, "PUT", path, wire.BudgetRequest{Budget: money.MicroUSD(minor)}).status
	}
	for _, c := range []struct {
		who   string
		minor int64
		want  int
	}{{"ada", 5_000_000, 200}, {"admin", 4_000_000, 200}, {"admin", 6_000_000, 403}, {"admin", 0, 403}, {"ada", 6_000_000, 200}, {"ada", 0, 200}, {"bob", 1_000_000, 404}} {
		if got := set(c.who, c.minor); got != c.want {
			t.Errorf("%s sets %d: %d, want %d", c.who, c.minor, got, c.want)
		}
	}
}
