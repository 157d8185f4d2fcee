// Package reconcile is the leader's loop: look at the state and at what was reported, let plan decide, propose. It also keeps what the
// leader knows beside the log.
package reconcile

import (
	"maps"
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
}

// Agent keeps an agent's report.
func (m *Memory) Agent(id raylink.MachineID, r wire.AgentReport) {
	m.mu.Lock()
	m.machines[id] = plan.MachineSeen{At: time.Now(), Report: r}
	m.mu.Unlock()
	m.poke()
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
	return plan.Seen{Since: m.since, Machines: maps.Clone(m.machines), Gateways: maps.Clone(m.gateways)}
}

func (m *Memory) poke() {
	select {
	case m.news <- struct{}{}:
	default:
	}
}
