// Package payout holds the rules of tokens that go out, so that nobody is paid twice. It is a plain value of the replicated state.
//
// A payout is reserved (its money moves to payout:<id>), queued, and put into a batch: one transaction of at most MaxTransfers payments. A
// batch is tried by attempts; signature, bytes and last valid height of an attempt are recorded before anybody sends it, and the bytes
// may then be sent as often as one likes. Only when an attempt is dead (its blockhash has expired at a finalized height and the chain does
// not know its signature, or it failed on chain) may the next one be signed. What is final is posted; a batch that failed is split, so that one bad
// destination stops nobody else.
package payout

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
)

// Kind says what a payout is for, and with it which ledger account it is taken from.
type Kind string

// The kinds.
const (
	Settlement Kind = "settlement" // of a supplier's earnings, from supplier:<account>
	Withdrawal Kind = "withdrawal" // of a tenant's balance, from tenant:<account>
	Refund     Kind = "refund"     // of a deposit in suspense, from suspense, to a proven wallet
	Burn       Kind = "burn"       // of bought IO, from lot:burn, to nobody
)

// State is how far a payout has come.
type State string

// The states. Paid and Cancelled are the ends; Blocked holds the money until somebody retries or cancels.
const (
	Waiting         State = "waiting"
	WaitingApproval State = "waiting-approval" // above a cap
	Batched         State = "batched"
	Paid            State = "paid"
	Blocked         State = "blocked"
	Cancelled       State = "cancelled"
)

// Code says why money has not gone out; empty where nothing stands in the way.
type Code string

// The codes. A blocked payout has the chain's own: frozen, no-account, other and so on.
const (
	NothingEarned  Code = "nothing-earned"
	BelowMinimum   Code = "below-minimum"
	NoWallet       Code = "no-wallet"
	NoTokenAccount Code = "no-token-account"
	Halted         Code = "halted"
	CapHour        Code = "cap-hour" // goes out when the hour has passed, or at once when an admin approves
	NeedsApproval  Code = "waiting-approval"
	TreasuryShort  Code = "treasury-short"
	HeldCard       Code = "held-card"
	HeldGrant      Code = "held-grant"
	PricePaused    Code = "price-paused"
	InFlight       Code = "in-flight"
	WaitsForSigner Code = "waits-for-signer" // in a batch that no signer has signed yet, or has to sign anew
	ChainFrozen    Code = "frozen"
	ChainNoAccount Code = "no-account"
	ChainExpired   Code = "expired"
	ChainReplayed  Code = "replayed"
)

// Payout is one payment.
type Payout struct {
	ID          string      `json:"id"`
	Kind        Kind        `json:"kind"`
	Account     string      `json:"account"` // whose money
	Asset       money.Asset `json:"asset"`
	Amount      int64       `json:"amount"`         // minor units
	Wallet      string      `json:"wallet"`         // the receiver; empty for a burn
	Item        string      `json:"item,omitempty"` // of a refund: the deposit's key
	State       State       `json:"state"`
	Code        Code        `json:"code,omitempty"`   // of a blocked one
	Reason      string      `json:"reason,omitempty"` // the chain's words
	RequestedAt time.Time   `json:"requested_at"`
	ChangedAt   time.Time   `json:"changed_at"`
	ApprovedBy  string      `json:"approved_by,omitempty"` // may exceed the caps
	Batch       string      `json:"batch,omitempty"`       // the last one it was in
	Signature   string      `json:"signature,omitempty"`   // of the transaction that paid it
	Tries       int         `json:"tries,omitempty"`       // failures of its own
	Solo        bool        `json:"solo,omitempty"`        // a batch with it failed: it goes alone
	Counted     bool        `json:"counted,omitempty"`     // the hour's cap has counted it
}

// Setting is how a supplier wants to be paid.
type Setting struct {
	Takes   money.Asset `json:"takes"`            // USDC or IO; USDC where empty
	Wallet  string      `json:"wallet,omitempty"` // one of the account's proven wallets
	Minimum int64       `json:"minimum"`          // minor units of Takes; the policy's where that is more
}

// Existence is what was seen of a wallet's token account.
type Existence struct {
	TokenAccount string    `json:"token_account"`
	Exists       bool      `json:"exists"`
	Frozen       bool      `json:"frozen,omitempty"`
	At           time.Time `json:"at"`
}

// Halt stops new attempts, of one asset or of all.
type Halt struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Policy bounds payouts. All amounts are in minor units.
type Policy struct {
	Minimum   map[money.Asset]int64 `json:"minimum"`    // of a settlement or withdrawal
	PerPayout map[money.Asset]int64 `json:"per_payout"` // more needs an admin; an asset without an entry always does
	PerHour   map[money.Asset]int64 `json:"per_hour"`   // of any 60 minutes; more waits, or needs an admin
	MaxTries  int                   `json:"max_tries"`  // failures of one payout before it is blocked
	Fresh     time.Duration         `json:"fresh"`      // how long it is believed that a token account exists
	Own       []string              `json:"own"`        // wallets and token accounts of ours: never a destination
}

// DefaultPolicy is 1 USDC or 1 IO at least, 1,000 USDC or 4,000 IO in one payout, and ten times that in an hour.
func DefaultPolicy() Policy {
	return Policy{
		Minimum:   map[money.Asset]int64{money.USDC: 1_000_000, money.IO: 100_000_000},
		PerPayout: map[money.Asset]int64{money.USDC: 1_000_000_000, money.IO: 400_000_000_000},
		PerHour:   map[money.Asset]int64{money.USDC: 10_000_000_000, money.IO: 4_000_000_000_000},
		MaxTries:  3, Fresh: 24 * time.Hour,
	}
}

// Spend is what one batch took out of the hour's cap.
type Spend struct {
	At     time.Time `json:"at"`
	Amount int64     `json:"amount"`
}

// Book is all payouts. After an error nothing has changed.
type Book struct {
	Policy     Policy                   `json:"policy"`
	Settings   map[string]Setting       `json:"settings"` // by account
	Payouts    map[string]*Payout       `json:"payouts"`
	Active     map[string][]string      `json:"active"`  // by account: payouts that have not ended, oldest first
	Queue      map[money.Asset][]string `json:"queue"`   // payouts to be batched, in their order
	Blocked    []string                 `json:"blocked"` // payouts, oldest first
	Batches    map[string]*Batch        `json:"batches"`
	Open       []string                 `json:"open"`       // batches that have not ended, oldest first
	Made       uint64                   `json:"made"`       // batches so far
	Signatures map[string]string        `json:"signatures"` // batch by the signature of each attempt
	Highest    Height                   `json:"highest,omitzero"`
	Seen       map[string]Existence     `json:"seen"`  // by <wallet>/<asset>
	Spent      map[money.Asset][]Spend  `json:"spent"` // of the last hour, oldest first
	Halts      map[string]Halt          `json:"halts"` // by asset; the empty one is all
}

// NewBook is a book without payouts, by the default policy.
func NewBook() *Book {
	return &Book{
		Policy: DefaultPolicy(), Settings: map[string]Setting{}, Payouts: map[string]*Payout{}, Active: map[string][]string{},
		Queue: map[money.Asset][]string{}, Batches: map[string]*Batch{}, Signatures: map[string]string{}, Seen: map[string]Existence{},
		Spent: map[money.Asset][]Spend{}, Halts: map[string]Halt{},
	}
}

// Configure sets the policy. What waits in the queue is held against the new caps.
func (b *Book) Configure(p Policy) error {
	good := p.MaxTries >= 1 && p.MaxTries <= 100 && p.Fresh > 0 && len(p.Own) <= 100
	for _, asset := range []money.Asset{money.USDC, money.IO} {
		good = good && p.Minimum[asset] >= 0 && p.PerPayout[asset] >= 0 && p.PerHour[asset] >= 0
	}
	if !good {
		return raylink.Errorf(raylink.CodeInvalid, "the policy of payouts has a bound below zero, or no limit of tries or of age")
	}
	b.Policy = p
	for _, queue := range b.Queue {
		for _, id := range queue {
			b.Payouts[id].State = b.queued(b.Payouts[id])
		}
	}
	return nil
}

// queued is the state in which a payout waits.
func (b *Book) queued(p *Payout) State {
	if p.ApprovedBy == "" && (p.Amount > b.Policy.PerPayout[p.Asset] || p.Amount > b.Policy.PerHour[p.Asset]) {
		return WaitingApproval
	}
	return Waiting
}

// Set records how a supplier wants to be paid; proven says that the wallet is one of the account's.
func (b *Book) Set(account string, s Setting, proven bool) error {
	if s.Takes == "" {
		s.Takes = money.USDC
	}
	switch {
	case !short(account) || s.Minimum < 0 || s.Takes != money.USDC && s.Takes != money.IO:
		return raylink.Errorf(raylink.CodeInvalid, "a supplier takes USDC or IO, from a minimum on that is not negative")
	case s.Wallet != "" && !proven:
		return raylink.Errorf(raylink.CodeForbidden, "%.60q is no proven wallet of account %s", s.Wallet, account).WithHint("prove it first, by signing a message with it")
	case slices.Contains(b.Policy.Own, s.Wallet):
		return raylink.Errorf(raylink.CodeInvalid, "%s is the treasury's own", s.Wallet)
	}
	b.Settings[account] = s
	return nil
}

// Setting is how the supplier wants to be paid: in USDC, where nothing was said.
func (b *Book) Setting(account string) Setting {
	s := b.Settings[account]
	if s.Takes == "" {
		s.Takes = money.USDC
	}
	return s
}

// minimum is what a settlement of the asset to the account must amount to.
func (b *Book) minimum(account string, asset money.Asset) int64 {
	least := max(b.Policy.Minimum[asset], 1)
	if s := b.Setting(account); s.Takes == asset {
		least = max(least, s.Minimum)
	}
	return least
}

// CheckDestination records what was seen of a wallet's token account for the asset.
func (b *Book) CheckDestination(now time.Time, wallet string, asset money.Asset, seen Existence) error {
	if !short(wallet) || !short(seen.TokenAccount) || (asset != money.USDC && asset != money.IO) {
		return raylink.Errorf(raylink.CodeInvalid, "a destination is a wallet, an asset and its token account")
	}
	seen.At = now.UTC()
	b.Seen[destination(wallet, asset)] = seen
	return nil
}

func destination(wallet string, asset money.Asset) string { return wallet + "/" + string(asset) }

// payable says that the wallet's token account was there, not long ago.
func (b *Book) payable(now time.Time, wallet string, asset money.Asset) bool {
	seen, ok := b.Seen[destination(wallet, asset)]
	return ok && seen.Exists && !seen.Frozen && now.Sub(seen.At) < b.Policy.Fresh
}

// Halt stops new attempts of the asset, or of all where it is empty. Attempts that were made go on to their end: they may have been sent.
func (b *Book) Halt(now time.Time, asset money.Asset, by, reason string) error {
	if (asset != "" && asset != money.USDC && asset != money.IO) || !short(by) || reason == "" || len(reason) > 500 {
		return raylink.Errorf(raylink.CodeInvalid, "a halt is of USDC, IO or all, and has a reason of 1 to 500 bytes")
	}
	b.Halts[string(asset)] = Halt{Reason: reason, By: by, At: now.UTC()}
	return nil
}

// Resume ends the halt of the asset, or the one of all.
func (b *Book) Resume(asset money.Asset) { delete(b.Halts, string(asset)) }

// Halted is the halt that stops the asset, if there is one.
func (b *Book) Halted(asset money.Asset) (Halt, bool) {
	if h, ok := b.Halts[""]; ok {
		return h, true
	}
	h, ok := b.Halts[string(asset)]
	return h, ok
}

// short says whether a text can be a part of a ledger's name.
func short(text string) bool {
	return text != "" && len(text) <= 96 && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// The ledger accounts that payouts touch.
func flightAccount(id string) string { return "payout:" + id }
func chainAccount() string           { return "treasury:chain" }
func burnAccount() string            { return "lot:burn" }
func suspenseAccount() string        { return "suspense" }

// Source is the ledger account that a payout of the kind is taken from.
func Source(kind Kind, account string) string {
	switch kind {
	case Settlement:
		return ledger.Supplier(account)
	case Withdrawal:
		return ledger.Tenant(account)
	case Refund:
		return suspenseAccount()
	case Burn:
		return burnAccount()
	}
	return ""
}

// entry moves the payout's amount between two ledger accounts.
func entry(kind string, p *Payout, from, to string, note any) ledger.Entry {
	text, err := json.Marshal(note)
	if err != nil {
		panic("writing a payout: " + err.Error()) // strings and integers always can be
	}
	return ledger.Entry{Kind: kind, Ref: p.ID, Note: text, Postings: []ledger.Posting{
		{Account: from, Amount: money.Amount{Minor: -p.Amount, Asset: p.Asset}},
		{Account: to, Amount: money.Amount{Minor: p.Amount, Asset: p.Asset}},
	}}
}
