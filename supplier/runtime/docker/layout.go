package docker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

const (
	cpuPeriod   = 100_000 // µs; a core is the whole period
	cpuQuotaMin = 1_000   // µs; the engine refuses less
	ticksInUnit = 10      // µs of quota in 1/10,000 of a core
	memoryMin   = 6 << 20 // bytes; the engine refuses less
	scratchMax  = 2 << 30 // bytes of each place of scratch

	// gVisor's own threads count as the container's: with 2,000 it dies in the middle of a job.
	pidsGVisor = 30_000
)

// layout is the sandbox: what the tenant's container may and may not. image are the variables that its image sets.
func layout(spec runtime.Spec, profile string, image []string) (*container.Config, *container.HostConfig) {
	entrypoint := spec.Entrypoint
	if len(entrypoint) == 0 {
		entrypoint = runtime.Entrypoint()
	}
	pids := spec.Pids
	if pids == 0 {
		pids = runtime.PidsLimit
	}
	if spec.Isolation == raylink.IsolationGVisor {
		pids = max(pids, pidsGVisor)
	}
	user := strconv.Itoa(runtime.UserID)
	config := &container.Config{
		Hostname:    spec.Hostname,
		User:        user + ":" + user,
		Env:         environment(spec, image),
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
		SecurityOpt:   []string{"no-new-privileges", "seccomp=" + profile},
		IpcMode:       "private",
		UsernsMode:    "host", // of an engine that maps user ids launch takes this back; elsewhere it says what is so anyway

		ReadonlyRootfs: true, // what is written goes to memory that the lease pays for, or to its own directory
		Tmpfs:          scratch(spec.Memory),
		ShmSize:        spec.ShmBytes,
		ExtraHosts:     pairs(spec.Hosts, ":"),
		LogConfig:      container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "16m", "max-file": "2"}},
		// No limit of open files: the engine's own stands. An engine without CAP_SYS_RESOURCE would start nothing with a higher one, and the
		// start script asks for what Ray wants within it.
		Resources: container.Resources{PidsLimit: &pids, Ulimits: []*container.Ulimit{{Name: "core"}}}, // a dump would be written outside the sandbox
	}
	if spec.Isolation == raylink.IsolationGVisor {
		host.Runtime = RuntimeGVisor
	}
	if len(spec.GPUs) > 0 {
		host.DeviceRequests = []container.DeviceRequest{{Driver: "nvidia", DeviceIDs: spec.GPUs, Capabilities: [][]string{{"gpu", "compute", "utility"}}}}
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

// environment is what the container's first process finds. Variables of the image that steer what runs outside the sandbox, or which devices are seen, are
// overruled: the NVIDIA toolkit's hooks have inherited LD_PRELOAD from an image before (CVE-2025-23266), and take devices, capabilities and demands on the
// driver from variables. An engine cannot be told to leave one out: they are there, and empty. A tenant may set them anew in his start script, inside.
func environment(spec runtime.Spec, image []string) []string {
	env := map[string]string{"LD_PRELOAD": "", "LD_AUDIT": "", "LD_LIBRARY_PATH": ""}
	for _, variable := range image {
		if name, _, _ := strings.Cut(variable, "="); steers(name) {
			env[name] = ""
		}
	}
	maps.Copy(env, map[string]string{
		"NVIDIA_VISIBLE_DEVICES": "void", "NVIDIA_DRIVER_CAPABILITIES": "", "NVIDIA_MIG_CONFIG_DEVICES": "", "NVIDIA_MIG_MONITOR_DEVICES": "",
		"NVIDIA_DISABLE_REQUIRE": "true", // an image's demands, emptied above, are not read at all
	})
	if len(spec.GPUs) > 0 {
		uuids := strings.Join(spec.GPUs, ",")
		env["NVIDIA_VISIBLE_DEVICES"], env["NVIDIA_DRIVER_CAPABILITIES"] = uuids, "compute,utility"
		if _, set := env["CUDA_VISIBLE_DEVICES"]; set {
			env["CUDA_VISIBLE_DEVICES"] = uuids // empty it would hide them
		}
	}
	maps.Copy(env, spec.Env)
	return pairs(env, "=")
}

// steers says whether a variable is one that the dynamic linker, CUDA, or NVIDIA's toolkit goes by.
func steers(name string) bool {
	return strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "CUDA_") || strings.HasPrefix(name, "NVIDIA_")
}

// scratch are the places beside the lease's own directory where a tenant may write: in memory that counts as the lease's, and gone with the container.
// Programs may run from there, as people install some into their home.
func scratch(memory int64) map[string]string {
	size := int64(scratchMax)
	if memory > 0 {
		size = min(size, memory/4)
	}
	options := fmt.Sprintf("rw,nosuid,nodev,exec,size=%d", size)
	return map[string]string{
		"/tmp": options + ",mode=1777", "/var/tmp": options + ",mode=1777", "/run": options + ",mode=0755",
		"/home/ray": fmt.Sprintf("%s,mode=0755,uid=%d,gid=%d", options, runtime.UserID, runtime.UserID),
	}
}

func pairs(m map[string]string, separator string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+separator+m[k])
	}
	return out
}
