package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink"
)

// DefaultPayEvery is how often suppliers are paid what they have earned.
const DefaultPayEvery = time.Hour

// SetSettlement says how a supplier wants to be paid.
type SetSettlement struct {
	Account raylink.AccountID `json:"account"`
	Takes   money.Asset       `json:"takes"`   // USDC or IO
	Wallet  string            `json:"wallet"`  // a proven one, or empty: not yet
	Minimum int64             `json:"minimum"` // minor units of Takes
}

func (*SetSettlement) kind() string { return "settlement.set" }

func (c *SetSettlement) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	setting := payout.Setting{Takes: c.Takes, Wallet: c.Wallet, Minimum: c.Minimum}
	return nil, s.Payouts.Set(string(c.Account), setting, s.Wallets.Has(string(c.Account), c.Wallet))
}

// SetPayoutPolicy bounds payouts and says how often suppliers are paid. The treasury's own addresses stay as they are.
type SetPayoutPolicy struct {
	Policy payout.Policy `json:"policy"`
	Every  time.Duration `json:"every"` // nanoseconds
}

func (*SetPayoutPolicy) kind() string { return "payout.policy" }

func (c *SetPayoutPolicy) apply(s *State) (any, error) {
	if c.Every < time.Minute || c.Every > 31*24*time.Hour {
		return nil, raylink.Errorf(raylink.CodeInvalid, "suppliers are paid at least every 31 days and at most every minute, not every %s", c.Every)
	}
	policy := c.Policy
	policy.Minimum, policy.PerPayout, policy.PerHour = tokensOnly(policy.Minimum), tokensOnly(policy.PerPayout), tokensOnly(policy.PerHour)
	policy.Own = s.Payouts.Policy.Own
	if err := s.Payouts.Configure(policy); err != nil {
		return nil, err
	}
	s.PayEvery = c.Every
	return nil, nil
}

// RequestPayout reserves money that leaves by the chain: an account's own balance, a deposit in suspense that goes back, or IO that is burnt.
type RequestPayout struct {
	Request payout.Request `json:"request"`
	By      string         `json:"by"`
}

func (*RequestPayout) kind() string { return "payout.request" }

func (c *RequestPayout) apply(s *State) (any, error) {
	r := c.Request
	if err := checkBy(c.By); err != nil {
		return nil, err
	}
	if r.Kind == payout.Refund {
		amount, err := s.Deposits.Refundable(r.Item)
		if _, again := s.Payouts.Payouts[r.ID]; err != nil && !again {
			return nil, err
		}
		if err == nil && (amount.Minor != r.Amount || amount.Asset != r.Asset) {
			return nil, raylink.Errorf(raylink.CodeInvalid, "the deposit %s is of %v", r.Item, amount)
		}
	}
	entries, err := s.Payouts.Request(s.Now, r, s.Ledger.Balance(payout.Source(r.Kind, r.Account), r.Asset), s.Wallets.Has(r.Account, r.Wallet))
	if err != nil {
		return nil, err
	}
	if err := s.post(entries); err != nil {
		return nil, err
	}
	if r.Kind == payout.Refund && len(entries) > 0 {
		return r.ID, s.Deposits.Refund(r.Item, r.ID, c.By)
	}
	return r.ID, nil
}

// RunPayouts reserves what suppliers have earned, for all whose earnings can go out now. Those are paid without asking.
type RunPayouts struct {
	By string `json:"by,omitempty"` // who asked for it out of turn
}

func (*RunPayouts) kind() string { return "payout.run" }

func (c *RunPayouts) apply(s *State) (any, error) {
	s.PaidRunAt = s.Now
	reserved := 0
	for _, id := range s.earners() {
		for _, asset := range []money.Asset{money.USDC, money.IO} {
			available := s.Ledger.Balance(ledger.Supplier(id), asset)
			r, code := s.Payouts.Due(s.Now, s.payoutID(), id, asset, available)
			if code != "" {
				continue
			}
			entries, err := s.Payouts.Request(s.Now, r, available, s.Wallets.Has(id, r.Wallet))
			if err != nil {
				continue // its reason stands in his earnings
			}
			if err := s.post(entries); err != nil {
				return nil, err
			}
			reserved++
		}
	}
	return reserved, nil
}

// earners are the accounts that have something payable, sorted.
func (s *State) earners() []string {
	var list []string
	for _, a := range s.Ledger.Under(ledger.Supplier("")) { // sorted by name
		id, _ := ledger.EarnedBy(a.Name)
		list = append(list, id)
	}
	return slices.Compact(list)
}

// CheckDestination records what was seen of a wallet's token account.
type CheckDestination struct {
	Wallet string           `json:"wallet"`
	Asset  money.Asset      `json:"asset"`
	Seen   payout.Existence `json:"seen"`
}

func (*CheckDestination) kind() string { return "payout.destination" }

func (c *CheckDestination) apply(s *State) (any, error) {
	return nil, s.Payouts.CheckDestination(s.Now, c.Wallet, c.Asset, c.Seen)
}

// HaltPayouts stops new payouts of an asset, or of all, for a reason; without one it lets them go on.
type HaltPayouts struct {
	Asset  money.Asset `json:"asset,omitempty"` // empty: all
	By     string      `json:"by"`
	Reason string      `json:"reason,omitempty"`
}

func (*HaltPayouts) kind() string { return "payout.halt" }

func (c *HaltPayouts) apply(s *State) (any, error) {
	if c.Reason == "" {
		s.Payouts.Resume(c.Asset)
		return nil, nil
	}
	return nil, s.Payouts.Halt(s.Now, c.Asset, c.By, c.Reason)
}

// What an admin, or the owner, may do to one payout.
const (
	PayoutApprove = "approve" // it may exceed the caps
	PayoutRetry   = "retry"   // a blocked one goes out again
	PayoutCancel  = "cancel"  // the money goes back where it came from
)

// ChangePayout approves, retries or cancels one payout.
type ChangePayout struct {
	ID     string `json:"id"`
	Action string `json:"action"`
	By     string `json:"by"`
}

func (*ChangePayout) kind() string { return "payout.change" }

func (c *ChangePayout) apply(s *State) (any, error) {
	switch c.Action {
	case PayoutApprove:
		return nil, s.Payouts.Approve(s.Now, c.ID, c.By)
	case PayoutRetry:
		return nil, s.Payouts.Retry(s.Now, c.ID)
	case PayoutCancel:
		entries, err := s.Payouts.Cancel(s.Now, c.ID)
		if err != nil {
			return nil, err
		}
		for _, b := range s.Buybacks {
			if b.Burn == c.ID {
				b.Burn = "" // what was bought is burnt by another payout
			}
		}
		if p := s.Payouts.Payouts[c.ID]; p.Kind == payout.Refund && len(entries) > 0 {
			s.Deposits.Reopen(p.Item, p.ID)
		}
		return nil, s.post(entries)
	}
	return nil, raylink.Errorf(raylink.CodeInvalid, "a payout cannot be %.20q", c.Action).WithHint("it can be approved, retried or cancelled")
}

// MakeBatch puts the payouts of an asset that can go out now into a batch. Where none can, nothing happens.
type MakeBatch struct {
	Asset money.Asset `json:"asset"`
	Aside bool        `json:"aside,omitempty"` // no settlement is paid with what is kept aside; entries from before that rule lack it, and do what they did
}

func (*MakeBatch) kind() string { return "payout.batch" }

func (c *MakeBatch) apply(s *State) (any, error) {
	next := s.Payouts.NextBatch
	if !c.Aside {
		next = s.Payouts.NextBatchUnguarded
	}
	if batch := next(s.Now, c.Asset, s.Treasury(c.Asset).MayLeave()); batch != nil {
		return batch.ID, nil
	}
	return nil, nil
}

// RecordAttempt records a signed transaction before anybody may send it.
type RecordAttempt struct {
	Attempt payout.Attempted `json:"attempt"`
}

func (*RecordAttempt) kind() string { return "payout.attempt" }

func (c *RecordAttempt) apply(s *State) (any, error) {
	return nil, s.Payouts.Attempt(s.Now, c.Attempt)
}

// RecordOutcome ends an attempt: what is final is posted.
type RecordOutcome struct {
	Result payout.Result `json:"result"`
}

func (*RecordOutcome) kind() string { return "payout.outcome" }

func (c *RecordOutcome) apply(s *State) (any, error) {
	entries, err := s.Payouts.Outcome(s.Now, c.Result)
	if err != nil {
		return nil, err
	}
	return nil, s.post(entries)
}

// Position is what the treasury holds in one asset, and whose it is, in minor units.
type Position struct {
	Asset    money.Asset
	Chain    int64 // what our token account holds, by the books
	Tenants  int64 // free balances
	Holds    int64
	Earned   int64 // suppliers', payable, waiting and paused
	InFlight int64 // payouts
	Suspense int64
	Lots     int64 // of all lots but the house's own capital
	Capital  int64
	Fees     int64
	Exchange int64 // the house's position: above zero it has too much of this asset, below zero too little
	Other    int64 // none of the above
	Aside    int64 // of InFlight: what withdrawals, refunds and burns wait for, and what is on its way to anybody
}

// MayLeave is what may leave the treasury at all: customers' deposits are never used to pay somebody else. What payouts have reserved is in it.
func (p Position) MayLeave() int64 {
	return max(p.Chain-p.Tenants-p.Holds-p.Suspense-p.Lots, 0)
}

// Free is what suppliers can be paid from: what may leave, without what is kept aside of it.
func (p Position) Free() int64 { return max(p.MayLeave()-p.Aside, 0) }

// Treasury is the position in one asset. The cost grows with the accounts of the ledger.
func (s *State) Treasury(asset money.Asset) Position {
	p := Position{Asset: asset, Aside: s.Payouts.Aside(asset)}
	s.Ledger.Each(asset, p.add)
	return p
}

func (p *Position) add(account string, minor int64) {
	_, earned := ledger.EarnedBy(account)
	kind, _, _ := strings.Cut(account, ":")
	switch {
	case account == ledger.TreasuryChain:
		p.Chain -= minor
	case earned:
		p.Earned += minor
	case account == ledger.Lot(LotCapital):
		p.Capital += minor
	case account == ledger.Fees:
		p.Fees += minor
	case account == ledger.Suspense:
		p.Suspense += minor
	case kind == "tenant", kind == "tenant-card":
		p.Tenants += minor
	case kind == "hold":
		p.Holds += minor
	case kind == "payout":
		p.InFlight += minor
	case kind == "lot":
		p.Lots += minor
	case kind == "fx":
		p.Exchange += minor
	default:
		p.Other += minor
	}
}

// reference names an entry after what it is of and the journal's own number, which no other entry has.
func (s *State) reference(of string) string {
	seq, _ := s.Ledger.Head()
	return fmt.Sprintf("%s/%d", of, seq+1)
}

// LastPayouts are payouts, the newest first, at most limit; of one account, or of all where it is empty.
func (s *State) LastPayouts(account raylink.AccountID, limit int) []payout.Payout {
	var list []payout.Payout
	for _, p := range s.Payouts.Payouts {
		if account == "" || p.Account == string(account) {
			list = append(list, *p)
		}
	}
	slices.SortFunc(list, func(a, b payout.Payout) int {
		return cmp.Or(b.RequestedAt.Compare(a.RequestedAt), cmp.Compare(b.ID, a.ID))
	})
	return list[:min(limit, len(list))]
}

// payoutID names a payout that the group itself asks for, by the number of the entry that will reserve it.
func (s *State) payoutID() string {
	seq, _ := s.Ledger.Head()
	return fmt.Sprintf("po-%08d", seq+1)
}
