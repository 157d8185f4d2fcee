package state

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/overlay"
)

// SubnetRest is how long an overlay subnet rests before another cluster gets it: Ray knows nodes by address.
const SubnetRest = 10 * time.Minute

// Cluster is one tenant's Ray cluster.
type Cluster struct {
	ID            raylink.ClusterID
	Owner         raylink.AccountID
	Spec          raylink.ClusterSpec
	Image         string
	Quote         raylink.QuoteID
	Phase         raylink.Phase
	Stages        []StageTime
	Failure       *raylink.Failure
	Reason        string // why it ends, in words
	Warning       string
	Subnet        int
	Generation    int               // of the cluster token
	Leases        []raylink.LeaseID // the head first
	Gateways      []GatewayNode     // in the order of their overlay addresses
	BalanceBefore int64             // what was free in the purse just before the hold, in its minor units
	Purse         exchange.Purse    // what it pays from; empty for granted credit
	Budget        int64             // micro-USD, fee included: the most that it may ever cost; 0 is no limit but the purse
	Alarm         int64             `json:",omitempty"` // percent of Budget at which it carries a warning; 0 is BudgetAlarm
	CreatedAt     time.Time
	ReadyAt       *time.Time
	EndingAt      *time.Time // minutes that end later are not charged
	EndedAt       *time.Time
}

// StageTime says when a phase was entered.
type StageTime struct {
	Phase raylink.Phase
	At    time.Time
}

// GatewayNode is one gateway's membership of a cluster's overlay.
type GatewayNode struct {
	Gateway   raylink.GatewayID
	PublicKey string
	Signature string
	Endpoint  netip.AddrPort
}

// MaxGateways is how many gateways one cluster's overlay has addresses for.
const MaxGateways = 7

// CreateCluster accepts a quote: machines are taken and an hour is held, or nothing happens.
type CreateCluster struct {
	ID     raylink.ClusterID `json:"id"`
	Owner  raylink.AccountID `json:"owner"`
	Quote  raylink.QuoteID   `json:"quote"`
	Leases []raylink.LeaseID `json:"leases"`           // minted, at least one for each node of the quote; the first ones are used
	Capped bool              `json:"capped,omitempty"` // refused where the owner's cap for today has no minute of it left; entries from before that rule lack it
}

func (*CreateCluster) kind() string { return "cluster.create" }

func (c *CreateCluster) apply(s *State) (any, error) {
	q, err := c.check(s)
	if err != nil {
		return nil, err
	}
	subnet, err := s.freeSubnet()
	if err != nil {
		return nil, err
	}
	from := purse(q.Purse)
	before := s.Free(c.Owner, from).Minor
	moves, err := ledger.Move(from.Account(string(c.Owner)), ledger.Posting{Account: ledger.Hold(string(c.ID)), Amount: money.Amount{Minor: q.Hold, Asset: from.Asset()}})
	if err != nil {
		return nil, refusal(err)
	}
	if q.Hold > 0 {
		if _, err := s.Ledger.Post(s.Now, "hold", string(c.ID), moves, nil); err != nil {
			return nil, refusal(err)
		}
	}
	q.Accepted = c.ID
	s.Clusters[c.ID] = &Cluster{ID: c.ID, Owner: c.Owner, Spec: q.Spec, Image: q.Image, Quote: q.ID, Phase: raylink.PhasePlaced,
		Stages: []StageTime{{raylink.PhasePlaced, s.Now}}, Subnet: subnet, Generation: 1, Leases: slices.Clone(c.Leases[:len(q.Nodes)]),
		BalanceBefore: before, Purse: q.Purse, Budget: q.Budget, CreatedAt: s.Now}
	for i, n := range q.Nodes {
		s.openLease(c.ID, c.Leases[i], n, overlayAddress(subnet, i))
	}
	return c.ID, nil
}

func (c *CreateCluster) check(s *State) (*Quote, error) {
	q, ok := s.Quotes[c.Quote]
	if !ok || q.Owner != c.Owner {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no quote %q", c.Quote).WithHint("ask for one: `raylink quote -f cluster.yaml`")
	}
	if q.Accepted != "" {
		return nil, raylink.Errorf(raylink.CodeConflict, "the quote %s was accepted already, as cluster %s", q.ID, q.Accepted)
	}
	if !s.Now.Before(q.ExpiresAt) {
		return nil, raylink.Errorf(raylink.CodeConflict, "the quote %s expired at %s", q.ID, q.ExpiresAt.Format(time.RFC3339)).WithHint("ask for a new one")
	}
	if _, ok := s.Clusters[c.ID]; ok || !raylink.ValidID(string(c.ID), "c") || len(c.Leases) < len(q.Nodes) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the ids of the cluster and its leases cannot be used")
	}
	for i, id := range c.Leases {
		if _, ok := s.Leases[id]; ok || !raylink.ValidID(string(id), "l") || slices.Contains(c.Leases[:i], id) {
			return nil, raylink.Errorf(raylink.CodeInvalid, "the lease id %q cannot be used", id)
		}
	}
	for _, other := range s.Clusters {
		if other.Owner == c.Owner && other.Spec.Name == q.Spec.Name && !other.Phase.Over() {
			return nil, raylink.Errorf(raylink.CodeConflict, "a cluster named %q exists already: %s", q.Spec.Name, other.ID).
				WithHint("give this one another name, or delete the other: `raylink cluster delete %s`", q.Spec.Name)
		}
	}
	if err := s.proven(q); err != nil {
		return nil, err
	}
	if c.Capped {
		if err := s.underCap(q); err != nil {
			return nil, err
		}
	}
	return q, s.fits(q)
}

// fits says whether every machine of a quote still has the room and the price.
func (s *State) fits(q *Quote) error {
	extra := map[raylink.MachineID]raylink.Resources{}
	for _, n := range q.Nodes {
		m, ok := s.Machines[n.Machine]
		if !ok {
			return raylink.Errorf(raylink.CodeCapacity, "machine %s takes no new leases", n.Machine).WithHint("ask for a new quote")
		}
		if err := s.Open(m); err != nil {
			return err
		}
		if !m.Has(q.Spec.Isolation) {
			return raylink.Errorf(raylink.CodeCapacity, "machine %s has no isolation %.20q", n.Machine, string(q.Spec.Isolation)).WithHint("ask for a new quote")
		}
		if rate, err := RateOf(m.Offer, n.Resources); err != nil || rate > n.Rate {
			return raylink.Errorf(raylink.CodeConflict, "the price of machine %s has risen meanwhile", n.Machine).WithHint("ask for a new quote")
		}
		sum := extra[n.Machine]
		sum.CPU, sum.Memory, sum.GPU = sum.CPU+n.Resources.CPU, sum.Memory+n.Resources.Memory, sum.GPU+n.Resources.GPU
		extra[n.Machine] = sum
		used := s.Used(n.Machine)
		have := m.Offer.Resources
		if used.CPU+sum.CPU > have.CPU || used.Memory+sum.Memory > have.Memory || used.GPU+sum.GPU > have.GPU {
			return raylink.Errorf(raylink.CodeCapacity, "machine %s has been taken meanwhile", n.Machine).WithHint("ask for a new quote")
		}
		if sum.GPU > 0 && sum.GPU > s.FreeGPUs(m)*raylink.Unit {
			return raylink.Errorf(raylink.CodeCapacity, "a GPU of machine %s cannot be used any more", n.Machine).WithHint("ask for a new quote")
		}
	}
	return nil
}

func (s *State) freeSubnet() (int, error) {
	used := map[int]bool{}
	for _, c := range s.Clusters {
		if !c.Phase.Over() {
			used[c.Subnet] = true
		}
	}
	for n := 0; ; n++ {
		if _, err := overlay.Subnet(n); err != nil {
			return 0, raylink.Errorf(raylink.CodeCapacity, "every overlay subnet is in use").WithHint("try again when clusters have ended")
		}
		at, resting := s.Subnets[n]
		if !used[n] && (!resting || s.Now.Sub(at) >= SubnetRest) {
			return n, nil
		}
	}
}

// overlayAddress is the address of a cluster's i-th lease: the head is number 0. freeSubnet has seen that the subnet exists.
func overlayAddress(subnet, i int) netip.Addr {
	prefix, err := overlay.Subnet(subnet)
	if err != nil {
		panic(fmt.Sprintf("subnet %d was given out but does not exist: %v", subnet, err))
	}
	addr, err := overlay.HeadAddress(prefix)
	if i > 0 {
		addr, err = overlay.WorkerAddress(prefix, i-1)
	}
	if err != nil {
		panic(fmt.Sprintf("node %d was accepted but has no address: %v", i, err))
	}
	return addr
}

// AdvanceCluster moves a cluster on to a later phase, at most to ready.
type AdvanceCluster struct {
	ID    raylink.ClusterID `json:"id"`
	Phase raylink.Phase     `json:"phase"`
}

func (*AdvanceCluster) kind() string { return "cluster.advance" }

func (c *AdvanceCluster) apply(s *State) (any, error) {
	cl, err := s.cluster(c.ID)
	if err != nil {
		return nil, err
	}
	if c.Phase.Order() <= cl.Phase.Order() || cl.Phase.Order() < 0 || c.Phase.Order() > raylink.PhaseReady.Order() {
		return nil, raylink.Errorf(raylink.CodeConflict, "cluster %s cannot go from %s to %s", c.ID, cl.Phase, c.Phase)
	}
	cl.enter(c.Phase, s.Now)
	if c.Phase == raylink.PhaseReady {
		now := s.Now
		cl.ReadyAt = &now
		for _, id := range cl.Leases {
			s.Leases[id].ReadyAt = &now
		}
	}
	return nil, nil
}

func (c *Cluster) enter(p raylink.Phase, at time.Time) {
	c.Phase = p
	c.Stages = append(c.Stages, StageTime{p, at})
}

// EndCluster begins the end of a cluster: by its owner, an admin, an empty purse, or a failure.
type EndCluster struct {
	ID      raylink.ClusterID `json:"id"`
	Reason  string            `json:"reason"`
	Failure *raylink.Failure  `json:"failure,omitempty"`
}

func (*EndCluster) kind() string { return "cluster.end" }

func (c *EndCluster) apply(s *State) (any, error) {
	cl, err := s.cluster(c.ID)
	if err != nil {
		return nil, err
	}
	if cl.Phase == raylink.PhaseEnding || cl.Phase.Over() {
		return nil, nil // asked for twice is done once
	}
	s.blame(cl, c.Failure)
	now := s.Now
	cl.EndingAt, cl.Reason, cl.Failure = &now, c.Reason, c.Failure
	cl.enter(raylink.PhaseEnding, now)
	return nil, nil
}

// CloseCluster ends an ending cluster whose leases are gone and whose minutes are settled; what is left of the hold goes back.
type CloseCluster struct {
	ID raylink.ClusterID `json:"id"`
}

func (*CloseCluster) kind() string { return "cluster.close" }

func (c *CloseCluster) apply(s *State) (any, error) {
	cl, err := s.cluster(c.ID)
	if err != nil {
		return nil, err
	}
	if !s.Closable(cl) {
		return nil, raylink.Errorf(raylink.CodeConflict, "cluster %s still has leases or unsettled minutes", c.ID)
	}
	hold := ledger.Hold(string(cl.ID))
	if left := s.Held(cl); left.Minor > 0 {
		moves, err := ledger.Move(hold, ledger.Posting{Account: purse(cl.Purse).Account(string(cl.Owner)), Amount: left})
		if err != nil {
			return nil, refusal(err)
		}
		if _, err := s.Ledger.Post(s.Now, "release", string(cl.ID), moves, nil); err != nil {
			return nil, refusal(err)
		}
		if purse(cl.Purse) == exchange.Card { // a dispute may be waiting for it
			if err := s.move(s.Cards.Sweep(s.Now, string(cl.Owner), s.Ledger)); err != nil {
				return nil, err
			}
		}
	}
	now := s.Now
	cl.EndedAt = &now
	s.Subnets[cl.Subnet] = now
	if cl.Failure != nil {
		cl.enter(raylink.PhaseFailed, now)
	} else {
		cl.enter(raylink.PhaseEnded, now)
	}
	return nil, nil
}

// Closable says whether nothing of an ending cluster is left to do.
func (s *State) Closable(c *Cluster) bool {
	if c.Phase != raylink.PhaseEnding {
		return false
	}
	for _, id := range c.Leases {
		l := s.Leases[id]
		if !l.Gone || l.Meter.Next < l.Due(s.Now, c.EndingAt) {
			return false
		}
	}
	return true
}

// WarnCluster puts a warning on a cluster, or takes it off.
type WarnCluster struct {
	ID      raylink.ClusterID `json:"id"`
	Warning string            `json:"warning"`
}

func (*WarnCluster) kind() string { return "cluster.warn" }

func (c *WarnCluster) apply(s *State) (any, error) {
	cl, err := s.cluster(c.ID)
	if err != nil {
		return nil, err
	}
	cl.Warning = c.Warning
	return nil, nil
}

func (s *State) cluster(id raylink.ClusterID) (*Cluster, error) {
	c, ok := s.Clusters[id]
	if !ok {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no cluster %q", id).WithHint("see `raylink cluster list`")
	}
	return c, nil
}

// ClusterLeases are a cluster's leases, the head first.
func (s *State) ClusterLeases(id raylink.ClusterID) []*Lease {
	var list []*Lease
	for _, l := range s.Clusters[id].Leases {
		list = append(list, s.Leases[l])
	}
	return list
}
