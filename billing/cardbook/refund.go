package cardbook

import (
	"fmt"
	"slices"
	"time"

	"raylink/billing/money"
)

// RequestRefund sends unspent money from cards back to the cards it came from, the newest payment first: one Refund for each payment, named
// <id>.1, <id>.2 and so on. The amount is whole cents. The same id with the same content again returns what stands and moves nothing.
func (b *Book) RequestRefund(now time.Time, id, account string, amount money.Amount, balances Balances) ([]Refund, []Movement, error) {
	if err := checkID("refund", id); err != nil {
		return nil, nil, err
	}
	if _, err := Cents(amount); err != nil {
		return nil, nil, err
	}
	if amount.Minor <= 0 {
		return nil, nil, fmt.Errorf("%w: refund of %v", ErrLimit, amount)
	}
	if known := b.request(id); known != nil {
		if known[0].Account != account || total(known) != amount.Minor {
			return nil, nil, fmt.Errorf("refund %s: %w", id, ErrConflict)
		}
		return known, nil, nil
	}
	d := b.draft(now, account, balances)
	if amount.Minor > d.spendable {
		return nil, nil, fmt.Errorf("refund %s of %v: %w, which is %v", id, amount, ErrUnspent, money.MicroUSD(d.spendable))
	}
	rest := amount.Minor
	var parts []Refund
	for _, topup := range slices.Backward(b.byAccount[account]) {
		t := b.topups[topup]
		share := min(rest, room(t))
		if share <= 0 {
			continue
		}
		if len(parts) == maxParts {
			return nil, nil, fmt.Errorf("%w: refund %s needs more than %d payments; ask for less at once", ErrLimit, id, maxParts)
		}
		parts = append(parts, d.give(t, id, len(parts)+1, share))
		if rest -= share; rest == 0 {
			return parts, d.commit(), nil
		}
	}
	return nil, nil, fmt.Errorf("refund %s of %v: %w that can go back: %v lacks", id, amount, ErrUnspent, money.MicroUSD(rest))
}

// give sets one payment's share of a refund aside.
func (d *draft) give(t Topup, request string, number int, share int64) Refund {
	r := Refund{
		ID: fmt.Sprintf("%s.%d", request, number), Request: request, Account: d.account, Topup: t.ID, Payment: t.Payment,
		Amount: money.MicroUSD(share), State: RefundPending, Lost: money.MicroUSD(0), At: d.now,
	}
	d.refunds.put(r.ID, r)
	d.returned(t.ID, share)
	d.move("card.refund", r.ID, r.note(), d.own(-share), part{RefundHold(r.ID), share})
	return r
}

// room is what of a payment may still go back by a refund. A contested payment cannot be refunded.
func room(t Topup) int64 {
	if t.State != Paid {
		return 0
	}
	return t.Received.Minor - t.Returned.Minor
}

// returned counts a refund, or takes one that failed back, on the top-up.
func (d *draft) returned(topup string, micro int64) {
	t, _ := d.topups.get(topup)
	t.Returned.Minor += micro
	if t.State == Paid || t.State == Refunded {
		t.State = settled(t)
	}
	d.topups.put(t.ID, t)
}

func (r Refund) note() Note {
	return Note{Topup: r.Topup, Payment: r.Payment, Refund: r.ID, Reason: r.Reason}
}

func total(parts []Refund) int64 {
	var sum int64
	for _, r := range parts {
		sum += r.Amount.Minor
	}
	return sum
}

// request are the parts of one request, in their order; nil if there is none.
func (b *Book) request(id string) []Refund {
	var parts []Refund
	for number := range b.byRequest[id] {
		parts = append(parts, b.refunds[fmt.Sprintf("%s.%d", id, number+1)])
	}
	return parts
}

// RefuseRefund notes that the provider refused for good to make this refund: the money goes back to the account. A refund that the provider has
// made is ErrConflict: how it ended, a fact says.
func (b *Book) RefuseRefund(now time.Time, id, reason string, balances Balances) ([]Movement, error) {
	r, found := b.refunds[id]
	switch {
	case !found:
		return nil, fmt.Errorf("refund %s: %w", id, ErrUnknown)
	case r.Provider != "" || r.State == RefundDone:
		return nil, fmt.Errorf("refusing refund %s: %w: the provider has it as %s", id, ErrConflict, r.Provider)
	case r.State == RefundFailed:
		return nil, nil
	}
	d := b.draft(now, r.Account, balances)
	d.fail(r, reason)
	d.sweep()
	return d.commit(), nil
}

// refund takes in what is known of one.
func (d *draft) refund(topup string, fact RefundFact) {
	state := map[string]RefundState{"succeeded": RefundDone, "failed": RefundFailed, "canceled": RefundFailed}[fact.Status]
	if state == "" {
		state = RefundPending
	}
	r, known := d.match(topup, fact)
	if !known {
		d.outside(topup, fact, state)
		return
	}
	switch {
	case state == r.State || r.State == RefundFailed || state == RefundPending: // nothing new, or older than what is known
		if r.Provider != "" && d.book.providers[r.Provider] == r.ID {
			return
		}
		d.refunds.put(r.ID, r)
	case state == RefundFailed:
		d.fail(r, fact.Reason)
	default:
		r.State = RefundDone
		d.refunds.put(r.ID, r)
		if r.Request != "" {
			d.move("card.refunded", r.ID, r.note(), part{RefundHold(r.ID), -r.Amount.Minor}, part{Treasury, r.Amount.Minor})
		}
	}
}

// match finds our record of the provider's refund: known by the provider's name, or one of ours that waits for one. A second refund in the name of
// one that has one already is none of ours: its money has left as well, and is booked as made outside.
func (d *draft) match(topup string, fact RefundFact) (Refund, bool) {
	if id, known := d.book.providers[fact.ID]; known {
		return d.refunds.get(id)
	}
	for _, id := range d.refunds.order { // named twice in this same fact
		if r, _ := d.refunds.get(id); r.Provider == fact.ID {
			return r, true
		}
	}
	r, found := d.refunds.get(fact.Ours)
	if !found || r.Request == "" || r.Provider != "" || r.State != RefundPending || r.Topup != topup || r.Amount != FromCents(fact.Amount) {
		return Refund{}, false
	}
	r.Provider = fact.ID
	return r, true
}

// outside books a refund that we did not ask for: what the balance cannot cover, the account owes.
func (d *draft) outside(topup string, fact RefundFact, state RefundState) {
	t, _ := d.topups.get(topup)
	amount := FromCents(fact.Amount)
	r := Refund{
		ID: fact.ID, Account: d.account, Topup: topup, Payment: t.Payment, Amount: amount, State: state, Provider: fact.ID,
		Reason: clean(fact.Reason), Lost: money.MicroUSD(0), At: d.now,
	}
	if state == RefundFailed {
		d.refunds.put(r.ID, r)
		return
	}
	taken := min(amount.Minor, d.spendable)
	r.Lost.Minor = amount.Minor - taken
	d.standing.Owed.Minor += r.Lost.Minor
	d.refunds.put(r.ID, r)
	d.returned(topup, amount.Minor)
	d.move("card.refund-outside", r.ID, r.note(), part{Treasury, amount.Minor}, d.own(-taken), part{Loss, -r.Lost.Minor})
}

// fail gives a refund's money back to the account; of one made outside, what is still owed for it is forgiven first.
func (d *draft) fail(r Refund, reason string) {
	before := r.State
	r.State, r.Reason = RefundFailed, clean(reason)
	d.returned(r.Topup, -r.Amount.Minor)
	if r.Request != "" {
		from := RefundHold(r.ID)
		if before == RefundDone {
			from = Treasury
		}
		d.refunds.put(r.ID, r)
		d.move("card.refund-failed", r.ID, r.note(), part{from, -r.Amount.Minor}, d.own(r.Amount.Minor))
		return
	}
	forgiven := min(r.Lost.Minor, d.standing.Owed.Minor)
	d.standing.Owed.Minor -= forgiven
	r.Lost = money.MicroUSD(0)
	d.refunds.put(r.ID, r)
	d.move("card.refund-outside-failed", r.ID, r.note(), part{Treasury, -r.Amount.Minor}, d.own(r.Amount.Minor-forgiven), part{Loss, forgiven})
}

// Refundable is how much of the account's money can go back to cards now, in whole cents.
func (b *Book) Refundable(account string, balances Balances) money.Amount {
	var most int64
	for _, id := range b.byAccount[account] {
		most += room(b.topups[id])
	}
	most = max(0, min(most, balances.Balance(TenantCard(account), money.USD)))
	return money.MicroUSD(most - most%MicroPerCent)
}

// Refund is the one of that id.
func (b *Book) Refund(id string) (Refund, bool) {
	r, found := b.refunds[id]
	return r, found
}

// Refunds are those of an account, the oldest first.
func (b *Book) Refunds(account string) []Refund {
	list := sorted(b.refunds, orderRefunds)
	return slices.DeleteFunc(list, func(r Refund) bool { return r.Account != account })
}

// PendingRefunds are at most limit refunds that have not ended, the oldest first. One of ours without Provider is to be made there (under its own
// name, so that twice is once); of the others the provider is to be asked.
func (b *Book) PendingRefunds(limit int) []Refund {
	list := sorted(pick(b.refunds, b.pending), orderRefunds)
	return list[:min(limit, len(list))]
}
