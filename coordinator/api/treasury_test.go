package api

import (
	"strings"
	"testing"

	"raylink/raylink/wire"
)

// TestTreasuryStays: an admin cannot name another account or wallet while the one that is there holds tokens, which nobody would watch or count any more; the
// bounds of deposits he may change.
func TestTreasuryStays(t *testing.T) {
	r := newRig(t)
	moved, none := treasury(), treasury()[:0]
	moved[0].Account, moved[0].Wallet = address("ours now"), address("wallet now")
	for what, next := range map[string]wire.TreasuryRequest{"another account": {Chain: "local", Treasury: moved}, "none": {Chain: "local", Treasury: none}} {
		a := r.call("admin", "PUT", "/v1/treasury", next)
		if text := string(a.body); a.status != 409 || !strings.Contains(text, address("ours")+" holds 2.000000 USDC") || !strings.Contains(text, "withdrawals") {
			t.Errorf("%s: %d %s", what, a.status, text)
		}
	}
	var v wire.Treasury
	r.call("admin", "PUT", "/v1/treasury", wire.TreasuryRequest{Chain: "devnet", Treasury: treasury()}).into(t, &v)
	if v.Chain != "devnet" || len(v.Mints) != 1 || v.Mints[0] != treasury()[0] {
		t.Errorf("after a change of the rest: %s, %+v", v.Chain, v.Mints)
	}
}
