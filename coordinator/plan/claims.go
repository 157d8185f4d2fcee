package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
)

// When a machine's claims are held against the catalogue. That costs 0.05 ms a device, and a look goes over all machines twice a second.
const (
	freshFor   = 2 * time.Second // after what it says or offers has changed,
	claimTurns = 3600            // and once in so many seconds, because a new build has a new catalogue
)

// doubtful says whether a machine's claims are to be held against the catalogue in this look: when they are fresh, when it is their turn, and before a
// quarantine ends. standing means that they were found implausible and have not changed since.
func doubtful(m *state.Machine, now time.Time) (due, standing bool) {
	told := m.HostAt
	if m.OfferedAt.After(told) {
		told = m.OfferedAt
	}
	if q := m.Quarantine; q != nil && q.Until == nil && !turn(m.ID, now) {
		standing = q.Reason == raylink.ReasonImplausible && told.Before(q.Since)
		return causal(q.Reason) && !standing, standing
	}
	return now.Sub(told) < freshFor || turn(m.ID, now), false
}

// turn spreads the machines over the seconds of an hour.
func turn(id raylink.MachineID, now time.Time) bool {
	h := uint32(2166136261) // FNV-1a
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return int64(h%claimTurns) == now.Unix()%claimTurns
}

// doubt is what of a machine's claims cannot be, by the catalogue; empty for nothing. What it does not rent out it need not explain. The UUID nobody is told.
func doubt(m *state.Machine) string {
	h := *m.Host
	h.Devices = m.Devices()
	h.Devices[0].Threads = max(h.Devices[0].Threads, h.Devices[0].Cores, 1) // containers see fewer threads than cores; the proof's rate shows what is there
	if m.Offer.Labels[raylink.LabelEmulated] != "" {
		h.Devices[0].Name, h.Devices[0].Model = "", "" // the real one's, which is of another architecture
	}
	found := catalogue.Check(h)
	if len(found) == 0 {
		return mislabelled(m)
	}
	words := found[0].What
	if at := slices.IndexFunc(h.Devices, func(d raylink.Device) bool { return d.ID == found[0].Device }); at >= 0 {
		words = h.Devices[at].Name + ": " + words
	}
	return clipped(words)
}

// mislabelled says that a machine offers another model than it has: tenants ask for the accelerator and the processor that are offered, and Ray is told both.
func mislabelled(m *state.Machine) string {
	label := m.Offer.Accelerator
	known, ok := catalogue.Find(label)
	if doubt := misnamed(m, "processor", m.Offer.Labels[raylink.LabelProcessor]); doubt != "" {
		return doubt
	}
	if m.Offer.Resources.GPU == 0 {
		if ok && known.Kind == raylink.DeviceGPU {
			return "it offers the accelerator " + label + " and no GPU"
		}
		return misnamed(m, "accelerator", label)
	}
	if label == "" {
		return ""
	}
	for _, d := range m.GPUs() {
		switch e, found := catalogue.Match(d); {
		case found && e.Name != label:
			return clipped(fmt.Sprintf("it offers GPUs of the model %s, and one is of the model %s", label, e.Name))
		case !found && ok: // where both are unheard of, the agent may have a newer catalogue
			return clipped(fmt.Sprintf("it offers GPUs of the model %s, and one calls itself %q", label, d.Name))
		}
	}
	return ""
}

// misnamed says that a name that is offered is not the processor's.
func misnamed(m *state.Machine, what, label string) string {
	e, found := catalogue.Match(m.Host.Devices[0])
	_, ok := catalogue.Find(label)
	switch {
	case label == "" || found && e.Name == label || !found && !ok: // where both are unheard of, the agent may have a newer catalogue
		return ""
	case found:
		return clipped(fmt.Sprintf("it offers the %s %s, and its own is %s", what, label, e.Name))
	}
	return clipped(fmt.Sprintf("it offers the %s %s, and its own calls itself %q", what, label, m.Host.Devices[0].Name))
}

// clipped is fit for a quarantine's detail, which is bounded.
func clipped(words string) string { return strings.ToValidUTF8(words[:min(len(words), 250)], "") }
