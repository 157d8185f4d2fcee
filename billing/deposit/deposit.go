// Package deposit holds the rules of tokens that come in: what is credited, to whom, and why. It is a plain value of the replicated state.
//
// A deposit is what one finalized transaction added to one token account of ours, never what it said. It is attributed by a top-up's
// reference, else by a memo that is a top-up's id, else by the senders, if all of them are proven wallets of one and the same account;
// else it waits in suspense until an admin assigns or refunds it. So does a big one that fewer than two nodes have seen, whoever it names: an
// admin looks at the chain first, and what comes after it is not held up. A deposit is recorded under (signature, token account), so that it is credited
// once however often it is observed, and the token account's cursor moves on in the same step.
//
// What does not add to our holdings of an allowed mint (another mint, Token-2022, a failed transaction, our own payouts) moves the cursor
// and no money. The last MaxIgnored of them are kept with their reasons.
package deposit

import (
	"slices"
	"strings"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/wallet"
	"raylink/raylink"
)

// Limits on what is kept and taken.
const (
	MaxTopups  = 100                     // unexpired, unpaid top-ups of one account
	MaxIgnored = 1000                    // records of what was not credited
	MaxLife    = 7 * 24 * time.Hour      // of a top-up
	MaxAmount  = 100_000_000_000_000_000 // minor units of one deposit: more than there is of any of our tokens
	maxMemo    = 256
	maxNames   = 16
)

// Reason says what was special about a deposit, or why it was not credited.
type Reason string

// The reasons. Those before Late keep a deposit from being credited to anybody.
const (
	Dust          Reason = "dust"             // below the minimum; in suspense
	UnknownSender Reason = "unknown-sender"   // nothing names an account; in suspense
	Ambiguous     Reason = "ambiguous-sender" // senders of several accounts; in suspense
	NeedsTwoNodes Reason = "needs-two-nodes"  // above the bound, and seen by one node alone; in suspense
	OtherAsset    Reason = "other-asset"      // not the asset that was asked for; credited, but for a lot in suspense
	WrongMint     Reason = "wrong-mint"       // ignored
	Program2022   Reason = "token-2022"       // ignored
	FailedTx      Reason = "failed"           // ignored
	Outgoing      Reason = "outgoing"         // ignored: our own payments
	Late          Reason = "late"             // after the top-up's end; credited
	Over          Reason = "over"             // more than expected; credited as it came
	Under         Reason = "under"            // less than expected; credited as it came
	Twice         Reason = "twice"            // the top-up had been paid before; credited as well
)

// Topup is an announced deposit.
type Topup struct {
	ID        string      `json:"id"` // also the memo that names it
	Account   string      `json:"account"`
	Asset     money.Asset `json:"asset"`
	Reference string      `json:"reference"`          // a random address, which the payer's wallet adds to the transfer
	Expected  int64       `json:"expected,omitempty"` // minor units; 0 is any
	Lot       string      `json:"lot,omitempty"`      // the lot it is paid into; empty is the account's balance
	OpenedAt  time.Time   `json:"opened_at"`
	ExpiresAt time.Time   `json:"expires_at"`
	Received  int64       `json:"received,omitempty"` // minor units of Asset so far
	Deposits  []string    `json:"deposits,omitempty"` // their keys
}

// Observation is the effect of a finalized transaction on one token account of ours, as a watcher saw it.
type Observation struct {
	Signature  string    `json:"signature"`
	After      string    `json:"after"` // the signature before it in the account's history: the cursor it was read from
	Account    string    `json:"account"`
	Mint       string    `json:"mint"`
	Program    string    `json:"program"`
	Decimals   int       `json:"decimals"`
	Delta      int64     `json:"delta"` // minor units
	Slot       uint64    `json:"slot"`
	At         time.Time `json:"at,omitzero"`
	Failed     bool      `json:"failed,omitempty"`
	Memo       string    `json:"memo,omitempty"`
	References []string  `json:"references,omitempty"`
	Senders    []string  `json:"senders,omitempty"`
	Witnesses  []string  `json:"witnesses"` // names of the nodes that agree on it
}

// Key is the deposit's name: no two have the same.
func (o Observation) Key() string { return o.Signature + "/" + o.Account }

// Deposit is one observation taken in.
type Deposit struct {
	Key     string      `json:"key"`
	Asset   money.Asset `json:"asset,omitempty"`
	Amount  int64       `json:"amount"` // minor units; of an ignored one what the chain moved
	Slot    uint64      `json:"slot"`
	At      time.Time   `json:"at"`           // when it was taken in
	To      string      `json:"to,omitempty"` // the ledger account credited; empty: ignored
	Via     string      `json:"via,omitempty"`
	Account string      `json:"account,omitempty"` // whose it is, where known
	Topup   string      `json:"topup,omitempty"`
	Memo    string      `json:"memo,omitempty"`
	Senders []string    `json:"senders,omitempty"`
	Reasons []Reason    `json:"reasons,omitempty"`
	Refund  string      `json:"refund,omitempty"` // the payout that returns it from suspense
	By      string      `json:"by,omitempty"`     // who assigned it out of suspense
}

// How a deposit found its account.
const (
	ViaReference = "reference"
	ViaMemo      = "memo"
	ViaWallet    = "wallet"
	ViaAdmin     = "admin"
)

// Cursor is how far a token account's history is taken in.
type Cursor struct {
	Signature string `json:"signature"` // empty: from the first
	Slot      uint64 `json:"slot"`
}

// Book is all deposits. After an error nothing has changed.
type Book struct {
	Treasury   Treasury            `json:"treasury"`
	Rules      Rules               `json:"rules"`
	Topups     map[string]*Topup   `json:"topups"`
	References map[string]string   `json:"references"` // top-up by reference
	Open       map[string][]string `json:"open"`       // unpaid top-ups by account, oldest first
	Deposits   map[string]*Deposit `json:"deposits"`
	Cursors    map[string]Cursor   `json:"cursors"`  // by token account
	Suspense   []string            `json:"suspense"` // keys of deposits that wait for an admin, oldest first
	Ignored    []Deposit           `json:"ignored"`  // the last ones, oldest first
}

// NewBook is a book without deposits, by the default rules and with no treasury yet.
func NewBook() *Book {
	return &Book{
		Rules: DefaultRules(), Topups: map[string]*Topup{}, References: map[string]string{}, Open: map[string][]string{},
		Deposits: map[string]*Deposit{}, Cursors: map[string]Cursor{},
	}
}

// Configure sets treasury and rules. Deposits and cursors stay.
func (b *Book) Configure(t Treasury, r Rules) error {
	if err := t.Check(); err != nil {
		return err
	}
	for _, m := range t {
		if r.Min[m.Asset] < 0 || r.Big[m.Asset] < 0 {
			return raylink.Errorf(raylink.CodeInvalid, "the bounds of deposits in %s cannot be negative", m.Asset)
		}
	}
	b.Treasury, b.Rules = t.sorted(), r
	return nil
}

// OpenTopup announces a deposit. OpenedAt is set here; the same top-up once more changes nothing.
func (b *Book) OpenTopup(now time.Time, t Topup) error {
	t.OpenedAt, t.ExpiresAt, t.Received, t.Deposits = now.UTC(), t.ExpiresAt.UTC(), 0, nil
	if was, ok := b.Topups[t.ID]; ok {
		if was.Account == t.Account && was.Reference == t.Reference && was.Asset == t.Asset && was.Expected == t.Expected && was.Lot == t.Lot {
			return nil
		}
		return raylink.Errorf(raylink.CodeConflict, "the top-up id %q is taken", t.ID)
	}
	if _, ok := b.Treasury.Of(t.Asset); !ok {
		return raylink.Errorf(raylink.CodeUnsupported, "%s cannot be paid in here: the treasury has no account for it", t.Asset).WithHint("ask an admin which assets are open")
	}
	if !short(t.ID) || !short(t.Account) || t.Expected < 0 || len(t.Lot) > 64 || t.Lot != "" && !short(t.Lot) {
		return raylink.Errorf(raylink.CodeInvalid, "a top-up needs an id, an account and an amount that is not negative")
	}
	if t.Expected > 0 && t.Expected < b.Rules.Min[t.Asset] {
		least := money.Amount{Minor: b.Rules.Min[t.Asset], Asset: t.Asset}
		return raylink.Errorf(raylink.CodeInvalid, "a top-up is at least %v", least).WithHint("top up %v or more", least)
	}
	if !t.ExpiresAt.After(now) || t.ExpiresAt.After(now.Add(MaxLife)) {
		return raylink.Errorf(raylink.CodeInvalid, "a top-up is open for at most %s", MaxLife)
	}
	if err := wallet.CheckAddress("the top-up's reference", t.Reference); err != nil {
		return err
	}
	if _, taken := b.References[t.Reference]; taken {
		return raylink.Errorf(raylink.CodeConflict, "the reference %s is taken", t.Reference)
	}
	open := slices.DeleteFunc(slices.Clone(b.Open[t.Account]), func(id string) bool { return !now.Before(b.Topups[id].ExpiresAt) })
	if len(open) >= MaxTopups {
		return raylink.Errorf(raylink.CodeTooLarge, "account %s has %d open top-ups", t.Account, len(open)).WithHint("pay one of them, or wait until it expires")
	}
	b.Topups[t.ID], b.References[t.Reference], b.Open[t.Account] = &t, t.ID, append(open, t.ID)
	return nil
}

// Observe takes in the next transaction of a token account and returns what to post, if anything: kind `deposit`, ref Key, treasury:chain
// down and the one credited up. It must follow the cursor; one that is known already changes nothing, and one that follows something else
// is a conflict, after which the watcher reads the cursor again. ownersOf are the accounts that have proven a wallet.
func (b *Book) Observe(now time.Time, o Observation, ownersOf func(address string) []string) ([]ledger.Entry, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	mint, ours := b.Treasury.ByAccount(o.Account)
	if !ours {
		return nil, raylink.Errorf(raylink.CodeNotFound, "%s is no token account of the treasury", o.Account)
	}
	_, known := b.Deposits[o.Key()]
	if o.After != b.Cursors[o.Account].Signature {
		if known || o.Signature == b.Cursors[o.Account].Signature {
			return nil, nil
		}
		return nil, raylink.Errorf(raylink.CodeConflict, "transaction %s does not follow what was taken in of %s", o.Signature, o.Account).WithHint("read the cursor again")
	}
	if known {
		b.advance(o)
		return nil, nil
	}
	d := Deposit{Key: o.Key(), Asset: mint.Asset, Amount: o.Delta, Slot: o.Slot, At: now.UTC(), Memo: o.Memo, Senders: o.Senders}
	if reason := ignored(mint, o); reason != "" {
		d.Reasons = []Reason{reason}
		b.Ignored = append(b.Ignored, d)
		if len(b.Ignored) > MaxIgnored {
			b.Ignored = slices.Clone(b.Ignored[len(b.Ignored)-MaxIgnored:])
		}
		b.advance(o)
		return nil, nil
	}
	b.attribute(now, &d, o, ownersOf)
	if b.Rules.NeedsTwo(mint.Asset, o.Delta) && !two(o.Witnesses) {
		d.To, d.Reasons = suspenseAccount(), []Reason{NeedsTwoNodes} // whom it names stays, for the admin to see
	}
	b.advance(o)
	b.record(&d)
	return entry("deposit", d.Key, d, chainAccount(), d.To), nil
}

// check bounds an observation, whose parts others wrote.
func (o Observation) check() error {
	good := short(o.Signature) && short(o.Account) && (o.After == "" || short(o.After)) && len(o.Memo) <= maxMemo &&
		len(o.References) <= maxNames && len(o.Senders) <= maxNames && len(o.Witnesses) <= maxNames
	for _, list := range [][]string{o.References, o.Senders, o.Witnesses} {
		good = good && !slices.ContainsFunc(list, func(text string) bool { return !short(text) })
	}
	if !good || o.After == o.Signature || o.Delta > MaxAmount {
		return raylink.Errorf(raylink.CodeInvalid, "the observation of transaction %.100q is malformed", o.Signature)
	}
	return nil
}

// short says whether a text can be a part of a ledger's name: the longest are signatures, of 88 characters.
func short(text string) bool {
	return text != "" && len(text) <= 96 && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

func two(witnesses []string) bool {
	return slices.ContainsFunc(witnesses, func(w string) bool { return w != witnesses[0] })
}

// ignored is why the observation credits nobody; empty where it does.
func ignored(mint Mint, o Observation) Reason {
	switch {
	case o.Failed:
		return FailedTx
	case o.Program == Token2022:
		return Program2022
	case o.Mint != mint.Mint || o.Program != mint.Program || o.Decimals != mint.Decimals:
		return WrongMint
	case o.Delta <= 0:
		return Outgoing
	}
	return ""
}

func (b *Book) advance(o Observation) {
	b.Cursors[o.Account] = Cursor{Signature: o.Signature, Slot: o.Slot}
}

// Rewind sets a token account's cursor back, to read its history again; the empty signature is its beginning. Nothing is credited twice by it.
func (b *Book) Rewind(account, signature string) error {
	if _, ours := b.Treasury.ByAccount(account); !ours {
		return raylink.Errorf(raylink.CodeNotFound, "%s is no token account of the treasury", account)
	}
	if d, known := b.Deposits[signature+"/"+account]; known {
		b.Cursors[account] = Cursor{Signature: signature, Slot: d.Slot}
		return nil
	}
	if signature != "" {
		return raylink.Errorf(raylink.CodeNotFound, "transaction %.100q is no deposit to %s", signature, account).WithHint("name a deposit, or nothing to begin at the first")
	}
	b.Cursors[account] = Cursor{}
	return nil
}
