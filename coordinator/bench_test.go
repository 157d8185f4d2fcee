package coordinator

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/localchain"
	"raylink/coordinator/consensus"
	"raylink/coordinator/consensus/pipenet"
	"raylink/coordinator/state"
	"raylink/raylink"
)

// BenchmarkDepositsCredited: finalized transfers on the local chain, each for a top-up of its own, until all are credited in the agreed ledger of three
// coordinators with their logs on this disk. An iteration is one deposit; they are made before the clock starts.
func BenchmarkDepositsCredited(b *testing.B) {
	if os.Getenv("RAYLINK_REAL") != "1" {
		b.Skip("the real token programs run with RAYLINK_REAL=1 and RAYLINK_RAY=<the environment of raylink/devnet/setup/python.sh>/bin/ray")
	}
	till := newChainTill(b)
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			t := &treasury{group: groupOfThree(b), log: slog.New(slog.DiscardHandler)}
			till.announce(b, t, b.N)
			reader := till.chain.Client()
			watcher := settle.Watcher{Books: &chainBooks{t}, First: settle.Node{Name: "first", Reader: reader}, Log: t.log}
			if nodes == 2 {
				watcher.Second = settle.Node{Name: "second", Reader: reader}
			}
			b.ResetTimer()
			for taken := 0; taken < b.N; {
				n, err := watcher.Step(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				taken += n
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "credited/s")
			t.group.Read(func(s *state.State) {
				sum := int64(0)
				for _, a := range s.Ledger.Under(ledger.Tenant("")) {
					sum += a.Balance.Minor
				}
				if sum != int64(b.N)*tab {
					b.Errorf("%d deposits of %d were credited as %d", b.N, tab, sum)
				}
			})
		})
	}
}

const tab = 1_000_000 // minor units of one deposit

// chainTill is a local chain with somebody who pays in.
type chainTill struct {
	chain *localchain.Chain
	payer ed25519.PrivateKey
}

func newChainTill(b *testing.B) *chainTill {
	b.Helper()
	c, err := localchain.Start(b.Context(), localchain.Config{Python: filepath.Join(filepath.Dir(os.Getenv("RAYLINK_RAY")), "python"), FinalityAge: 4})
	need(b, err)
	b.Cleanup(func() { _ = c.Close() })
	payer, err := c.NewWallet(b.Context())
	need(b, err)
	return &chainTill{chain: c, payer: payer}
}

func need(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// announce configures a treasury with a mint of its own, opens n top-ups and pays them all.
func (c *chainTill) announce(b *testing.B, t *treasury, n int) {
	b.Helper()
	ctx, house := b.Context(), localchain.NewKey()
	mint, err := c.chain.CreateMint(ctx, c.payer, money.USDC, 6)
	need(b, err)
	var accounts [2]chain.Address
	for i, key := range []ed25519.PrivateKey{house, c.payer} {
		accounts[i], err = c.chain.CreateTokenAccount(ctx, c.payer, localchain.AddressOf(key), mint)
		need(b, err)
	}
	_, err = c.chain.MintTo(ctx, c.payer, mint, accounts[1], 1<<60)
	need(b, err)
	commands := []state.Command{&state.SetTreasury{Cluster: "local", Rules: deposit.DefaultRules(), Treasury: deposit.Treasury{{Asset: money.USDC,
		Mint: string(mint.Address), Program: string(mint.Program), Decimals: 6, Account: string(accounts[0]), Wallet: string(localchain.AddressOf(house))}}}}
	var account raylink.AccountID
	for i := range n {
		if i%deposit.MaxTopups == 0 {
			account, err = raylink.NewID[raylink.AccountID](rand.Reader, "acc")
			need(b, err)
			commands = append(commands, &state.OpenAccount{ID: account, Name: fmt.Sprint("tenant", i)})
		}
		reference := localchain.AddressOf(localchain.NewKey())
		commands = append(commands, &state.OpenTopup{ID: fmt.Sprint("top-", i), Account: account, Asset: money.USDC, Reference: string(reference), TTL: time.Hour})
		_, err := c.chain.Pay(ctx, localchain.Payment{From: c.payer, To: localchain.AddressOf(house), Mint: mint, Amount: tab, References: []chain.Address{reference}})
		need(b, err)
	}
	for _, command := range commands {
		need(b, (&chainBooks{t}).propose(ctx, command))
	}
	need(b, c.chain.TickFinal(ctx))
}

// groupOfThree is what the leader of three coordinators sees.
func groupOfThree(b *testing.B) *group {
	b.Helper()
	network, dir := pipenet.New(), b.TempDir()
	var leader *group
	for i, id := range []string{"a", "b", "c"} {
		layer, err := network.Listen(id)
		need(b, err)
		st := state.New()
		node, err := consensus.Open(consensus.Config{ID: id, Stream: layer, Dir: filepath.Join(dir, id), Log: slog.New(slog.DiscardHandler),
			Check: func(c json.RawMessage) error { _, _, err := state.Decode(c); return err }}, st, i == 0)
		need(b, err)
		b.Cleanup(func() {
			if err := node.Close(); err != nil {
				b.Error(err)
			}
		})
		if i > 0 {
			need(b, leader.node.AddVoter(b.Context(), id, id))
			continue
		}
		leader = &group{node, st}
		for leading, changed := node.Leading(); !leading; leading, changed = node.Leading() {
			<-changed
		}
	}
	return leader
}
