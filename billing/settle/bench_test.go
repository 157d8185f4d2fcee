package settle_test

import (
	"fmt"
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
	"raylink/billing/settle/chain/fake"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
	"raylink/billing/settle/signer"
)

// The benchmarks here measure the loops with the books, the ledger and the signer's journal on disk. What agreement among coordinators adds is not in them.

// BenchmarkDepositsCredited: finalized transfers, each for a top-up of its own, until all stand in the ledger for whom their references name. An
// iteration is one deposit. With two nodes each is read twice.
func BenchmarkDepositsCredited(b *testing.B) {
	c := startLocal(b)
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) { benchDeposits(b, onLocal(b, c), nodes) })
	}
}

func benchDeposits(b *testing.B, c *stage, nodes int) {
	w := c.world
	for n := range b.N {
		reference := addressOf(fmt.Sprint("reference ", n))
		top := deposit.Topup{ID: fmt.Sprint("top-", n), Account: tenantName(n), Asset: money.USDC, Reference: string(reference), ExpiresAt: w.now.Add(time.Hour)}
		w.must(w.deposits.OpenTopup(w.now, top))
		w.must(c.pay(int64(200_000+n), reference))
	}
	c.final()
	p := port{&actor{world: w, name: "bench"}}
	watcher := settle.Watcher{Books: p, First: settle.Node{Name: "one", Reader: c.node}, Log: w.log}
	if nodes == 2 {
		watcher.Second = settle.Node{Name: "two", Reader: c.node}
	}
	b.ResetTimer()
	for taken := 0; taken < b.N; {
		n, err := watcher.Step(b.Context())
		w.must(err)
		taken += n
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "credited/s")
	for n := range b.N {
		if got := w.ledger.Balance(ledger.Tenant(tenantName(n)), money.USDC); got != int64(200_000+n) {
			b.Fatalf("deposit %d was credited as %d", n, got)
		}
	}
}

// wave is how many payouts are asked for at a time in BenchmarkPayoutsPosted: ten whole batches.
const wave = 10 * payout.MaxTransfers

// BenchmarkPayoutsPosted: from the request of a payout over batch, signature, sending and finality to the posting that it is paid. An iteration is
// one payout. The chain's own time to finality is not in it: it is told to move on.
func BenchmarkPayoutsPosted(b *testing.B) {
	c := startLocal(b)
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) { benchPayouts(b, onLocal(b, c), nodes) })
	}
}

func benchPayouts(b *testing.B, c *stage, nodes int) {
	w, purse := c.world, c.world.purses[money.USDC]
	p := port{&actor{world: w, name: "bench"}}
	wallets, accounts := named(payout.MaxTransfers, supplierName), []chain.Address{}
	for i, wallet := range wallets {
		accounts = append(accounts, c.open(wallet))
		w.must(w.payouts.Set(supplierName(i), payout.Setting{Takes: money.USDC, Wallet: string(wallet)}, true))
		w.must(w.payouts.CheckDestination(w.now, string(wallet), money.USDC, payout.Existence{TokenAccount: string(accounts[i]), Exists: true}))
	}
	w.must(c.fund(plenty))
	policy := payout.DefaultPolicy()
	policy.PerHour[money.USDC] = plenty
	w.must(w.payouts.Configure(policy))
	key := keyOf("treasury")
	var other chain.Sender
	if nodes == 2 {
		other = c.node
	}
	s, err := signer.Open(signer.Config{Key: key, Second: other, Policy: signer.Policy{Rules: []signer.Rule{{Purse: purse, PerTransfer: 1 << 50, PerHour: 1 << 60}}},
		Journal: filepath.Join(b.TempDir(), "journal"), Books: p, Node: c.node, Builder: c.builder, Log: w.log})
	w.must(err)
	defer s.Close()
	payer := &settle.Payer{Books: p, Node: c.node, Second: other, Builder: c.builder, Purses: w.purses, Log: w.log}
	const amount = 1_000_000
	c.final()
	b.ResetTimer()
	for n := 0; n < b.N; n += wave {
		for i := n; i < min(n+wave, b.N); i++ {
			name := supplierName(i % len(wallets))
			w.post([]ledger.Entry{{Kind: "use", Ref: fmt.Sprint(i), Postings: []ledger.Posting{
				{Account: "treasury:chain", Amount: money.Amount{Minor: -amount, Asset: money.USDC}}, {Account: ledger.Supplier(name), Amount: money.Amount{Minor: amount, Asset: money.USDC}}}}})
			entries, err := w.payouts.Request(w.now, payout.Request{ID: fmt.Sprint("po-", i), Kind: payout.Settlement, Account: name, Asset: money.USDC,
				Amount: amount, Wallet: string(wallets[i%len(wallets)])}, w.ledger.Balance(ledger.Supplier(name), money.USDC), true)
			w.must(err)
			w.post(entries)
		}
		for w.payouts.NextBatch(w.now, money.USDC, w.free(money.USDC)) != nil {
		}
		w.must(s.Step(b.Context()))
		w.must(payer.Step(b.Context()))
		c.final()
		w.must(payer.Step(b.Context()))
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posted/s")
	for i := range b.N {
		if got := w.payouts.Payouts[fmt.Sprint("po-", i)]; got.State != payout.Paid {
			b.Fatalf("payout %+v", got)
		}
	}
	c.final()
	held, err := c.node.Account(b.Context(), accounts[0])
	if want := int64((b.N+len(wallets)-1)/len(wallets)) * amount; err != nil || held.Amount != want {
		b.Fatalf("%d arrived of %d: %v", held.Amount, want, err)
	}
}

// stage is a world on the local chain, with the real token programs behind JSON-RPC: a treasury in USDC, and a rich tenant.
type stage struct {
	world   *world
	node    *solana.Client
	builder chain.Builder
	open    func(wallet chain.Address) chain.Address
	pay     func(amount int64, reference chain.Address) error // by the tenant
	fund    func(amount int64) error                          // the treasury
	final   func()                                            // lets everything become final
}

const plenty = int64(1) << 55

func startLocal(b *testing.B) *localchain.Chain {
	if os.Getenv("RAYLINK_REAL") != "1" {
		b.Skip("the real token programs run with RAYLINK_REAL=1 and RAYLINK_RAY=<the environment of raylink/devnet/setup/python.sh>/bin/ray")
	}
	c, err := localchain.Start(b.Context(), localchain.Config{Python: filepath.Join(filepath.Dir(os.Getenv("RAYLINK_RAY")), "python"), FinalityAge: 4})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	for _, name := range []string{"treasury", "tenant"} {
		if err := c.Airdrop(b.Context(), addressOf(name), 1000_000_000_000); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

func onLocal(b *testing.B, c *localchain.Chain) *stage {
	w, ctx, house := newWorld(b, 1), b.Context(), fake.Key("treasury")
	mint, err := c.CreateMint(ctx, house, money.USDC, 6)
	w.must(err)
	s := &stage{world: w, node: c.Client(), builder: solana.NewBuilder(mint), final: func() { w.must(c.TickFinal(ctx)) }}
	s.open = func(wallet chain.Address) chain.Address {
		account, err := c.CreateTokenAccount(ctx, house, wallet, mint)
		w.must(err)
		return account
	}
	s.pay = func(amount int64, reference chain.Address) error {
		payment := localchain.Payment{From: fake.Key("tenant"), To: addressOf("treasury"), Mint: mint, Amount: amount, References: []chain.Address{reference}}
		return second(c.Pay(ctx, payment))
	}
	purse := settle.Purse{Mint: mint, Wallet: addressOf("treasury"), Account: s.open(addressOf("treasury"))}
	w.purses[money.USDC] = purse
	w.must(w.deposits.Configure(deposit.Treasury{{Asset: money.USDC, Mint: string(mint.Address), Program: string(mint.Program), Decimals: 6,
		Account: string(purse.Account), Wallet: string(purse.Wallet)}}, deposit.DefaultRules()))
	s.fund = func(amount int64) error { return second(c.MintTo(ctx, house, mint, purse.Account, amount)) }
	w.must(second(c.MintTo(ctx, house, mint, s.open(addressOf("tenant")), plenty)))
	return s
}
