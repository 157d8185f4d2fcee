package cardbook

import (
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// draft is a change to the book and to one account's money that is not made yet, so that an error on the way leaves nothing behind.
type draft struct {
	book      *Book
	now       time.Time
	account   string
	spendable int64 // in TenantCard, after moves
	standing  Standing
	topups    layer[Topup]
	refunds   layer[Refund]
	disputes  layer[Dispute]
	moves     []Movement
}

// layer holds changed records above those of the book.
type layer[R any] struct {
	base    map[string]R
	order   []string
	changed map[string]R
}

func (l *layer[R]) get(id string) (R, bool) {
	if record, found := l.changed[id]; found {
		return record, true
	}
	record, found := l.base[id]
	return record, found
}

func (l *layer[R]) put(id string, record R) {
	if l.changed == nil {
		l.changed = map[string]R{}
	}
	if _, found := l.changed[id]; !found {
		l.order = append(l.order, id)
	}
	l.changed[id] = record
}

// commit makes the changes, in the order of their coming, and tells the index about each.
func (l *layer[R]) commit(index func(record R, known bool)) {
	for _, id := range l.order {
		_, known := l.base[id]
		l.base[id] = l.changed[id] // before index, which looks at it
		index(l.changed[id], known)
	}
}

func (b *Book) draft(now time.Time, account string, balances Balances) *draft {
	return &draft{
		book: b, now: stamp(now), account: account, spendable: balances.Balance(TenantCard(account), money.USD), standing: b.Standing(account),
		topups: layer[Topup]{base: b.topups}, refunds: layer[Refund]{base: b.refunds}, disputes: layer[Dispute]{base: b.disputes},
	}
}

// changed says whether there is anything to commit.
func (d *draft) changed() bool {
	return len(d.topups.order)+len(d.refunds.order)+len(d.disputes.order) > 0
}

// commit writes the draft into the book.
func (d *draft) commit() []Movement {
	d.topups.commit(d.book.indexTopup)
	d.refunds.commit(d.book.indexRefund)
	d.disputes.commit(d.book.indexDispute)
	if d.standing != d.book.Standing(d.account) {
		d.book.standings[d.account] = d.standing
	}
	return d.moves
}

// part is what a movement adds to one account, in micro-USD.
type part struct {
	account string
	micro   int64
}

// move notes an entry; parts of zero are left out. What concerns TenantCard is followed in spendable.
func (d *draft) move(kind, ref string, note Note, parts ...part) {
	note.Account, note.Reason = d.account, clean(note.Reason)
	var postings []ledger.Posting
	for _, p := range parts {
		if p.micro == 0 {
			continue
		}
		postings = append(postings, ledger.Posting{Account: p.account, Amount: money.MicroUSD(p.micro)})
		if p.account == TenantCard(d.account) {
			d.spendable += p.micro
		}
	}
	d.moves = append(d.moves, Movement{Kind: kind, Ref: ref, Postings: postings, Note: note})
}

// own is the account's money from cards.
func (d *draft) own(micro int64) part { return part{TenantCard(d.account), micro} }
