package docker

import (
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/system"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

// TestLayoutIsOfThisMachinesIds: until it is known that the engine maps ids and that the lease's directory is the mapped tenant's, a container is made with
// those of the machine.
func TestLayoutIsOfThisMachinesIds(t *testing.T) {
	config, host := layout(runtime.Spec{Dir: "/d"}, "{}", nil)
	if !host.UsernsMode.IsHost() || config.User != "1000:1000" || host.IpcMode != "private" || len(host.CapAdd) > 0 || host.Privileged {
		t.Errorf("%+v, user %s", host, config.User)
	}
}

// TestMapping: whom an engine maps the containers' root to is read from its answer, and an answer that is not understood is no mapping.
func TestMapping(t *testing.T) {
	for name, c := range map[string]struct {
		options []string
		root    string
		want    runtime.IDs
	}{
		"as most engines are":    {[]string{"name=seccomp,profile=default"}, "/var/lib/docker", runtime.IDs{}},
		"no mapping, such a dir": {[]string{"name=seccomp,profile=default"}, "/var/lib/docker/700000.700000", runtime.IDs{}},
		"mapped":                 {[]string{"name=seccomp,profile=default", "name=userns"}, "/var/lib/docker/700000.800000", runtime.IDs{User: 700_000, Group: 800_000}},
		"no base":                {[]string{"name=userns"}, "/var/lib/docker", runtime.IDs{}},
		"root itself":            {[]string{"name=userns"}, "/var/lib/docker/0.0", runtime.IDs{}},
		"beyond the ids":         {[]string{"name=userns"}, "/var/lib/docker/4294967295.700000", runtime.IDs{}},
	} {
		if got := mapping(system.Info{SecurityOptions: c.options, DockerRootDir: c.root}); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	r := &Runtime{base: runtime.IDs{User: 700_000, Group: 800_000}}
	if got := r.Tenant(raylink.IsolationContainer); got != (runtime.IDs{User: 701_000, Group: 801_000}) {
		t.Errorf("the tenant is %+v", got)
	}
	if got := r.Tenant(raylink.IsolationGVisor); got != (runtime.IDs{User: 1000, Group: 1000}) {
		t.Errorf("the tenant in gVisor is %+v", got)
	}
}

// TestImagesVariablesAreOverruled: whatever an image sets, nothing that runs for the container outside of it goes by that; and what has nothing to do with
// it stays the image's.
func TestImagesVariablesAreOverruled(t *testing.T) {
	image := []string{
		"PATH=/opt/ray/bin:/bin", "LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/evil", "LD_BIND_NOW=1", "CUDA_VERSION=12.4", "CUDA_INJECTION64_PATH=/evil.so",
		"CUDA_VISIBLE_DEVICES=7", "NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=all", "NVIDIA_REQUIRE_CUDA=cuda>=99", "NVIDIA_IMEX_CHANNELS=0",
		"NVIDIA_MIG_CONFIG_DEVICES=all", "NVIDIA_DISABLE_REQUIRE=false", "HOME=/home/ray", "OLD_CUDA_HOME=/x", "LD_", "=",
	}
	for name, c := range map[string]struct {
		gpus, want []string // want is what is not empty
	}{
		"without a GPU": {nil, []string{"NVIDIA_DISABLE_REQUIRE=true", "NVIDIA_VISIBLE_DEVICES=void"}},
		"with two": {[]string{"GPU-1", "GPU-2"}, []string{"CUDA_VISIBLE_DEVICES=GPU-1,GPU-2", "NVIDIA_DISABLE_REQUIRE=true",
			"NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_VISIBLE_DEVICES=GPU-1,GPU-2"}},
	} {
		config, _ := layout(runtime.Spec{Dir: "/d", GPUs: c.gpus}, "{}", image)
		var set, there []string
		for _, variable := range config.Env {
			name, value, _ := strings.Cut(variable, "=")
			if there = append(there, name); value != "" {
				set = append(set, variable)
			}
		}
		if !slices.Equal(set, c.want) {
			t.Errorf("%s: %v, wanted %v", name, set, c.want)
		}
		for _, variable := range image {
			if name, _, _ := strings.Cut(variable, "="); steers(name) != slices.Contains(there, name) {
				t.Errorf("%s: %s is left as the image has it: %v", name, name, steers(name))
			}
		}
	}
	// An image that says nothing of CUDA's devices leaves them to the driver: there and empty the variable would hide the GPUs.
	config, _ := layout(runtime.Spec{Dir: "/d", GPUs: []string{"GPU-1"}, Env: map[string]string{"LD_LIBRARY_PATH": "/ours"}}, "{}", nil)
	if slices.ContainsFunc(config.Env, func(v string) bool { return strings.HasPrefix(v, "CUDA_") }) || !slices.Contains(config.Env, "LD_LIBRARY_PATH=/ours") ||
		!slices.Contains(config.Env, "LD_PRELOAD=") {
		t.Errorf("%v", config.Env)
	}
}
