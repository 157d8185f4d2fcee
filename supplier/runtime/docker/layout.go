package docker

import (
	"maps"
	"slices"
	"strconv"

	"github.com/docker/docker/api/types/container"

	"raylink/supplier/runtime"
)

const (
	cpuPeriod   = 100_000 // µs; a core is the whole period
	cpuQuotaMin = 1_000   // µs; the engine refuses less
	ticksInUnit = 10      // µs of quota in 1/10,000 of a core
	memoryMin   = 6 << 20 // bytes; the engine refuses less
)

// layout is the sandbox: what the tenant's container may and may not.
func layout(spec runtime.Spec) (*container.Config, *container.HostConfig) {
	entrypoint := spec.Entrypoint
	if len(entrypoint) == 0 {
		entrypoint = runtime.Entrypoint()
	}
	pids := spec.Pids
	if pids == 0 {
		pids = runtime.PidsLimit
	}
	user := strconv.Itoa(runtime.UserID)
	config := &container.Config{
		Hostname:    spec.Hostname,
		User:        user + ":" + user,
		Env:         pairs(spec.Env, "="),
		Image:       spec.Image,
		Entrypoint:  entrypoint,
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		Labels: map[string]string{
			LabelMachine: string(spec.Machine),
			LabelLease:   string(spec.Lease),
			LabelCluster: string(spec.Cluster),
		},
	}
	host := &container.HostConfig{
		Binds:         []string{spec.Dir + ":/raylink", spec.Dir + "/session:/tmp/ray"},
		NetworkMode:   "none",
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}, // the overlay comes back before Ray does: the agent's work
		CapDrop:       []string{"ALL"},
		SecurityOpt:   []string{"no-new-privileges"},
		ShmSize:       spec.ShmBytes,
		ExtraHosts:    pairs(spec.Hosts, ":"),
		LogConfig:     container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "16m", "max-file": "2"}},
		// No limit of open files: the engine's own stands. An engine without CAP_SYS_RESOURCE would start nothing with a higher one, and the
		// start script asks for what Ray wants within it.
		Resources: container.Resources{PidsLimit: &pids},
	}
	if spec.Memory > 0 {
		host.Memory = max(spec.Memory, memoryMin)
		host.MemorySwap = host.Memory // the limit is of memory and swap together: no swap
	}
	if spec.CPU > 0 {
		// Period and quota, not NanoCPUs: the engine refuses more NanoCPUs than the host has cores, and an owner may offer more.
		host.CPUPeriod = cpuPeriod
		host.CPUQuota = max(spec.CPU*ticksInUnit, cpuQuotaMin)
	}
	return config, host
}

func pairs(m map[string]string, separator string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+separator+m[k])
	}
	return out
}
