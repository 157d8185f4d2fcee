// Package chaintest is the suite that every implementation of the chain port passes: the fake, and Solana's JSON-RPC against the real token
// programs. It speaks of what money rests on: effects and their order, names that cannot be used twice, expiry, refusals, and nodes' bad days.
package chaintest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"

	"raylink/billing/settle/chain"
)

// World is a chain under test and what the suite may do to it.
type World struct {
	Reader   chain.Reader
	Sender   chain.Sender
	Builder  chain.Builder
	Mint     chain.Mint // the token of the suite
	Finality int        // heights from landing to finalized

	Wallet func(t *testing.T) ed25519.PrivateKey // a new one that can pay fees
	Open   func(t *testing.T, wallet chain.Address) chain.Address
	Fund   func(t *testing.T, account chain.Address, amount int64)
	// Pay transfers from the wallet's token account to another wallet's, as a wallet app does.
	Pay    func(t *testing.T, from ed25519.PrivateKey, to chain.Address, amount int64, memo string, references ...chain.Address) chain.Signature
	Tick   func(t *testing.T, n int)
	Freeze func(t *testing.T, account chain.Address, frozen bool)
	Close  func(t *testing.T, owner ed25519.PrivateKey, account chain.Address)

	Drop  func(t *testing.T, n int)                     // the next n sends vanish
	Lose  func(t *testing.T, n int)                     // they land and the answer is an error
	Break func(t *testing.T, n int)                     // the next n calls fail
	Force func(t *testing.T)                            // the next send is not looked at before and lands as failed
	Lag   func(t *testing.T, n int)                     // reads are of n heights ago
	Stale func(t *testing.T, on bool)                   // no transaction is known
	Fork  func(t *testing.T, signature chain.Signature) // what is not finalized vanishes
}

// Run runs the suite, each test in a world of its own.
func Run(t *testing.T, open func(t *testing.T) *World) {
	tests := []struct {
		name string
		run  func(*testing.T, *stage)
	}{
		{"deposits", deposits}, {"history", history}, {"accounts", accounts},
		{"payout", payout}, {"replay", replay}, {"refusals", refusals}, {"burn", burn}, {"memo", memoAlone},
		{"window", window}, {"dropped", dropped}, {"lost answer", lostAnswer}, {"expired", expired}, {"landed as failed", landedAsFailed},
		{"broken line", brokenLine}, {"lagging node", lagging}, {"stale node", staleNode}, {"fork", fork},
		{"builder", builder}, {"strict reading", strictReading},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := open(t)
			s := &stage{World: w, treasury: w.Wallet(t)}
			s.account = w.Open(t, s.wallet())
			w.Fund(t, s.account, 1_000_000_000)
			w.Tick(t, w.Finality)
			test.run(t, s)
		})
	}
}

// stage is a world with a treasury that holds 1,000,000,000 minor units.
type stage struct {
	*World
	treasury ed25519.PrivateKey
	account  chain.Address
	batches  int
}

func addressOf(key ed25519.PrivateKey) chain.Address {
	return chain.AddressOf(key.Public().(ed25519.PublicKey))
}

func (s *stage) wallet() chain.Address { return addressOf(s.treasury) }

// payer is a new wallet with a funded account.
func (s *stage) payer(t *testing.T, amount int64) ed25519.PrivateKey {
	t.Helper()
	key := s.Wallet(t)
	s.Fund(t, s.Open(t, addressOf(key)), amount)
	return key
}

// receiver is a new wallet's empty account.
func (s *stage) receiver(t *testing.T) (ed25519.PrivateKey, chain.Address) {
	t.Helper()
	key := s.Wallet(t)
	return key, s.Open(t, addressOf(key))
}

// batch pays each of the accounts, 1,000 minor units to the first, 1,001 to the second and so on.
func (s *stage) batch(accounts ...chain.Address) chain.Batch {
	s.batches++
	out := chain.Batch{Mint: s.Mint, From: s.account, Owner: s.wallet(), Memo: fmt.Sprintf("rl:po:%d", s.batches)}
	for i, a := range accounts {
		out.Transfers = append(out.Transfers, chain.Transfer{Account: a, Amount: 1000 + int64(i)})
	}
	return out
}

// signed is a batch's transaction on a fresh blockhash.
type signed struct {
	raw   []byte
	name  chain.Signature
	until uint64
}

func (s *stage) sign(t *testing.T, batch chain.Batch) signed {
	t.Helper()
	hash, err := s.Sender.Blockhash(t.Context())
	must(t, err)
	return s.signOn(t, batch, hash)
}

func (s *stage) signOn(t *testing.T, batch chain.Batch, hash chain.Blockhash) signed {
	t.Helper()
	message, err := s.Builder.Message(batch, hash.Hash)
	must(t, err)
	raw, name, err := s.Builder.Assemble(message, ed25519.Sign(s.treasury, message))
	must(t, err)
	return signed{raw, name, hash.LastValidHeight}
}

func (s *stage) stageOf(t *testing.T, name chain.Signature, want chain.Stage) chain.Status {
	t.Helper()
	got, err := s.Sender.Status(t.Context(), name)
	must(t, err)
	if got.Stage != want {
		t.Fatalf("the transaction is %s (%s %s), not %s", got.Stage, got.Code, got.Reason, want)
	}
	return got
}

func (s *stage) holds(t *testing.T, account chain.Address, want int64) {
	t.Helper()
	got, err := s.Reader.Account(t.Context(), account)
	must(t, err)
	if got.Amount != want {
		t.Fatalf("account %s holds %d, not %d", account, got.Amount, want)
	}
}

func (s *stage) height(t *testing.T) uint64 {
	t.Helper()
	height, err := s.Sender.Height(t.Context())
	must(t, err)
	return height
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused wants a refusal with this code and item.
func refused(t *testing.T, err error, code chain.FailureCode, item int) {
	t.Helper()
	var got *chain.RefusedError
	if !errors.As(err, &got) {
		t.Fatalf("%v is no refusal; wanted %s", err, code)
	}
	if got.Code != code || got.Item != item {
		t.Fatalf("refused with %s at item %d (%s), not %s at %d", got.Code, got.Item, got.Reason, code, item)
	}
}

// unsure wants an error after which nothing is known.
func unsure(t *testing.T, err error) {
	t.Helper()
	var got *chain.RefusedError
	if err == nil || errors.As(err, &got) || errors.Is(err, context.Canceled) {
		t.Fatalf("%v: wanted a failure of the line", err)
	}
}
