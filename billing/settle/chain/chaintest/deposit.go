package chaintest

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"raylink/billing/settle/chain"
)

// deposits: what came in, from whom, with which reference and memo, and only once it is finalized.
func deposits(t *testing.T, s *stage) {
	payer := s.payer(t, 5_000_000)
	reference, stranger := someAddress(t), someAddress(t)
	long := strings.Repeat("ü", 200)
	name := s.Pay(t, payer, s.wallet(), 1_234_567, long, reference, stranger)
	if _, err := s.Reader.Effect(t.Context(), name, s.account); !errors.Is(err, chain.ErrUnknown) {
		t.Fatalf("before it is finalized: %v", err)
	}
	s.holds(t, s.account, 1_000_000_000)
	s.Tick(t, s.Finality)
	got, err := s.Reader.Effect(t.Context(), name, s.account)
	must(t, err)
	want := chain.Effect{
		Signature: name, Account: s.account, Mint: s.Mint.Address, Program: s.Mint.Program, Decimals: s.Mint.Decimals, Delta: 1_234_567,
		Slot: got.Slot, At: got.At, Memo: got.Memo, References: got.References, Senders: []chain.Address{addressOf(payer)},
	}
	if !slices.Equal(got.Senders, want.Senders) || got.Delta != want.Delta || got.Mint != want.Mint || got.Program != want.Program ||
		got.Decimals != want.Decimals || got.Signature != name || got.Account != s.account || got.Payer != addressOf(payer) || got.Failed || got.Slot == 0 || got.At.IsZero() {
		t.Fatalf("effect %+v\nwanted %+v", got, want)
	}
	if len(got.Memo) > 256 || !strings.HasPrefix(long, got.Memo) || len(got.Memo) < 250 {
		t.Fatalf("memo %q", got.Memo)
	}
	if !slices.Contains(got.References, reference) || !slices.Contains(got.References, stranger) || slices.Contains(got.References, s.account) ||
		slices.Contains(got.References, addressOf(payer)) {
		t.Fatalf("references %v", got.References)
	}
	s.holds(t, s.account, 1_001_234_567)
	found, err := s.Reader.History(t.Context(), reference, "", 10)
	must(t, err)
	if !slices.Equal(found, []chain.Signature{name}) {
		t.Fatalf("the reference leads to %v", found)
	}
	none, err := s.Reader.Effect(t.Context(), name, s.Open(t, stranger))
	must(t, err)
	if none.Delta != 0 {
		t.Fatalf("an account that it did not touch: %+v", none)
	}
	if _, err := s.Reader.Effect(t.Context(), s.sign(t, s.batch(s.account2(t))).name, s.account); !errors.Is(err, chain.ErrUnknown) {
		t.Fatalf("a transaction that was never sent: %v", err)
	}
}

// someAddress is one that the chain has never seen.
func someAddress(t *testing.T) chain.Address {
	t.Helper()
	key, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return chain.AddressOf(key)
}

func (s *stage) account2(t *testing.T) chain.Address {
	t.Helper()
	_, account := s.receiver(t)
	return account
}

// history: every transaction once, oldest first, from a place on, in pieces.
func history(t *testing.T, s *stage) {
	payer := s.payer(t, 5_000_000)
	begin, err := s.Reader.History(t.Context(), s.account, "", 100)
	must(t, err)
	var want []chain.Signature
	for i := range 7 {
		want = append(want, s.Pay(t, payer, s.wallet(), int64(i+1), ""))
		if i%3 == 0 {
			s.Tick(t, 1)
		}
	}
	later := s.Pay(t, payer, s.wallet(), 100, "")
	s.Tick(t, s.Finality)
	all, err := s.Reader.History(t.Context(), s.account, "", 100)
	must(t, err)
	want = append(want, later)
	if !slices.Equal(all, slices.Concat(begin, want)) {
		t.Fatalf("history %v\nwanted %v", all, slices.Concat(begin, want))
	}
	after := begin[len(begin)-1]
	var pieces []chain.Signature
	for range 10 {
		piece, err := s.Reader.History(t.Context(), s.account, after, 3)
		must(t, err)
		if len(piece) == 0 {
			break
		}
		pieces, after = append(pieces, piece...), piece[len(piece)-1]
	}
	if !slices.Equal(pieces, want) {
		t.Fatalf("in pieces %v\nwanted %v", pieces, want)
	}
	fresh := s.Pay(t, payer, s.wallet(), 1, "")
	for _, unknown := range []chain.Signature{fresh, s.sign(t, s.batch(s.account2(t))).name} {
		if _, err := s.Reader.History(t.Context(), s.account, unknown, 10); !errors.Is(err, chain.ErrLag) {
			t.Fatalf("from a place that is not finalized: %v", err)
		}
	}
}

// accounts: what stands in one, and what is none.
func accounts(t *testing.T, s *stage) {
	owner, account := s.receiver(t)
	derived, err := s.Builder.TokenAccount(addressOf(owner), s.Mint)
	must(t, err)
	if derived != account {
		t.Fatalf("the wallet's account is %s, derived %s", account, derived)
	}
	s.Tick(t, s.Finality)
	got, err := s.Reader.Account(t.Context(), account)
	must(t, err)
	want := chain.TokenAccount{Address: account, Mint: s.Mint.Address, Program: s.Mint.Program, Owner: addressOf(owner)}
	if got != want {
		t.Fatalf("account %+v, wanted %+v", got, want)
	}
	s.Freeze(t, account, true)
	s.Tick(t, s.Finality)
	if got, err = s.Reader.Account(t.Context(), account); err != nil || !got.Frozen {
		t.Fatalf("frozen: %+v %v", got, err)
	}
	s.Freeze(t, account, false)
	s.Close(t, owner, account)
	s.Tick(t, s.Finality)
	for _, none := range []chain.Address{account, addressOf(owner), s.Mint.Address} {
		if _, err := s.Reader.Account(t.Context(), none); !errors.Is(err, chain.ErrNoAccount) {
			t.Fatalf("account %s: %v", none, err)
		}
	}
	for _, bad := range []chain.Address{"", "0OIl", chain.Address(strings.Repeat("1", 31)), chain.Address(strings.Repeat("z", 45))} {
		if _, err := s.Builder.TokenAccount(bad, s.Mint); err == nil {
			t.Fatalf("%q has a token account", bad)
		}
	}
}
