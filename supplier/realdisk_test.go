package supplier

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

// A tenant who fills the disk where he can: below /tmp/ray with a name, and there and in his home in files that he removes while he has them open.
const fill = `import os, sys, time
block = b"x" * (1 << 20)
kept = []
def grow(path, hide):
    f = open(path, "wb")
    if hide: os.remove(path)
    for _ in range(60): f.write(block)
    f.flush(); os.fsync(f.fileno()); kept.append(f)
grow("/tmp/ray/full", False); grow("/tmp/ray/hidden", True); grow(sys.argv[1], True)
print("it is full", flush=True)
time.sleep(1000)`

// TestRealTenantFillsTheDisk: he is ended with the reason and all that he wrote is gone, while his neighbour runs on; in a container and without Docker.
func TestRealTenantFillsTheDisk(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *realWorld{
		"Docker":        func(t *testing.T) *realWorld { return newRealWorld(t, 21) },
		"WithoutDocker": func(t *testing.T) *realWorld { return newProcessMachine(t, 22) },
	} {
		t.Run(name, func(t *testing.T) { make(t).filled() })
	}
}

func (w *realWorld) filled() {
	t := w.t
	w.coordinator.order(w.order(raylink.WantMesh)...)
	w.stage(raylink.StageMesh)
	orders := w.order(raylink.WantRun)
	// In a container the home is memory: the last 60 MiB are written below /tmp/ray there too.
	third := "/tmp/ray/hidden2"
	if t.Name() == "TestRealTenantFillsTheDisk/WithoutDocker" {
		third = "/home/ray/hidden"
	}
	orders[1].Command = []string{"python3", "-c", fill, third}
	orders[1].Limits.Memory = 512 << 20 // the page cache counts
	orders[1].Limits.Disk = 150 << 20   // any two of the three would pass
	w.coordinator.order(orders...)
	w.within(60*time.Second, "the worker has failed", func() bool { return w.coordinator.lease(worker).Failure != nil })
	if f := w.coordinator.lease(worker).Failure; !strings.Contains(f.Reason, "of the machine's disk, and 150 MiB are its bound") || f.Hint == "" {
		t.Errorf("the failure is %+v", f)
	}
	w.within(20*time.Second, "nothing is left of it, while the head runs", func() bool {
		all, err := w.run.List(t.Context())
		_, errDir := os.Stat(filepath.Join(w.dir, "leases", string(worker)))
		return err == nil && len(all) == 1 && all[0].Lease == head && all[0].Running && os.IsNotExist(errDir)
	})
	w.coordinator.order(w.order(raylink.WantEnd)...)
	w.stage(raylink.StageGone)
}
