// Package reconcile is the leader's loop: look at the state and at what was reported, let plan decide, propose. It also keeps what the
// leader knows beside the log.
package reconcile

import (
	"crypto/rand"
	"maps"
	"reflect"
	"sync"
	"time"

	"raylink/coordinator/plan"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// Memory holds the last report of each agent and gateway. It is lost with the leader: the next one hears everybody anew within seconds.
type Memory struct {
	mu       sync.Mutex
	since    time.Time
	machines map[raylink.MachineID]plan.MachineSeen
	gateways map[raylink.GatewayID]plan.GatewaySeen
	returned map[raylink.MachineID]time.Time
	news     chan struct{}
}

// NewMemory is an empty memory that begins to listen now.
func NewMemory() *Memory {
	m := &Memory{news: make(chan struct{}, 1)}
	m.Reset()
	return m
}

// Reset forgets everything: a new term of leadership begins.
func (m *Memory) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since = time.Now()
	m.machines = map[raylink.MachineID]plan.MachineSeen{}
	m.gateways = map[raylink.GatewayID]plan.GatewaySeen{}
	m.returned = map[raylink.MachineID]time.Time{}
}

// Agent keeps an agent's report.
func (m *Memory) Agent(id raylink.MachineID, r wire.AgentReport) {
	now := time.Now()
	m.mu.Lock()
	last, heard := m.machines[id]
	next := plan.MachineSeen{At: now, Report: r, Gap: last.Gap, Back: last.Back}
	if last.Report.Paused != raylink.ReasonNone && r.Paused == raylink.ReasonNone {
		m.returned[id] = now
	}
	if heard && now.Sub(last.At) > plan.UpFor {
		next.Gap, next.Back = last.At, now
		m.returned[id] = now
	}
	if r.Host == nil { // what it is it has told before
		next.Report.Host = last.Report.Host
	}
	m.machines[id] = next
	m.mu.Unlock()
	if !heard || next.Gap != last.Gap || !idle(last.Report, r) {
		m.poke()
	}
}

// Gateway keeps a gateway's report.
func (m *Memory) Gateway(id raylink.GatewayID, r wire.GatewayReport) {
	m.mu.Lock()
	m.gateways[id] = plan.GatewaySeen{At: time.Now(), Report: r}
	m.mu.Unlock()
	m.poke()
}

// Seen is the memory as it stands. The reports in it are never changed, only replaced.
func (m *Memory) Seen() plan.Seen {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.returned, func(_ raylink.MachineID, at time.Time) bool { return time.Since(at) > plan.ReturnFor })
	seen := plan.Seen{Since: m.since, Machines: maps.Clone(m.machines), Gateways: maps.Clone(m.gateways), Returned: maps.Clone(m.returned)}
	rand.Read(seen.Entropy[:])
	return seen
}

func (m *Memory) poke() {
	select {
	case m.news <- struct{}{}:
	default:
	}
}

// idle says whether a report is a mere heartbeat: of a machine without leases, that says what it said before. The loop looks at it with its next beat; a
// hundred thousand of them must not keep it busy.
func idle(last, r wire.AgentReport) bool {
	if len(last.Leases)+len(r.Leases) > 0 || last.Paused != r.Paused || (last.Leaves == nil) != (r.Leaves == nil) {
		return false
	}
	return (r.Leaves == nil || last.Leaves.Equal(*r.Leaves)) && reflect.DeepEqual(last.Offer, r.Offer) && (r.Host == nil || reflect.DeepEqual(last.Host, r.Host))
}
