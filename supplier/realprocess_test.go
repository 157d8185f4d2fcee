package supplier

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/supplier/runtime/process"
)

// newProcessMachine is a machine without a container engine. The one that is here only gives the image away.
func newProcessMachine(t *testing.T, seed byte) *realWorld {
	w := newMachine(t, seed)
	shell(t, "worker/export.sh "+realImage+" "+filepath.Join(w.dir, "images"))
	run, err := process.Open(w.dir, w.machine)
	if err != nil {
		t.Fatal(err)
	}
	w.run = run
	w.kill = func(lease raylink.LeaseID) {
		if pid := w.pid(lease); pid <= 1 || unix.Kill(pid, unix.SIGKILL) != nil {
			t.Fatalf("the first process of %s is %d, and cannot be killed", lease, pid)
		}
	}
	return w.here()
}

// TestRealLifeWithoutDocker is the same life, with all that may befall it, of leases that are processes.
func TestRealLifeWithoutDocker(t *testing.T) { newProcessMachine(t, 5).live() }
