package raylink

import (
	"maps"
	"slices"

	"raylink/billing/money"
)

// Unit is the denominator of Ray's quantities: they are counted in 1/10,000, as Ray itself counts.
const Unit = 10_000

// Resources is what a node has, and tells Ray that it has.
type Resources struct {
	CPU    int64            `json:"cpu"`              // in 1/10,000 of a core
	Memory int64            `json:"memory"`           // bytes
	Disk   int64            `json:"disk,omitempty"`   // bytes that a node may hold of its machine's disk; 0 is the owner's bound alone
	GPU    int64            `json:"gpu,omitempty"`    // in 1/10,000 of a device
	Custom map[string]int64 `json:"custom,omitempty"` // Ray's own resources, in 1/10,000
}

// ClusterSpec is what a user asks for, as the manifest's text was understood.
type ClusterSpec struct {
	Name       string            `json:"name"`
	RayVersion string            `json:"ray_version"`
	Image      string            `json:"image"` // as the manifest names it; the catalogue maps it to what runs
	Head       NodeGroup         `json:"head"`
	Workers    []NodeGroup       `json:"workers,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"` // the manifest's own metadata.labels; for the user's eyes

	Isolation   Isolation `json:"isolation,omitempty"`    // empty is container
	Egress      string    `json:"egress,omitempty"`       // EgressNone or EgressInternet; empty is EgressInternet
	EgressBytes int64     `json:"egress_bytes,omitempty"` // of each node, both ways together, over its life; 0 is the supplier's own limit alone
}

// NodeGroup is a number of equal nodes.
type NodeGroup struct {
	Name      string            `json:"name"` // "headgroup" for the head
	Replicas  int               `json:"replicas"`
	Resources Resources         `json:"resources"`
	RayCPU    *int64            `json:"ray_cpu,omitempty"` // num-cpus told to Ray where the manifest's rayStartParams differ from the limit; 1/10,000
	Labels    map[string]string `json:"labels,omitempty"`  // Ray labels
	Params    map[string]string `json:"params,omitempty"`  // other rayStartParams that are honoured
	Env       map[string]string `json:"env,omitempty"`
	Require   map[string]string `json:"require,omitempty"` // labels that the machine must have (the manifest's nodeSelector)
}

// What a cluster's nodes may reach beside each other.
const (
	EgressNone     = "none"
	EgressInternet = "internet" // the public one, through the supplier's proxy
)

// Nodes is the number of nodes, head included.
func (s ClusterSpec) Nodes() int {
	n := 1
	for _, g := range s.Workers {
		n += g.Replicas
	}
	return n
}

// Offer is what a machine is willing to rent, and at what price.
type Offer struct {
	Resources   Resources         `json:"resources"`
	Arch        string            `json:"arch"` // amd64, arm64
	Labels      map[string]string `json:"labels,omitempty"`
	Accelerator string            `json:"accelerator,omitempty"` // Raylink's catalogue name, for Ray's label ray.io/accelerator-type
	CPUHour     money.Rate        `json:"cpu_hour"`              // price of one core
	GPUHour     money.Rate        `json:"gpu_hour"`              // price of one device
}

// Labels by which a group may ask for a machine, beside those that the machine offers itself.
const (
	LabelArch        = "raylink.io/arch"         // amd64, arm64
	LabelMachine     = "raylink.io/machine"      // one machine's id
	LabelAccelerator = "ray.io/accelerator-type" // Raylink's catalogue name of the device
	LabelProcessor   = "raylink.io/processor"    // Raylink's catalogue name of the processor
	LabelEmulated    = "raylink.io/emulated"     // "true" on a machine that only emulates its architecture: such are for tests
)

// Lacks is the first label of want (in the order of keys) that the machine does not have as asked; "" if it has all.
func (o Offer) Lacks(machine MachineID, want map[string]string) string {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		have := o.Labels[k]
		switch k {
		case LabelArch:
			have = o.Arch
		case LabelMachine:
			have = string(machine)
		case LabelAccelerator:
			have = o.Accelerator
		}
		if have != want[k] {
			return k
		}
	}
	return ""
}
