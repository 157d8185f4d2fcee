package cardbook

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"raylink/billing/money"
)

// Apply takes in a fact and returns what it moves; nothing, where it says what is known. ErrForeign is no fault: the object belongs to another
// product on the same provider's account.
func (b *Book) Apply(now time.Time, fact Fact, balances Balances) ([]Movement, error) {
	d, err := b.take(now, fact, balances)
	if err != nil {
		return nil, err
	}
	d.sweep()
	return d.commit(), nil
}

// Changes says whether Apply would take anything new from the fact, or refuse it. Who asks the provider again and again need not write down each time
// that nothing has happened.
func (b *Book) Changes(fact Fact) bool {
	d, err := b.take(time.Time{}, fact, nothing{})
	return err != nil || d.changed()
}

type nothing struct{}

func (nothing) Balance(string, money.Asset) int64 { return 0 }

// AccountOf is whose payment a fact is about.
func (b *Book) AccountOf(fact Fact) (string, bool) {
	t, found := b.find(fact)
	return t.Account, found
}

// find is the top-up that the fact names or, should somebody have changed the metadata by hand, the one that its payment has paid.
func (b *Book) find(fact Fact) (Topup, bool) {
	t, found := b.topups[fact.Topup]
	if !found && fact.Payment != nil {
		return b.ByPayment(fact.Payment.ID)
	}
	return t, found
}

// take drafts what the fact says.
func (b *Book) take(now time.Time, fact Fact, balances Balances) (*draft, error) {
	t, found := b.find(fact)
	if !found {
		return nil, fmt.Errorf("fact on top-up %.40q: %w", fact.Topup, ErrForeign)
	}
	if fact.Live != t.Live {
		return nil, fmt.Errorf("fact on top-up %s: %w", t.ID, ErrMode)
	}
	if err := fact.check(); err != nil {
		return nil, fmt.Errorf("fact on top-up %s: %w", t.ID, err)
	}
	d := b.draft(now, t.Account, balances)
	d.session(t.ID, fact)
	if fact.Payment == nil || fact.Payment.Received == 0 {
		return d, nil
	}
	paid, err := d.payment(t.ID, fact)
	if err != nil {
		return nil, fmt.Errorf("fact on top-up %s: %w", t.ID, err)
	}
	for _, r := range fact.Refunds {
		d.refund(paid, r)
	}
	for _, c := range fact.Disputes {
		d.dispute(paid, c)
	}
	return d, nil
}

// Sweep collects what the account owes and, while a dispute is open, freezes the rest. Apply does so itself; it is for money that comes back to
// TenantCard otherwise, from a hold that is released.
func (b *Book) Sweep(now time.Time, account string, balances Balances) []Movement {
	d := b.draft(now, account, balances)
	d.sweep()
	return d.commit()
}

// session notes the session and its end.
func (d *draft) session(topup string, fact Fact) {
	if fact.Session == nil {
		return
	}
	t, _ := d.topups.get(topup)
	if t.Session == "" {
		t.Session = fact.Session.ID
	}
	over := fact.Session.Status == "expired"
	if p := fact.Payment; p != nil && fact.Session.Status == "complete" { // a payment that takes days has failed
		over = p.Received == 0 && (p.Status == "canceled" || p.Status == "requires_payment_method")
	}
	if over && t.State == Open && t.Session == fact.Session.ID {
		t.State = Expired
	}
	if t != d.book.topups[topup] {
		d.topups.put(topup, t)
	}
}

// payment credits what was received, once for each payment intent, and names the top-up it belongs to.
func (d *draft) payment(topup string, fact Fact) (string, error) {
	p := fact.Payment
	received := FromCents(p.Received)
	if owner, known := d.book.byPayment[p.ID]; known {
		t, _ := d.topups.get(owner)
		if t.Account != d.account || t.Received != received {
			return "", fmt.Errorf("%w: payment %s of %v for %s was credited as %v to %s", ErrImpossible, p.ID, received, d.account, t.Received, t.Account)
		}
		return owner, nil
	}
	t, _ := d.topups.get(topup)
	if t.Payment != "" { // paid once more, in a session that somebody else's retry had made
		if _, taken := d.topups.get(p.ID); taken {
			return "", fmt.Errorf("%w: payment %s is named like a top-up", ErrImpossible, p.ID)
		}
		t = Topup{ID: p.ID, Account: t.Account, Amount: t.Amount, Live: t.Live, Created: d.now, Expires: t.Expires, Returned: money.MicroUSD(0)}
		if fact.Session != nil {
			t.Session = fact.Session.ID
		}
	}
	t.State, t.Payment, t.Received, t.PaidAt = Paid, p.ID, received, d.now
	d.topups.put(t.ID, t)
	d.move("card.topup", p.ID, Note{Topup: t.ID, Session: t.Session, Payment: p.ID}, part{Treasury, -received.Minor}, d.own(received.Minor))
	return t.ID, nil
}

// dispute takes in what is known of one. An inquiry takes no money and is left alone until it becomes a dispute.
func (d *draft) dispute(topup string, fact DisputeFact) {
	if strings.HasPrefix(fact.Status, "warning_") {
		return
	}
	record, known := d.disputes.get(fact.ID)
	if !known {
		if fact.Status == "prevented" || fact.Amount == 0 {
			return
		}
		record = d.contest(topup, fact)
	}
	var outcome DisputeState
	switch fact.Status {
	case "won", "prevented":
		outcome = DisputeWon
	case "lost":
		outcome = DisputeLost
	default: // needs_response, under_review, and whatever the provider invents: frozen until it is over
		return
	}
	if record.State == DisputeOpen {
		d.decide(record, outcome)
	} else if record.State != outcome && record.Later != outcome {
		record.Later = outcome
		d.disputes.put(record.ID, record)
	}
}

// contest opens a dispute; sweep will freeze the money.
func (d *draft) contest(topup string, fact DisputeFact) Dispute {
	t, _ := d.topups.get(topup)
	record := Dispute{
		ID: fact.ID, Account: d.account, Topup: topup, Payment: t.Payment, Amount: FromCents(fact.Amount), State: DisputeOpen,
		Frozen: money.MicroUSD(0), Lost: money.MicroUSD(0), Reason: clean(fact.Reason), At: d.now,
	}
	d.disputes.put(record.ID, record)
	t.State = Disputed
	d.topups.put(t.ID, t)
	d.standing.OpenDisputes++
	d.move("card.dispute", record.ID, Note{Topup: topup, Payment: t.Payment, Dispute: record.ID, Reason: fact.Reason})
	return record
}

// decide books an outcome. Of a lost dispute the account pays with what was frozen and what it has; the rest it owes.
func (d *draft) decide(record Dispute, outcome DisputeState) {
	t, _ := d.topups.get(record.Topup)
	note := Note{Topup: t.ID, Payment: t.Payment, Dispute: record.ID, Reason: record.Reason}
	frozen := record.Frozen.Minor
	d.standing.OpenDisputes--
	record.State, record.Frozen = outcome, money.MicroUSD(0)
	if outcome == DisputeWon {
		t.State = settled(t)
		d.move("card.dispute-won", record.ID, note, part{DisputeHold(record.ID), -frozen}, d.own(frozen))
	} else {
		t.State = ChargedBack
		paid := min(frozen+d.spendable, record.Amount.Minor)
		lost := record.Amount.Minor - paid
		d.standing.LostDisputes++
		d.standing.Owed.Minor += lost
		record.Lost = money.MicroUSD(lost)
		d.move("card.dispute-lost", record.ID, note,
			part{DisputeHold(record.ID), -frozen}, part{Treasury, record.Amount.Minor}, d.own(frozen-paid), part{Loss, -lost})
	}
	d.disputes.put(record.ID, record)
	d.topups.put(t.ID, t)
}

// settled is the state of a paid top-up that no dispute concerns.
func settled(t Topup) TopupState {
	if t.Returned.Minor >= t.Received.Minor {
		return Refunded
	}
	return Paid
}

// sweep lets the account pay its debt, also from what is frozen, then freezes what is left to it while a dispute is open, under the oldest one.
// After it an account that owes has nothing, and one with an open dispute has nothing to spend, in whatever order things came.
func (d *draft) sweep() {
	open := d.openDisputes()
	if d.standing.Owed.Minor > 0 {
		d.recover(open)
	}
	if len(open) == 0 || d.spendable <= 0 {
		return
	}
	record, _ := d.disputes.get(open[0])
	amount := d.spendable
	record.Frozen.Minor += amount
	record.Freezes++
	d.disputes.put(record.ID, record)
	note := Note{Topup: record.Topup, Payment: record.Payment, Dispute: record.ID}
	d.move("card.freeze", fmt.Sprintf("%s/%d", record.ID, record.Freezes), note, d.own(-amount), part{DisputeHold(record.ID), amount})
}

// recover takes what is owed from what the account can spend, then from what its disputes hold.
func (d *draft) recover(open []string) {
	owed := d.standing.Owed.Minor
	taken := max(0, min(owed, d.spendable))
	parts := []part{d.own(-taken)}
	for _, id := range open {
		record, _ := d.disputes.get(id)
		share := min(owed-taken, record.Frozen.Minor)
		if share <= 0 {
			continue
		}
		taken += share
		record.Frozen.Minor -= share
		d.disputes.put(id, record)
		parts = append(parts, part{DisputeHold(id), -share})
	}
	if taken == 0 {
		return
	}
	d.standing.Owed.Minor -= taken
	d.standing.Recoveries++
	d.move("card.recovered", fmt.Sprintf("%s/%d", d.account, d.standing.Recoveries), Note{}, append(parts, part{Loss, taken})...)
}

// openDisputes are those of the account, the oldest first.
func (d *draft) openDisputes() []string {
	var open []string
	for _, id := range append(slices.Clone(d.book.contested[d.account]), d.disputes.order...) {
		if record, _ := d.disputes.get(id); record.State == DisputeOpen && !slices.Contains(open, id) {
			open = append(open, id)
		}
	}
	return open
}
