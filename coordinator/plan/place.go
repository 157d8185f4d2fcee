package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
)

// Place chooses a machine for every node of a cluster, all or nothing: each on a machine of its own if that is possible at all, otherwise
// together; the largest nodes first, the cheapest machines first. The rates are the machines' own.
func Place(s *state.State, seen Seen, now time.Time, spec raylink.ClusterSpec) ([]state.QuoteNode, error) {
	return PlaceImage(s, seen, now, spec, "")
}

// PlaceImage is Place for an image that the network runs: of machines at one price those that have it already come first, and those
// that cannot fetch it, for want of an engine, count only with it.
func PlaceImage(s *state.State, seen Seen, now time.Time, spec raylink.ClusterSpec, image string) ([]state.QuoteNode, error) {
	if n := spec.Nodes(); n > state.MaxNodes {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%d nodes; a cluster has at most %d", n, state.MaxNodes)
	}
	if spec.Isolation != "" && (!spec.Isolation.Valid() || spec.Isolation == raylink.IsolationVM) {
		return nil, raylink.Errorf(raylink.CodeUnsupported, "no machine offers the isolation %.40q", string(spec.Isolation)).WithHint("there are container and gvisor")
	}
	nodes := nodesOf(spec)
	if spec.Isolation == raylink.IsolationGVisor && slices.ContainsFunc(nodes, func(n wanted) bool { return n.Resources.GPU > 0 }) {
		return nil, raylink.Errorf(raylink.CodeUnsupported, "%s", raylink.WhyNoGVisorGPU).WithHint("ask for the isolation %s, or for no GPU", raylink.IsolationContainer)
	}
	var has map[raylink.MachineID]bool
	if image != "" {
		has = map[raylink.MachineID]bool{}
	}
	free := map[raylink.MachineID]raylink.Resources{}
	waits := map[raylink.MachineID]int64{}
	at := NewStandings(s, seen, now)
	for _, id := range slices.Sorted(maps.Keys(s.Machines)) {
		m := s.Machines[id]
		if at.Takes(m) {
			room := minus(m.Offer.Resources, s.Used(id))
			free[id], waits[id] = particular(s, m, room, now)
			if has != nil {
				has[id] = stocks(seen.Machines[id].Report.Images, spec.Image, image, m.Offer.Arch)
			}
		}
	}
	for i := range nodes {
		nodes[i].has, nodes[i].waits, nodes[i].isolation = has, waits, spec.Isolation
	}
	waiting := provenOnly(s, now, free)
	order := make([]int, len(nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return bySize(nodes[b].Resources, nodes[a].Resources) })
	if !apart(s, free, order, nodes) {
		if err := together(s, maps.Clone(free), order, nodes); err != nil && !packed(s, free, order, nodes) {
			return nil, unplaced(err, waiting)
		}
	}
	out := make([]state.QuoteNode, len(nodes))
	for i, n := range nodes {
		out[i] = n.QuoteNode
	}
	return out, nil
}

// particular leaves of a machine's room the GPUs that a lease can be given by their UUIDs, and says how many more only wait for a proof. A machine that has
// not told which GPUs it has can give none.
func particular(s *state.State, m *state.Machine, room raylink.Resources, now time.Time) (raylink.Resources, int64) {
	if m.Host == nil {
		room.GPU = 0
		return room, 0
	}
	left := room.GPU
	room.GPU = min(left, s.FreeGPUs(m)*raylink.Unit)
	if !s.Proving.Required {
		return room, 0
	}
	return room, min(left-room.GPU, (int64(len(m.GPUs()))-m.ProvenGPUs(now))*raylink.Unit)
}

// option is a machine that has room for a node, at its price.
type option struct {
	id   raylink.MachineID
	rate money.Rate
}

// apart gives each node a machine of its own if there is a way to do so, and says whether there is (Kuhn's algorithm: a node that finds every
// fitting machine taken makes an earlier one move on).
func apart(s *state.State, free map[raylink.MachineID]raylink.Resources, order []int, nodes []wanted) bool {
	type kind struct {
		role  raylink.NodeRole
		group string
	}
	known := map[kind][]option{}
	options := func(i int) []option {
		k := kind{nodes[i].Role, nodes[i].Group}
		if _, ok := known[k]; !ok {
			known[k] = optionsFor(s, free, nodes[i])
		}
		return known[k]
	}
	holder := map[raylink.MachineID]int{}
	var seat func(i int, tried map[raylink.MachineID]bool) bool
	seat = func(i int, tried map[raylink.MachineID]bool) bool {
		for _, o := range options(i) {
			if _, taken := holder[o.id]; !taken {
				holder[o.id] = i
				nodes[i].Machine, nodes[i].Rate = o.id, o.rate
				return true
			}
		}
		for _, o := range options(i) {
			if tried[o.id] {
				continue
			}
			tried[o.id] = true
			if seat(holder[o.id], tried) {
				holder[o.id] = i
				nodes[i].Machine, nodes[i].Rate = o.id, o.rate
				return true
			}
		}
		return false
	}
	for _, i := range order {
		if !seat(i, map[raylink.MachineID]bool{}) {
			return false
		}
	}
	return true
}

// optionsFor are the machines that have room for a node, the cheapest first.
func optionsFor(s *state.State, free map[raylink.MachineID]raylink.Resources, n wanted) []option {
	var list []option
	for id, room := range free {
		rate, err := state.RateOf(s.Machines[id].Offer, n.Resources)
		if err == nil && unfit(s.Machines[id], room, n) == "" {
			list = append(list, option{id, rate})
		}
	}
	slices.SortFunc(list, func(a, b option) int {
		return cmp.Or(cmp.Compare(a.rate, b.rate), n.nearer(a.id, b.id), cmp.Compare(a.id, b.id))
	})
	return list
}

// together puts nodes on the machines that have the fewest of them, so that several share one only where they must.
func together(s *state.State, free map[raylink.MachineID]raylink.Resources, order []int, nodes []wanted) error {
	taken := map[raylink.MachineID]int{}
	for _, i := range order {
		best, rate, err := pick(s, free, taken, nodes[i])
		if err != nil {
			return err
		}
		nodes[i].Machine, nodes[i].Rate = best, rate
		free[best] = minus(free[best], nodes[i].Resources)
		taken[best]++
	}
	return nil
}

// packLooks bounds the search of packed, in machines looked at: the state is held still meanwhile.
const packLooks = 100_000

// packed tries the ways to share machines one after the other, where together has found none; beyond packLooks it gives up.
func packed(s *state.State, free map[raylink.MachineID]raylink.Resources, order []int, nodes []wanted) bool {
	looks := packLooks
	var seat func(at int) bool
	seat = func(at int) bool {
		if at == len(order) {
			return true
		}
		if looks -= len(free); looks < 0 {
			return false
		}
		n := &nodes[order[at]]
		for _, o := range optionsFor(s, free, *n) {
			had := free[o.id]
			n.Machine, n.Rate, free[o.id] = o.id, o.rate, minus(had, n.Resources)
			if seat(at + 1) {
				return true
			}
			free[o.id] = had
		}
		return false
	}
	return seat(0)
}

type wanted struct {
	state.QuoteNode
	require   map[string]string
	isolation raylink.Isolation
	has       map[raylink.MachineID]bool  // that have the image; nil where no image is asked for
	waits     map[raylink.MachineID]int64 // GPUs that are free and not proven, in 1/10,000
	image     string                      // as the manifest names it
}

// nearer compares two machines by whether they have the image.
func (n wanted) nearer(a, b raylink.MachineID) int {
	switch {
	case n.has[a] == n.has[b]:
		return 0
	case n.has[a]:
		return -1
	}
	return 1
}

func nodesOf(spec raylink.ClusterSpec) []wanted {
	one := func(role raylink.NodeRole, g raylink.NodeGroup, i int) wanted {
		name := spec.Name + "-" + g.Name
		if role == raylink.NodeWorker {
			name = fmt.Sprintf("%s-%d", name, i)
		}
		return wanted{QuoteNode: state.QuoteNode{Node: name, Role: role, Group: g.Name, Resources: g.Resources}, require: g.Require, image: spec.Image}
	}
	nodes := []wanted{one(raylink.NodeHead, spec.Head, 0)}
	for _, g := range spec.Workers {
		for i := range g.Replicas {
			nodes = append(nodes, one(raylink.NodeWorker, g, i))
		}
	}
	return nodes
}

func bySize(a, b raylink.Resources) int {
	return cmp.Or(cmp.Compare(a.GPU, b.GPU), cmp.Compare(a.CPU, b.CPU), cmp.Compare(a.Memory, b.Memory))
}

func minus(a, b raylink.Resources) raylink.Resources {
	a.CPU, a.Memory, a.GPU = a.CPU-b.CPU, a.Memory-b.Memory, a.GPU-b.GPU
	return a
}

func pick(s *state.State, free map[raylink.MachineID]raylink.Resources, taken map[raylink.MachineID]int, n wanted) (raylink.MachineID, money.Rate, error) {
	type candidate struct {
		id    raylink.MachineID
		rate  money.Rate
		taken int
	}
	var best *candidate
	short := map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(free)) {
		m := s.Machines[id]
		if why := unfit(m, free[id], n); why != "" {
			short[why]++
			continue
		}
		rate, err := state.RateOf(m.Offer, n.Resources)
		if err != nil {
			short["its price is out of range"]++
			continue
		}
		c := candidate{id, rate, taken[id]}
		if best == nil || cmp.Or(cmp.Compare(c.taken, best.taken), cmp.Compare(c.rate, best.rate), n.nearer(c.id, best.id)) < 0 {
			best = &c
		}
	}
	if best == nil {
		return "", 0, noRoom(n, len(free), short)
	}
	return best.id, best.rate, nil
}

func unfit(m *state.Machine, free raylink.Resources, n wanted) string {
	if k := m.Offer.Lacks(m.ID, n.require); k != "" {
		return fmt.Sprintf("without the label %s=%s", k, n.require[k])
	}
	if why := foreign(m.Offer, n); why != "" {
		return why
	}
	switch {
	case n.has != nil && !n.has[m.ID] && m.Host != nil && m.Host.Runtime == raylink.RuntimeProcess:
		return "without the image, and without an engine to fetch it"
	case !m.Has(n.isolation):
		return "without the isolation " + string(n.isolation)
	case free.GPU < n.Resources.GPU && free.GPU+n.waits[m.ID] >= n.Resources.GPU:
		return "with GPUs that are not proven"
	case free.GPU < n.Resources.GPU:
		return "without enough free GPUs"
	case free.CPU < n.Resources.CPU:
		return "without enough free cores"
	case free.Memory < n.Resources.Memory:
		return "without enough free memory"
	}
	return ""
}

func noRoom(n wanted, up int, short map[string]int) error {
	var why []string
	for _, k := range slices.Sorted(maps.Keys(short)) {
		why = append(why, fmt.Sprintf("%d %s", short[k], k))
	}
	if up == 0 {
		why = []string{"none is up"}
	}
	return raylink.Errorf(raylink.CodeCapacity, "no machine has room for node %s (%s): of %d machines, %s", n.Node, inWords(n.Resources), up, strings.Join(why, ", ")).
		WithHint("ask for less, or wait: `raylink machine list` shows what is free")
}

func inWords(r raylink.Resources) string {
	text := fmt.Sprintf("%s cores, %d MiB", tenThousandths(r.CPU), r.Memory>>20)
	if r.GPU > 0 {
		text += ", " + tenThousandths(r.GPU) + " GPUs"
	}
	return text
}

func tenThousandths(n int64) string {
	if n%raylink.Unit == 0 {
		return fmt.Sprint(n / raylink.Unit)
	}
	return strings.TrimRight(fmt.Sprintf("%d.%04d", n/raylink.Unit, n%raylink.Unit), "0")
}
