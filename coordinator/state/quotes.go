package state

import (
	"errors"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/raylink"
)

const (
	// FeeBasisPoints is what a tenant pays on top of use in USD: 2 %.
	FeeBasisPoints = 200
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
	PerHour   int64 // micro-USD, without the fee
	Hold      int64 // micro-USD, with the fee
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
	hold, err := meter.Cost(rates, FeeBasisPoints, HoldMinutes)
	if err != nil {
		return nil, refusal(err)
	}
	s.Quotes[c.ID] = &Quote{ID: c.ID, Owner: c.Owner, Spec: c.Spec, Image: c.Image, Notes: c.Notes, Nodes: c.Nodes,
		PerHour: perHour, Hold: hold, CreatedAt: s.Now, ExpiresAt: s.Now.Add(QuoteLife)}
	return c.ID, nil
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
	return raylink.Errorf(raylink.CodeInvalid, "%v", err)
}
