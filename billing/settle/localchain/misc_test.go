package localchain_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
)

func encode(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

func decode(t testing.TB, text string) []byte {
	t.Helper()
	return got[[]byte](t)(base64.StdEncoding.DecodeString(text))
}

// TestDesk: a swap moves both tokens at the desk's price, in one transaction.
func TestDesk(t *testing.T) {
	h := newHouse(t, start(t))
	io := got[chain.Mint](t)(h.CreateMint(h.ctx, h.authority, money.IO, 8))
	desk := localchain.Desk{Key: got[ed25519.PrivateKey](t)(h.NewWallet(h.ctx)), USDC: h.usdc, IO: io, Price: 250_000_000_000} // 0.25 USD
	deskUSDC, deskIO := h.open(desk.Key), got[chain.Address](t)(h.CreateTokenAccount(h.ctx, h.authority, localchain.AddressOf(desk.Key), io))
	ours := got[chain.Address](t)(h.CreateTokenAccount(h.ctx, h.authority, localchain.AddressOf(h.treasury), io))
	_, err := h.MintTo(h.ctx, h.authority, io, deskIO, 100_00000000)
	must(t, err)
	swapped, err := h.Swap(h.ctx, desk, h.treasury, 2_000_000)
	must(t, err)
	if swapped.IO != 8_00000000 || swapped.USDC != 2_000_000 {
		t.Fatalf("swapped %+v, wanted 8 IO for 2 USDC", swapped)
	}
	if a, b := h.final(ours), h.final(deskUSDC); a != 8_00000000 || b != 2_000_000 {
		t.Fatalf("we hold %d IO, the desk %d USDC", a, b)
	}
	if effect := got[chain.Effect](t)(h.Client().Effect(h.ctx, swapped.Signature, h.account)); effect.Delta != -2_000_000 {
		t.Fatalf("effect %+v", effect)
	}
	if _, err := h.Swap(h.ctx, desk, h.treasury, 24_000_000); err == nil { // 96 IO, it has 92
		t.Fatal("the desk gave more than it has")
	}
	if left := h.final(h.account); left != thousand-2_000_000 {
		t.Fatalf("a swap that was refused took USDC: %d left", left)
	}
}

// TestCheck: only the configured mint, as it is.
func TestCheck(t *testing.T) {
	h := newHouse(t, start(t))
	must(t, h.TickFinal(h.ctx))
	must(t, h.Client().Check(h.ctx, h.usdc))
	change := func(f func(*chain.Mint)) chain.Mint { m := h.usdc; f(&m); return m }
	odd := got[chain.Mint](t)(h.CreateMint(h.ctx, h.authority, money.USDC, 9))
	odd.Decimals = 6
	must(t, h.TickFinal(h.ctx))
	bad := map[string]chain.Mint{
		"an account":          change(func(m *chain.Mint) { m.Address = h.account }),
		"nothing there":       change(func(m *chain.Mint) { m.Address = localchain.AddressOf(localchain.NewKey()) }),
		"another program":     change(func(m *chain.Mint) { m.Program = solana.Token2022Program }),
		"decimals differ":     odd,
		"asset's decimals":    change(func(m *chain.Mint) { m.Decimals = 9 }),
		"asset with another":  change(func(m *chain.Mint) { m.Asset = money.IO }),
		"mainnet's elsewhere": solana.Mainnet().USDC,
		"no address":          solana.Devnet().IO,
	}
	for name, mint := range bad {
		if err := h.Client().Check(h.ctx, mint); err == nil {
			t.Errorf("%s: the mint was taken", name)
		}
	}
	if err := h.Client().CheckGenesis(h.ctx, solana.Mainnet().Genesis); err == nil {
		t.Error("the local chain passes for mainnet")
	}
}

// TestLongHistory: more transactions than one page, read whole and in pieces.
func TestLongHistory(t *testing.T) {
	h := newHouse(t, start(t))
	payer := got[ed25519.PrivateKey](t)(h.NewWallet(h.ctx))
	h.fund(h.open(payer), 10_000)
	const n = 2300
	var want []chain.Signature
	for i := range n {
		if i%500 == 0 {
			h.tick(1)
		}
		payment := localchain.Payment{From: payer, To: localchain.AddressOf(h.treasury), Mint: h.usdc, Amount: int64(1 + i)}
		if i >= 139 { // 1+2+…+139 is below 10,000: then only nothing is sent, with a memo
			payment.Amount, payment.Memo = 0, strings.Repeat("x", 1+i%5)+string(rune('a'+i%26))+time.Duration(i).String()
		}
		want = append(want, got[chain.Signature](t)(h.Pay(h.ctx, payment)))
	}
	must(t, h.TickFinal(h.ctx))
	all := got[[]chain.Signature](t)(h.Client().History(h.ctx, h.account, "", 10_000))
	begin := len(all) - n
	for i := range want {
		if all[begin+i] != want[i] {
			t.Fatalf("transaction %d is at another place", i)
		}
	}
	piece := got[[]chain.Signature](t)(h.Client().History(h.ctx, h.account, want[99], 50))
	if len(piece) != 50 || piece[0] != want[100] || piece[49] != want[149] {
		t.Fatalf("%d from the hundredth on", len(piece))
	}
}

// TestChainMovesByItself: with a time between slots a payment becomes final without anybody's tick, and the chain's end is seen.
func TestChainMovesByItself(t *testing.T) {
	c, err := localchain.Start(t.Context(), localchain.Config{Python: python(t), FinalityAge: 2, Slot: 5 * time.Millisecond})
	must(t, err)
	h := newHouse(t, c)
	to := h.open(localchain.NewKey())
	hash, _ := h.newest()
	raw, name := h.batch(to, "by itself", hash)
	must(t, c.Client().Send(h.ctx, raw))
	ctx, cancel := context.WithTimeout(h.ctx, 10*time.Second)
	defer cancel()
	must(t, c.Await(ctx, name))
	must(t, c.Close())
	must(t, c.Close())
	select {
	case <-c.Done():
	default:
		t.Fatal("closed, but not done")
	}
	if _, err := c.Client().Height(h.ctx); err == nil {
		t.Fatal("a chain that ended answers")
	}
}

// TestStartThatFails says why.
func TestStartThatFails(t *testing.T) {
	for name, cfg := range map[string]localchain.Config{
		"no such program":  {Python: "/nowhere/python"},
		"not a Python":     {Python: "/bin/false"},
		"finality too old": {Python: "/bin/false", FinalityAge: 1000},
		"slot too short":   {Python: "/bin/false", Slot: 1},
	} {
		if c, err := localchain.Start(t.Context(), cfg); err == nil {
			t.Errorf("%s: started %s", name, c.URL())
		}
	}
}
