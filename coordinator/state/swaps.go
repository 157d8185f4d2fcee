package state

import (
	"slices"
	"strings"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/raylink"
)

// What a swap is for.
const (
	SwapPosition = "position" // closes what conversions have left the house with
	SwapBuyback  = "buyback"  // turns fees into IO, which is burnt
)

// BuybackPolicy says when fees in USDC are to be turned into IO and burnt.
type BuybackPolicy struct {
	Threshold int64         // minor units of USDC; 0 is never
	Interval  time.Duration // nanoseconds, since the last proposal
}

// Buyback is one proposal: an admin swaps the USDC for IO where he likes and records the transaction; what was bought is burnt.
type Buyback struct {
	ID         string
	USDC       int64 // minor units of the fees to be swapped
	ProposedAt time.Time
	Swap       string // signature of the swap
	Paid       int64  // minor units of USDC that the swap gave
	Bought     int64  // minor units of IO that it got
	Burn       string // payout that burns them
}

// SetBuyback sets the policy.
type SetBuyback struct {
	Threshold int64         `json:"threshold"`
	Interval  time.Duration `json:"interval"`
}

func (*SetBuyback) kind() string { return "buyback.set" }

func (c *SetBuyback) apply(s *State) (any, error) {
	if c.Threshold < 0 || c.Interval < 0 {
		return nil, raylink.Errorf(raylink.CodeInvalid, "threshold and interval of the buy-back cannot be negative")
	}
	s.BuybackPolicy = BuybackPolicy{Threshold: c.Threshold, Interval: c.Interval}
	return nil, nil
}

// ProposeBuyback proposes to turn the fees in USDC into IO, where the policy says so.
type ProposeBuyback struct{}

func (*ProposeBuyback) kind() string { return "buyback.propose" }

func (c *ProposeBuyback) apply(s *State) (any, error) {
	if !s.BuybackDue(s.Now) {
		return nil, nil
	}
	id := s.reference("buyback")
	s.Buybacks = append(s.Buybacks, &Buyback{ID: id, USDC: s.spendable(), ProposedAt: s.Now})
	return id, nil
}

// spendable are the fees in USDC that really are there: those on granted credit and cards are not until an admin has paid in for them.
func (s *State) spendable() int64 {
	fees := s.Ledger.Balance(ledger.Fees, money.USDC)
	if fees < s.BuybackPolicy.Threshold { // the usual case, which costs nothing
		return fees
	}
	p := s.Treasury(money.USDC)
	return max(min(fees, p.MayLeave()-s.payable(money.USDC)-p.InFlight), 0)
}

// payable is what suppliers can be paid now.
func (s *State) payable(asset money.Asset) int64 {
	var sum int64
	s.Ledger.Each(asset, func(account string, minor int64) {
		if ledger.IsSupplier(account) {
			sum += minor
		}
	})
	return sum
}

// BuybackDue says whether a ProposeBuyback would propose one.
func (s *State) BuybackDue(now time.Time) bool {
	if s.BuybackPolicy.Threshold == 0 || s.spendable() < s.BuybackPolicy.Threshold {
		return false
	}
	if len(s.Buybacks) == 0 {
		return true
	}
	last := s.Buybacks[len(s.Buybacks)-1]
	return last.Swap != "" && now.Sub(last.ProposedAt) >= s.BuybackPolicy.Interval
}

// RecordSwap books a swap that was done outside, by what the chain shows of it: what left one of our token accounts and what came into the other
// in the same transaction. Both must have been observed.
type RecordSwap struct {
	Signature string `json:"signature"`
	Purpose   string `json:"purpose"`
	By        string `json:"by"`
}

func (*RecordSwap) kind() string { return "swap.record" }

func (c *RecordSwap) apply(s *State) (any, error) {
	if _, done := s.Ledger.Find("swap", c.Signature); done {
		return c.Signature, nil
	}
	if err := checkBy(c.By); err != nil {
		return nil, err
	}
	gave, got, err := s.swapped(c.Signature)
	if err != nil {
		return nil, err
	}
	account := ledger.FxIn
	if got.Asset != money.IO {
		account = ledger.FxOut
	}
	from, to := account, account
	var proposal *Buyback
	switch c.Purpose {
	case SwapPosition:
	case SwapBuyback:
		i := slices.IndexFunc(s.Buybacks, func(b *Buyback) bool { return b.Swap == "" })
		if i < 0 || got.Asset != money.IO || gave.Minor > s.Buybacks[i].USDC {
			return nil, raylink.Errorf(raylink.CodeConflict, "no open buy-back fits a swap of %v for %v", gave, got).WithHint("see `raylink admin treasury`; a swap for the house's position has the purpose position")
		}
		proposal, from, to = s.Buybacks[i], ledger.Fees, ledger.Lot("burn")
	default:
		return nil, raylink.Errorf(raylink.CodeInvalid, "a swap is for the position or for a buyback, not %.20q", c.Purpose)
	}
	moves := []ledger.Posting{
		{Account: from, Amount: money.Amount{Minor: -gave.Minor, Asset: gave.Asset}}, {Account: ledger.TreasuryChain, Amount: gave},
		{Account: ledger.Suspense, Amount: money.Amount{Minor: -got.Minor, Asset: got.Asset}}, {Account: to, Amount: got},
	}
	if _, err := s.Ledger.Post(s.Now, "swap", c.Signature, moves, map[string]string{"purpose": c.Purpose, "by": c.By}); err != nil {
		return nil, refusal(err)
	}
	in, _ := s.Deposits.Treasury.Of(got.Asset)
	if err := s.Deposits.Refund(c.Signature+"/"+in.Account, "swap", c.By); err != nil {
		return nil, err
	}
	s.Unexplained = slices.DeleteFunc(s.Unexplained, func(d deposit.Deposit) bool { return strings.HasPrefix(d.Key, c.Signature+"/") })
	if proposal != nil {
		proposal.Swap, proposal.Paid, proposal.Bought = c.Signature, gave.Minor, got.Minor
	}
	return c.Signature, nil
}

// swapped is what one transaction took from one of our token accounts and gave to another.
func (s *State) swapped(signature string) (gave, got money.Amount, err error) {
	for _, m := range s.Deposits.Treasury {
		key := signature + "/" + m.Account
		if in, err := s.Deposits.Refundable(key); err == nil {
			got = in
		}
		if i := slices.IndexFunc(s.Unexplained, func(d deposit.Deposit) bool { return d.Key == key }); i >= 0 {
			gave = money.Amount{Minor: -s.Unexplained[i].Amount, Asset: m.Asset}
		}
	}
	if gave.Minor <= 0 || got.Minor <= 0 || s.Payouts.Ours(signature) {
		return gave, got, raylink.Errorf(raylink.CodeConflict, "transaction %.100q is not seen to swap one of our tokens for another", signature).
			WithHint("wait until it is finalized and observed on both of our token accounts; what came in stands in suspense until then")
	}
	return gave, got, nil
}

// BurnBought reserves what buy-backs have bought, to be burnt.
type BurnBought struct{}

func (*BurnBought) kind() string { return "buyback.burn" }

func (c *BurnBought) apply(s *State) (any, error) {
	for _, b := range s.Buybacks { // one at a time: a second that cannot be reserved must not make a refusal of the first
		if b.Swap == "" || b.Burn != "" {
			continue
		}
		id := s.payoutID()
		entries, err := s.Payouts.Request(s.Now, payout.Request{ID: id, Kind: payout.Burn, Account: "house", Asset: money.IO, Amount: b.Bought},
			s.Ledger.Balance(ledger.Lot("burn"), money.IO), false)
		if err != nil {
			return nil, err
		}
		b.Burn = id
		return nil, s.post(entries)
	}
	return nil, nil
}
