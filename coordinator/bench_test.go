package coordinator

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
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
	"raylink/billing/payout"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
	"raylink/billing/settle/signer"
	"raylink/billing/wallet"
	"raylink/coordinator/consensus"
	"raylink/coordinator/consensus/pipenet"
	"raylink/coordinator/state"
	"raylink/raylink"
)

// BenchmarkDepositsCredited: finalized transfers on the local chain, each for a top-up of its own, until all are credited in the agreed ledger of three
// coordinators with their logs on this disk. An iteration is one deposit; they are made before the clock starts.
func BenchmarkDepositsCredited(b *testing.B) {
	needReal(b)
	till := newChainTill(b)
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			t := &treasury{group: groupOfThree(b), log: slog.New(slog.DiscardHandler)}
			till.announce(b, t, b.N, tab)
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

// BenchmarkPayoutsPosted: withdrawals on the local chain, from requests that are proposed together over batch, signature, sending and finality to the
// posting that each is paid, in the agreed ledger of three coordinators. An iteration is one payout. The local chain is told to move on, so that its
// time to finality is not in it.
func BenchmarkPayoutsPosted(b *testing.B) {
	needReal(b)
	till := newChainTill(b)
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) { benchPayouts(b, till, nodes) })
	}
}

// wave is how many payouts are asked for at a time: ten whole batches.
const wave = 10 * payout.MaxTransfers

func benchPayouts(b *testing.B, till *chainTill, nodes int) {
	t := &treasury{group: groupOfThree(b), log: slog.New(slog.DiscardHandler)}
	house, account := till.announce(b, t, 1, int64(b.N)*tab)
	books, client, purses := &chainBooks{t}, till.chain.Client(), t.configured().purses
	builder := solana.NewBuilder(purses[money.USDC].Mint)
	_, err := (&settle.Watcher{Books: books, First: settle.Node{Name: "first", Reader: client}, Log: t.log}).Step(b.Context())
	need(b, err)
	wallet := till.prove(b, books, account)
	seen, err := (&settle.Checker{Reader: client, Builder: builder, Purses: purses}).Look(b.Context(), payout.Destination{Wallet: wallet, Asset: money.USDC})
	need(b, err)
	need(b, books.CheckDestination(b.Context(), payout.Destination{Wallet: wallet, Asset: money.USDC}, seen))
	policy := payout.DefaultPolicy()
	policy.PerHour[money.USDC] = 1 << 60
	need(b, books.propose(b.Context(), &state.SetPayoutPolicy{Policy: policy, Every: time.Hour}))
	payer := &settle.Payer{Books: books, Node: client, Builder: builder, Purses: purses, Log: t.log}
	config := signer.Config{Key: keyOf(b, house), Journal: filepath.Join(b.TempDir(), "journal"), Books: signerBooks{books}, Node: client, Builder: builder, Log: t.log,
		Policy: signer.Policy{Rules: []signer.Rule{{Purse: purses[money.USDC], PerTransfer: 1 << 50, PerHour: 1 << 60}}}}
	if nodes == 2 {
		payer.Second, config.Second = client, client
	}
	hand, err := signer.Open(config)
	need(b, err)
	defer hand.Close()
	b.ResetTimer()
	for n := 0; n < b.N; n += wave {
		withdraw(b, t, account, wallet, n, min(n+wave, b.N))
		need(b, hand.Step(b.Context()))
		need(b, payer.Step(b.Context()))
		need(b, till.chain.TickFinal(b.Context()))
		need(b, payer.Step(b.Context()))
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posted/s")
	need(b, till.chain.TickFinal(b.Context()))
	held, err := client.Account(b.Context(), chain.Address(seen.TokenAccount))
	t.group.Read(func(s *state.State) {
		if left := -s.Ledger.Balance(ledger.TreasuryChain, money.USDC); err != nil || left != 0 || held.Amount != plenty {
			b.Errorf("the books hold %d, the receiver %d of %d: %v", left, held.Amount, plenty, err)
		}
	})
}

// withdraw asks for the payouts of these numbers, and puts them into batches.
func withdraw(b *testing.B, t *treasury, account raylink.AccountID, wallet string, from, to int) {
	b.Helper()
	var raws []json.RawMessage
	add := func(c state.Command) {
		raw, err := state.Encode("leader", "", c)
		need(b, err)
		raws = append(raws, raw)
	}
	for n := from; n < to; n++ {
		add(&state.RequestPayout{By: "ann", Request: payout.Request{ID: fmt.Sprint("po-", n), Kind: payout.Withdrawal, Account: string(account), Asset: money.USDC, Amount: tab, Wallet: wallet}})
	}
	for n := from; n < to; n += payout.MaxTransfers {
		add(&state.MakeBatch{Asset: money.USDC, Aside: true})
	}
	results, _, err := t.group.ProposeHere(b.Context(), raws...)
	need(b, err)
	for _, r := range results {
		need(b, state.ReadResult(r, nil))
	}
}

// signerBooks are the books as a signer beside the leader would see them.
type signerBooks struct{ *chainBooks }

func (b signerBooks) Work(context.Context) ([]payout.Work, error) {
	var list []payout.Work
	b.group.Read(func(s *state.State) { list = s.Payouts.Work() })
	return list, nil
}

func (b signerBooks) Attempt(ctx context.Context, a payout.Attempted) error {
	return b.propose(ctx, &state.RecordAttempt{Attempt: a})
}

// keyOf reads the key through a key file, as the signer does.
func keyOf(b *testing.B, key ed25519.PrivateKey) signer.Key {
	b.Helper()
	var numbers []int
	for _, n := range key {
		numbers = append(numbers, int(n))
	}
	text, err := json.Marshal(numbers)
	need(b, err)
	path := filepath.Join(b.TempDir(), "key")
	need(b, os.WriteFile(path, text, 0o600))
	read, err := signer.ReadKey(path)
	need(b, err)
	return read
}

const (
	tab    = 1_000_000      // minor units of one deposit or payout
	plenty = int64(1) << 60 // minor units that the payer has
)

// prove proves the payer's wallet for the account.
func (c *chainTill) prove(b *testing.B, books *chainBooks, account raylink.AccountID) string {
	b.Helper()
	address, nonce := string(localchain.AddressOf(c.payer)), "a-nonce-of-the-bench"
	signature := ed25519.Sign(c.payer, []byte(wallet.Text("group", string(account), address, nonce)))
	need(b, books.propose(b.Context(), &state.ChallengeWallet{Account: account, Nonce: nonce}))
	need(b, books.propose(b.Context(), &state.ProveWallet{Account: account, Address: address, Nonce: nonce, Group: "group", Signature: base64.StdEncoding.EncodeToString(signature)}))
	return address
}

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

func needReal(b *testing.B) {
	if os.Getenv("RAYLINK_REAL") != "1" {
		b.Skip("the real token programs run with RAYLINK_REAL=1 and RAYLINK_RAY=<the environment of raylink/devnet/setup/python.sh>/bin/ray")
	}
}

func need(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// announce configures a treasury with a mint of its own, opens n top-ups and pays the amount for each. It gives the treasury's key and the last account.
func (c *chainTill) announce(b *testing.B, t *treasury, n int, amount int64) (ed25519.PrivateKey, raylink.AccountID) {
	b.Helper()
	ctx, house := b.Context(), localchain.NewKey()
	mint, err := c.chain.CreateMint(ctx, c.payer, money.USDC, 6)
	need(b, err)
	var accounts [2]chain.Address
	for i, key := range []ed25519.PrivateKey{house, c.payer} {
		accounts[i], err = c.chain.CreateTokenAccount(ctx, c.payer, localchain.AddressOf(key), mint)
		need(b, err)
	}
	_, err = c.chain.MintTo(ctx, c.payer, mint, accounts[1], plenty)
	need(b, err)
	commands := []state.Command{&state.SetTreasury{Cluster: "local", Rules: deposit.Rules{}, Treasury: deposit.Treasury{{Asset: money.USDC,
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
		_, err := c.chain.Pay(ctx, localchain.Payment{From: c.payer, To: localchain.AddressOf(house), Mint: mint, Amount: amount, References: []chain.Address{reference}})
		need(b, err)
	}
	for _, command := range commands {
		need(b, (&chainBooks{t}).propose(ctx, command))
	}
	need(b, c.chain.Airdrop(ctx, localchain.AddressOf(house), 100_000_000_000))
	need(b, c.chain.TickFinal(ctx))
	return house, account
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
