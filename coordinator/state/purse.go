package state

import (
	"math"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/billing/price"
	"raylink/raylink"
)

// A hold in IO is larger than an hour's cost at today's price, since the price moves: by a fifth.
const (
	haircutNumerator   = 6
	haircutDenominator = 5
)

// purse is what a cluster pays from; one that names none pays from granted credit, as the first ones did.
func purse(p exchange.Purse) exchange.Purse {
	if p == "" {
		return exchange.Grant
	}
	return p
}

// PurseOf is what a cluster pays from.
func PurseOf(c *Cluster) exchange.Purse { return purse(c.Purse) }

// Free is what an account has free in a purse, in minor units of the purse's asset.
func (s *State) Free(owner raylink.AccountID, p exchange.Purse) money.Amount {
	p = purse(p)
	return money.Amount{Minor: s.Ledger.Balance(p.Account(string(owner)), p.Asset()), Asset: p.Asset()}
}

// Held is what is set aside for a cluster.
func (s *State) Held(c *Cluster) money.Amount {
	asset := purse(c.Purse).Asset()
	return money.Amount{Minor: s.Ledger.Balance(ledger.Hold(string(c.ID)), asset), Asset: asset}
}

// Richest is the purse that a quote is paid from where none is named: the first one, of granted credit, card, USDC and IO, that holds what is needed;
// the one with granted credit if none does.
func (s *State) Richest(owner raylink.AccountID, rates []money.Rate) exchange.Purse {
	for _, p := range exchange.Purses() {
		if hold, err := s.holdFor(p, rates, HoldMinutes); err == nil && s.Free(owner, p).Minor >= max(hold, 1) {
			return p
		}
	}
	return exchange.Grant
}

// holdFor is what so many minutes of leases at these rates take from a purse, in its minor units. In IO it needs a price that can be believed.
func (s *State) holdFor(p exchange.Purse, rates []money.Rate, minutes int64) (int64, error) {
	cost, err := meter.Cost(rates, p.FeeBasisPoints(), minutes)
	if err != nil || p.Asset() != money.IO {
		return cost, err
	}
	now, err := s.Prices.Snapshot(s.Now)
	if err != nil {
		return 0, err
	}
	return inIO(cost, now.Price, haircutNumerator, haircutDenominator)
}

// inIO is the cost, times a fraction, in minor units of IO, rounded up.
func inIO(cost int64, p money.Price, numerator, denominator int64) (int64, error) {
	if cost > math.MaxInt64/numerator {
		return 0, money.ErrOverflow
	}
	minor, err := money.ToIO(cost*numerator/denominator, p)
	if err != nil || minor == math.MaxInt64 {
		return 0, money.ErrOverflow
	}
	return minor + 1, nil
}

// minuteOf is the greatest cost of one minute of a cluster: in micro-USD with the fee, and in minor units of its purse at the last believed price.
func (s *State) minuteOf(c *Cluster) (micro, minor int64) {
	var rates []money.Rate
	for _, l := range s.ClusterLeases(c.ID) {
		rates = append(rates, l.Meter.Rate)
	}
	p := purse(c.Purse)
	micro, err := meter.Cost(rates, p.FeeBasisPoints(), 1)
	if err != nil || micro <= 0 {
		return 0, 0
	}
	if p.Asset() != money.IO {
		return micro, micro
	}
	last, ok := s.Prices.Last()
	if !ok {
		return 0, 0
	}
	minor, err = inIO(micro, last.Price, 1, 1)
	if err != nil {
		return 0, 0
	}
	return micro, minor
}

// Runway says for how long a cluster's money lasts.
type Runway struct {
	Held   int64 // whole minutes that the hold covers
	Purse  int64 // further minutes that the purse covers; none while an IO payer's price cannot be believed
	Budget int64 // minutes until the cluster's budget or the account's cap is used up; NoLimit without one
	ByCap  bool  // it is the account's cap that is used up first
	Costs  bool  // false for a cluster that costs nothing, whose other figures mean nothing
	Halt   string
}

// NoLimit stands for a runway without an end.
const NoLimit = math.MaxInt64

// Minutes is the shortest of them.
func (r Runway) Minutes() int64 { return min(r.Held+r.Purse, r.Budget) }

// Runway is for how long a cluster's money lasts.
func (s *State) Runway(c *Cluster) Runway {
	micro, minor := s.minuteOf(c)
	if micro == 0 || minor == 0 {
		return Runway{Held: HoldMinutes, Budget: NoLimit}
	}
	r := Runway{Held: s.Held(c).Minor / minor, Purse: s.Free(c.Owner, c.Purse).Minor / minor, Costs: true}
	r.Budget, r.ByCap = s.budgetLeft(c, micro)
	if purse(c.Purse).Asset() == money.IO {
		if _, err := s.Prices.Snapshot(s.Now); err != nil {
			r.Purse, r.Halt = 0, haltCode(err)
		}
	}
	return r
}

// Spent is what a cluster has cost so far, fee included, in micro-USD.
func (s *State) Spent(c *Cluster) int64 {
	var sum int64
	for _, l := range s.ClusterLeases(c.ID) {
		sum += l.Meter.Accrued + l.Meter.Fees
	}
	return sum
}

// refill sets aside the next hour of a cluster again, as far as the owner's purse goes, and says whether anything was. While the price of IO cannot
// be believed, a hold in IO is used up and not filled.
func (s *State) refill(c *Cluster) bool {
	_, minor := s.minuteOf(c)
	p := purse(c.Purse)
	if p.Asset() == money.IO {
		if _, err := s.Prices.Snapshot(s.Now); err != nil {
			return false
		}
	}
	missing := min(s.holdMinutes(c)*minor-s.Held(c).Minor, s.Free(c.Owner, p).Minor)
	if c.Budget > 0 && p.Asset() != money.IO { // what is set aside, with what was spent, is never more than the budget
		missing = min(missing, c.Budget-s.Spent(c)-s.Held(c).Minor)
	}
	if missing <= 0 {
		return false
	}
	moves, err := ledger.Move(p.Account(string(c.Owner)), ledger.Posting{Account: ledger.Hold(string(c.ID)), Amount: money.Amount{Minor: missing, Asset: p.Asset()}})
	if err != nil {
		return false
	}
	// The journal's own number makes the reference unique; a refusal leaves the hold as it is, and the runway shows it.
	_, err = s.Ledger.Post(s.Now, "hold.refill", refillRef(s, c), moves, nil)
	return err == nil
}

// haltCode is why a price cannot be believed.
func haltCode(err error) string {
	if halt, ok := price.AsHalt(err); ok {
		return halt.Code
	}
	return "no-price"
}
