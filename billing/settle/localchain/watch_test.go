package localchain_test

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/localchain"
)

// shelf is a book of deposits as a watcher sees one.
type shelf struct {
	*deposit.Book
	entries []ledger.Entry
}

func (s *shelf) Cursors(context.Context) ([]settle.Cursor, error) {
	var list []settle.Cursor
	for _, m := range s.Treasury {
		list = append(list, settle.Cursor{Account: m.Account, After: s.Book.Cursors[m.Account].Signature})
	}
	return list, nil
}

func (s *shelf) Observe(_ context.Context, o deposit.Observation) error {
	entries, err := s.Book.Observe(time.Unix(1_800_000_000, 0), o, func(string) []string { return nil })
	s.entries = append(s.entries, entries...)
	return err
}

// TestOtherTokensToOurWallet: tokens of another mint, or of Token-2022, that somebody sends to the treasury's wallet stand in accounts of their own, which
// nobody watches: the real token programs let none into ours. They are neither credited nor in suspense nor among what was ignored, and the watcher goes on.
func TestOtherTokensToOurWallet(t *testing.T) {
	h := newHouse(t, start(t))
	wallet := localchain.AddressOf(h.treasury)
	books := &shelf{Book: deposit.NewBook()}
	must(t, books.Configure(deposit.Treasury{{Asset: money.USDC, Mint: string(h.usdc.Address), Program: string(h.usdc.Program), Decimals: 6,
		Account: string(h.account), Wallet: string(wallet)}}, deposit.DefaultRules()))
	watcher := settle.Watcher{Books: books, First: settle.Node{Name: "one", Reader: h.Client()}, Log: slog.New(slog.DiscardHandler)}
	step := func(want int) {
		t.Helper()
		must(t, h.TickFinal(h.ctx))
		if n, err := watcher.Step(h.ctx); err != nil || n != want || len(books.entries) != len(books.Deposits) {
			t.Fatalf("%d taken in (%v), wanted %d; %d entries", n, err, want, len(books.entries))
		}
	}
	step(2) // our account was made, which moves nothing, and got what the treasury begins with
	sender := got[ed25519.PrivateKey](t)(h.NewWallet(h.ctx))
	other := got[chain.Mint](t)(h.CreateMint(h.ctx, h.authority, money.USDC, 6))
	for _, mint := range []chain.Mint{other, h.feeMint(200)} {
		from := got[chain.Address](t)(h.CreateTokenAccount(h.ctx, h.authority, localchain.AddressOf(sender), mint))
		aside := got[chain.Address](t)(h.CreateTokenAccount(h.ctx, h.authority, wallet, mint))
		_, err := h.MintTo(h.ctx, h.authority, mint, from, 9_000_000)
		must(t, err)
		got[chain.Signature](t)(h.Pay(h.ctx, localchain.Payment{From: sender, To: wallet, Mint: mint, Amount: 5_000_000}))
		if held := h.final(aside); aside == h.account || held <= 0 {
			t.Fatalf("%d are in %s, ours is %s", held, aside, h.account)
		}
	}
	step(0)
	ours := h.open(sender)
	h.fund(ours, 8_000_000)
	name := got[chain.Signature](t)(h.Pay(h.ctx, localchain.Payment{From: sender, To: wallet, Mint: h.usdc, Amount: 7_000_000}))
	step(1)
	if d := books.Deposits[string(name)+"/"+string(h.account)]; d == nil || d.Amount != 7_000_000 || books.Book.Cursors[string(h.account)].Signature != string(name) {
		t.Errorf("the next deposit is %+v, the cursor %+v", d, books.Book.Cursors)
	}
	if len(books.Suspense) != 2 || len(books.Ignored) != 1 {
		t.Errorf("in suspense %v, ignored %v", books.Suspense, books.Ignored)
	}
}
