// Package ledger keeps books by double entry in a hash-chained journal. It is a plain value for
// a replicated state: no clock, no randomness, the same calls give the same bytes. It is not
// safe for use by several goroutines at once, but entries handed out never change.
package ledger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"raylink/billing/money"
)

// The three ways in which a Post is refused; tell them apart with errors.Is.
var (
	ErrInsufficient = errors.New("insufficient funds")               // always an *InsufficientError
	ErrConflict     = errors.New("already recorded with other sums") // same kind and ref, other postings
	ErrInvalid      = errors.New("invalid journal entry")            // malformed, unbalanced or out of range
)

// InsufficientError says which account could not pay. It matches ErrInsufficient.
type InsufficientError struct {
	Account string
	Needed  money.Amount // what the entry takes from the account, after what it gives
	Has     money.Amount // the account's balance before
}

func (e *InsufficientError) Error() string {
	return fmt.Sprintf("account %s has %v, needs %v", e.Account, e.Has, e.Needed)
}

// Unwrap is ErrInsufficient.
func (e *InsufficientError) Unwrap() error { return ErrInsufficient }

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// Ledger is the journal and the balances that follow from it. Its JSON form is the journal alone;
// reading it posts every entry anew and checks every hash, so a restored ledger is the one that
// never stopped, or an error.
type Ledger struct {
	entries  pages
	names    map[name]uint64 // to Seq
	balances map[slot]int64  // without the zeros
	under    *Ledger         // of a draft: what it goes on from
	from     uint64          // of a draft: how many entries that had
}

type name struct{ kind, ref string }

type slot struct {
	account string
	asset   money.Asset
}

// New is a ledger without entries.
func New() *Ledger {
	return &Ledger{names: map[name]uint64{}, balances: map[slot]int64{}}
}

// Post appends an entry. The postings must sum to zero for each asset, and only an
// account that MayBeNegative may end below zero. A second Post of the same kind and ref with the same postings
// in the same order changes nothing and returns the first entry, whatever its time and note; with
// other postings it is an ErrConflict. Note is written as JSON; nil is none. After an error
// nothing has changed. The cost grows with the postings, not with the journal.
func (l *Ledger) Post(at time.Time, kind, ref string, postings []Posting, note any) (Entry, error) {
	if first, found := l.Find(kind, ref); found {
		if !same(first.Postings, postings) {
			return Entry{}, fmt.Errorf("posting %s %s: %w as entry %d", kind, ref, ErrConflict, first.Seq)
		}
		return first, nil
	}
	text, err := canonicalNote(note)
	if err != nil {
		return Entry{}, fmt.Errorf("posting %s %s: %w", kind, ref, err)
	}
	seq, head := l.Head()
	entry := Entry{
		Seq: seq + 1, At: at.UTC().Round(0), Kind: kind, Ref: ref,
		Postings: append([]Posting{}, postings...), Note: text, Prev: head,
	}
	entry.Hash = HashOf(entry)
	if err := l.append(entry); err != nil {
		return Entry{}, fmt.Errorf("posting %s %s: %w", kind, ref, err)
	}
	return entry, nil
}

// append takes in an entry that carries its place and hash already.
func (l *Ledger) append(entry Entry) error {
	if err := Check(entry); err != nil {
		return err
	}
	after, err := l.balancesAfter(entry.Postings)
	if err != nil {
		return err
	}
	for place, balance := range after {
		l.set(place, balance)
	}
	l.add(entry)
	return nil
}

func (l *Ledger) add(entry Entry) {
	l.names[name{entry.Kind, entry.Ref}] = entry.Seq
	l.entries.add(entry)
}

// set changes a balance. A draft keeps zeros: they hide what stands below it.
func (l *Ledger) set(place slot, balance int64) {
	if balance == 0 && l.under == nil {
		delete(l.balances, place)
	} else {
		l.balances[place] = balance
	}
}

func (l *Ledger) balance(place slot) int64 {
	balance, known := l.balances[place]
	if !known && l.under != nil {
		return l.under.balance(place)
	}
	return balance
}

// balancesAfter are the new balances of the accounts that the postings touch.
func (l *Ledger) balancesAfter(postings []Posting) (map[slot]int64, error) {
	after := make(map[slot]int64, len(postings))
	for _, posting := range postings {
		place := slot{posting.Account, posting.Amount.Asset}
		before, seen := after[place]
		if !seen {
			before = l.balance(place)
		}
		sum, err := money.AddMinor(before, posting.Amount.Minor)
		if err != nil {
			return nil, invalid("balance of %s: %v", posting.Account, err)
		}
		after[place] = sum
	}
	for _, posting := range postings { // in their order, so that every replica names the same account
		place := slot{posting.Account, posting.Amount.Asset}
		if balance := after[place]; balance < 0 && !MayBeNegative(posting.Account) {
			has := money.Amount{Minor: l.balance(place), Asset: place.asset}
			needed, err := has.Sub(money.Amount{Minor: balance, Asset: place.asset})
			if err != nil {
				return nil, invalid("balance of %s: %v", posting.Account, err)
			}
			return nil, &InsufficientError{Account: posting.Account, Needed: needed, Has: has}
		}
	}
	return after, nil
}

// Balance is what the account holds of the asset, in minor units; zero for one never heard of.
func (l *Ledger) Balance(account string, asset money.Asset) int64 {
	return l.balance(slot{account, asset})
}

// Account is the balance of one account in one asset.
type Account struct {
	Name    string       `json:"account"`
	Balance money.Amount `json:"balance"`
}

// Accounts are all balances other than zero, sorted by name and asset. The cost is that of
// sorting them.
func (l *Ledger) Accounts() []Account {
	list := make([]Account, 0, len(l.balances))
	for place, balance := range l.balances {
		list = append(list, Account{place.account, money.Amount{Minor: balance, Asset: place.asset}})
	}
	SortAccounts(list)
	return list
}

// Under are the balances other than zero of the accounts whose names begin with the prefix, sorted. The cost is that of looking at
// all accounts, and of sorting those.
func (l *Ledger) Under(prefix string) []Account {
	var list []Account
	for place, balance := range l.balances {
		if strings.HasPrefix(place.account, prefix) {
			list = append(list, Account{place.account, money.Amount{Minor: balance, Asset: place.asset}})
		}
	}
	SortAccounts(list)
	return list
}

// Each gives every balance other than zero of an asset, in no order: what is made of them must not depend on it.
func (l *Ledger) Each(asset money.Asset, see func(account string, minor int64)) {
	for place, balance := range l.balances {
		if place.asset == asset {
			see(place.account, balance)
		}
	}
}

// SortAccounts brings accounts into the order of their names, then of their assets.
func SortAccounts(list []Account) {
	slices.SortFunc(list, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Balance.Asset, b.Balance.Asset))
	})
}

// Entries are at most limit entries that follow the one numbered `after` (0: from the first).
func (l *Ledger) Entries(after uint64, limit int) []Entry {
	return l.entries.copied(after, limit)
}

// Find is the entry of that kind and ref.
func (l *Ledger) Find(kind, ref string) (Entry, bool) {
	if seq, found := l.names[name{kind, ref}]; found {
		return l.entries.at(seq - 1 - l.from), true
	}
	if l.under != nil {
		return l.under.Find(kind, ref)
	}
	return Entry{}, false
}

// Head is number and hash of the last entry; 0 and empty before the first. The hash stands for the
// whole journal.
func (l *Ledger) Head() (seq uint64, hash string) {
	if l.entries.count == 0 && l.under != nil {
		return l.under.Head()
	}
	if l.entries.count == 0 {
		return 0, ""
	}
	last := l.entries.at(l.entries.count - 1)
	return last.Seq, last.Hash
}

// saved is the JSON form.
type saved struct {
	Entries []Entry `json:"entries"`
}

// MarshalJSON writes the journal.
func (l *Ledger) MarshalJSON() ([]byte, error) {
	return json.Marshal(saved{Entries: append([]Entry{}, l.entries.copied(0, math.MaxInt)...)})
}

// UnmarshalJSON reads the journal into an empty ledger, checking all that Post checks, and the chain.
func (l *Ledger) UnmarshalJSON(text []byte) error {
	var form saved
	if err := json.Unmarshal(text, &form); err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	fresh := New()
	for _, entry := range form.Entries {
		entry.At = entry.At.UTC()
		note, err := canonicalNote(entry.Note) // a snapshot may have been indented
		if err != nil {
			return fmt.Errorf("reading journal entry %d: %w", entry.Seq, err)
		}
		entry.Note = note
		seq, head := fresh.Head()
		if entry.Seq != seq+1 || entry.Prev != head || entry.Hash != HashOf(entry) {
			return fmt.Errorf("reading journal entry %d: %w: hash or number does not follow entry %d", entry.Seq, ErrInvalid, seq)
		}
		if _, found := fresh.names[name{entry.Kind, entry.Ref}]; found {
			return fmt.Errorf("reading journal entry %d: %w", entry.Seq, ErrConflict)
		}
		if err := fresh.append(entry); err != nil {
			return fmt.Errorf("reading journal entry %d: %w", entry.Seq, err)
		}
	}
	*l = *fresh
	return nil
}
