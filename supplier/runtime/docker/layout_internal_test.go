package docker

import (
	"slices"
	"strings"
	"testing"

	"raylink/supplier/runtime"
)

// TestLayoutIsOfThisMachinesIds: the lease's directories belong to the ids of the machine, so the container is made with those, whatever the engine maps.
// `DOCKER_HOST=unix://… RAYLINK_REAL=1 go test -run TestSandbox` on an engine with userns-remap has it for real.
func TestLayoutIsOfThisMachinesIds(t *testing.T) {
	config, host := layout(runtime.Spec{Dir: "/d"}, "{}", nil)
	if !host.UsernsMode.IsHost() || config.User != "1000:1000" || host.IpcMode != "private" || len(host.CapAdd) > 0 || host.Privileged {
		t.Errorf("%+v, user %s", host, config.User)
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
