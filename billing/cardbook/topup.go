package cardbook

import (
	"fmt"
	"time"

	"raylink/billing/money"
)

// maxOpen is how many top-ups of one account may be open at once.
const maxOpen = 20

// Cents is the amount in whole cents; anything but whole cents of USD is ErrInvalid.
func Cents(a money.Amount) (int64, error) {
	if a.Asset != money.USD || a.Minor%MicroPerCent != 0 {
		return 0, fmt.Errorf("%w: %v is not whole cents of USD", ErrInvalid, a)
	}
	return a.Minor / MicroPerCent, nil
}

// FromCents is the amount of n cents; n must be below 10^14.
func FromCents(n int64) money.Amount { return money.MicroUSD(n * MicroPerCent) }

// Request opens a top-up: nothing is credited yet. The same id with the same content again returns what stands; with other content it is ErrConflict.
func (b *Book) Request(now time.Time, id, account string, amount money.Amount, live bool) (Topup, error) {
	if err := checkID("top-up", id); err != nil {
		return Topup{}, err
	}
	if err := checkID("account", account); err != nil {
		return Topup{}, err
	}
	if _, err := Cents(amount); err != nil {
		return Topup{}, err
	}
	if t, found := b.topups[id]; found {
		if t.Account != account || t.Amount != amount || t.Live != live {
			return Topup{}, fmt.Errorf("top-up %s: %w", id, ErrConflict)
		}
		return t, nil
	}
	if amount.Minor < MinTopup || amount.Minor > MaxTopup {
		return Topup{}, fmt.Errorf("%w: %v is not between %v and %v", ErrLimit, amount, money.MicroUSD(MinTopup), money.MicroUSD(MaxTopup))
	}
	if b.Standing(account).Flagged() {
		return Topup{}, fmt.Errorf("top-up %s of %s: %w", id, account, ErrFlagged)
	}
	open := 0
	for _, other := range b.byAccount[account] {
		if b.open[other] {
			open++
		}
	}
	if open >= maxOpen {
		return Topup{}, fmt.Errorf("%w: %d top-ups are open already; pay one, or wait until they expire", ErrLimit, open)
	}
	now = stamp(now)
	t := Topup{
		ID: id, Account: account, Amount: amount, Live: live, State: Open, Created: now, Expires: now.Add(Lifetime),
		Received: money.MicroUSD(0), Returned: money.MicroUSD(0),
	}
	b.topups[id] = t
	b.indexTopup(t, false)
	return t, nil
}

// Opened notes the provider's session, before the user is given its URL. Another session for a top-up that has one is ErrConflict.
func (b *Book) Opened(id, session string) (Topup, error) {
	if err := checkID("session", session); err != nil {
		return Topup{}, err
	}
	t, found := b.topups[id]
	if !found {
		return Topup{}, fmt.Errorf("top-up %s: %w", id, ErrUnknown)
	}
	if t.Session != "" && t.Session != session {
		return Topup{}, fmt.Errorf("top-up %s has session %s: %w", id, t.Session, ErrConflict)
	}
	t.Session = session
	b.topups[id] = t
	return t, nil
}

// Abandon closes an open top-up for which no session was ever seen, once it is past its time. Where there is one, the provider says when it expired.
func (b *Book) Abandon(now time.Time, id string) error {
	t, found := b.topups[id]
	switch {
	case !found:
		return fmt.Errorf("top-up %s: %w", id, ErrUnknown)
	case t.State == Expired:
		return nil
	case t.State != Open || t.Session != "" || now.Before(t.Expires):
		return fmt.Errorf("abandoning top-up %s: %w: it is %s until %s", id, ErrConflict, t.State, t.Expires.Format(time.RFC3339))
	}
	t.State = Expired
	b.topups[id] = t
	b.indexTopup(t, true)
	return nil
}

// Pardon lets an account that lost disputes take cards again.
func (b *Book) Pardon(account string) error {
	s, found := b.standings[account]
	if !found {
		return fmt.Errorf("account %s has no dispute: %w", account, ErrUnknown)
	}
	s.Pardoned = s.LostDisputes
	b.standings[account] = s
	return nil
}

// Topup is the one of that id.
func (b *Book) Topup(id string) (Topup, bool) {
	t, found := b.topups[id]
	return t, found
}

// ByPayment is the top-up that a payment intent paid.
func (b *Book) ByPayment(payment string) (Topup, bool) {
	t, found := b.topups[b.byPayment[payment]]
	return t, found
}

// Topups are those of an account, in the order of their coming.
func (b *Book) Topups(account string) []Topup {
	list := make([]Topup, 0, len(b.byAccount[account]))
	for _, id := range b.byAccount[account] {
		list = append(list, b.topups[id])
	}
	return list
}

// Waiting are at most limit open top-ups created before that time, the oldest first: the provider should be asked about them, in case that its
// events were lost.
func (b *Book) Waiting(before time.Time, limit int) []Topup {
	list := sorted(pick(b.topups, b.open), orderTopups)
	for i, t := range list {
		if i >= limit || !t.Created.Before(before) {
			return list[:i]
		}
	}
	return list
}

// Standing is what disputes have left on the account.
func (b *Book) Standing(account string) Standing {
	if s, found := b.standings[account]; found {
		return s
	}
	return Standing{Owed: money.MicroUSD(0)}
}

// Dispute is the one of that id.
func (b *Book) Dispute(id string) (Dispute, bool) {
	d, found := b.disputes[id]
	return d, found
}

// Disputes are those of an account, in the order of their coming.
func (b *Book) Disputes(account string) []Dispute {
	list := make([]Dispute, 0, len(b.contested[account]))
	for _, id := range b.contested[account] {
		list = append(list, b.disputes[id])
	}
	return list
}

func pick[R any](records map[string]R, ids map[string]bool) map[string]R {
	some := make(map[string]R, len(ids))
	for id := range ids {
		some[id] = records[id]
	}
	return some
}
