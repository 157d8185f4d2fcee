package docker_test

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/docker"
	"raylink/supplier/runtime/runtimetest"
)

//go:embed testdata/hostile.py
var hostile string

// own are attempts that gVisor grants inside its own kernel: what they reach is the sandbox's, and the machine's kernel never hears of it.
var own = map[raylink.Isolation][]string{
	raylink.IsolationContainer: nil,
	raylink.IsolationGVisor:    {"a user namespace", "a user namespace by clone", "a mount namespace", "io_uring", "a device node", "spare oneself when memory is short", "a higher priority"},
}

// TestHostileTenant has a tenant try to get out, also through the proxy that he has, to look at what is not his and to take more than he pays for, in both
// tiers. The machine goes on, and so does his neighbour.
func TestHostileTenant(t *testing.T) {
	real(t)
	for tier, granted := range own {
		t.Run(string(tier), func(t *testing.T) { attack(t, tier, granted) })
	}
}

func attack(t *testing.T, tier raylink.Isolation, granted []string) {
	machine := raylink.MachineID("m-hostileaaa")
	r := open(t, machine)
	neighbour := runtime.Spec{Lease: "l-neighbouraa", Machine: machine, Cluster: "c-neighbouraa", Image: workerImage, Dir: prepare(t, "l-neighbouraa"), CPU: 5_000, Memory: 128 << 20}
	spec := runtime.Spec{Lease: "l-hostileaaa", Machine: machine, Cluster: "c-hostileaaa", Image: workerImage, Dir: prepare(t, "l-hostileaaa"), Isolation: tier,
		CPU: 20_000, Memory: 400 << 20, ShmBytes: 32 << 20, Pids: 256}
	pid := 0
	for _, s := range []runtime.Spec{neighbour, spec} {
		t.Cleanup(func() {
			if err := r.Stop(context.Background(), s.Lease); err != nil {
				t.Error(err)
			}
		})
		instance, err := r.Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		pid = instance.Pid // the hostile one's, which is the last
	}
	runtimetest.Proxy(t, spec.Lease, pid)
	secret := filepath.Join(neighbour.Dir, "token")
	if err := os.WriteFile(secret, []byte("the neighbour's token"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"hostile.py": hostile, "forbidden": runtimetest.Forbidden(t)} {
		if err := os.WriteFile(filepath.Join(spec.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(spec.Dir, 0, 0); err != nil { // as the agent has it
		t.Fatal(err)
	}
	pids := spec.Pids
	if tier == raylink.IsolationGVisor {
		pids = 0 // its limit is of 30,000; the bomb would run into the memory's first, which ends the whole sandbox
	}
	release(t, spec.Dir, fmt.Sprintf("exec python3 /raylink/hostile.py %s %s %d %d %d /raylink/forbidden >/tmp/ray/said 2>&1\n", runtimetest.HostAddress(t), secret, spec.Memory>>20, spec.ShmBytes>>20, pids))
	waitExit(t, spec)
	said, err := os.ReadFile(filepath.Join(spec.Dir, "session", "said"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", said)
	runtimetest.Refused(t, string(said))
	tried := 0
	for line := range strings.Lines(string(said)) {
		if strings.HasPrefix(line, "through the proxy, ") {
			continue // judged above, more strictly
		}
		name, how, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if tried++; ok && how == "DONE" && !slices.Contains(granted, name) {
			t.Errorf("%s: it was possible", name)
		}
	}
	// The hog comes last. In a container it is killed alone; gVisor's kernel is killed with it, and so the lease, but nothing else.
	if !strings.Contains(string(said), "the end\n") || tried < 75 || (tier == raylink.IsolationContainer && !strings.HasSuffix(string(said), "memory beyond the lease's: refused SIGKILL\n")) {
		t.Errorf("after %d attempts it ended early", tried)
	}
	after, err := r.List(t.Context())
	if err != nil || len(after) != 2 {
		t.Fatalf("%v, %v", after, err)
	}
	for _, one := range after {
		if one.Lease == neighbour.Lease && !one.Running {
			t.Errorf("the neighbour did not live through it: %+v", one)
		}
	}
}

// TestTiers: what the engine does not have is refused with what to do, and leaves nothing.
func TestTiers(t *testing.T) {
	real(t)
	r := open(t, "m-tiersaaaaa")
	for tier, code := range map[raylink.Isolation]raylink.Code{raylink.IsolationVM: raylink.CodeUnsupported, "chroot": raylink.CodeInvalid} {
		spec := runtime.Spec{Lease: "l-tiersaaaaa", Machine: "m-tiersaaaaa", Image: workerImage, Dir: prepare(t, "l-tiersaaaaa"), Isolation: tier}
		_, err := r.Start(t.Context(), spec)
		if told := raylink.AsError(err); err == nil || told.Code != code || told.Hint == "" {
			t.Errorf("%s: %v", tier, err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "docker", "ps", "-aq", "--filter", "label="+docker.LabelLease+"=l-tiersaaaaa").Output(); err != nil || len(out) > 0 {
		t.Errorf("it left %s (%v)", out, err)
	}
}
