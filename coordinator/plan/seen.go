// Package plan decides what to do next: where a cluster's nodes go, which commands the leader proposes, what each agent and gateway is
// told. It is pure: the replicated state, what the leader has seen, and the time go in; commands and orders come out. Applied to its
// own result it finds nothing left to do.
package plan

import (
	"maps"
	"slices"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// Timings of the leader's judgement.
const (
	// UpFor is how long a machine or gateway counts as up after its last report.
	UpFor = 15 * time.Second
	// EvidenceWait is how long after a minute's end both sides may still send their word; then it is waived.
	EvidenceWait = 180 * time.Second
	// VerdictWait is how long after a minute's end a better word of another gateway is waited for, before a poor one counts.
	VerdictWait = 20 * time.Second
	// ListenFor is how long a new leader listens before it takes silence for absence.
	ListenFor = 60 * time.Second
	// GoneAfter is how long an ending lease of a silent machine is waited for.
	GoneAfter = 5 * time.Minute
	// OfferRest is how long a machine's offer stands at least: an agent that changes it all the time must not fill the log.
	OfferRest = time.Minute
	// WarnRunway is the number of minutes left on the hold at which a warning is given.
	WarnRunway = 10
)

// Deadline is how long a cluster may stay in a phase before it fails.
func Deadline(p raylink.Phase) time.Duration {
	switch p {
	case raylink.PhaseImage:
		return 20 * time.Minute
	case raylink.PhaseOverlay, raylink.PhasePreflight:
		return 90 * time.Second
	case raylink.PhaseHead, raylink.PhaseWorkers:
		return 3 * time.Minute
	}
	return time.Minute
}

// deadline is a cluster's own: Ray starts in minutes on an emulated processor, which is for tests.
func deadline(s *state.State, c *state.Cluster, leases []*state.Lease) time.Duration {
	limit := Deadline(c.Phase)
	for _, l := range leases {
		if m := s.Machines[l.Machine]; m != nil && m.Offer.Labels[raylink.LabelEmulated] != "" {
			return 4 * limit
		}
	}
	return limit
}

// ReportSeconds is how often a machine without leases is to report where so many have joined: 0, its usual two seconds, up to ten thousand; then so that they make
// 5,000 reports a second together; and at least each five seconds, of which three fit into UpFor.
func ReportSeconds(machines int) int64 {
	const usual, least, perSecond = 2, 5, 5000
	if machines <= usual*perSecond {
		return 0
	}
	return min(int64(machines+perSecond-1)/perSecond, least)
}

// Seen is what the leader knows beside the log: the last report of each agent and gateway. A lost leader's successor asks again.
type Seen struct {
	Since    time.Time // when this leader began to listen
	Machines map[raylink.MachineID]MachineSeen
	Gateways map[raylink.GatewayID]GatewaySeen
	Returned map[raylink.MachineID]time.Time // who came back from a silence longer than UpFor, or from a pause, and when, in the last ReturnFor
	Checked  map[state.Word]bool             // whether the signatures of words (Words) hold; one that is not in it is checked in the look itself

	loss    *Loss    // looked for once in each look
	Entropy [32]byte // minted for this look: the ids of what it opens follow from it
}

// MachineSeen is an agent's last report.
type MachineSeen struct {
	At     time.Time
	Report wire.AgentReport
	Gap    time.Time // when it was heard last before it was silent for longer than UpFor, the last time that it was
	Back   time.Time // when it came back from that
}

// GatewaySeen is a gateway's last report.
type GatewaySeen struct {
	At     time.Time
	Report wire.GatewayReport
}

// Up says whether the machine's agent was heard lately.
func (s Seen) Up(id raylink.MachineID, now time.Time) bool {
	m, ok := s.Machines[id]
	return ok && now.Sub(m.At) <= UpFor
}

func (s Seen) lease(machine raylink.MachineID, lease raylink.LeaseID) (wire.LeaseReport, bool) {
	for _, l := range s.Machines[machine].Report.Leases {
		if l.Lease == lease {
			return l, true
		}
	}
	return wire.LeaseReport{}, false
}

// reports are the live gateways' words about one cluster, in the order of their ids.
func (s Seen) reports(cluster raylink.ClusterID, now time.Time) []wire.ClusterReport {
	var list []wire.ClusterReport
	for _, id := range slices.Sorted(maps.Keys(s.Gateways)) {
		g := s.Gateways[id]
		if now.Sub(g.At) > UpFor {
			continue
		}
		for _, c := range g.Report.Clusters {
			if c.Cluster == cluster {
				list = append(list, c)
			}
		}
	}
	return list
}
