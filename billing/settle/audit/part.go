package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/settle/chain"
	"raylink/billing/verify"
)

// maxFollowing is how many transactions of the treasury's wallets are looked at for the checkpoint that follows a part of the journal.
const maxFollowing = 2000

// Part says whether the export is one cluster's or one supplier's part of the journal, and not all of it.
func (b *Books) Part() bool { return b.header.Cluster != "" || b.header.Supplier != "" }

// comparePart asks the node about what a part of the journal says: whether deposits came in and payouts reached their wallets, by signature and amount; whether the
// checkpoint that the header names is on the chain; and which one follows the journal's head. Where the part shows the hash of an entry that a checkpoint is
// of, it has to be the chain's. What else moved on the treasury's accounts is not the part's to say.
func (b *Books) comparePart(ctx context.Context, node Node) (Report, error) {
	if len(b.header.Treasury) == 0 {
		return Report{}, errors.New("the file's header names no token accounts of the treasury: there is nothing on a chain, or it was exported by an older version")
	}
	w := &work{books: b, node: node, effects: map[place]chain.Effect{}, report: Report{Chain: b.header.Chain, Problems: []string{}, Accounts: []Account{}}}
	w.accounts = b.accounts()
	if err := w.deposits(ctx); err != nil {
		return Report{}, err
	}
	if err := w.payouts(ctx); err != nil {
		return Report{}, err
	}
	if err := w.memos(ctx); err != nil {
		return Report{}, err
	}
	if err := w.following(ctx); err != nil {
		return Report{}, err
	}
	return w.report, nil
}

// deposits compares each deposit with what its transaction brought to our account.
func (w *work) deposits(ctx context.Context) error {
	var places []place
	for _, c := range w.books.claims {
		if c.kind == "deposit" {
			places = append(places, place{c.signature, c.account})
		}
	}
	if err := w.ask(ctx, places); err != nil {
		return err
	}
	for _, c := range w.books.claims {
		if c.kind != "deposit" {
			continue
		}
		w.report.Deposits++
		if !slices.ContainsFunc(w.books.header.Treasury, func(t verify.TokenAccount) bool { return t.Account == string(c.account) }) {
			w.report.remark("entry %d (deposit) came to account %s, which is not among those that the header names now", c.seq, c.account)
		}
		w.holds(c.seq, c.kind, place{c.signature, c.account}, money.Amount{Minor: c.delta, Asset: c.asset})
	}
	return nil
}

// holds judges what a transaction did to an account.
func (w *work) holds(seq uint64, kind string, p place, said money.Amount) {
	effect, known := w.effects[p]
	switch {
	case !known:
		w.report.problem("entry %d (%s): the chain does not know transaction %s", seq, kind, p.signature)
	case effect.Failed:
		w.report.problem("entry %d (%s): transaction %s failed, it moved nothing", seq, kind, p.signature)
	case effect.Delta != said.Minor:
		w.report.problem("entry %d (%s): transaction %s changed account %s by %v, the file says %v", seq, kind, p.signature, p.account,
			money.Amount{Minor: effect.Delta, Asset: said.Asset}, said)
	}
}

// payouts compares what each transaction brought to the wallets that were paid. The others in its batch are not in the file, so what left our account says nothing.
func (w *work) payouts(ctx context.Context) error {
	said, err := w.paidOut()
	if err != nil {
		return err
	}
	places := make([]place, len(said))
	for i, s := range said {
		places[i] = s.place
	}
	if err := w.ask(ctx, places); err != nil {
		return err
	}
	for _, s := range said {
		w.report.Recipients++
		w.holds(s.seq, "payout.paid", s.place, s.amount)
	}
	return nil
}

// paid is what the file says that one transaction brought to one account.
type paid struct {
	place  place
	seq    uint64 // of the last entry that says so
	amount money.Amount
}

// paidOut adds up the payouts of the file by transaction and receiving account, in the file's order.
func (w *work) paidOut() ([]paid, error) {
	mints := map[money.Asset]chain.Mint{}
	for _, m := range w.books.Mints() {
		mints[m.Asset] = m
	}
	var list []paid
	at := map[place]int{}
	for _, c := range w.books.claims {
		if c.kind != "payout.paid" {
			continue
		}
		w.report.Payouts++
		mint, known := mints[c.asset]
		if !known || w.node.Builder == nil {
			return nil, fmt.Errorf("entry %d pays in %s, and the header names no mint of it", c.seq, c.asset)
		}
		account, err := w.node.Builder.TokenAccount(c.wallet, mint)
		if err != nil {
			w.report.problem("entry %d (payout.paid): wallet %.60q is no address", c.seq, c.wallet)
			continue
		}
		p := place{c.signature, account}
		i, seen := at[p]
		if !seen {
			i = len(list)
			at[p], list = i, append(list, paid{place: p, amount: money.Amount{Asset: c.asset}})
		}
		list[i].seq = c.seq
		list[i].amount.Minor -= c.delta
	}
	return list, nil
}

// following reads, from the treasury's wallets, the memos that came after the checkpoint which the header names, up to the first that covers the journal's head. A memo
// counts where the wallet itself paid for it: anybody can write one that mentions it.
func (w *work) following(ctx context.Context) error {
	head := w.books.header.Head
	if head == nil {
		w.report.remark("the file names no head of the journal: it was exported by an older version")
		return nil
	}
	after := chain.Signature("")
	if anchor := w.books.header.Anchor; anchor != nil {
		if after = chain.Signature(anchor.Signature); anchor.Seq >= head.Seq {
			w.report.Covered = anchor.Seq
			return nil
		}
	}
	seen := map[chain.Address]bool{}
	for _, t := range w.books.header.Treasury {
		wallet := chain.Address(t.Wallet)
		if seen[wallet] || wallet == "" {
			continue
		}
		seen[wallet] = true
		if err := w.follow(ctx, wallet, after, chain.Address(t.Account)); err != nil {
			return err
		}
	}
	if w.report.Covered == 0 {
		w.report.remark("no checkpoint that covers the journal as it stood at the export (entry %d) is on the chain yet: they go out hourly, ask again", head.Seq)
	}
	return nil
}

// follow reads the memos of one wallet. The account is one to ask for an effect of.
func (w *work) follow(ctx context.Context, wallet chain.Address, after chain.Signature, account chain.Address) error {
	list, err := w.node.Reader.History(ctx, wallet, after, maxFollowing)
	if errors.Is(err, chain.ErrLag) {
		return nil // the node does not know the checkpoint before it either, which is a problem already
	}
	if err != nil {
		return fmt.Errorf("reading the history of the treasury's wallet %s: %w", wallet, err)
	}
	for _, signature := range list {
		effect, err := w.node.Reader.Effect(ctx, signature, account)
		if err != nil {
			return fmt.Errorf("looking at transaction %s: %w", signature, err)
		}
		seq, hash, ok := readRoot(effect.Memo)
		if !ok || effect.Failed || effect.Payer != wallet {
			continue
		}
		w.report.Anchors++
		if shown, known := w.books.hashes[seq]; known && shown != hash {
			w.report.problem("transaction %s fixes another hash of entry %d than the file shows: there are two journals", signature, seq)
		}
		if seq >= w.books.header.Head.Seq {
			w.report.Covered = seq
			return nil
		}
	}
	return nil
}

// readRoot reads the memo of a checkpoint.
func readRoot(memo string) (seq uint64, hash string, ok bool) {
	number, hash, found := strings.Cut(strings.TrimPrefix(memo, "rl:cp:"), ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, hash, found && err == nil && memo == ledger.RootMemo(seq, hash)
}
