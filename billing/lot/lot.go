// Package lot keeps the queues of what suppliers have earned from money that is not there yet: credit that an admin granted, and cards,
// whose payers may still take their money back. Such earnings are released from a lot: tokens that an admin paid in on purpose. It is a
// plain value of the replicated state.
//
// Earnings are kept by the hour in which they were earned and go out in that order, and within an hour in the order in which suppliers
// first earned. What a card paid rests for CardRest. An account that is frozen (a disputed card) gets nothing released, and may not spend
// what it has from cards: whoever rents his own machine with a stolen card is frozen on both sides.
package lot

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
)

// Origin says where held money came from. It names the lot that releases it, too.
type Origin string

// The origins.
const (
	Grant Origin = "grant"
	Card  Origin = "card"
)

// The rules of release.
const (
	CardRest    = 7 * 24 * time.Hour // what a card paid for waits so long after the end of its hour
	MaxReleases = 100                // suppliers in one Release
)

// Origins are all origins, in the order in which they are released.
func Origins() []Origin { return []Origin{Grant, Card} }

// LotAccount is the ledger account whose tokens release money of the origin.
func (o Origin) LotAccount() string {
	if o == Grant {
		return "lot:grants"
	}
	return "lot:card"
}

// HeldAccount is the ledger account of what the supplier has earned from the origin and not had released.
func (o Origin) HeldAccount(supplier string) string { return "supplier-" + string(o) + ":" + supplier }

func conversionAccount() string { return "fx:in" }

// Bucket is what was earned in one hour.
type Bucket struct {
	Hour    time.Time        `json:"hour"`
	Order   []string         `json:"order"`   // suppliers, in the order in which they first earned in it
	Amounts map[string]int64 `json:"amounts"` // minor units by supplier
}

// Freeze says why an account's money from cards stands still.
type Freeze struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Book is all that is held. After an error nothing has changed.
type Book struct {
	Queues   map[string][]*Bucket `json:"queues"`   // by <origin>/<asset>, oldest hour first
	Frozen   map[string]Freeze    `json:"frozen"`   // by account
	Released map[string]uint64    `json:"released"` // entries so far, by origin
}

// NewBook is a book in which nothing is held.
func NewBook() *Book {
	return &Book{Queues: map[string][]*Bucket{}, Frozen: map[string]Freeze{}, Released: map[string]uint64{}}
}

func queueOf(origin Origin, asset money.Asset) string { return string(origin) + "/" + string(asset) }

// Add notes that the supplier has earned from the origin in the hour of at. It goes with a posting to HeldAccount; the caller sees to it that
// each earning is added once. The cost does not grow with what is held.
func (b *Book) Add(origin Origin, supplier string, earned money.Amount, at time.Time) error {
	if (origin != Grant && origin != Card) || !short(supplier) || earned.Minor <= 0 || earned.Asset != money.USDC && earned.Asset != money.IO {
		return raylink.Errorf(raylink.CodeInvalid, "%v cannot be held for %.60q from %.20q", earned, supplier, origin)
	}
	bucket := b.bucket(queueOf(origin, earned.Asset), at.UTC().Truncate(time.Hour))
	sum, err := money.AddMinor(bucket.Amounts[supplier], earned.Minor)
	if err != nil {
		return fmt.Errorf("holding %v for %s: %w", earned, supplier, err)
	}
	if _, known := bucket.Amounts[supplier]; !known {
		bucket.Order = append(bucket.Order, supplier)
	}
	bucket.Amounts[supplier] = sum
	return nil
}

// AddAll adds what stands in another book, as if it had been added here.
func (b *Book) AddAll(other *Book) error {
	for _, origin := range Origins() {
		for _, asset := range []money.Asset{money.USDC, money.IO} {
			for _, bucket := range other.Queues[queueOf(origin, asset)] {
				for _, supplier := range bucket.Order {
					if err := b.Add(origin, supplier, money.Amount{Minor: bucket.Amounts[supplier], Asset: asset}, bucket.Hour); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// bucket finds or makes the bucket of an hour; nearly always it is the last.
func (b *Book) bucket(queue string, hour time.Time) *Bucket {
	list := b.Queues[queue]
	at := len(list)
	for at > 0 && list[at-1].Hour.After(hour) {
		at--
	}
	if at > 0 && list[at-1].Hour.Equal(hour) {
		return list[at-1]
	}
	fresh := &Bucket{Hour: hour, Amounts: map[string]int64{}}
	b.Queues[queue] = append(append(append([]*Bucket{}, list[:at]...), fresh), list[at:]...)
	return fresh
}

// due says whether what was earned in the hour from the origin may go out at now.
func due(now time.Time, origin Origin, hour time.Time) bool {
	return origin != Card || !now.Before(hour.Add(time.Hour).Add(CardRest))
}

// Ready says whether Release would release anything.
func (b *Book) Ready(now time.Time, origin Origin, asset money.Asset, funds int64) bool {
	for _, bucket := range b.Queues[queueOf(origin, asset)] {
		if funds <= 0 || !due(now, origin, bucket.Hour) {
			return false
		}
		for _, supplier := range bucket.Order {
			if !b.stands(origin, supplier) {
				return true
			}
		}
	}
	return false
}

// stands says whether the supplier's money of the origin is frozen.
func (b *Book) stands(origin Origin, supplier string) bool {
	_, frozen := b.Frozen[supplier]
	return frozen && origin == Card
}

// Release pays out what is due of one origin and asset, as far as the funds of its lot (minor units) reach, oldest first, MaxReleases parts at most. Each part is an
// entry of kind `release`, ref <origin>/<number>: the lot to fx:in, and from the supplier's held account to supplier:<a>.
func (b *Book) Release(now time.Time, origin Origin, asset money.Asset, funds int64) []ledger.Entry {
	queue := queueOf(origin, asset)
	var entries []ledger.Entry
	var rest []*Bucket
	for i, bucket := range b.Queues[queue] {
		if funds <= 0 || len(entries) == MaxReleases || !due(now, origin, bucket.Hour) {
			rest = append(rest, b.Queues[queue][i:]...)
			break
		}
		var order []string
		for _, supplier := range bucket.Order {
			held := bucket.Amounts[supplier]
			if funds <= 0 || len(entries) == MaxReleases || b.stands(origin, supplier) {
				order = append(order, supplier)
				continue
			}
			amount := min(held, funds)
			funds -= amount
			b.Released[string(origin)]++
			entries = append(entries, b.release(origin, supplier, money.Amount{Minor: amount, Asset: asset}, bucket.Hour))
			if amount == held {
				delete(bucket.Amounts, supplier)
				continue
			}
			bucket.Amounts[supplier] = held - amount
			order = append(order, supplier)
		}
		if bucket.Order = order; len(order) > 0 {
			rest = append(rest, bucket)
		}
	}
	if b.Queues[queue] = rest; len(rest) == 0 {
		delete(b.Queues, queue)
	}
	return entries
}

func (b *Book) release(origin Origin, supplier string, amount money.Amount, hour time.Time) ledger.Entry {
	minus := money.Amount{Minor: -amount.Minor, Asset: amount.Asset}
	note, err := json.Marshal(struct {
		Origin Origin    `json:"origin"`
		Hour   time.Time `json:"earned_in_hour"`
	}{origin, hour})
	if err != nil {
		panic("writing a release: " + err.Error()) // a string and a time of the replicated clock always can be
	}
	return ledger.Entry{Kind: "release", Ref: fmt.Sprintf("%s/%d", origin, b.Released[string(origin)]), Note: note, Postings: []ledger.Posting{
		{Account: origin.LotAccount(), Amount: minus}, {Account: conversionAccount(), Amount: amount},
		{Account: origin.HeldAccount(supplier), Amount: minus}, {Account: ledger.Supplier(supplier), Amount: amount},
	}}
}

// Held is what is held for a supplier of one origin and asset, in minor units, and when its first part may go out (zero: as soon as the lot has funds).
func (b *Book) Held(origin Origin, supplier string, asset money.Asset) (minor int64, from time.Time) {
	for _, bucket := range b.Queues[queueOf(origin, asset)] {
		amount, ok := bucket.Amounts[supplier]
		if ok && minor == 0 && origin == Card {
			from = bucket.Hour.Add(time.Hour).Add(CardRest)
		}
		minor += amount
	}
	return minor, from
}

// Freeze stops an account's money from cards: what it holds, and what it has earned. A frozen account keeps its first reason.
func (b *Book) Freeze(now time.Time, account, reason string) error {
	if !short(account) || reason == "" || len(reason) > 500 {
		return raylink.Errorf(raylink.CodeInvalid, "a freeze is of an account, with a reason of 1 to 500 bytes")
	}
	if _, ok := b.Frozen[account]; !ok {
		b.Frozen[account] = Freeze{Reason: reason, At: now.UTC()}
	}
	return nil
}

// Unfreeze ends a freeze; of an account that is not frozen it changes nothing.
func (b *Book) Unfreeze(account string) { delete(b.Frozen, account) }

// IsFrozen says whether the account's money from cards stands still, and why.
func (b *Book) IsFrozen(account string) (Freeze, bool) {
	f, ok := b.Frozen[account]
	return f, ok
}

func short(text string) bool {
	return text != "" && len(text) <= 96 && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
