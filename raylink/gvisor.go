package raylink

import "strings"

// GVisorRuntime is the name under which a container engine must know gVisor's runsc for leases of that tier.
const GVisorRuntime = "runsc"

// GVisorHint is how an engine is told of runsc so that leases can use it. A reload is enough for the engine to see it, and ends nothing that runs.
const GVisorHint = "`runsc install -- --network=host` and `systemctl reload docker`"

// WhyNoGVisorGPU is why a lease has a GPU or runs in gVisor, and not both.
const WhyNoGVisorGPU = "no machine offers a GPU in gVisor: its way to NVIDIA's driver (nvproxy) has never been tried here"

// GVisorJoins says whether a runtime that an engine calls with these arguments uses the network namespace that it is given: in a lease's own, empty one that
// is the overlay and nothing else. runsc left to itself makes a network of its own at the container's start, when the overlay is not there yet: the lease
// would never have one. Where the engine calls a script in runsc's place, its text may say it.
func GVisorJoins(args []string, script string) bool {
	if strings.HasPrefix(script, "#!") {
		args = append(strings.Fields(script), args...)
	}
	network := ""
	for i, arg := range args {
		name, value, inOne := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if name != "network" || !strings.HasPrefix(arg, "-") {
			continue
		}
		if !inOne && i+1 < len(args) {
			value = args[i+1]
		}
		network = strings.Trim(value, `"'`) // as runsc has it, the last one counts
	}
	return network == "host"
}
