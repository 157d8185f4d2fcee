package raylink

import (
	"maps"
	"slices"
)

// DeviceKind says what a device is.
type DeviceKind string

// The kinds of devices.
const (
	DeviceCPU DeviceKind = "cpu"
	DeviceGPU DeviceKind = "gpu"
)

// CPUDevice is the id of a machine's processor among its devices: there is one, however many sockets it has.
const CPUDevice = "cpu"

// Device is one processor or GPU of a machine, as its driver or its system describes it. It is a claim until it is proven.
type Device struct {
	ID       string     `json:"id"` // a GPU's UUID as its driver tells it; CPUDevice
	Kind     DeviceKind `json:"kind"`
	Vendor   string     `json:"vendor,omitempty"`   // nvidia, amd, intel, apple, arm, …
	Name     string     `json:"name"`               // as the driver or the system calls it
	Model    string     `json:"model,omitempty"`    // the catalogue's name; empty where it knows none
	Memory   int64      `json:"memory,omitempty"`   // bytes of its own; 0 for a processor, whose memory is the machine's
	Cores    int        `json:"cores,omitempty"`    // physical ones of a processor
	Threads  int        `json:"threads,omitempty"`  // that the system schedules on
	Cache    int64      `json:"cache,omitempty"`    // bytes of a processor's last level of cache, all of them together
	Features []string   `json:"features,omitempty"` // instruction sets that matter: avx2, avx512f, avx512_vnni, asimddp, …
	MIG      bool       `json:"mig,omitempty"`      // cut into slices
	ECC      string     `json:"ecc,omitempty"`      // on, off, or empty where there is none
	Bus      string     `json:"bus,omitempty"`      // PCI address
	Fault    string     `json:"fault,omitempty"`    // why it cannot be used now, in words; such a device is not offered
}

// Host is what a machine is, as its agent found it. It is a claim, too.
type Host struct {
	OS        string            `json:"os"` // as the system calls itself: "Debian GNU/Linux 12 (bookworm)", "macOS 15.1"
	Kernel    string            `json:"kernel,omitempty"`
	Arch      string            `json:"arch"`              // amd64, arm64
	Virtual   string            `json:"virtual,omitempty"` // what it runs in, where that is known: kvm, apple (a Linux VM on a Mac), wsl, …
	Memory    int64             `json:"memory"`            // bytes
	Devices   []Device          `json:"devices"`           // the processor first
	Versions  map[string]string `json:"versions"`          // of what the sandbox rests on; the keys are the Version… constants
	Isolation []Isolation       `json:"isolation"`         // the tiers that this machine has
	Runtime   string            `json:"runtime,omitempty"` // RuntimeProcess where leases run without a container engine; else empty
}

// Equal says whether both are the same. Like their JSON, it makes no difference between nothing and a list of nothing.
func (h *Host) Equal(o *Host) bool {
	return h.OS == o.OS && h.Kernel == o.Kernel && h.Arch == o.Arch && h.Virtual == o.Virtual && h.Memory == o.Memory && h.Runtime == o.Runtime &&
		slices.EqualFunc(h.Devices, o.Devices, sameDevice) && maps.Equal(h.Versions, o.Versions) && slices.Equal(h.Isolation, o.Isolation)
}

func sameDevice(a, b Device) bool {
	return a.ID == b.ID && a.Kind == b.Kind && a.Vendor == b.Vendor && a.Name == b.Name && a.Model == b.Model && a.Memory == b.Memory && a.Cores == b.Cores && a.Threads == b.Threads &&
		a.Cache == b.Cache && slices.Equal(a.Features, b.Features) && a.MIG == b.MIG && a.ECC == b.ECC && a.Bus == b.Bus && a.Fault == b.Fault
}

// RuntimeProcess is what Host.Runtime says of a machine whose leases are processes of the agent's own, whatever engine may be there beside.
const RuntimeProcess = "process"

// What Host.Versions and the minimum versions of a policy name.
const (
	VersionAgent   = "agent"
	VersionKernel  = "kernel"
	VersionDocker  = "docker"
	VersionRunc    = "runc"
	VersionRunsc   = "runsc"
	VersionDriver  = "nvidia-driver"
	VersionToolkit = "nvidia-container-toolkit"
)

// Isolation is what stands between a tenant's processes and the machine's kernel.
type Isolation string

// The tiers of isolation, the weakest first.
const (
	IsolationContainer Isolation = "container" // namespaces, seccomp, no capability: the host's own kernel
	IsolationGVisor    Isolation = "gvisor"    // a kernel in user space in between
	IsolationVM        Isolation = "vm"        // a virtual machine of its own; named, and refused everywhere for now
)

// Valid says whether i is a tier; the empty one is not.
func (i Isolation) Valid() bool {
	return i == IsolationContainer || i == IsolationGVisor || i == IsolationVM
}
