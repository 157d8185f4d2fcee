package state

import (
	"cmp"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/raylink"
)

// Cap bounds what an account spends in one day (UTC), over all its clusters.
type Cap struct {
	PerDay int64  // micro-USD, fees included; 0 is no cap
	Alarm  int64  // percent of PerDay at which its clusters carry a warning; 0 is none
	Day    string // of Spent, as 2006-01-02
	Spent  int64  // micro-USD on that day
}

// today is what was spent on the current day.
func (c *Cap) today(day string) int64 {
	if c.Day != day {
		return 0
	}
	return c.Spent
}

// day names the current day of the replicated clock.
func (s *State) day() string { return s.Now.Format("2006-01-02") }

// SetCap bounds an account's spending a day, or takes the bound away with zero.
type SetCap struct {
	Account raylink.AccountID `json:"account"`
	PerDay  int64             `json:"per_day"` // micro-USD
	Alarm   int64             `json:"alarm"`   // percent
}

func (*SetCap) kind() string { return "cap.set" }

func (c *SetCap) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Account); err != nil {
		return nil, err
	}
	if c.PerDay < 0 || c.Alarm < 0 || c.Alarm > 100 {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a cap is zero or more a day, its alarm 0 to 100 percent").WithHint("such as `raylink budget set --per-day 50 --alarm 80`")
	}
	if c.PerDay == 0 && s.Caps[c.Account] != nil {
		s.Caps[c.Account].PerDay, s.Caps[c.Account].Alarm = 0, 0
		return nil, nil
	}
	limit := s.cap(c.Account)
	limit.PerDay, limit.Alarm = c.PerDay, c.Alarm
	return nil, nil
}

func (s *State) cap(id raylink.AccountID) *Cap {
	if s.Caps[id] == nil {
		s.Caps[id] = &Cap{}
	}
	return s.Caps[id]
}

// spend counts what an account spent today.
func (s *State) spend(id raylink.AccountID, micro int64) {
	limit := s.cap(id)
	sum, err := money.AddMinor(limit.today(s.day()), micro)
	if err != nil {
		return // more than the ledger itself could hold
	}
	limit.Day, limit.Spent = s.day(), sum
}

// CapOf is an account's cap and what it has spent today, in micro-USD.
func (s *State) CapOf(id raylink.AccountID) (limit Cap, today int64) {
	if c := s.Caps[id]; c != nil {
		return *c, c.today(s.day())
	}
	return Cap{}, 0
}

// budgetLeft is for how many minutes, of at most micro micro-USD each, a cluster's budget and its owner's cap still last, and whether the cap ends first.
func (s *State) budgetLeft(c *Cluster, micro int64) (left int64, byCap bool) {
	left = NoLimit
	if c.Budget > 0 {
		left = max(c.Budget-s.Spent(c), 0) / micro
	}
	if under := s.capLeft(c.Owner, c.ID, micro); under < left {
		left, byCap = under, true
	}
	return left, byCap
}

// capLeft is for how many minutes of a cluster, of at most micro micro-USD each, an account's cap for today lasts beside what else of it is ready.
func (s *State) capLeft(owner raylink.AccountID, id raylink.ClusterID, micro int64) int64 {
	limit, today := s.CapOf(owner)
	if limit.PerDay == 0 {
		return NoLimit
	}
	all := micro
	for _, other := range s.Clusters {
		if other.Owner == owner && other.ID != id && other.Phase == raylink.PhaseReady {
			each, _ := s.minuteOf(other)
			all += each
		}
	}
	return max(limit.PerDay-today, 0) / all
}

// underCap refuses a cluster whose owner's cap would end it at once: it would be held for, and placed, for nothing.
func (s *State) underCap(q *Quote) error {
	var rates []money.Rate
	for _, n := range q.Nodes {
		rates = append(rates, n.Rate)
	}
	micro, err := meter.Cost(rates, purse(q.Purse).FeeBasisPoints(), 1)
	if err != nil || micro <= 0 || s.capLeft(q.Owner, "", micro) >= 1 {
		return nil // what costs nothing is under every cap, and what cannot be priced is refused elsewhere
	}
	limit, today := s.CapOf(q.Owner)
	return raylink.Errorf(raylink.CodeFunds, "the account's cap of %v a day has no minute of this cluster left beside what else runs: %v is spent today, and a minute costs %v",
		money.MicroUSD(limit.PerDay), money.MicroUSD(today), money.MicroUSD(micro)).WithHint("raise it with `raylink budget set --per-day AMOUNT`, or wait until midnight UTC")
}

// holdMinutes is how many minutes are kept aside for a cluster: an hour, or what its budget leaves.
func (s *State) holdMinutes(c *Cluster) int64 {
	micro, _ := s.minuteOf(c)
	if c.Budget == 0 || micro == 0 {
		return HoldMinutes
	}
	return min(HoldMinutes, max(c.Budget-s.Spent(c), 0)/micro)
}

// BudgetAlarm is the part of its budget, in percent, at which a cluster carries a warning where its owner has chosen no other.
const BudgetAlarm = 80

// AlarmAt is the part of its budget, in percent, at which a cluster carries a warning; 0 for one without a budget.
func (c *Cluster) AlarmAt() int64 {
	if c.Budget == 0 {
		return 0
	}
	return cmp.Or(c.Alarm, BudgetAlarm)
}

// Alarmed says whether a cluster has cost the part of its budget at which it carries a warning.
func (s *State) Alarmed(c *Cluster) bool {
	at := c.AlarmAt()
	return at > 0 && s.Spent(c) >= c.Budget/100*at+c.Budget%100*at/100
}

// SetBudget changes the most that a cluster may ever cost: its owner agreed to another sum.
type SetBudget struct {
	ID     raylink.ClusterID `json:"id"`
	Budget int64             `json:"budget"`          // micro-USD, fee included; 0 is no limit but the purse
	Alarm  int64             `json:"alarm,omitempty"` // percent of it at which the cluster carries a warning; 0 leaves that as it is
}

func (*SetBudget) kind() string { return "cluster.budget" }

func (c *SetBudget) apply(s *State) (any, error) {
	cl, err := s.cluster(c.ID)
	if err != nil {
		return nil, err
	}
	if cl.Phase.Over() || cl.Phase == raylink.PhaseEnding {
		return nil, raylink.Errorf(raylink.CodeConflict, "cluster %s has ended", c.ID).WithHint("create another: `raylink cluster create -f FILE --budget AMOUNT`")
	}
	if c.Alarm < 0 || c.Alarm > 100 {
		return nil, raylink.Errorf(raylink.CodeInvalid, "an alarm at %d percent of the budget: it is 1 to 100, or 0 to leave it as it is", c.Alarm).
			WithHint("such as `raylink budget cluster NAME 12.50 --alarm 50`")
	}
	used, err := s.used(cl)
	if err != nil {
		return nil, refusal(err)
	}
	if c.Budget < 0 || (c.Budget > 0 && c.Budget <= used) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%s is not more than what cluster %s has used already, %s with the minute that runs",
			money.MicroUSD(c.Budget), c.ID, money.MicroUSD(used)).WithHint("give more, 0 for no limit, or delete the cluster")
	}
	before := cl.Budget
	cl.Budget = c.Budget
	if err := s.trim(cl); err != nil {
		cl.Budget = before
		return nil, err
	}
	cl.Alarm = cmp.Or(c.Alarm, cl.Alarm)
	if cl.Phase == raylink.PhaseReady {
		s.refill(cl)
	}
	return nil, nil
}

// used is the most that a cluster can have cost by now, in micro-USD: what is settled, and the minutes that are not, with the one that runs.
func (s *State) used(c *Cluster) (int64, error) {
	sum := s.Spent(c)
	for _, l := range s.ClusterLeases(c.ID) {
		if l.ReadyAt == nil {
			continue
		}
		cost, err := meter.Cost([]money.Rate{l.Meter.Rate}, l.Meter.FeeBasisPoints, max(l.Due(s.Now, c.EndingAt)-l.Meter.Next, 0)+1)
		if err != nil {
			return 0, err
		}
		if sum, err = money.AddMinor(sum, cost); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// trim gives back what a hold has beyond its cluster's budget: otherwise the hold would be spent, however small the budget is now.
func (s *State) trim(c *Cluster) error {
	if c.Budget == 0 {
		return nil
	}
	p, most := purse(c.Purse), max(c.Budget-s.Spent(c), 0)
	if p.Asset() == money.IO {
		_, minor := s.minuteOf(c)
		most = s.holdMinutes(c) * minor
	}
	over := s.Held(c)
	if over.Minor -= most; over.Minor <= 0 {
		return nil
	}
	moves, err := ledger.Move(ledger.Hold(string(c.ID)), ledger.Posting{Account: p.Account(string(c.Owner)), Amount: over})
	if err != nil {
		return refusal(err)
	}
	if _, err := s.Ledger.Post(s.Now, "release", s.reference(string(c.ID)), moves, nil); err != nil {
		return refusal(err)
	}
	if p == exchange.Card { // a dispute may be waiting for it
		return s.move(s.Cards.Sweep(s.Now, string(c.Owner), s.Ledger))
	}
	return nil
}

// farAway is a run-out time that nobody asks for: ten years.
const farAway = 10 * 365 * 24 * 60

// RunsOut predicts when a ready cluster's money, budget or the account's cap is used up if nothing is added; nil for one that costs nothing, or that
// lasts for ten years.
func (s *State) RunsOut(c *Cluster) *time.Time {
	if c.Phase != raylink.PhaseReady {
		return nil
	}
	r := s.Runway(c)
	if !r.Costs || r.Minutes() > farAway {
		return nil
	}
	at := s.Now.Add(time.Duration(r.Minutes()) * Minute)
	return &at
}

// PurseRunsOut predicts when an account's purse is used up by all its ready clusters together; nil as above. While the price of IO cannot be believed,
// what is held in IO is all there is.
func (s *State) PurseRunsOut(owner raylink.AccountID, p exchange.Purse) *time.Time {
	var perMinute, have int64
	for _, c := range s.Clusters {
		if c.Owner == owner && purse(c.Purse) == p && c.Phase == raylink.PhaseReady {
			_, minor := s.minuteOf(c)
			perMinute += minor
			have += s.Held(c).Minor
		}
	}
	if perMinute <= 0 {
		return nil
	}
	if _, err := s.Prices.Snapshot(s.Now); err == nil || p.Asset() != money.IO {
		have += s.Free(owner, p).Minor
	}
	minutes := have / perMinute
	if minutes > farAway {
		return nil
	}
	at := s.Now.Add(time.Duration(minutes) * Minute)
	return &at
}
