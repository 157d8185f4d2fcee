package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/settle"
	"raylink/billing/settle/chain"
	"raylink/billing/settle/chain/solana"
	"raylink/coordinator/api"
	"raylink/coordinator/state"
	"raylink/raylink"
)

const (
	lookLimit    = 30 * time.Second // of one look
	chainBeat    = time.Second      // between two looks at the chain
	chainMargin  = 32               // blocks beyond an attempt's last valid height: nodes behind one address may differ
	checkAtOnce  = 50               // destinations that one look checks
	holdingsBeat = 5 * time.Second  // between two readings of our token accounts
)

// treasury runs the loops between books and chain, on the leader. Two leaders at once are harmless: what they propose is done once.
type treasury struct {
	group *group
	nodes []string // URLs of Solana nodes; they may hold a provider's key and are never logged
	log   *slog.Logger

	mu   sync.Mutex
	seen api.Holdings // what the chain said of our token accounts
	look *chainLoops  // those of the current term; nil while there are none
}

// holdings is what the chain said last.
func (t *treasury) holdings() api.Holdings {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen
}

// check looks at one destination now, for somebody who waits for a payout to it, and proposes what is there.
func (t *treasury) check(ctx context.Context, d payout.Destination) error {
	t.mu.Lock()
	loops := t.look
	t.mu.Unlock()
	if loops == nil {
		return raylink.Errorf(raylink.CodeUnavailable, "the leader has no line to the chain").WithHint("an admin gives one with --solana-rpc")
	}
	seen, err := loops.checker.Look(ctx, d)
	if err != nil {
		return err
	}
	return (&chainBooks{t}).CheckDestination(ctx, d, seen)
}

// use makes loops the ones that check asks.
func (t *treasury) use(l *chainLoops) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look = l
}

// run works for one term of leadership.
func (t *treasury) run(ctx context.Context) {
	if len(t.nodes) == 0 {
		if t.configured() != nil {
			t.log.Warn("this coordinator leads and has no line to the chain: no deposits are seen and no payouts go out until another one leads; give each --solana-rpc (a URL; mainnet and devnet name public nodes)")
		}
		return
	}
	tick := time.NewTicker(chainBeat)
	defer tick.Stop()
	var loops *chainLoops
	trouble := ""
	for {
		if next := t.configured(); next != nil && (loops == nil || loops.treasury != next.treasury) {
			if loops != nil {
				loops.close()
			}
			err := next.open(ctx, t)
			if err != nil {
				next = nil
				if err.Error() != trouble {
					trouble = err.Error()
					t.log.Warn("connecting to the chain", "err", err)
				}
			}
			if loops = next; loops != nil {
				loops.start(ctx, t)
			}
			t.use(loops)
		}
		select {
		case <-ctx.Done():
			t.use(nil)
			if loops != nil {
				loops.close()
			}
			return
		case <-tick.C:
		}
	}
}

// read reads our token accounts now and then, so that an admin sees at a glance whether books and chain agree.
func (t *treasury) read(ctx context.Context, l *chainLoops) {
	if time.Since(t.holdings().At) < holdingsBeat {
		return
	}
	seen := api.Holdings{Amounts: map[money.Asset]int64{}, Books: map[money.Asset]int64{}, At: time.Now()}
	for asset, purse := range l.purses {
		if account, err := l.clients[0].Account(ctx, purse.Account); err == nil {
			seen.Amounts[asset] = account.Amount
		}
	}
	t.group.Read(func(s *state.State) {
		for asset := range l.purses {
			seen.Books[asset] = -s.Ledger.Balance(ledger.TreasuryChain, asset)
		}
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	seen.Since(t.seen)
	t.seen = seen
}

// configured are loops for the treasury as it stands in the books, not opened yet; nil while there is none.
func (t *treasury) configured() *chainLoops {
	var l *chainLoops
	t.group.Read(func(s *state.State) {
		if len(s.Deposits.Treasury) > 0 {
			l = &chainLoops{treasury: fmt.Sprint(s.Chain, s.Deposits.Treasury), cluster: s.Chain, purses: Purses(s.Deposits.Treasury)}
		}
	})
	return l
}

// Purses are where payouts are paid from.
func Purses(t deposit.Treasury) map[money.Asset]settle.Purse {
	purses := map[money.Asset]settle.Purse{}
	for _, m := range t {
		purses[m.Asset] = settle.Purse{Account: chain.Address(m.Account), Wallet: chain.Address(m.Wallet),
			Mint: chain.Mint{Asset: m.Asset, Address: chain.Address(m.Mint), Program: chain.Address(m.Program), Decimals: m.Decimals}}
	}
	return purses
}

// chainLoops are the loops of one treasury.
type chainLoops struct {
	treasury string // tells one that has been changed
	cluster  string // that the books are of
	purses   map[money.Asset]settle.Purse
	clients  []*solana.Client
	watcher  settle.Watcher
	payer    settle.Payer
	checker  settle.Checker
	stop     context.CancelFunc
	tasks    sync.WaitGroup
}

func (l *chainLoops) open(ctx context.Context, t *treasury) error {
	for _, node := range t.nodes[:min(2, len(t.nodes))] {
		client, err := solana.New(solana.Config{URL: node})
		if err != nil {
			l.close()
			return err
		}
		l.clients = append(l.clients, client)
	}
	if err := l.sameCluster(ctx); err != nil {
		l.close()
		return err
	}
	var mints []chain.Mint
	for _, p := range l.purses {
		if err := l.clients[0].Check(ctx, p.Mint); err != nil {
			l.close()
			return fmt.Errorf("checking the mint of %s: %w", p.Mint.Asset, err)
		}
		mints = append(mints, p.Mint)
	}
	books, builder, first := &chainBooks{t}, solana.NewBuilder(mints...), l.clients[0]
	l.watcher = settle.Watcher{Books: books, First: settle.Node{Name: "first", Reader: first}, Log: t.log}
	l.payer = settle.Payer{Books: books, Node: first, Builder: builder, Purses: l.purses, Margin: chainMargin, Log: t.log}
	l.checker = settle.Checker{Books: books, Reader: first, Builder: builder, Purses: l.purses, Log: t.log}
	if len(l.clients) > 1 {
		l.watcher.Second = settle.Node{Name: "second", Reader: l.clients[1]}
		l.payer.Second = l.clients[1]
	}
	return nil
}

// sameCluster looks whether the nodes are of the cluster that the books are of, where that is a public one: another's transfers must never be taken for
// money. The first node has to answer; a second that is away holds nobody up, since without its word nothing happens that needs it.
func (l *chainLoops) sameCluster(ctx context.Context) error {
	known, public := solana.Known(l.cluster)
	if !public {
		return nil
	}
	for i, client := range l.clients {
		if err := client.CheckGenesis(ctx, known.Genesis); err != nil && (i == 0 || errors.Is(err, solana.ErrOtherCluster)) {
			return fmt.Errorf("node %d of --solana-rpc, while the treasury is on %s: %w", i+1, l.cluster, err)
		}
	}
	return nil
}

// start runs the loops, each by itself: a slow one delays no other.
func (l *chainLoops) start(ctx context.Context, t *treasury) {
	ctx, l.stop = context.WithCancel(ctx)
	loops := map[string]func(context.Context) error{
		"watching deposits":        func(ctx context.Context) error { _, err := l.watcher.Step(ctx); return err },
		"checking destinations":    l.checker.Step,
		"paying":                   l.payer.Step,
		"reading our own accounts": func(ctx context.Context) error { t.read(ctx, l); return nil },
	}
	for what, step := range loops {
		l.tasks.Go(func() { repeat(ctx, t.log, what, step) })
	}
}

// repeat looks again and again; what went wrong is tried again with the next look, and said once.
func repeat(ctx context.Context, log *slog.Logger, what string, step func(context.Context) error) {
	tick := time.NewTicker(chainBeat)
	defer tick.Stop()
	trouble := ""
	for {
		bounded, cancel := context.WithTimeout(ctx, lookLimit)
		err := step(bounded)
		cancel()
		said := ""
		if err != nil {
			said = err.Error()
		}
		if said != trouble && ctx.Err() == nil {
			if trouble = said; said != "" {
				log.Warn(what, "err", said)
			} else {
				log.Info(what + " works again")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *chainLoops) close() {
	if l.stop != nil {
		l.stop()
	}
	l.tasks.Wait()
	for _, c := range l.clients {
		c.Close()
	}
}

// chainBooks shows the replicated books to the loops.
type chainBooks struct{ *treasury }

// Cursors are the treasury's token accounts and how far each is read.
func (b *chainBooks) Cursors(context.Context) ([]settle.Cursor, error) {
	var list []settle.Cursor
	b.group.Read(func(s *state.State) {
		for _, m := range s.Deposits.Treasury {
			list = append(list, settle.Cursor{Account: m.Account, After: s.Deposits.Cursors[m.Account].Signature})
		}
	})
	return list, nil
}

// Observe proposes what a transaction did.
func (b *chainBooks) Observe(ctx context.Context, o deposit.Observation) error {
	return b.propose(ctx, &state.ObserveDeposit{Observation: o})
}

// Alive are the batches whose attempts may be sent.
func (b *chainBooks) Alive(context.Context) ([]payout.Batch, error) {
	var list []payout.Batch
	b.group.Read(func(s *state.State) { list = s.Payouts.Alive() })
	return list, nil
}

// Outcome proposes how an attempt ended.
func (b *chainBooks) Outcome(ctx context.Context, r payout.Result) error {
	return b.propose(ctx, &state.RecordOutcome{Result: r})
}

// Unchecked are the wallets to look at.
func (b *chainBooks) Unchecked(context.Context) ([]payout.Destination, error) {
	var list []payout.Destination
	b.group.Read(func(s *state.State) { list = s.Payouts.Unchecked(s.Now, checkAtOnce) })
	return list, nil
}

// CheckDestination proposes what was seen of a wallet's token account.
func (b *chainBooks) CheckDestination(ctx context.Context, d payout.Destination, seen payout.Existence) error {
	return b.propose(ctx, &state.CheckDestination{Wallet: d.Wallet, Asset: d.Asset, Seen: seen})
}

func (b *chainBooks) propose(ctx context.Context, c state.Command) error {
	raw, err := state.Encode("leader", "", c)
	if err != nil {
		return err
	}
	results, _, err := b.group.ProposeHere(ctx, []json.RawMessage{raw}...)
	if err != nil {
		return err
	}
	return state.ReadResult(results[0], nil)
}
