package state

import (
	"slices"
	"time"

	"raylink/raylink"
)

// Bounds of what a machine says of itself.
const (
	MaxDevices     = 65  // of a machine: its processor, and at most 64 GPUs
	maxDeviceWord  = 128 // bytes of a name, an id, a version
	maxFeatures    = 64  // instruction sets of a device
	maxVersions    = 16
	maxThreads     = 4096
	maxGPUMemory   = 4 << 40 // bytes of one device
	maxFaultWords  = 256     // bytes of a device's fault
	maxTiersOfHost = 3
)

// CheckHost refuses what is malformed. Whether what it says can be true is Implausible's business.
func CheckHost(h raylink.Host) error {
	word := func(text string) bool { return len(text) <= maxDeviceWord && printable(text) }
	switch {
	case h.OS == "" || !word(h.OS) || !word(h.Kernel) || !word(h.Virtual) || !word(h.Runtime):
		return raylink.Errorf(raylink.CodeInvalid, "a host names its system in 1 to %d bytes, kernel, hypervisor and runtime in at most as many, of printable characters", maxDeviceWord)
	case h.Arch != "amd64" && h.Arch != "arm64":
		return raylink.Errorf(raylink.CodeUnsupported, "unknown architecture %.20q", h.Arch).WithHint("amd64 and arm64 are known")
	case h.Memory < 64<<20 || h.Memory > maxMemory:
		return raylink.Errorf(raylink.CodeInvalid, "a host has from 64 MiB to 64 TiB of memory")
	case len(h.Devices) == 0 || len(h.Devices) > MaxDevices:
		return raylink.Errorf(raylink.CodeInvalid, "a host has its processor and at most %d GPUs", MaxDevices-1)
	case len(h.Versions) > maxVersions || len(h.Isolation) > maxTiersOfHost:
		return raylink.Errorf(raylink.CodeInvalid, "a host names at most %d versions and %d tiers of isolation", maxVersions, maxTiersOfHost)
	}
	for k, v := range h.Versions {
		if k == "" || !word(k) || !word(v) {
			return raylink.Errorf(raylink.CodeInvalid, "a version and its name have at most %d bytes of printable characters", maxDeviceWord)
		}
	}
	for i, tier := range h.Isolation {
		if !tier.Valid() || slices.Contains(h.Isolation[:i], tier) {
			return raylink.Errorf(raylink.CodeInvalid, "the tier of isolation %.20q is unknown, or named twice", string(tier))
		}
	}
	return checkDevices(h.Devices)
}

func checkDevices(devices []raylink.Device) error {
	word := func(text string) bool { return len(text) <= maxDeviceWord && printable(text) }
	ids := map[string]bool{}
	for i, d := range devices {
		switch {
		case (i == 0) != (d.Kind == raylink.DeviceCPU && d.ID == raylink.CPUDevice) || (i > 0 && d.Kind != raylink.DeviceGPU):
			return raylink.Errorf(raylink.CodeInvalid, "a host's first device is its processor, %q; all others are GPUs", raylink.CPUDevice)
		case d.ID == "" || ids[d.ID]:
			return raylink.Errorf(raylink.CodeInvalid, "a device's id is missing, or there twice")
		case !word(d.ID) || !word(d.Vendor) || !word(d.Name) || !word(d.Model) || !word(d.ECC) || !word(d.Bus) || len(d.Fault) > maxFaultWords || !printable(d.Fault):
			return raylink.Errorf(raylink.CodeInvalid, "what a device says of itself has at most %d bytes each, its fault %d, of printable characters", maxDeviceWord, maxFaultWords)
		case d.Memory < 0 || d.Memory > maxGPUMemory || d.Cache < 0 || d.Cache > maxGPUMemory || d.Cores < 0 || d.Cores > maxThreads || d.Threads < 0 || d.Threads > maxThreads:
			return raylink.Errorf(raylink.CodeInvalid, "a device has at most %d threads and 4 TiB of memory", maxThreads)
		case len(d.Features) > maxFeatures || slices.ContainsFunc(d.Features, func(f string) bool { return f == "" || !word(f) }):
			return raylink.Errorf(raylink.CodeInvalid, "a device has at most %d features", maxFeatures)
		}
		ids[d.ID] = true
	}
	return nil
}

// SetHost records what a machine is, as its agent found it. It is a claim.
type SetHost struct {
	ID   raylink.MachineID `json:"id"`
	Host raylink.Host      `json:"host"`
}

func (*SetHost) kind() string { return "machine.host" }

func (c *SetHost) apply(s *State) (any, error) {
	m, err := s.machine(c.ID)
	if err != nil {
		return nil, err
	}
	if err := CheckHost(c.Host); err != nil {
		return nil, err
	}
	host := c.Host
	claimed := map[string]time.Time{}
	for _, d := range host.Devices[1:] {
		claimed[d.ID] = s.Now
		if at, ok := m.Claimed[d.ID]; ok {
			claimed[d.ID] = at
		}
	}
	s.unclaim(m)
	m.Host, m.HostAt, m.Claimed = &host, s.Now, claimed
	s.claim(m)
	return c.ID, nil
}

// claim enters a machine's GPUs into the index of who claims which; unclaim takes them out.
func (s *State) claim(m *Machine) {
	for gpu := range m.Claimed {
		if s.byDevice[gpu] == nil {
			s.byDevice[gpu] = map[raylink.MachineID]bool{}
		}
		s.byDevice[gpu][m.ID] = true
	}
}

func (s *State) unclaim(m *Machine) {
	for gpu := range m.Claimed {
		if delete(s.byDevice[gpu], m.ID); len(s.byDevice[gpu]) == 0 {
			delete(s.byDevice, gpu)
		}
	}
}

// Earlier is a GPU of a machine that another one claimed before it, and that other one; ok is false where there is none. A machine that is banned claims
// nothing. Of two that claimed at the same time the one with the smaller id was first, so that there is always exactly one who keeps it.
func (s *State) Earlier(id raylink.MachineID) (gpu string, other raylink.MachineID, ok bool) {
	m := s.Machines[id]
	if m == nil {
		return "", "", false
	}
	for g, at := range m.Claimed {
		for o := range s.byDevice[g] {
			rival := s.Machines[o]
			if o == id || rival.State == MachineBanned {
				continue
			}
			first := rival.Claimed[g]
			if (first.Before(at) || first.Equal(at) && o < id) && (!ok || g < gpu || g == gpu && o < other) {
				gpu, other, ok = g, o, true
			}
		}
	}
	return gpu, other, ok
}

// GPUs are the GPUs of a machine that can be used, in the order of its host; none before the machine has said what it is.
func (m *Machine) GPUs() []raylink.Device {
	var list []raylink.Device
	if m.Host == nil {
		return nil
	}
	for _, d := range m.Host.Devices {
		if d.Kind == raylink.DeviceGPU && d.Fault == "" {
			list = append(list, d)
		}
	}
	return list
}

// freeGPUs are the UUIDs of n GPUs of a machine that no lease has, in the host's order: fewer, where the machine has told of fewer.
func (s *State) freeGPUs(m *Machine, n int64) []string {
	taken := map[string]bool{}
	for l := range s.byMachine[m.ID] {
		for _, gpu := range s.Leases[l].Devices {
			taken[gpu] = true
		}
	}
	var free []string
	for _, d := range m.GPUs() {
		if int64(len(free)) < n && !taken[d.ID] && (!s.Proving.Required || m.Lacks(d.ID, s.Now) == raylink.ReasonNone) {
			free = append(free, d.ID)
		}
	}
	return free
}

// FreeGPUs is how many GPUs of a machine a lease may get now: those that can be used, that are proven where proofs are required, and that no lease has.
// A machine that has not told what it is has as many as its offer leaves.
func (s *State) FreeGPUs(m *Machine) int64 {
	left := (m.Offer.Resources.GPU - s.Used(m.ID).GPU) / raylink.Unit
	if m.Host == nil {
		return left
	}
	return min(left, int64(len(s.freeGPUs(m, left))))
}

// Has says whether a machine has a tier of isolation, by its own word. A plain container every machine has; a virtual machine none, whatever it says.
func (m *Machine) Has(tier raylink.Isolation) bool {
	switch tier {
	case "", raylink.IsolationContainer:
		return true
	case raylink.IsolationGVisor:
		return m.Host != nil && slices.Contains(m.Host.Isolation, tier)
	}
	return false
}
