package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/coordinator/consensus"
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

// TestChainDiffers: an admin sees at once that a node's word and the books differ, and is alarmed when that lasts, but not by what is just being taken in.
func TestChainDiffers(t *testing.T) {
	r := newRig(t)
	var said Holdings
	(&Leader{Group: r.group, Memory: r.memory, Chain: func() Holdings { return said }}).Register(func(method string, h consensus.Handler) { r.group.calls[method] = h })
	of := func(minor int64) map[money.Asset]int64 { return map[money.Asset]int64{money.USDC: minor} }
	treasury := func() (usdc wire.Position, alarms string) {
		var v wire.Treasury
		r.call("admin", "GET", "/v1/treasury", nil).into(t, &v)
		for _, p := range v.Positions {
			if p.Asset == money.USDC {
				usdc = p
			}
		}
		return usdc, strings.Join(v.Alarms, "; ")
	}
	quiet, _ := treasury()
	if quiet.OnChain != nil {
		t.Fatalf("nobody has asked a node: %v", quiet.OnChain)
	}
	books, start := quiet.Chain.Minor, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		after            time.Duration
		node             map[money.Asset]int64
		shown, alarmedAt int64 // minor units; -1 for none
	}{
		{0, of(books), books, -1},
		{5 * time.Second, of(books + 3), books + 3, -1}, // final, and not taken in yet
		{10 * time.Second, of(books), books, -1},
		{20 * time.Second, of(books - 1_000_000), books - 1_000_000, -1},
		{50 * time.Second, nil, -1, -1}, // no answer, which ends nothing
		{79 * time.Second, of(books - 1_000_000), books - 1_000_000, -1},
		{80 * time.Second, of(books - 1_500_000), books - 1_500_000, books - 1_500_000},
		{85 * time.Second, of(books), books, -1},
		{200 * time.Second, of(books - 1), books - 1, -1}, // counted anew
	} {
		next := Holdings{Amounts: c.node, Books: of(books), At: start.Add(c.after)}
		next.Since(said)
		said = next
		p, alarms := treasury()
		if (p.OnChain == nil) != (c.shown < 0) || (p.OnChain != nil && p.OnChain.Minor != c.shown) {
			t.Errorf("after %s: shown %v, want %d", c.after, p.OnChain, c.shown)
		}
		want := ""
		if c.alarmedAt >= 0 {
			want = fmt.Sprintf("our account of USDC holds %v as a node says, and %v by the books: they differ since 2026-01-02T03:04:25Z",
				money.Amount{Minor: c.alarmedAt, Asset: money.USDC}, quiet.Chain)
		}
		if (want == "") != (alarms == "") || !strings.Contains(alarms, want) {
			t.Errorf("after %s: alarms %q, want %q", c.after, alarms, want)
		}
	}
	// A reading from before the books moved is not held against them.
	said.Books = of(books + 1)
	if p, _ := treasury(); p.OnChain != nil {
		t.Errorf("an old reading is shown: %v", p.OnChain)
	}
}
