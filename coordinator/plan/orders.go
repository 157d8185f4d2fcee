package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
	"raylink/raylink/overlay"
	"raylink/raylink/ray"
	"raylink/raylink/wire"
)

// Orders are the leases that a machine is to run now, without the clusters' secrets.
func Orders(s *state.State, machine raylink.MachineID) []wire.LeaseOrder {
	var orders []wire.LeaseOrder
	for _, l := range s.LeasesOn(machine) {
		orders = append(orders, order(s, l))
	}
	for _, c := range s.Clusters { // what is removed but not settled yet: its records are still wanted
		if c.Phase != raylink.PhaseEnding {
			continue
		}
		for _, id := range c.Leases {
			if l := s.Leases[id]; l.Machine == machine && l.Gone && l.Meter.Next < l.Due(s.Now, c.EndingAt) {
				orders = append(orders, order(s, l))
			}
		}
	}
	slices.SortFunc(orders, func(a, b wire.LeaseOrder) int { return cmp.Compare(a.Lease, b.Lease) })
	return orders
}

func order(s *state.State, l *state.Lease) wire.LeaseOrder {
	c := s.Clusters[l.Cluster]
	o := wire.LeaseOrder{Lease: l.ID, Cluster: c.ID, Node: l.Node, Role: l.Role, Want: want(c.Phase, l.Role), Image: ImageFor(c, s.Machines[l.Machine].Offer.Arch), Limits: l.Resources,
		Isolation: c.Spec.Isolation, Devices: l.Devices, Egress: wire.Egress{Allow: c.Spec.Egress != raylink.EgressNone, Bytes: c.Spec.EgressBytes},
		Mesh: mesh(s, c, l.Address, string(l.ID)), ReadyAt: l.ReadyAt, RayNode: l.RayNode, SettledThrough: l.Meter.Next}
	pin(s, &o)
	node := rayNodeOf(s, c, l)
	o.Command = ray.Command(node)
	o.Env = ray.Environment(node)
	return o
}

func rayNodeOf(s *state.State, c *state.Cluster, l *state.Lease) ray.Node {
	group := c.Spec.Head
	for _, g := range c.Spec.Workers {
		if l.Role == raylink.NodeWorker && g.Name == l.Group {
			group = g
		}
	}
	head := s.Leases[c.Leases[0]]
	m := s.Machines[l.Machine]
	return ray.Node{Cluster: c.Spec.Name, Lease: l.ID, Machine: l.Machine, Role: l.Role, Address: l.Address, Head: head.Address, Group: group,
		Arch: m.Offer.Arch, Accelerator: m.Offer.Accelerator, Labels: m.Offer.Labels, Device: rayDevice(m.Offer.Accelerator, group)}
}

// rayDevice are Ray's resources for a node's device, by all the names that the catalogue has for it: a GPU's for a node that has one, a processor's for each.
func rayDevice(accelerator string, group raylink.NodeGroup) map[string]int64 {
	e, ok := catalogue.Find(accelerator)
	if !ok || e.Kind == raylink.DeviceGPU && group.Resources.GPU == 0 {
		return nil
	}
	return e.Resources()
}

func want(p raylink.Phase, role raylink.NodeRole) raylink.Want {
	switch p {
	case raylink.PhaseEnding, raylink.PhaseEnded, raylink.PhaseFailed:
		return raylink.WantEnd
	case raylink.PhasePlaced, raylink.PhaseImage, raylink.PhaseOverlay:
		return raylink.WantMesh
	case raylink.PhasePreflight:
		return raylink.WantPreflight
	case raylink.PhaseHead:
		if role == raylink.NodeWorker {
			return raylink.WantPreflight
		}
	}
	return raylink.WantRun
}

// mesh is the overlay as one member of it is to see it: everybody else whose key and endpoint are known.
func mesh(s *state.State, c *state.Cluster, self netip.Addr, name string) overlay.Mesh {
	m := overlay.Mesh{Address: netip.PrefixFrom(self, 24), MTU: overlay.MTUDirect, Peers: []overlay.Peer{}}
	if c.Phase == raylink.PhaseEnding || c.Phase.Over() {
		return m
	}
	add := func(peer, publicKey string, addr netip.Addr, endpoint netip.AddrPort) {
		key, err := overlay.ParseKey(publicKey)
		if err == nil && peer != name && endpoint.IsValid() {
			m.Peers = append(m.Peers, overlay.Peer{Name: peer, PublicKey: key, Address: addr, Endpoint: endpoint})
		}
	}
	for _, l := range s.ClusterLeases(c.ID) {
		if !l.Gone {
			add(string(l.ID), l.PublicKey, l.Address, l.Endpoint)
		}
	}
	for i, g := range c.Gateways {
		if addr, ok := gatewayAddress(c, i); ok {
			add(string(g.Gateway), g.PublicKey, addr, g.Endpoint)
		}
	}
	return m
}

func gatewayAddress(c *state.Cluster, i int) (netip.Addr, bool) {
	prefix, err := overlay.Subnet(c.Subnet)
	if err != nil {
		return netip.Addr{}, false
	}
	addr, err := overlay.GatewayAddress(prefix, i)
	return addr, err == nil
}

// Routes are the clusters that a gateway is to serve now, without the clusters' secrets.
func Routes(s *state.State, gateway raylink.GatewayID, now time.Time) []wire.ClusterRoute {
	var routes []wire.ClusterRoute
	for _, id := range slices.Sorted(maps.Keys(s.Clusters)) {
		c := s.Clusters[id]
		i := slices.IndexFunc(c.Gateways, func(g state.GatewayNode) bool { return g.Gateway == gateway })
		if i < 0 || c.Phase.Over() {
			continue
		}
		addr, ok := gatewayAddress(c, i)
		if !ok {
			continue
		}
		r := wire.ClusterRoute{Cluster: id, Name: c.Spec.Name, Phase: c.Phase, Detail: Detail(s, c), Head: s.Leases[c.Leases[0]].Address,
			Mesh: mesh(s, c, addr, string(gateway)), Access: access(s, c.Owner, now)}
		for _, l := range s.ClusterLeases(id) {
			r.Nodes = append(r.Nodes, wire.RouteNode{Lease: l.ID, Role: l.Role, Address: l.Address, ReadyAt: l.ReadyAt, SettledThrough: l.Meter.Next})
		}
		routes = append(routes, r)
	}
	return routes
}

// access are the hashes of the tokens that open an account's endpoints: its own, while they last.
func access(s *state.State, owner raylink.AccountID, now time.Time) []string {
	hashes := []string{}
	for _, t := range s.Tokens {
		if t.Account == owner && t.Role != raylink.RoleSupplier && t.Usable(now) {
			hashes = append(hashes, t.Hash)
		}
	}
	slices.Sort(hashes)
	return hashes
}
