package localchain_test

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/chaintest"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
)

const finality = 4

// python is the one that has solders. Without leave for the real thing the test is skipped.
func python(t testing.TB) string {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("the real token programs run with RAYLINK_REAL=1 and RAYLINK_PYTHON=<the environment of raylink/devnet/setup/python.sh>/bin/python")
	}
	if given := os.Getenv("RAYLINK_PYTHON"); given != "" {
		return given
	}
	if ray := os.Getenv("RAYLINK_RAY"); ray != "" {
		return filepath.Join(filepath.Dir(ray), "python")
	}
	t.Fatal("RAYLINK_PYTHON and RAYLINK_RAY are not set: run raylink/devnet/setup/python.sh and name the python in the folder that it prints")
	return ""
}

func start(t testing.TB) *localchain.Chain {
	t.Helper()
	c, err := localchain.Start(t.Context(), localchain.Config{Python: python(t), FinalityAge: finality})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got is value, where err is nil.
func got[T any](t testing.TB) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		must(t, err)
		return value
	}
}

func fault(c *localchain.Chain, kind localchain.Fault) func(*testing.T, int) {
	return func(t *testing.T, n int) { must(t, c.Fault(t.Context(), kind, n)) }
}

// world is a mint of its own on a chain that the tests share.
func world(t *testing.T, c *localchain.Chain) *chaintest.World {
	authority := got[ed25519.PrivateKey](t)(c.NewWallet(t.Context()))
	mint := got[chain.Mint](t)(c.CreateMint(t.Context(), authority, money.USDC, 6))
	return &chaintest.World{
		Reader: c.Client(), Sender: c.Client(), Builder: solana.NewBuilder(mint), Mint: mint, Finality: finality,
		Wallet: func(t *testing.T) ed25519.PrivateKey { return got[ed25519.PrivateKey](t)(c.NewWallet(t.Context())) },
		Open: func(t *testing.T, wallet chain.Address) chain.Address {
			return got[chain.Address](t)(c.CreateTokenAccount(t.Context(), authority, wallet, mint))
		},
		Fund: func(t *testing.T, account chain.Address, amount int64) {
			_, err := c.MintTo(t.Context(), authority, mint, account, amount)
			must(t, err)
		},
		Pay: func(t *testing.T, from ed25519.PrivateKey, to chain.Address, amount int64, memo string, references ...chain.Address) chain.Signature {
			return got[chain.Signature](t)(c.Pay(t.Context(), localchain.Payment{From: from, To: to, Mint: mint, Amount: amount, Memo: memo, References: references}))
		},
		Tick: func(t *testing.T, n int) { _, err := c.Tick(t.Context(), n); must(t, err) },
		Freeze: func(t *testing.T, account chain.Address, frozen bool) {
			if frozen {
				must(t, c.Freeze(t.Context(), authority, mint, account))
			} else {
				must(t, c.Thaw(t.Context(), authority, mint, account))
			}
		},
		Close: func(t *testing.T, owner ed25519.PrivateKey, account chain.Address) {
			must(t, c.CloseAccount(t.Context(), owner, account))
		},
		Drop: fault(c, localchain.Drop), Lose: fault(c, localchain.Ambiguous), Break: fault(c, localchain.Down), Lag: fault(c, localchain.Lag),
		Force: func(t *testing.T) { must(t, c.Fault(t.Context(), localchain.NoPreflight, 1)) },
		Stale: func(t *testing.T, on bool) {
			n := 0
			if on {
				n = 1
			}
			must(t, c.Fault(t.Context(), localchain.Stale, n))
		},
		Fork: func(t *testing.T, _ chain.Signature) { must(t, c.Fault(t.Context(), localchain.Fork, 1)) },
	}
}

func TestConformanceOnRealPrograms(t *testing.T) {
	c := start(t)
	chaintest.Run(t, func(t *testing.T) *chaintest.World { return world(t, c) })
}
