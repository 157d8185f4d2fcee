package supplier

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/supplier/shred/shredtest"
)

// secret is what the worker writes wherever it may: with a name, in a file that it removes itself, and into its log. It is put together there, so that its own start
// script, and so its arguments, do not hold it.
const (
	secret = "deep-in-the-disk-of-" + "somebody-else"
	hide   = `
import os, sys, time
text = "deep-in-the-disk-of-" + "somebody-else"
for at in ("/tmp/ray", "/home/ray"):
    for name in ("kept", "removed"):
        with open(at + "/" + name, "w") as f:
            f.write(text * 50000); f.flush(); os.fsync(f.fileno())
    os.remove(at + "/removed") if %v else None
print(text, flush=True)
open("/tmp/ray/done", "w").close()
time.sleep(1000)`
)

// TestRealRawDisk looks, after a lease, for what its tenant wrote in the raw bytes of the disk that the agent's directories of leases are on: in a container and
// without Docker, on a file system that has keys and on one that has none. With a key also what the tenant removed himself is gone.
func TestRealRawDisk(t *testing.T) {
	runtimes := map[string]func(*testing.T, byte) *realWorld{"Docker": newRealWorld, "WithoutDocker": newProcessMachine}
	for name, features := range map[string]string{"Sealed": "encrypt", "Overwritten": "^encrypt"} {
		for with, machine := range runtimes {
			t.Run(with+name, func(t *testing.T) {
				needReal(t)
				disk := shredtest.New(t, features)
				w := machine(t, 31)
				w.stop()
				for _, dir := range []string{"leases", processContainers} {
					w.lay(filepath.Join(disk.Dir, dir), filepath.Join(w.dir, dir))
				}
				w.start()
				w.hidden(disk, name == "Sealed")
			})
		}
	}
}

// lay mounts one directory on another.
func (w *realWorld) lay(from, on string) {
	t := w.t
	for _, dir := range []string{from, on} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(from, on, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.stop()
		if err := unix.Unmount(on, 0); err != nil {
			t.Errorf("unmounting %s: %v", on, err)
		}
	})
}

func (w *realWorld) hidden(disk shredtest.Disk, sealed bool) {
	t := w.t
	orders := w.order(raylink.WantMesh)[1:]
	removes := "False"
	if sealed {
		removes = "True"
	}
	orders[0].Command = []string{"python3", "-c", fmt.Sprintf(hide, removes)}
	orders[0].Want = raylink.WantRun
	w.coordinator.order(orders...)
	done := filepath.Join(files{root: w.dir}.node(worker), "session", "done")
	w.within(60*time.Second, "the tenant has written", func() bool { _, err := os.Stat(done); return err == nil })
	if disk.Has(t, secret) == sealed {
		t.Errorf("while the lease lives, sealed %v, the raw disk has its text: %v", sealed, !sealed)
	}
	orders[0].Want = raylink.WantEnd
	w.coordinator.order(orders...)
	w.within(30*time.Second, "the lease is gone", func() bool { return w.coordinator.lease(worker).Stage == raylink.StageGone })
	if disk.Has(t, secret) {
		t.Error("after the lease the raw disk has what its tenant wrote")
	}
	w.coordinator.order()
}
