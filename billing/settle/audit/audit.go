package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"raylink/billing/money"
	"raylink/billing/settle/chain"
)

const (
	atOnce     = 8       // questions to a node
	maxHistory = 200_000 // transactions of one token account
	looks      = 3       // at balances that move meanwhile
	grace      = 15 * time.Minute
)

// Node is whoever is asked. Builder derives the token accounts of those who were paid; without one they are not looked at.
type Node struct {
	Reader  chain.Reader
	Builder chain.Builder
}

// Compare asks the node about everything in the books. The error is for what prevents the comparison: nobody answers, or the books have no addresses.
// What happened on the chain after the export is not held against the journal: incoming tokens at the end of an account's history,
// and outgoing ones as far as payouts were in flight, both no older than a quarter of an hour before the export.
func (b *Books) Compare(ctx context.Context, node Node) (Report, error) {
	if b.failure != nil {
		return Report{}, b.failure
	}
	if b.Part() {
		return b.comparePart(ctx, node)
	}
	if len(b.header.Treasury) == 0 && len(b.claims) > 0 {
		return Report{}, errors.New("the journal moves tokens, but its header names no token accounts of the treasury: it was exported by an older version")
	}
	w := &work{books: b, node: node, effects: map[place]chain.Effect{}, report: Report{Chain: b.header.Chain, Problems: []string{}, Accounts: []Account{}}}
	w.accounts = b.accounts()
	if err := w.look(ctx); err != nil {
		return Report{}, err
	}
	if err := w.fetch(ctx); err != nil {
		return Report{}, err
	}
	w.transactions()
	for _, account := range w.accounts {
		w.account(account)
	}
	if err := w.recipients(ctx); err != nil {
		return Report{}, err
	}
	if err := w.memos(ctx); err != nil {
		return Report{}, err
	}
	w.total()
	return w.report, nil
}

// place is one transaction's effect on one token account.
type place struct {
	signature chain.Signature
	account   chain.Address
}

type work struct {
	books     *Books
	node      Node
	accounts  []ours
	histories map[chain.Address][]chain.Signature
	balances  map[chain.Address]int64
	mutex     sync.Mutex
	effects   map[place]chain.Effect // the ones that the chain knows
	claimed   map[place]int64        // what the journal says of it
	report    Report
}

type ours struct {
	asset   money.Asset
	address chain.Address
}

// accounts are our token accounts: those of the header, and those that deposits once went to.
func (b *Books) accounts() []ours {
	list := []ours{}
	seen := map[chain.Address]bool{}
	add := func(asset money.Asset, address chain.Address) {
		if !seen[address] {
			seen[address] = true
			list = append(list, ours{asset, address})
		}
	}
	for _, t := range b.header.Treasury {
		add(t.Asset, chain.Address(t.Account))
	}
	for _, c := range b.claims {
		if c.account != "" {
			add(c.asset, c.account)
		}
	}
	return list
}

// look reads balances and histories at a moment at which no balance moved: the balances are the same before and after.
func (w *work) look(ctx context.Context) error {
	var err error
	if w.balances, err = w.read(ctx); err != nil {
		return err
	}
	for range looks {
		w.histories = map[chain.Address][]chain.Signature{}
		for _, a := range w.accounts {
			if w.histories[a.address], err = w.node.Reader.History(ctx, a.address, "", maxHistory); err != nil {
				return fmt.Errorf("reading the history of our %s account %s: %w", a.asset, a.address, err)
			}
		}
		before := w.balances
		if w.balances, err = w.read(ctx); err != nil || maps.Equal(before, w.balances) {
			return err
		}
	}
	return nil
}

func (w *work) read(ctx context.Context) (map[chain.Address]int64, error) {
	balances := map[chain.Address]int64{}
	for _, a := range w.accounts {
		found, err := w.node.Reader.Account(ctx, a.address)
		if errors.Is(err, chain.ErrNoAccount) {
			found, err = chain.TokenAccount{}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading our %s account %s: %w", a.asset, a.address, err)
		}
		balances[a.address] = found.Amount
	}
	return balances, nil
}

// fetch asks for the effect of every transaction that the journal or a history names, on each of our accounts that it may have touched.
func (w *work) fetch(ctx context.Context) error {
	asked := map[place]bool{}
	for address, list := range w.histories {
		for _, signature := range list {
			asked[place{signature, address}] = true
		}
	}
	for _, c := range w.books.claims {
		for _, a := range w.accounts {
			if a.asset == c.asset && (c.account == "" || c.account == a.address) {
				asked[place{c.signature, a.address}] = true
			}
		}
	}
	return w.ask(ctx, slices.Collect(maps.Keys(asked)))
}

// ask fetches effects, several at once. One that the chain does not know stays away.
func (w *work) ask(ctx context.Context, places []place) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan place)
	var workers sync.WaitGroup
	for range min(atOnce, len(places)) {
		workers.Go(func() {
			for p := range queue {
				effect, err := w.node.Reader.Effect(ctx, p.signature, p.account)
				if errors.Is(err, chain.ErrUnknown) {
					continue
				}
				if err != nil {
					cancel(fmt.Errorf("looking at transaction %s: %w", p.signature, err))
					continue
				}
				w.mutex.Lock()
				w.effects[p] = effect
				w.mutex.Unlock()
			}
		})
	}
	for _, p := range places {
		select {
		case queue <- p:
		case <-ctx.Done():
		}
	}
	close(queue)
	workers.Wait()
	return context.Cause(ctx)
}

// transactions compares what the journal says of each transaction with what it did. Several payouts are in one.
func (w *work) transactions() {
	w.claimed = map[place]int64{}
	type one struct {
		said  int64
		seq   uint64
		kind  string
		asset money.Asset
	}
	said := map[place]one{} // without the account where an entry does not name it
	for _, c := range w.books.claims {
		switch c.kind {
		case "deposit":
			w.report.Deposits++
		case "swap":
			w.report.Swaps++
		default:
			w.report.Payouts++
		}
		p := place{c.signature, cmp.Or(c.account, w.accountOf(c))}
		s := said[p]
		said[p] = one{s.said + c.delta, c.seq, c.kind, c.asset}
	}
	for _, p := range slices.SortedFunc(maps.Keys(said), func(a, b place) int { return cmp.Compare(said[a].seq, said[b].seq) }) {
		s := said[p]
		w.claimed[p] = s.said
		effect, known := w.effects[p]
		switch {
		case !known:
			w.report.problem("entry %d (%s): the chain does not know transaction %s", s.seq, s.kind, p.signature)
		case effect.Failed:
			w.report.problem("entry %d (%s): transaction %s failed, it moved nothing", s.seq, s.kind, p.signature)
		case effect.Delta != s.said:
			w.report.problem("entry %d (%s): transaction %s changed account %s by %v, the journal says %v", s.seq, s.kind, p.signature, p.account,
				money.Amount{Minor: effect.Delta, Asset: s.asset}, money.Amount{Minor: s.said, Asset: s.asset})
		}
	}
}

// accountOf is which of our accounts a payment went out of: the one that its transaction touched, for the journal does not say.
func (w *work) accountOf(c claim) chain.Address {
	first := chain.Address("")
	for _, a := range w.accounts {
		if a.asset != c.asset {
			continue
		}
		first = cmp.Or(first, a.address)
		if e, known := w.effects[place{c.signature, a.address}]; known && e.Delta != 0 {
			return a.address
		}
	}
	return first
}

// account adds up one account, and looks for what the journal does not say.
func (w *work) account(a ours) {
	of := func(minor int64) money.Amount { return money.Amount{Minor: minor, Asset: a.asset} }
	var effects, journal int64
	var unsaid []chain.Effect
	said := false // something after it is in the journal
	for _, signature := range slices.Backward(w.histories[a.address]) {
		p := place{signature, a.address}
		effect, known := w.effects[p]
		if !known {
			w.report.problem("account %s: the node names transaction %s and does not know it", a.address, signature)
			continue
		}
		effects += effect.Delta
		if _, claimed := w.claimed[p]; claimed {
			said = true
			continue
		}
		old := !effect.At.IsZero() && effect.At.Before(w.books.header.ExportedAt.Add(-grace))
		switch {
		case effect.Failed || effect.Delta == 0:
		case said || old:
			w.report.problem("account %s: transaction %s changed it by %v, and the journal has no entry of it", a.address, signature, of(effect.Delta))
		default:
			unsaid = append(unsaid, effect)
		}
	}
	w.later(a, unsaid)
	for p, minor := range w.claimed {
		if p.account == a.address {
			journal += minor
		}
	}
	balance := w.balances[a.address]
	if balance != effects {
		w.report.problem("account %s holds %v, but its transactions add up to %v: the node does not show all of them, or one landed meanwhile", a.address, of(balance), of(effects))
	}
	w.report.Accounts = append(w.report.Accounts, Account{Asset: a.asset, Account: a.address, Journal: of(journal), Effects: of(effects), Balance: of(balance)})
}

// later judges what came after the journal's last entry on the account, newest first.
func (w *work) later(a ours, unsaid []chain.Effect) {
	left := w.books.inFlight(a.asset)
	for _, effect := range slices.Backward(unsaid) {
		moved := money.Amount{Minor: effect.Delta, Asset: a.asset}
		if effect.Delta < 0 {
			if left += effect.Delta; left < 0 {
				w.report.problem("account %s: transaction %s changed it by %v, and no payout of that much was in flight", a.address, effect.Signature, moved)
				continue
			}
		}
		w.report.Later = append(w.report.Later, fmt.Sprintf("transaction %s changed account %s by %v", effect.Signature, a.address, moved))
	}
}

// recipients looks whether those who were paid got it: our account alone cannot tell who did.
func (w *work) recipients(ctx context.Context) error {
	if w.node.Builder == nil {
		return nil
	}
	mints := map[money.Asset]chain.Mint{}
	for _, t := range w.books.header.Treasury {
		mints[t.Asset] = mintOf(t)
	}
	said, seqs, assets := map[place]int64{}, map[place]uint64{}, map[place]money.Asset{}
	for _, c := range w.books.claims {
		mint, known := mints[c.asset]
		if c.wallet == "" || !known {
			continue
		}
		account, err := w.node.Builder.TokenAccount(c.wallet, mint)
		if err != nil {
			w.report.problem("entry %d (%s): wallet %.60q is no address", c.seq, c.kind, c.wallet)
			continue
		}
		p := place{c.signature, account}
		said[p], seqs[p], assets[p] = said[p]-c.delta, c.seq, c.asset
	}
	places := slices.SortedFunc(maps.Keys(said), func(a, b place) int { return cmp.Or(cmp.Compare(seqs[a], seqs[b]), cmp.Compare(a.account, b.account)) })
	if err := w.ask(ctx, places); err != nil {
		return err
	}
	for _, p := range places {
		w.report.Recipients++
		if effect, known := w.effects[p]; known && effect.Delta != said[p] {
			w.report.problem("entry %d: transaction %s gave %v to account %s, the journal says %v", seqs[p], p.signature,
				money.Amount{Minor: effect.Delta, Asset: assets[p]}, p.account, money.Amount{Minor: said[p], Asset: assets[p]})
		}
	}
	return nil
}

// memos looks whether checkpoints stand on the chain as the journal says.
func (w *work) memos(ctx context.Context) error {
	if len(w.books.anchors) == 0 || len(w.accounts) == 0 {
		return nil
	}
	places := make([]place, len(w.books.anchors))
	for i, a := range w.books.anchors {
		places[i] = place{a.signature, w.accounts[0].address}
	}
	if err := w.ask(ctx, places); err != nil {
		return err
	}
	for i, a := range w.books.anchors {
		effect, known := w.effects[places[i]]
		switch {
		case !known || effect.Failed:
			w.report.problem("entry %d (anchor): the chain does not know transaction %s", a.seq, a.signature)
		case effect.Memo != a.memo:
			w.report.problem("entry %d (anchor): the memo of transaction %s is %.120q, not %q", a.seq, a.signature, effect.Memo, a.memo)
		default:
			w.report.Anchors++
		}
	}
	return nil
}

// total compares treasury:chain with what its entries, account by account, add up to.
func (w *work) total() {
	sums := map[money.Asset]int64{}
	for _, a := range w.report.Accounts {
		sums[a.Asset] += a.Journal.Minor
	}
	for asset, minor := range w.books.sums {
		if sums[asset] != minor {
			w.report.problem("treasury:chain holds %v by all entries, and %v by those that name a transaction", money.Amount{Minor: minor, Asset: asset}, money.Amount{Minor: sums[asset], Asset: asset})
		}
	}
}
