package api

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/wallet"
	"raylink/coordinator/consensus"
	"raylink/coordinator/state"
	"raylink/raylink"
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

// TestSignerLate: a batch that no signer signs, because it is away or its own caps are lower, is an alarm after five minutes, with the ways out; whoever waits
// for the money sees what for.
func TestSignerLate(t *testing.T) {
	for minutes, alarms := range map[time.Duration]int{4: 0, 6: 1} {
		r := newRig(t)
		ada, then, theirs := id[raylink.AccountID]("acc", "ada"), time.Now().Add(-minutes*time.Minute), wallet.Encode(publicOf("adaw"))
		r.group.s.Now = then
		proof := wallet.Text("group", string(ada), theirs, "nonce-of-ada-one")
		r.apply(then, &state.ChallengeWallet{Account: ada, Nonce: "nonce-of-ada-one"},
			&state.ProveWallet{Account: ada, Address: theirs, Nonce: "nonce-of-ada-one", Group: "group", Signature: wallet.Encode(ed25519.Sign(keyOf("adaw"), []byte(proof)))},
			&state.CheckDestination{Wallet: theirs, Asset: money.USDC, Seen: payout.Existence{TokenAccount: address("theirs"), Exists: true}},
			&state.RequestPayout{By: "x", Request: payout.Request{ID: "wd-late", Kind: payout.Withdrawal, Account: string(ada), Asset: money.USDC, Amount: 1_500_000, Wallet: theirs}},
			&state.MakeBatch{Asset: money.USDC, Aside: true})
		var v wire.Treasury
		r.call("admin", "GET", "/v1/treasury", nil).into(t, &v)
		want := "batch pb-00000001 of 1 payment(s), 1.500000 USDC in all, has waited for a signature since " + then.UTC().Format(time.RFC3339)
		if len(v.InFlight) != 1 || len(v.Alarms) != alarms || alarms > 0 && (!strings.HasPrefix(v.Alarms[0], want) ||
			!strings.Contains(v.Alarms[0], "--usdc-per-payment and --usdc-per-hour") || !strings.HasSuffix(v.Alarms[0], "`raylink admin payout cancel wd-late`")) {
			t.Errorf("after %d minutes: alarms %q, in flight %+v", minutes, v.Alarms, v.InFlight)
		}
		var list []payout.Payout
		r.call("ada", "GET", "/v1/payouts", nil).into(t, &list)
		if len(list) != 1 || list[0].Code != payout.WaitsForSigner {
			t.Errorf("payouts %+v", list)
		}
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
