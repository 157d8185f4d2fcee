package plan

import (
	"fmt"
	"slices"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
)

// MinStay is how long a machine's hours have to last at least for a node to be placed on it: what is held for a cluster is an hour's cost.
const MinStay = time.Hour

// Standings tells where machines stand, each with the reason. It looks at all of them once, for what only many together show.
type Standings struct {
	s    *state.State
	seen Seen
	now  time.Time
}

// NewStandings looks at the state, at what the leader has seen, and at the time.
func NewStandings(s *state.State, seen Seen, now time.Time) Standings {
	if seen.loss == nil {
		seen.loss = lossOf(s, seen, now)
	}
	return Standings{s, seen, now}
}

// StandingOf is where one machine stands. Who asks for many makes Standings once.
func StandingOf(s *state.State, seen Seen, id raylink.MachineID, now time.Time) raylink.Standing {
	return NewStandings(s, seen, now).Of(id)
}

// LoggedStanding is where a machine stands by the log alone, taken that it is heard: what its own agent is told. It changes only when the log does.
func LoggedStanding(s *state.State, id raylink.MachineID) raylink.Standing {
	return StandingOf(s, Seen{Machines: map[raylink.MachineID]MachineSeen{id: {At: s.Now}}}, id, s.Now)
}

// Of is where a machine stands: the first line of DESIGN.md's table that holds. The zero Standing is for a machine that the log does not know.
func (t Standings) Of(id raylink.MachineID) raylink.Standing {
	m, ok := t.s.Machines[id]
	if !ok {
		return raylink.Standing{}
	}
	r := m.Record
	st := raylink.Standing{Reliability: r.Reliability(), Minutes: r.Served, Lost: r.Lost, Failures: r.Failures, Leaves: t.leaves(m)}
	st.State, st.Reason, st.Detail, st.Since = t.where(m)
	if known := m.Proven[raylink.CPUDevice]; known != nil {
		st.ProvenAt, st.Rate = known.PassedAt, t.s.LastRate(known)
	}
	t.gpus(m, &st)
	return st
}

// gpus counts the GPUs that a machine offers, those that are proven, and those that are free and cannot be had. Which ones it offers of some is not told, so
// proven ones are taken to be among them.
func (t Standings) gpus(m *state.Machine, st *raylink.Standing) {
	st.GPUs = m.Offer.Resources.GPU / raylink.Unit
	if st.ProvenGPUs = st.GPUs; st.GPUs == 0 || !t.s.Proving.Required {
		return
	}
	leases := t.s.LeasesOn(m.ID)
	taken, ready, proven, why := int64(0), int64(0), int64(0), raylink.ReasonNoInventory
	if m.Host != nil {
		why = raylink.ReasonDeviceFault // of fewer GPUs than are offered
	}
	for _, d := range m.GPUs() {
		lacks, leased := m.Lacks(d.ID, t.now), slices.ContainsFunc(leases, func(l *state.Lease) bool { return slices.Contains(l.Devices, d.ID) })
		if lacks == raylink.ReasonNone {
			proven++
		}
		switch {
		case leased:
			taken++
		case lacks == raylink.ReasonNone:
			ready++
		case why == raylink.ReasonDeviceFault:
			why = lacks
		}
	}
	st.ProvenGPUs = min(proven, st.GPUs)
	if st.WaitingGPUs = max(st.GPUs-taken-ready, 0); st.WaitingGPUs > 0 {
		st.GPUReason = why
	}
}

func (t Standings) where(m *state.Machine) (raylink.MachineState, raylink.Reason, string, time.Time) {
	below := ""
	if m.Host != nil {
		below = t.s.Versions.Below(m.Host)
	}
	switch {
	case m.State == state.MachineBanned:
		return raylink.MachineBlocked, raylink.ReasonBanned, m.Reason, m.SetAt
	case below != "":
		return raylink.MachineBlocked, raylink.ReasonMinimum, below, t.s.Versions.SignedAt
	case !t.seen.Up(m.ID, t.now) && t.seen.loss.has(m.ID):
		return raylink.MachineDown, raylink.ReasonMassLoss, "", time.Time{}
	case !t.seen.Up(m.ID, t.now):
		return raylink.MachineDown, raylink.ReasonSilent, "", time.Time{}
	case m.Quarantine != nil:
		q := m.Quarantine
		return raylink.MachineQuarantined, q.Reason, q.Detail, q.Since
	}
	if reason, detail, since := t.draining(m); reason != raylink.ReasonNone {
		return raylink.MachineDraining, reason, detail, since
	}
	if m.Host == nil {
		return raylink.MachineJoining, raylink.ReasonNoInventory, "", m.JoinedAt
	}
	unproven, device := t.s.Unproven(m, t.now)
	if len(t.s.LeasesOn(m.ID)) > 0 {
		return raylink.MachineHired, unproven, device, time.Time{}
	}
	if unproven != raylink.ReasonNone {
		return raylink.MachineProving, unproven, device, time.Time{}
	}
	return raylink.MachineReady, raylink.ReasonNone, "", time.Time{}
}

// draining says why a machine keeps what it has and gets nothing new: what the log says first, then what its agent does.
func (t Standings) draining(m *state.Machine) (raylink.Reason, string, time.Time) {
	if m.State == state.MachineDraining {
		switch {
		case m.Leaves != nil:
			return raylink.ReasonNotice, "at " + m.Leaves.Format(time.RFC3339), m.SetAt
		case m.Admin:
			return raylink.ReasonAdminDrain, m.Reason, m.SetAt
		}
		return raylink.ReasonOwnerDrain, m.Reason, m.SetAt
	}
	said := t.seen.Machines[m.ID].Report
	if said.Paused.State() == raylink.MachineDraining {
		return said.Paused, "", time.Time{}
	}
	if said.Leaves != nil && said.Leaves.Sub(t.now) < MinStay {
		return raylink.ReasonHours, "they end at " + said.Leaves.UTC().Format(time.RFC3339), time.Time{}
	}
	return raylink.ReasonNone, "", time.Time{}
}

// leaves is when the owner takes a machine back: by notice, or at the end of the hours that its agent tells; the earlier of both.
func (t Standings) leaves(m *state.Machine) *time.Time {
	at := m.Leaves
	if said := t.seen.Machines[m.ID].Report.Leaves; said != nil && (at == nil || said.Before(*at)) {
		utc := said.UTC()
		at = &utc
	}
	return at
}

// Takes says whether a machine may get a new node now. One that has not told yet what it is may, as long as no policy asks what it is.
func (t Standings) Takes(m *state.Machine) bool {
	if !t.seen.Up(m.ID, t.now) || t.s.Open(m) != nil {
		return false
	}
	reason, _, _ := t.draining(m)
	return reason == raylink.ReasonNone
}

// takenBack says why a cluster has to end because an owner takes a machine back now, as he had announced; empty where none does.
func takenBack(s *state.State, seen Seen, now time.Time, c *state.Cluster) string {
	at := Standings{s, seen, now}
	for _, l := range s.ClusterLeases(c.ID) {
		leaves := at.leaves(s.Machines[l.Machine])
		if !l.Gone && leaves != nil && !now.Before(*leaves) {
			return "the owner of machine " + string(l.Machine) + " takes it back, as announced for " + leaves.Format(time.RFC3339)
		}
	}
	return ""
}

// leaving warns of machines that their owners will take back.
func leaving(s *state.State, seen Seen, now time.Time, c *state.Cluster) []string {
	var warnings []string
	at := Standings{s, seen, now}
	for _, l := range s.ClusterLeases(c.ID) {
		if leaves := at.leaves(s.Machines[l.Machine]); !l.Gone && leaves != nil {
			warnings = append(warnings, fmt.Sprintf("the owner of machine %s of %s takes it back at %s; the cluster ends in order then", l.Machine, l.Node, leaves.Format(time.RFC3339)))
		}
	}
	return warnings
}
