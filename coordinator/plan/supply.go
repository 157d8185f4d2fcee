package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
)

// HostRest is how long a machine's description stands at least, as OfferRest.
const HostRest = time.Minute

// supply follows what machines say they are, and puts them into quarantine, or releases them, by rule.
func supply(s *state.State, seen Seen, now time.Time) []state.Command {
	var steps []state.Command
	for _, id := range hits(seen.Machines, func(id raylink.MachineID, said MachineSeen) bool {
		return newHost(s.Machines[id], said.Report.Host, now)
	}) {
		steps = append(steps, &state.SetHost{ID: id, Host: *seen.Machines[id].Report.Host})
	}
	said := map[raylink.MachineID]bool{} // of these more is known in the next look
	for _, c := range steps {
		said[c.(*state.SetHost).ID] = true
	}
	rules := map[raylink.MachineID]state.Command{}
	for id, m := range s.Machines {
		if m.Host == nil && m.Quarantine == nil && m.Record.Row == 0 && len(m.Proven) == 0 || said[id] {
			continue
		}
		if c := rule(s, m, now); c != nil {
			rules[id] = c
		}
	}
	for _, id := range hits(rules, func(raylink.MachineID, state.Command) bool { return true }) {
		steps = append(steps, rules[id])
	}
	return steps
}

// hits are the keys of a map whose entries are meant, in order. Most are not, so the others are not sorted.
func hits[K cmp.Ordered, V any](from map[K]V, meant func(K, V) bool) []K {
	var list []K
	for k, v := range from {
		if meant(k, v) {
			list = append(list, k)
		}
	}
	slices.Sort(list)
	return list
}

func newHost(m *state.Machine, said *raylink.Host, now time.Time) bool {
	if m == nil || said == nil || m.State == state.MachineBanned {
		return false
	}
	due := m.Host == nil || !m.Host.Equal(said) && (now.Sub(m.HostAt) >= HostRest || broken(m.Host, said))
	return due && state.CheckHost(*said) == nil
}

// broken says that GPUs which could be used cannot any more, or are gone, and nothing else has become usable: so it goes downwards only, and no agent can
// fill the log. That is followed at once, so that nothing is placed on them; the way back takes HostRest.
func broken(was, said *raylink.Host) bool {
	before, after := usable(was), usable(said)
	return len(after) < len(before) && !slices.ContainsFunc(after, func(gpu string) bool { return !slices.Contains(before, gpu) })
}

func usable(h *raylink.Host) []string {
	var gpus []string
	for _, d := range h.Devices {
		if d.Kind == raylink.DeviceGPU && d.Fault == "" {
			gpus = append(gpus, d.ID)
		}
	}
	return gpus
}

// usableGPUs is how many GPUs of a host can be used.
func usableGPUs(h *raylink.Host) (n int64) {
	for i := range h.Devices {
		if d := &h.Devices[i]; d.Kind == raylink.DeviceGPU && d.Fault == "" {
			n++
		}
	}
	return n
}

// faultOf is what is wrong with the first GPU that has a fault, in its agent's words. The bus tells the owner which it is; the UUID nobody is told.
func faultOf(h *raylink.Host) string {
	for _, d := range h.Devices {
		if d.Kind == raylink.DeviceGPU && d.Fault != "" {
			at := ""
			if d.Bus != "" {
				at = " at " + d.Bus
			}
			words := ": " + d.Name + at + ": " + d.Fault
			return strings.ToValidUTF8(words[:min(len(words), 190)], "") // a quarantine's detail is bounded
		}
	}
	return ""
}

// rule is what is to be done about a machine's quarantine; nil for nothing. What a proof began only a proof ends, and what has a time lasts that long.
func rule(s *state.State, m *state.Machine, now time.Time) state.Command {
	if gpu := m.Withdrawn(); gpu != "" && s.Proving.Required && m.State != state.MachineBanned {
		return &state.AsideProof{Machine: m.ID, Device: gpu}
	}
	reason, detail := cause(s, m)
	q := m.Quarantine
	if reason == raylink.ReasonNone && m.Host != nil && m.State != state.MachineBanned {
		due, standing := doubtful(m, now)
		if standing {
			return nil
		}
		if due {
			if detail = doubt(m); detail != "" {
				reason = raylink.ReasonImplausible
			}
		}
	}
	switch {
	case q == nil && reason != raylink.ReasonNone:
		return &state.QuarantineMachine{ID: m.ID, Reason: reason, Detail: detail}
	case q == nil && m.Record.Row >= state.FailuresInARow:
		return &state.QuarantineMachine{ID: m.ID, Reason: raylink.ReasonStageFailures, For: state.QuarantineRest,
			Detail: fmt.Sprintf("%d leases in a row before Ray started", m.Record.Row)}
	case q == nil:
		return nil
	case q.Until != nil:
		if q.Reason == raylink.ReasonStageFailures && !now.Before(*q.Until) {
			return &state.ReleaseMachine{ID: m.ID, Reason: q.Reason}
		}
	case !causal(q.Reason) || q.Reason == reason && q.Detail == detail:
	case reason == raylink.ReasonNone:
		return &state.ReleaseMachine{ID: m.ID, Reason: q.Reason}
	default:
		return &state.QuarantineMachine{ID: m.ID, Reason: reason, Detail: detail}
	}
	return nil
}

// causal says whether a quarantine lasts as long as its cause can be seen.
func causal(r raylink.Reason) bool {
	switch r {
	case raylink.ReasonProofFailed, raylink.ReasonProofLate, raylink.ReasonProofSlow: // until a proof passes
		return true
	}
	return r == raylink.ReasonDuplicate || r == raylink.ReasonImplausible || r == raylink.ReasonDeviceFault
}

// cause is what is wrong with what a machine claims. Cores are not compared: an owner may sell a thread twice, and the proof's rate shows it.
func cause(s *state.State, m *state.Machine) (raylink.Reason, string) {
	if m.State == state.MachineBanned {
		return raylink.ReasonNone, ""
	}
	if why, device := m.Trouble(); s.Proving.Required && why != raylink.ReasonNone { // before all others: only a proof ends it
		return why, device
	}
	if m.Host == nil {
		return raylink.ReasonNone, ""
	}
	if _, other, ok := s.Earlier(m.ID); ok { // whose it is, not which: a UUID is a secret to anybody who might claim it
		return raylink.ReasonDuplicate, "machine " + string(other) + " claimed it before"
	}
	offered, have := m.Offer.Resources.GPU/raylink.Unit, int64(len(m.Host.Devices)-1)
	switch {
	case m.Offer.Arch != m.Host.Arch:
		return raylink.ReasonImplausible, fmt.Sprintf("it offers %s and is %s", m.Offer.Arch, m.Host.Arch)
	case m.Offer.Resources.Memory > m.Host.Memory:
		return raylink.ReasonImplausible, fmt.Sprintf("it offers %d MiB of memory and has %d", m.Offer.Resources.Memory>>20, m.Host.Memory>>20)
	case offered > have:
		return raylink.ReasonImplausible, fmt.Sprintf("it offers %d GPUs and has %d", offered, have)
	case offered == 0:
		return raylink.ReasonNone, ""
	}
	if usable := usableGPUs(m.Host); offered > usable {
		return raylink.ReasonDeviceFault, fmt.Sprintf("it offers %d GPUs and %d can be used", offered, usable) + faultOf(m.Host)
	}
	return raylink.ReasonNone, ""
}
