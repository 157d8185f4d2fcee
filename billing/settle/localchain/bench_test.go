package localchain_test

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/billing/settle/localchain"
)

// BenchmarkSend signs batches and sends them, with preflight, over JSON-RPC to the real token program. One iteration is one batch.
func BenchmarkSend(b *testing.B) {
	for _, transfers := range []int{1, chain.MaxTransfers} {
		for _, clients := range []int{1, 8} {
			b.Run(fmt.Sprintf("transfers=%d/clients=%d", transfers, clients), func(b *testing.B) { benchSend(b, transfers, clients) })
		}
	}
}

func benchSend(b *testing.B, transfers, clients int) {
	p := newPayer(b, transfers)
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for range clients {
		group.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				raw, _, err := p.sign(fmt.Sprint("rl:po:", n))
				if err == nil {
					err = p.c.Client().Send(b.Context(), raw)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N*transfers)/b.Elapsed().Seconds(), "transfers/s")
	must(b, p.c.TickFinal(b.Context()))
	account := got[chain.TokenAccount](b)(p.c.Client().Account(b.Context(), p.batch.Transfers[0].Account))
	if account.Amount != int64(b.N) {
		b.Fatalf("%d arrived of %d", account.Amount, b.N)
	}
}

// BenchmarkEffect reads the effects of finalized payments, again and again. What a deposit costs until it is credited is measured in settle.
func BenchmarkEffect(b *testing.B) {
	p := newPayer(b, 1)
	const many = 500
	for n := range many {
		raw, _, err := p.sign(fmt.Sprint("tab ", n))
		must(b, err)
		must(b, p.c.Client().Send(b.Context(), raw))
	}
	must(b, p.c.TickFinal(b.Context()))
	account := p.batch.Transfers[0].Account
	names := got[[]chain.Signature](b)(p.c.Client().History(b.Context(), account, "", 2*many))
	names = names[len(names)-many:] // the first made the account
	b.ResetTimer()
	for n := range b.N {
		effect, err := p.c.Client().Effect(b.Context(), names[n%many], account)
		if err != nil || effect.Delta != 1 {
			b.Fatalf("%+v %v", effect, err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "effects/s")
}

// payer is a treasury with a batch of so many receivers.
type payer struct {
	c       *localchain.Chain
	key     ed25519.PrivateKey
	builder *solana.Builder
	batch   chain.Batch
	hash    chain.Blockhash
}

func newPayer(b *testing.B, transfers int) *payer {
	b.Helper()
	c, ctx := start(b), b.Context()
	p := &payer{c: c, key: got[ed25519.PrivateKey](b)(c.NewWallet(ctx))}
	mint := got[chain.Mint](b)(c.CreateMint(ctx, p.key, money.USDC, 6))
	from := got[chain.Address](b)(c.CreateTokenAccount(ctx, p.key, localchain.AddressOf(p.key), mint))
	_, err := c.MintTo(ctx, p.key, mint, from, 1<<60)
	must(b, err)
	p.builder, p.batch = solana.NewBuilder(mint), chain.Batch{Mint: mint, From: from, Owner: localchain.AddressOf(p.key)}
	for range transfers {
		to := got[chain.Address](b)(c.CreateTokenAccount(ctx, p.key, localchain.AddressOf(localchain.NewKey()), mint))
		p.batch.Transfers = append(p.batch.Transfers, chain.Transfer{Account: to, Amount: 1})
	}
	must(b, c.TickFinal(ctx))
	p.hash = got[chain.Blockhash](b)(c.Client().Blockhash(ctx))
	return p
}

func (p *payer) sign(memo string) ([]byte, chain.Signature, error) {
	batch := p.batch
	batch.Memo = memo
	message, err := p.builder.Message(batch, p.hash.Hash)
	if err != nil {
		return nil, "", err
	}
	return p.builder.Assemble(message, ed25519.Sign(p.key, message))
}
