//go:build linux

package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"raylink/raylink"
	"raylink/supplier/runtime/runtimetest"
)

// granted are the attempts of hostile.py that a lease without Docker succeeds with: none.
var granted []string

// hostileTenant has a tenant without Docker try all that one in a container tries: to get out, also through the proxy that he has, to look at what is not
// his and to take more than he pays for. The machine goes on, and so does his neighbour.
func hostileTenant(t *testing.T, root string) {
	const machine = raylink.MachineID("m-hostileaaa")
	r := open(t, root, machine)
	neighbour, spec := lease(t, r, "l-neighboura", machine), lease(t, r, "l-hostileaaa", machine)
	neighbour.Memory = 128 << 20
	spec.Memory, spec.ShmBytes, spec.Pids = 400<<20, 32<<20, 256
	if _, err := r.Start(t.Context(), neighbour); err != nil {
		t.Fatal(err)
	}
	instance, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	runtimetest.Proxy(t, spec.Lease, instance.Pid)
	hostile, err := os.ReadFile("../docker/testdata/hostile.py")
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(neighbour.Dir, "token")
	for path, text := range map[string]string{
		secret: "the neighbour's token", filepath.Join(spec.Dir, "hostile.py"): string(hostile), filepath.Join(spec.Dir, "forbidden"): runtimetest.Forbidden(t),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	release(t, spec.Dir, fmt.Sprintf("exec python3 /raylink/hostile.py %s %s %d %d %d /raylink/forbidden >/tmp/ray/said 2>&1\n",
		runtimetest.HostAddress(t), secret, spec.Memory>>20, spec.ShmBytes>>20, spec.Pids))
	last := awaitExit(t, r, spec)
	raw, err := os.ReadFile(filepath.Join(spec.Dir, "session", "said"))
	if err != nil {
		t.Fatalf("%v; it ended as %+v", err, last)
	}
	said := string(raw)
	t.Log(said)
	runtimetest.Refused(t, said)
	tried := 0
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "through the proxy, ") {
			continue // judged above, more strictly
		}
		name, how, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if tried++; ok && how == "DONE" && !slices.Contains(granted, name) {
			t.Errorf("%s: it was possible", name)
		}
	}
	if tried < 75 || !strings.HasSuffix(said, "the end\nmemory beyond the lease's: refused SIGKILL\n") {
		t.Errorf("after %d attempts it ended early, as %+v", tried, last)
	}
	if seen, ok := find(t, r, neighbour.Lease); !ok || !seen.Running {
		t.Errorf("the neighbour did not live through it: %+v", seen)
	}
}
