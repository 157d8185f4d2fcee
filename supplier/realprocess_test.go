package supplier

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/supplier/runtime/process"
)

// newProcessMachine is a machine without a container engine. The one that is here only gives the image away.
func newProcessMachine(t *testing.T, seed byte) *realWorld {
	w := newMachine(t, seed)
	w.dir = filepath.Join(w.dir, "supplier")
	w.planes.files.root = w.dir
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

// TestRealLifeWithoutDocker is the same life, with all that may befall it, of leases that are processes. Then two more run, and their machine is uninstalled.
func TestRealLifeWithoutDocker(t *testing.T) {
	w := newProcessMachine(t, 5)
	w.live()
	t.Run("the machine is uninstalled", w.uninstalledWithoutDocker)
}

// uninstalledWithoutDocker gives no runtime, as an owner would, beside an engine that answers: processes, control groups, images and directories go all the same.
func (w *realWorld) uninstalledWithoutDocker(t *testing.T) {
	w.coordinator.order(w.order(raylink.WantMesh)...)
	w.stage(raylink.StageMesh)
	w.coordinator.order(w.order(raylink.WantRun)...)
	w.stage(raylink.StageRunning)
	pids := []int{w.pid(head), w.pid(worker)}
	groups := func() []string {
		var out []string
		for _, pattern := range []string{"/sys/fs/cgroup/raylink/", "/sys/fs/cgroup/*/raylink/"} {
			found, err := filepath.Glob(pattern + string(w.machine) + "/*")
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, found...)
		}
		return out
	}
	if len(groups()) == 0 || pids[0] <= 1 || pids[1] <= 1 {
		t.Fatalf("two leases run as %v, with the control groups %v", pids, groups())
	}
	sockets := []string{w.planes.socket(head), w.planes.socket(worker)}
	w.stop()
	gone, err := Uninstall(t.Context(), Config{Data: w.dir, Runtime: RuntimeDocker, DataPlanes: PlanesAuto, Name: "box"}, true, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil || gone.Machine != w.machine || gone.Leases != 2 || len(gone.Left) != 0 {
		t.Errorf("%+v, %v", gone, err)
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
			t.Errorf("the first process of a lease, %d: %v", pid, err)
		}
	}
	for _, socket := range sockets {
		if _, err := os.Lstat(socket); !os.IsNotExist(err) {
			t.Errorf("a data plane's socket %s: %v", socket, err)
		}
	}
	if left := tree(t, filepath.Dir(w.dir)); len(left) != 1 || len(groups()) > 0 {
		t.Errorf("left are the control groups %v, and %d files, from %v on", groups(), len(left)-1, left[:min(len(left), 5)])
	}
}
