package api

import (
	"encoding/json"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink/wire"
)

// TestRewind: an admin has a token account's history read again, all of it or from a deposit on, and nothing is credited twice.
func TestRewind(t *testing.T) {
	r := newRig(t)
	seen := func(signature, after string) deposit.Observation {
		return deposit.Observation{Signature: signature, After: after, Account: address("ours"), Mint: address("usdc"), Program: address("token"), Decimals: 6,
			Delta: 4_000_000, Witnesses: []string{"first"}}
	}
	look := func() (cursor string, chain int64) {
		r.group.Read(func(s *state.State) {
			cursor, chain = s.Deposits.Cursors[address("ours")].Signature, -s.Ledger.Balance(ledger.TreasuryChain, money.USDC)
		})
		return cursor, chain
	}
	r.apply(time.Now(), &state.ObserveDeposit{Observation: seen("next", "sig")})
	last, held := look()
	if last != "next" {
		t.Fatalf("read up to %q", last)
	}
	for _, c := range []struct {
		request wire.RewindRequest
		status  int
		cursor  string
	}{
		{wire.RewindRequest{Asset: money.USDC, Signature: "unheard-of"}, 404, "next"},
		{wire.RewindRequest{Asset: money.IO}, 404, "next"}, // there is no account of it
		{wire.RewindRequest{Asset: money.USDC, Signature: "sig"}, 200, "sig"},
		{wire.RewindRequest{Asset: money.USDC}, 200, ""},
	} {
		got := r.call("admin", "POST", "/v1/treasury/rewind", c.request)
		if cursor, _ := look(); got.status != c.status || cursor != c.cursor {
			t.Errorf("%+v: %d %s, read up to %q", c.request, got.status, got.body, cursor)
		}
	}
	// It is all read again.
	for _, o := range []deposit.Observation{seen("sig", ""), seen("next", "sig")} {
		raw, err := state.Encode("leader", "", &state.ObserveDeposit{Observation: o})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.group.at(time.Now(), json.RawMessage(raw)); err != nil {
			t.Fatal(err)
		}
	}
	if cursor, chain := look(); cursor != "next" || chain != held {
		t.Errorf("read up to %q; the account holds %d by the books, and %d before", cursor, chain, held)
	}
}
