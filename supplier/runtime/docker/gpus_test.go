package docker_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"raylink/supplier/runtime"
	"raylink/supplier/runtime/docker"
)

// TestCheckGPUs runs the check in a real container, where a script stands in for NVIDIA's tool: no GPU is at hand.
func TestCheckGPUs(t *testing.T) {
	real(t)
	const gpu = "GPU-11111111-2222-3333-4444-555555555555"
	r := open(t, "m-gpucheckaa")
	spec := runtime.Spec{
		Lease: "l-gpucheckaa", Machine: "m-gpucheckaa", Cluster: "c-gpucheckaa", Hostname: "first-headgroup-0", Image: workerImage,
		Dir: prepare(t, "l-gpucheckaa"), Memory: 300 << 20, Env: map[string]string{"PATH": "/raylink:/usr/local/bin:/usr/bin:/bin"},
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background(), spec.Lease); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), "docker", "exec", docker.Name(spec.Lease), "true").CombinedOutput(); err != nil {
		t.Skipf("this engine cannot enter its containers, as in a chroot: %s", said)
	}
	check := func(script string) error {
		if script != "" {
			if err := os.WriteFile(filepath.Join(spec.Dir, "nvidia-smi"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return r.CheckGPUs(t.Context(), spec.Lease, []string{gpu})
	}
	if err := check(""); err == nil || errors.Is(err, runtime.ErrGPULost) {
		t.Errorf("without the tool: %v", err)
	}
	if err := check(`[ "$1$(id -u)" = -L1000 ] && echo "GPU 0: NVIDIA T4 (UUID: ` + gpu + `)"`); err != nil {
		t.Errorf("with its GPU: %v", err)
	}
	if err := check("echo Failed to initialize NVML: Unknown Error; exit 255"); !errors.Is(err, runtime.ErrGPULost) {
		t.Errorf("after a daemon-reload: %v", err)
	}
	if err := check("yes"); err == nil || errors.Is(err, runtime.ErrGPULost) {
		t.Errorf("a tool without an end: %v", err)
	}
	if err := r.Kill(t.Context(), spec.Lease); err != nil {
		t.Fatal(err)
	}
	if found, err := r.List(t.Context()); err != nil || len(found) != 1 || found[0].Running || found[0].ExitCode != 137 {
		t.Errorf("after its end: %+v, %v", found, err)
	}
	if err := check(""); err == nil || errors.Is(err, runtime.ErrGPULost) {
		t.Errorf("without a container that runs: %v", err)
	}
	if err := errors.Join(r.Kill(t.Context(), spec.Lease), r.Kill(t.Context(), "l-nobodyaaaa")); err != nil {
		t.Errorf("ending what does not run: %v", err)
	}
}
