package ray

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"

	"raylink/raylink"
)

// Node is everything that one node's start line and environment are made of.
type Node struct {
	Cluster     string            // the cluster's name
	Lease       raylink.LeaseID   // carried as Ray's instance id, and as a label
	Machine     raylink.MachineID // carried as a label
	Role        raylink.NodeRole
	Address     netip.Addr        // this node's, in the overlay
	Head        netip.Addr        // the head's, in the overlay
	Group       raylink.NodeGroup // the group as the manifest was understood
	Arch        string            // amd64, arm64
	Accelerator string            // Raylink's catalogue name of the machine's device, "" without one
	Labels      map[string]string // what the machine offers
	Device      map[string]int64  // Ray's resources of the machine's device, by the catalogue, in 1/10,000; nil where that knows none
}

// Check says why the node cannot be started as it is, or nil. Command and Environment are safe without it, and leave away what it refuses.
func (n Node) Check() error {
	if n.Role != raylink.NodeHead && n.Role != raylink.NodeWorker {
		return fmt.Errorf("a node is head or worker, not %q", n.Role)
	}
	if !n.Address.Is4() || !n.Head.Is4() {
		return fmt.Errorf("node %s needs IPv4 addresses of its own and of its head, not %s and %s", n.Lease, n.Address, n.Head)
	}
	if (n.Role == raylink.NodeHead) != (n.Address == n.Head) {
		return fmt.Errorf("node %s: %s with address %s under head %s", n.Lease, n.Role, n.Address, n.Head)
	}
	for k, v := range n.allLabels() {
		if err := ValidLabel(k, v); err != nil {
			return err
		}
	}
	for k := range n.Group.Labels {
		if ReservedLabel(k) {
			return fmt.Errorf("label %s is reserved", k)
		}
	}
	for k, v := range n.Group.Env {
		if err := ValidEnv(k, v); err != nil {
			return err
		}
	}
	for name := range n.Group.Resources.Custom {
		if err := ValidResource(name); err != nil {
			return err
		}
	}
	_, _, problems := Params(n.Group.Params)
	if len(problems) > 0 {
		return fmt.Errorf("rayStartParams.%s: %s", problems[0].Param, problems[0].Reason)
	}
	return nil
}

// Command is the node's `ray start` line, an argument each. The user's rayStartParams win except over identity, addresses, ports and
// authentication; what they do not say comes from the limits, as KubeRay derives it.
func Command(n Node) []string {
	set := map[string]string{
		"node-ip-address":             n.Address.String(), // Ray would take the route to 8.8.8.8, which does not exist here
		"node-manager-port":           strconv.Itoa(NodeManagerPort),
		"object-manager-port":         strconv.Itoa(ObjectManagerPort),
		"dashboard-agent-listen-port": strconv.Itoa(AgentPort),
		"dashboard-agent-grpc-port":   strconv.Itoa(AgentGRPCPort),
		"runtime-env-agent-port":      strconv.Itoa(RuntimeEnvPort),
		"metrics-export-port":         strconv.Itoa(MetricsPort),
		"min-worker-port":             strconv.Itoa(WorkerPortFirst),
		"max-worker-port":             strconv.Itoa(WorkerPortLast),
		"num-cpus":                    strconv.FormatInt(n.rayCPU(), 10),
		"num-gpus":                    strconv.FormatInt(ceilUnit(n.Group.Resources.GPU), 10), // always: Ray's guess is wrong on many machines
		"memory":                      strconv.FormatInt(n.Group.Resources.Memory, 10),
		"object-store-memory":         strconv.FormatInt(ObjectStoreBytes(n.Group.Resources.Memory), 10),
	}
	argv := n.program()
	if n.Role == raylink.NodeHead {
		argv = append(argv, "--head")
		set["port"] = strconv.Itoa(GCSPort)
		set["dashboard-host"] = n.Address.String()
		set["dashboard-port"] = strconv.Itoa(DashboardPort)
		set["ray-client-server-port"] = strconv.Itoa(ClientPort)
	} else {
		set["address"] = joinPort(n.Head, GCSPort)
	}
	argv = append(argv, "--block", "--disable-usage-stats")

	kept, _, _ := Params(n.Group.Params)
	delete(kept, "resources") // the manifest's words for these two became the group's own fields
	delete(kept, "labels")
	maps.Copy(set, kept)
	if size, err := strconv.ParseInt(set["object-store-memory"], 10, 64); err == nil { // Ray refuses to start when it does not fit
		set["object-store-memory"] = strconv.FormatInt(min(size, maxObjectStore(n.Group.Resources.Memory)), 10)
	}
	if custom := n.custom(); custom != "" {
		set["resources"] = custom
	}
	if labels := n.labels(); labels != "" {
		set["labels"] = labels
	}
	for _, name := range sortedKeys(set) {
		if f, _ := findFlag(name); f.form == "switch" {
			argv = append(argv, "--"+name)
		} else {
			argv = append(argv, "--"+name+"="+set[name])
		}
	}
	return argv
}

// rayCPU is what Ray is told: the manifest's word, or the limit rounded up, as KubeRay does.
func (n Node) rayCPU() int64 {
	if n.Group.RayCPU != nil {
		return ceilUnit(*n.Group.RayCPU)
	}
	return ceilUnit(n.Group.Resources.CPU)
}

func ceilUnit(q int64) int64 { return (q + raylink.Unit - 1) / raylink.Unit }

// acceleratorType begins the names of Ray's resources that stand for kinds of devices.
const acceleratorType = "accelerator_type:"

// custom is the value of --resources, "" for none. A known device is also Ray's resource accelerator_type:<name>, under each of its names, which `accelerator_type=`
// asks for; Ray's own guess of it would carry the wrong name.
func (n Node) custom() string {
	custom := map[string]int64{}
	for name, q := range n.Group.Resources.Custom {
		if ValidResource(name) == nil {
			custom[name] = ceilUnit(q)
		}
	}
	for name, q := range n.Device {
		if kind, ok := strings.CutPrefix(name, acceleratorType); ok && labelWord(kind) {
			custom[name] = ceilUnit(q)
		}
	}
	if n.Group.Resources.GPU > 0 && labelWord(n.Accelerator) { // also where only the agent's newer catalogue knows it
		custom[acceleratorType+n.Accelerator] = 1
	}
	if len(custom) == 0 {
		return ""
	}
	text, err := json.Marshal(custom) // sorted by key
	if err != nil {
		panic(err) // a map of strings to integers always has a JSON form
	}
	return string(text)
}

func (n Node) labels() string {
	all := n.allLabels()
	pairs := make([]string, 0, len(all))
	for _, k := range sortedKeys(all) {
		if ValidLabel(k, all[k]) == nil { // a comma would smuggle in another label
			pairs = append(pairs, k+"="+all[k])
		}
	}
	return strings.Join(pairs, ",")
}

// allLabels: what the machine offers, then what the manifest says of the group, then what Raylink knows.
func (n Node) allLabels() map[string]string {
	out := map[string]string{}
	for k, v := range n.Labels {
		if OwnersLabel(k) {
			out[k] = v
		}
	}
	for k, v := range n.Group.Labels {
		if !ReservedLabel(k) {
			out[k] = v
		}
	}
	for k, v := range map[string]string{
		LabelProcessor: n.Labels[LabelProcessor], LabelAccelerator: n.Accelerator, LabelArch: n.Arch, LabelMachine: string(n.Machine), LabelGroup: n.Group.Name, LabelLease: string(n.Lease),
	} {
		if v != "" {
			out[k] = v
		}
	}
	return out
}
