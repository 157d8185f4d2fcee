package api

import (
	"strings"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/coordinator/state"
	"raylink/raylink/wire"
)

// TestAlarm: what leaves our token account by nobody's order is the first that an admin is told of the treasury, until it is explained.
func TestAlarm(t *testing.T) {
	r := newRig(t)
	treasury := func() (v wire.Treasury) {
		r.call("admin", "GET", "/v1/treasury", nil).into(t, &v)
		return v
	}
	if v := treasury(); len(v.Alarms) != 0 {
		t.Fatalf("an alarm without a reason: %v", v.Alarms)
	}
	r.apply(time.Now(), &state.ObserveDeposit{Observation: deposit.Observation{Signature: "theft", After: "sig", Account: address("ours"), Mint: address("usdc"),
		Program: address("token"), Decimals: 6, Delta: -1_500_000, Witnesses: []string{"first"}}})
	v := treasury()
	if len(v.Alarms) != 1 || !strings.Contains(v.Alarms[0], "transaction theft took 1.500000 USDC out of "+address("ours")) {
		t.Errorf("alarms %q", v.Alarms)
	}
	if len(v.Ignored) == 0 || v.Ignored[0].Key != "theft/"+address("ours") {
		t.Errorf("it is not among what credits nobody: %+v", v.Ignored)
	}
}
