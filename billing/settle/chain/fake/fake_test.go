package fake_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"testing"

	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/chaintest"
	"raylink/billing/settle/chain/fake"
)

func world(t *testing.T) *chaintest.World {
	c := fake.New(fake.Config{FinalityAge: 4})
	n := 0
	return &chaintest.World{
		Reader: c, Sender: c, Builder: c, Mint: fake.USDC(), Finality: 4,
		Wallet: func(*testing.T) ed25519.PrivateKey { n++; return fake.Key(fmt.Sprint("wallet ", n)) },
		Open:   func(_ *testing.T, wallet chain.Address) chain.Address { return c.Open(wallet, fake.USDC()) },
		Fund:   func(_ *testing.T, account chain.Address, amount int64) { c.Fund(account, amount) },
		Pay: func(t *testing.T, from ed25519.PrivateKey, to chain.Address, amount int64, memo string, references ...chain.Address) chain.Signature {
			account, err := c.TokenAccount(to, fake.USDC())
			if err != nil {
				t.Fatal(err)
			}
			name, err := c.Pay(fake.Payment{From: from, To: account, Amount: amount, Memo: memo, References: references})
			if err != nil {
				t.Fatal(err)
			}
			return name
		},
		Tick: func(_ *testing.T, n int) { c.Tick(uint64(n)) },
		Freeze: func(_ *testing.T, account chain.Address, frozen bool) {
			if frozen {
				c.Freeze(account)
			} else {
				c.Thaw(account)
			}
		},
		Close: func(t *testing.T, _ ed25519.PrivateKey, account chain.Address) {
			if err := c.Close(account); err != nil {
				t.Fatal(err)
			}
		},
		Drop: func(_ *testing.T, n int) { c.Drop(n) }, Lose: func(_ *testing.T, n int) { c.Lose(n) },
		Break: func(_ *testing.T, n int) { c.Break(n) }, Force: func(*testing.T) { c.FailNext(chain.Insufficient) },
		Lag: func(_ *testing.T, n int) { c.Lag(uint64(n)) }, Stale: func(_ *testing.T, on bool) { c.Stale(on) },
		Fork: func(t *testing.T, name chain.Signature) {
			if err := c.ForkBack(name); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func TestConformance(t *testing.T) { chaintest.Run(t, world) }

// TestLies: a node that bends what it knows, and the truth when it stops.
func TestLies(t *testing.T) {
	c := fake.New(fake.Config{})
	account := c.Open(wallet("treasury"), fake.IO())
	name := c.Fund(account, 500)
	c.Tick(1)
	c.Lie(fake.Lies{
		Effect:  func(e chain.Effect) chain.Effect { e.Delta *= 10; return e },
		History: func(h []chain.Signature) []chain.Signature { return append(h, h...) },
		Height:  func(h uint64) uint64 { return h + 1000 },
		Status:  func(chain.Signature, chain.Status) chain.Status { return chain.Status{Stage: chain.Finalized} },
	})
	look := func() (int64, int, uint64, chain.Stage) {
		effect, err1 := c.Effect(t.Context(), name, account)
		history, err2 := c.History(t.Context(), account, "", 10)
		height, err3 := c.Height(t.Context())
		status, err4 := c.Status(t.Context(), "never sent")
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		return effect.Delta, len(history), height, status.Stage
	}
	delta, length, height, stage := look()
	if delta != 5000 || length != 2 || stage != chain.Finalized {
		t.Fatalf("lies: %d %d %s", delta, length, stage)
	}
	c.Lie(fake.Lies{})
	if d, l, h, s := look(); d != 500 || l != 1 || h != height-1000 || s != chain.Unknown {
		t.Fatalf("the truth: %d %d %d %s", d, l, h, s)
	}
}

// TestManyAtOnce: payers, watchers and time side by side lose nothing.
func TestManyAtOnce(t *testing.T) {
	c := fake.New(fake.Config{})
	account := c.Open(wallet("treasury"), fake.USDC())
	const payers, each = 8, 50
	var group sync.WaitGroup
	for n := range payers {
		key := fake.Key(fmt.Sprint("payer ", n))
		c.Fund(c.Open(chain.AddressOf(key.Public().(ed25519.PublicKey)), fake.USDC()), each)
		group.Go(func() {
			for range each {
				if _, err := c.Pay(fake.Payment{From: key, To: account, Amount: 1}); err != nil {
					t.Error(err)
				}
				c.Tick(1)
				if _, err := c.History(t.Context(), account, "", 1000); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	c.Tick(1)
	history, err := c.History(t.Context(), account, "", 1000)
	if err != nil || len(history) != payers*each || c.Balance(account) != payers*each {
		t.Fatalf("%d transactions, %d held: %v", len(history), c.Balance(account), err)
	}
}

// TestForkBackOfWhatWasSpent is no state that a chain can reach.
func TestForkBackOfWhatWasSpent(t *testing.T) {
	c := fake.New(fake.Config{FinalityAge: 5})
	payer := fake.Key("payer")
	from := c.Open(wallet("payer"), fake.USDC())
	name := c.Fund(from, 10)
	if _, err := c.Pay(fake.Payment{From: payer, To: c.Open(wallet("treasury"), fake.USDC()), Amount: 10}); err != nil {
		t.Fatal(err)
	}
	if err := c.ForkBack(name); err == nil {
		t.Fatal("what had been spent vanished")
	}
	c.Tick(5)
	if err := c.ForkBack(name); err == nil {
		t.Fatal("what was finalized vanished")
	}
}

func wallet(name string) chain.Address {
	return chain.AddressOf(fake.Key(name).Public().(ed25519.PublicKey))
}
