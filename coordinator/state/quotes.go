package state

import (
	"errors"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/billing/price"
	"raylink/raylink"
)

const (
	// HoldMinutes is how many minutes of a cluster are set aside at accept, and kept aside while the balance lasts.
	HoldMinutes = 60
	// QuoteLife is how long a quote may be accepted.
	QuoteLife = 10 * time.Minute
	// MaxNodes is how many nodes a cluster may have.
	MaxNodes = 64
	// MaxQuotes is how many open quotes one account may have at a time.
	MaxQuotes = 100
)

// Quote is a priced plan that its owner may accept until it expires.
type Quote struct {
	ID        raylink.QuoteID
	Owner     raylink.AccountID
	Spec      raylink.ClusterSpec
	Image     string // what will run
	Notes     []string
	Nodes     []QuoteNode
	Purse     exchange.Purse // what it is paid from; empty for granted credit
	Budget    int64          // micro-USD: the most that the cluster may ever cost, with the fee; 0, in old ones, is no limit but the purse
	Bounded   bool           `json:",omitempty"` // nobody named the budget: it is what the purse held
	Price     money.Price    // of IO when it was made, 0 if none could be believed
	PerHour   int64          // micro-USD, without the fee
	Hold      int64          // minor units of the purse's asset, with the fee
	CreatedAt time.Time
	ExpiresAt time.Time
	Accepted  raylink.ClusterID
}

// QuoteNode is one node of a quote: the head first, workers in the order of their groups.
type QuoteNode struct {
	Node      string            `json:"node"`
	Role      raylink.NodeRole  `json:"role"`
	Group     string            `json:"group"`
	Machine   raylink.MachineID `json:"machine"`
	Resources raylink.Resources `json:"resources"`
	Rate      money.Rate        `json:"rate"`
}

// RateOf is what a node of these resources costs on a machine with this offer.
func RateOf(o raylink.Offer, r raylink.Resources) (money.Rate, error) {
	cpu, err := money.RateFor(o.CPUHour, r.CPU)
	if err != nil {
		return 0, err
	}
	gpu, err := money.RateFor(o.GPUHour, r.GPU)
	if err != nil {
		return 0, err
	}
	sum, err := money.AddMinor(int64(cpu), int64(gpu))
	return money.Rate(sum), err
}

// MakeQuote records a priced plan. The rates must follow from the machines' offers as they stand now.
type MakeQuote struct {
	ID    raylink.QuoteID     `json:"id"`
	Owner raylink.AccountID   `json:"owner"`
	Spec  raylink.ClusterSpec `json:"spec"`
	Image string              `json:"image"`
	Notes []string            `json:"notes,omitempty"`
	Nodes []QuoteNode         `json:"nodes"`

	Purse  exchange.Purse `json:"purse,omitempty"`  // empty: the first purse that holds enough
	Budget int64          `json:"budget,omitempty"` // micro-USD, 0 is none named
	// Bounded asks for a budget where none is named: what the purse holds now. Quotes from before there was one had no maximum.
	Bounded bool `json:"bounded,omitempty"`
}

func (*MakeQuote) kind() string { return "quote.make" }

func (c *MakeQuote) apply(s *State) (any, error) {
	if err := s.knowAccount(c.Owner); err != nil {
		return nil, err
	}
	if _, ok := s.Quotes[c.ID]; ok || !raylink.ValidID(string(c.ID), "q") {
		return nil, raylink.Errorf(raylink.CodeConflict, "the quote id %q cannot be used", c.ID)
	}
	if len(c.Nodes) != c.Spec.Nodes() || len(c.Nodes) == 0 || len(c.Nodes) > MaxNodes {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a cluster has 1 to %d nodes", MaxNodes)
	}
	if err := s.limitQuotes(c.Owner); err != nil {
		return nil, err
	}
	perHour, rates := int64(0), make([]money.Rate, 0, len(c.Nodes))
	for _, n := range c.Nodes {
		m, err := s.machine(n.Machine)
		if err != nil {
			return nil, err
		}
		if r := n.Resources; min(r.CPU, r.Memory, r.GPU) < 0 || r.CPU > maxCores || r.Memory > maxMemory || r.GPU > maxGPUs {
			return nil, raylink.Errorf(raylink.CodeInvalid, "node %s asks for what no machine can have", n.Node)
		}
		rate, err := RateOf(m.Offer, n.Resources)
		if err != nil || rate != n.Rate {
			return nil, raylink.Errorf(raylink.CodeConflict, "the price of machine %s has changed meanwhile", n.Machine).WithHint("ask for a new quote")
		}
		if perHour, err = money.AddMinor(perHour, int64(rate)); err != nil {
			return nil, refusal(err)
		}
		rates = append(rates, rate)
	}
	q := &Quote{ID: c.ID, Owner: c.Owner, Spec: c.Spec, Image: c.Image, Notes: c.Notes, Nodes: c.Nodes, Purse: c.Purse, Budget: c.Budget, Bounded: c.Bounded && c.Budget == 0,
		PerHour: perHour, CreatedAt: s.Now, ExpiresAt: s.Now.Add(QuoteLife)}
	if err := s.priced(q, rates); err != nil {
		return nil, err
	}
	s.Quotes[c.ID] = q
	return c.ID, nil
}

// bound is the maximum charge of a quote that names none, in micro-USD: what its purse has free, at the quote's price of IO. It is never less than the
// hour that is held, which the purse must have when the quote is accepted: who asks before he has paid in gets a maximum that can be met.
func (s *State) bound(q *Quote, rates []money.Rate) (int64, error) {
	hour, err := meter.Cost(rates, q.Purse.FeeBasisPoints(), HoldMinutes)
	if err != nil {
		return 0, err
	}
	free := s.Free(q.Owner, q.Purse).Minor
	if q.Purse.Asset() == money.IO {
		if free, err = money.FromIO(free, q.Price); err != nil {
			return 0, err
		}
	}
	return max(free, hour, 1), nil
}

// priced sets purse, price, maximum and hold of a quote.
func (s *State) priced(q *Quote, rates []money.Rate) error {
	if q.Purse == "" {
		q.Purse = s.Richest(q.Owner, rates)
	}
	if q.Purse.Asset() == "" {
		return raylink.Errorf(raylink.CodeInvalid, "there is no purse %.20q", string(q.Purse)).WithHint("the purses are grant, card, usdc and io")
	}
	if last, err := s.Prices.Snapshot(s.Now); err == nil {
		q.Price = last.Price
	}
	most, err := meter.Cost(rates, q.Purse.FeeBasisPoints(), 1)
	if err != nil {
		return refusal(err)
	}
	minutes := int64(HoldMinutes)
	if q.Budget != 0 {
		if q.Budget < most {
			return raylink.Errorf(raylink.CodeInvalid, "a budget of %s does not cover one minute", money.MicroUSD(q.Budget)).
				WithHint("one minute costs up to %s; leave the budget away for what the purse holds", money.MicroUSD(most))
		}
		minutes = min(minutes, q.Budget/max(most, 1))
	}
	if q.Hold, err = s.holdFor(q.Purse, rates, minutes); err != nil {
		return refusal(err)
	}
	if q.Bounded {
		if q.Budget, err = s.bound(q, rates); err != nil {
			return refusal(err)
		}
	}
	return nil
}

func (s *State) limitQuotes(owner raylink.AccountID) error {
	open := 0
	for _, q := range s.Quotes {
		if q.Owner == owner && q.Accepted == "" && s.Now.Before(q.ExpiresAt) {
			open++
		}
	}
	if open >= MaxQuotes {
		return raylink.Errorf(raylink.CodeConflict, "%d quotes are open already", open).WithHint("accept one, or wait %s until they expire", QuoteLife)
	}
	return nil
}

// Sweep forgets what has run out: quotes that expired, subnets that have rested. The leader proposes it when there is something.
type Sweep struct{}

func (*Sweep) kind() string { return "sweep" }

func (c *Sweep) apply(s *State) (any, error) {
	for id, q := range s.Quotes {
		if s.stale(q) {
			delete(s.Quotes, id)
		}
	}
	for n, at := range s.Subnets {
		if s.Now.Sub(at) >= SubnetRest {
			delete(s.Subnets, n)
		}
	}
	for id, t := range s.JoinTokens {
		if s.Now.Sub(t.ExpiresAt) >= keyLife {
			delete(s.JoinTokens, id)
		}
	}
	return nil, nil
}

func (s *State) stale(q *Quote) bool { return s.Now.Sub(q.ExpiresAt) >= time.Hour }

// Sweepable says whether a Sweep at this time would do anything.
func (s *State) Sweepable(now time.Time) bool {
	for _, q := range s.Quotes {
		if now.Sub(q.ExpiresAt) >= time.Hour {
			return true
		}
	}
	for _, at := range s.Subnets {
		if now.Sub(at) >= SubnetRest {
			return true
		}
	}
	for _, t := range s.JoinTokens {
		if now.Sub(t.ExpiresAt) >= keyLife {
			return true
		}
	}
	return false
}

// refusal turns an error of the ledger or of arithmetic into one for the caller.
func refusal(err error) error {
	var short *ledger.InsufficientError
	if errors.As(err, &short) {
		return raylink.Errorf(raylink.CodeFunds, "the balance is %s, and %s is needed", short.Has, short.Needed).
			WithHint("top up the balance, or ask the admin for a grant")
	}
	if halt, ok := price.AsHalt(err); ok {
		return raylink.Errorf(raylink.CodeUnavailable, "the price of IO cannot be believed now (%s): %s", halt.Code, halt.Reason).
			WithHint("pay from another purse (`--pay usdc`), or wait until the price is back: `raylink price`")
	}
	return raylink.Errorf(raylink.CodeInvalid, "%v", err)
}
