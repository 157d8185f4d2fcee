package plan

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/wire"
)

var dawn = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func mint[T ~string](prefix, name string) T { return T(prefix + "-" + (name + "aaaaaaaaaa")[:10]) }

func ringKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func ringPublic(name string) ed25519.PublicKey { return ringKey(name).Public().(ed25519.PublicKey) }
func machineOf(name string) raylink.MachineID  { return identity.MachineID(ringPublic(name)) }
func gatewayOf(name string) raylink.GatewayID  { return identity.GatewayID(ringPublic(name)) }

// ringOverlay is a WireGuard public key by name, with the owner's signature.
func ringOverlay(owner, subject string) (public, signature string) {
	sum := sha256.Sum256([]byte("overlay " + owner + subject))
	public = overlay.Key(sum).String()
	return public, identity.Sign(ringKey(owner), identity.OverlayKeyBytes(subject, public))
}

// modelAgent is a model of a supplier's agent: it goes one stage a second towards what it is told, and signs minutes.
type modelAgent struct {
	name   string
	id     raylink.MachineID
	key    ed25519.PrivateKey
	quiet  bool          // reports no more
	frozen bool          // its data planes stand still
	stuck  raylink.Stage // does not reach this stage
	fails  *raylink.Failure
	blocks []string
	port   uint16
	leases map[raylink.LeaseID]*modelLease
}

type modelLease struct {
	order   wire.LeaseOrder
	report  wire.LeaseReport
	seconds map[int64]int
	counted time.Time
}

func (a *modelAgent) obey(orders []wire.LeaseOrder) {
	named := map[raylink.LeaseID]bool{}
	for _, o := range orders {
		named[o.Lease] = true
		if a.leases[o.Lease] == nil {
			a.leases[o.Lease] = &modelLease{report: wire.LeaseReport{Lease: o.Lease}, seconds: map[int64]int{}}
		}
		a.leases[o.Lease].order = o
	}
	maps.DeleteFunc(a.leases, func(id raylink.LeaseID, _ *modelLease) bool { return !named[id] })
}

func (a *modelAgent) step(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(a.leases)) {
		h := a.leases[id]
		r := &h.report
		r.Failure, r.Blocked = a.fails, a.blocks
		stages := []raylink.Stage{raylink.StageNone, raylink.StageImage, raylink.StageMesh, raylink.StagePreflight, raylink.StageRunning}
		to := map[raylink.Want]raylink.Stage{raylink.WantMesh: raylink.StageMesh, raylink.WantPreflight: raylink.StagePreflight, raylink.WantRun: raylink.StageRunning}[h.order.Want]
		switch at := slices.Index(stages, r.Stage); {
		case h.order.Want == raylink.WantEnd:
			r.Stage, r.PublicKey, r.Signature, r.Endpoint = raylink.StageGone, "", "", netip.AddrPort{}
		case at < slices.Index(stages, to) && stages[at+1] != a.stuck:
			if r.Stage = stages[at+1]; r.Stage == raylink.StageMesh {
				a.port++
				r.PublicKey, r.Signature = ringOverlay(a.name, string(id))
				r.Endpoint = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), 40000+a.port)
			}
		}
		h.minutes(a, now)
	}
}

// minutes counts the time since it counted last and signs the minutes that are over.
func (h *modelLease) minutes(a *modelAgent, now time.Time) {
	o := h.order
	if o.ReadyAt == nil {
		return
	}
	if h.counted.IsZero() {
		h.counted = *o.ReadyAt
	}
	for ; h.counted.Before(now); h.counted = h.counted.Add(time.Second) {
		k := int64(h.counted.Sub(*o.ReadyAt) / time.Minute)
		if _, ok := h.seconds[k]; !ok {
			h.seconds[k] = 0
		}
		if h.report.Stage == raylink.StageRunning && !a.frozen {
			h.seconds[k]++
		}
	}
	h.report.Minutes = ringWords(h.seconds, o.Lease, *o.ReadyAt, o.SettledThrough, now, a.key, identity.MinuteBytes)
}

func ringWords(seconds map[int64]int, lease raylink.LeaseID, ready time.Time, settled int64, now time.Time, who ed25519.PrivateKey,
	statement func(string, int64, int, string) []byte) []wire.MinuteRecord {
	var list []wire.MinuteRecord
	for _, k := range slices.Sorted(maps.Keys(seconds)) {
		if k < settled || now.Before(ready.Add(time.Duration(k+1)*time.Minute)) {
			continue
		}
		list = append(list, wire.MinuteRecord{Lease: lease, Ordinal: k, Seconds: seconds[k], RayNode: rayID(lease),
			Signature: identity.Sign(who, statement(string(lease), k, seconds[k], rayID(lease)))})
	}
	return list
}

func rayID(l raylink.LeaseID) string { return "ray" + string(l) }

// modelGateway is a model of a gateway: it joins each cluster's overlay and sees Ray's nodes through it.
type modelGateway struct {
	name    string
	id      raylink.GatewayID
	key     ed25519.PrivateKey
	words   map[raylink.ClusterID][2]string // its overlay keys, signed
	quiet   bool
	blind   bool // reaches no head
	routes  []wire.ClusterRoute
	seconds map[raylink.LeaseID]map[int64]int
	counted map[raylink.LeaseID]time.Time
}

func (g *modelGateway) report(m *model) wire.GatewayReport {
	r := wire.GatewayReport{Started: dawn, URL: "https://" + g.name + ":8443"}
	for i, route := range g.routes {
		c := wire.ClusterReport{Cluster: route.Cluster, Endpoint: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), uint16(50000+i))}
		if _, ok := g.words[route.Cluster]; !ok {
			public, signature := ringOverlay(g.name, string(route.Cluster))
			g.words[route.Cluster] = [2]string{public, signature}
		}
		c.PublicKey, c.Signature = g.words[route.Cluster][0], g.words[route.Cluster][1]
		for _, n := range route.Nodes {
			alive := !g.blind && m.running(n.Lease)
			if alive {
				c.HeadUp = c.HeadUp || n.Role == raylink.NodeHead
				c.Nodes = append(c.Nodes, wire.RayNode{Address: n.Address, RayNode: rayID(n.Lease), Alive: true})
			}
			if n.ReadyAt != nil {
				c.Minutes = append(c.Minutes, g.count(n, alive, m.now)...)
			}
		}
		r.Clusters = append(r.Clusters, c)
	}
	return r
}

func (g *modelGateway) count(n wire.RouteNode, alive bool, now time.Time) []wire.MinuteRecord {
	if g.seconds[n.Lease] == nil {
		g.seconds[n.Lease], g.counted[n.Lease] = map[int64]int{}, *n.ReadyAt
	}
	for ; g.counted[n.Lease].Before(now); g.counted[n.Lease] = g.counted[n.Lease].Add(time.Second) {
		k := int64(g.counted[n.Lease].Sub(*n.ReadyAt) / time.Minute)
		g.seconds[n.Lease][k] += map[bool]int{true: 1}[alive]
	}
	return ringWords(g.seconds[n.Lease], n.Lease, *n.ReadyAt, n.SettledThrough, now, g.key, identity.ConfirmBytes)
}

// model is the ring in one goroutine: the state, what the leader has seen, and agents and gateways that do as they are told.
type model struct {
	t        *testing.T
	s        *state.State
	now      time.Time
	index    uint64
	seen     Seen
	agents   map[string]*modelAgent
	gateways map[string]*modelGateway
	steps    []string // what was proposed, in words, since the last look
}

func newModel(t *testing.T) *model {
	m := &model{t: t, s: state.New(), now: dawn, agents: map[string]*modelAgent{}, gateways: map[string]*modelGateway{}}
	m.lead()
	return m
}

// lead is the beginning of a new leader: everything that was only seen is forgotten.
func (m *model) lead() {
	m.seen = Seen{Since: m.now, Machines: map[raylink.MachineID]MachineSeen{}, Gateways: map[raylink.GatewayID]GatewaySeen{}}
}

func (m *model) running(l raylink.LeaseID) bool {
	for _, a := range m.agents {
		if h := a.leases[l]; h != nil {
			return h.report.Stage == raylink.StageRunning && !a.frozen
		}
	}
	return false
}

func (m *model) apply(c state.Command) {
	m.t.Helper()
	raw, err := state.Encode("leader", "", c)
	if err != nil {
		m.t.Fatal(err)
	}
	m.index++
	results := m.s.Apply(m.index, m.now, []json.RawMessage{raw})
	if len(results) != 1 {
		m.t.Fatalf("not understood: %s", raw)
	}
	if err := state.ReadResult(results[0], nil); err != nil {
		m.t.Fatalf("%s was refused: %v", raw, err)
	}
}

// settle applies what Next says until it says nothing, which it soon must: its own result is a fixed point.
func (m *model) settle() {
	m.t.Helper()
	for round := 0; ; round++ {
		steps := Next(m.s, m.seen, m.now)
		if len(steps) == 0 {
			return
		}
		if round == 12 {
			m.t.Fatalf("after %d rounds there is still something to do: %s", round, inWordsOf(steps[0]))
		}
		for _, c := range steps {
			m.steps = append(m.steps, inWordsOf(c))
			m.apply(c)
		}
	}
}

func inWordsOf(c state.Command) string {
	raw, err := state.Encode("leader", "", c)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// tick is one second of everybody.
func (m *model) tick() {
	m.t.Helper()
	m.now = m.now.Add(time.Second)
	for _, name := range slices.Sorted(maps.Keys(m.agents)) {
		a := m.agents[name]
		if a.quiet {
			continue
		}
		a.obey(Orders(m.s, a.id))
		a.step(m.now)
		var report wire.AgentReport
		for _, id := range slices.Sorted(maps.Keys(a.leases)) {
			report.Leases = append(report.Leases, a.leases[id].report)
		}
		m.seen.Machines[a.id] = MachineSeen{At: m.now, Report: report}
	}
	for _, name := range slices.Sorted(maps.Keys(m.gateways)) {
		g := m.gateways[name]
		if g.quiet {
			continue
		}
		g.routes = Routes(m.s, g.id, m.now)
		m.seen.Gateways[g.id] = GatewaySeen{At: m.now, Report: g.report(m)}
	}
	m.settle()
	m.sane()
}

func (m *model) run(d time.Duration) {
	m.t.Helper()
	for end := m.now.Add(d); m.now.Before(end); {
		m.tick()
	}
}

// until runs until a cluster is in a phase.
func (m *model) until(c raylink.ClusterID, p raylink.Phase, within time.Duration) {
	m.t.Helper()
	for end := m.now.Add(within); m.s.Clusters[c].Phase != p; m.tick() {
		if m.now.After(end) {
			m.t.Fatalf("after %v the cluster is %s, not %s: %s", within, m.s.Clusters[c].Phase, p, m.s.Clusters[c].Reason)
		}
	}
}

// sane holds orders and books against what must always be true.
func (m *model) sane() {
	m.t.Helper()
	for _, a := range m.agents {
		for _, h := range a.leases {
			o := h.order
			if err := o.Mesh.Validate(); err != nil {
				m.t.Fatalf("%s is sent a bad mesh: %v", a.name, err)
			}
			if o.Want == raylink.WantEnd && len(o.Mesh.Peers) > 0 {
				m.t.Fatalf("the ending %s has peers", o.Lease)
			}
		}
	}
	sum := int64(0)
	for _, a := range m.s.Ledger.Accounts() {
		sum += a.Balance.Minor
		if a.Balance.Minor < 0 && !ledger.MayBeNegative(a.Name) {
			m.t.Fatalf("%s holds %s", a.Name, a.Balance)
		}
	}
	if sum != 0 {
		m.t.Fatalf("the books sum to %d", sum)
	}
}

// open makes accounts, machines and gateways, and hears each once.
func (m *model) open(credit string, machines []string, gateways ...string) {
	m.t.Helper()
	amount, err := money.Parse(credit + " USD")
	if err != nil {
		m.t.Fatal(err)
	}
	m.apply(&state.OpenAccount{ID: mint[raylink.AccountID]("acc", "ada"), Name: "ada"})
	m.apply(&state.OpenAccount{ID: mint[raylink.AccountID]("acc", "sam"), Name: "sam"})
	m.apply(&state.GrantCredit{ID: "g", Account: mint[raylink.AccountID]("acc", "ada"), Amount: amount, Reason: "x"})
	for _, name := range machines {
		m.machine(name, raylink.Offer{Resources: raylink.Resources{CPU: 4 * raylink.Unit, Memory: 8 << 30}, Arch: "amd64", CPUHour: 60_000})
		m.agents[name] = &modelAgent{name: name, id: machineOf(name), key: ringKey(name), leases: map[raylink.LeaseID]*modelLease{}}
	}
	for _, name := range gateways {
		m.apply(&state.IssueJoinToken{ID: mint[raylink.TokenID]("tok", name), Kind: state.JoinKindGateway, Hash: identity.HashToken(name), TTL: time.Hour})
		m.apply(&state.JoinGateway{TokenHash: identity.HashToken(name), ID: gatewayOf(name), PublicKey: identity.EncodeKey(ringPublic(name)), Name: name, URL: "https://" + name + ":8443"})
		m.gateways[name] = &modelGateway{name: name, id: gatewayOf(name), key: ringKey(name), words: map[raylink.ClusterID][2]string{}, seconds: map[raylink.LeaseID]map[int64]int{}, counted: map[raylink.LeaseID]time.Time{}}
	}
	m.tick()
}

func (m *model) machine(name string, offer raylink.Offer) {
	m.t.Helper()
	m.apply(&state.IssueJoinToken{ID: mint[raylink.TokenID]("tok", name), Kind: state.JoinKindMachine, Account: mint[raylink.AccountID]("acc", "sam"), Hash: identity.HashToken(name), TTL: time.Hour})
	m.apply(&state.JoinMachine{TokenHash: identity.HashToken(name), ID: machineOf(name), PublicKey: identity.EncodeKey(ringPublic(name)), Name: name, Offer: offer})
}

// create places and accepts a cluster of a head and workers.
func (m *model) create(name string, workers int) raylink.ClusterID {
	m.t.Helper()
	owner := mint[raylink.AccountID]("acc", "ada")
	spec := raylink.ClusterSpec{Name: name, RayVersion: "2.60.0", Image: "x", Head: raylink.NodeGroup{Name: "headgroup", Replicas: 1,
		Resources: raylink.Resources{CPU: raylink.Unit, Memory: 1 << 30}}}
	if workers > 0 {
		spec.Workers = []raylink.NodeGroup{{Name: "w", Replicas: workers, Resources: raylink.Resources{CPU: raylink.Unit, Memory: 1 << 30}}}
	}
	nodes, err := Place(m.s, m.seen, m.now, spec)
	if err != nil {
		m.t.Fatal(err)
	}
	m.apply(&state.MakeQuote{ID: mint[raylink.QuoteID]("q", name), Owner: owner, Spec: spec, Image: "raylink/worker", Nodes: nodes})
	c := &state.CreateCluster{ID: mint[raylink.ClusterID]("c", name), Owner: owner, Quote: mint[raylink.QuoteID]("q", name)}
	for i := range nodes {
		c.Leases = append(c.Leases, mint[raylink.LeaseID]("l", fmt.Sprintf("%s%c", name, 'a'+i)))
	}
	m.apply(c)
	return c.ID
}

// ready is a small ring with a cluster that has just become ready.
func ready(t *testing.T, credit string, workers int) (*model, raylink.ClusterID) {
	t.Helper()
	m := newModel(t)
	m.open(credit, []string{"mone", "mtwo"}, "gone", "gtwo")
	c := m.create("run", workers)
	m.until(c, raylink.PhaseReady, 2*time.Minute)
	return m, c
}
