package state

import (
	"net/netip"
	"time"

	"raylink/billing/meter"
	"raylink/raylink"
)

// Lease is a node placed on a machine.
type Lease struct {
	ID        raylink.LeaseID
	Cluster   raylink.ClusterID
	Machine   raylink.MachineID
	Supplier  raylink.AccountID // the machine's owner when the lease began, who earns all of it
	Node      string
	Role      raylink.NodeRole
	Group     string
	Resources raylink.Resources
	Address   netip.Addr // in the overlay; belongs to the role, not to the machine
	Devices   []string   `json:",omitempty"` // UUIDs of the GPUs that it has; none where the machine has not told of any

	Stage     raylink.Stage
	PublicKey string // WireGuard, base64
	Signature string // of the machine's identity over the key
	Endpoint  netip.AddrPort
	Restarts  int
	Failure   *raylink.Failure
	RayNode   string // Ray's id of the node, as a gateway saw it

	Meter   meter.Lease
	ReadyAt *time.Time
	Gone    bool // the machine has removed everything of it
}

// Minute is the length of the unit of billing.
const Minute = time.Minute

// Due is the number of whole minutes that have passed for this lease by now, or by the cluster's end.
func (l *Lease) Due(now time.Time, ending *time.Time) int64 {
	if l.ReadyAt == nil {
		return 0
	}
	if ending != nil && ending.Before(now) {
		now = *ending
	}
	return max(int64(now.Sub(*l.ReadyAt)/Minute), 0)
}

func (s *State) openLease(cluster raylink.ClusterID, id raylink.LeaseID, n QuoteNode, addr netip.Addr) {
	m := s.Machines[n.Machine]
	s.Leases[id] = &Lease{ID: id, Cluster: cluster, Machine: n.Machine, Supplier: m.Owner, Node: n.Node, Role: n.Role, Group: n.Group, Resources: n.Resources,
		Address: addr, Devices: s.freeGPUs(m, n.Resources.GPU/raylink.Unit), Meter: meter.Lease{Rate: n.Rate, FeeBasisPoints: purse(s.Clusters[cluster].Purse).FeeBasisPoints()}}
	s.occupy(n.Machine, id)
}

// RecordLeases records facts about leases that matter: a stage reached, a key, an endpoint, a restart, Ray's id. Heartbeats stay out.
type RecordLeases struct {
	Facts []LeaseFact `json:"facts"`
}

// LeaseFact is one lease as it is known now.
type LeaseFact struct {
	Lease     raylink.LeaseID  `json:"lease"`
	Stage     raylink.Stage    `json:"stage"`
	PublicKey string           `json:"public_key,omitempty"`
	Signature string           `json:"signature,omitempty"`
	Endpoint  netip.AddrPort   `json:"endpoint,omitzero"`
	Restarts  int              `json:"restarts,omitempty"`
	Failure   *raylink.Failure `json:"failure,omitempty"`
	RayNode   string           `json:"ray_node,omitempty"`
}

// Fact is the lease as it was recorded last.
func (l *Lease) Fact() LeaseFact {
	return LeaseFact{Lease: l.ID, Stage: l.Stage, PublicKey: l.PublicKey, Signature: l.Signature, Endpoint: l.Endpoint,
		Restarts: l.Restarts, Failure: l.Failure, RayNode: l.RayNode}
}

func (*RecordLeases) kind() string { return "lease.record" }

func (c *RecordLeases) apply(s *State) (any, error) {
	for _, f := range c.Facts {
		if f.Stage.Order() < 0 {
			return nil, raylink.Errorf(raylink.CodeInvalid, "unknown stage %q of lease %s", f.Stage, f.Lease)
		}
	}
	for _, f := range c.Facts {
		l, ok := s.Leases[f.Lease]
		if !ok || l.Gone {
			continue // a late word about something that is over
		}
		if l.Failure == nil && f.Failure != nil {
			s.failed(l.Machine, *f.Failure)
		}
		l.Stage, l.PublicKey, l.Signature, l.Endpoint = f.Stage, f.PublicKey, f.Signature, f.Endpoint
		l.Restarts, l.Failure, l.RayNode = f.Restarts, f.Failure, f.RayNode
		if f.Stage == raylink.StageGone {
			l.Gone = true
			delete(s.byMachine[l.Machine], l.ID)
		}
	}
	return nil, nil
}

// RecordGateway records a gateway's membership of a cluster's overlay: first its place, then its key and where it is reached.
type RecordGateway struct {
	Cluster   raylink.ClusterID `json:"cluster"`
	Gateway   raylink.GatewayID `json:"gateway"`
	PublicKey string            `json:"public_key,omitempty"`
	Signature string            `json:"signature,omitempty"`
	Endpoint  netip.AddrPort    `json:"endpoint,omitzero"`
}

func (*RecordGateway) kind() string { return "gateway.record" }

func (c *RecordGateway) apply(s *State) (any, error) {
	cl, err := s.cluster(c.Cluster)
	if err != nil {
		return nil, err
	}
	if _, ok := s.Gateways[c.Gateway]; !ok {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no gateway %q", c.Gateway)
	}
	node := GatewayNode{Gateway: c.Gateway, PublicKey: c.PublicKey, Signature: c.Signature, Endpoint: c.Endpoint}
	for i, g := range cl.Gateways {
		if g.Gateway == c.Gateway {
			cl.Gateways[i] = node
			return nil, nil
		}
	}
	if len(cl.Gateways) >= MaxGateways {
		return nil, raylink.Errorf(raylink.CodeCapacity, "cluster %s has %d gateways already", c.Cluster, MaxGateways)
	}
	cl.Gateways = append(cl.Gateways, node)
	return nil, nil
}
