package supplier

import (
	"os"
	"path/filepath"
	"testing"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/shred/shredtest"
)

// TestAfterARebootALeaseStartsAfresh: the key of its directory went with the machine's last run. It counts as unwritten, is prepared anew, and ends as any other.
func TestAfterARebootALeaseStartsAfresh(t *testing.T) {
	disk := shredtest.New(t, "encrypt")
	f := files{root: disk.Dir}
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	order := (&world{t: t, coordinator: newCoordinator()}).order(head, raylink.WantMesh)
	tenant := runtime.IDs{User: runtime.UserID, Group: runtime.UserID}
	state := filepath.Join(f.node(head), "gcs", "state")
	for _, reboots := range []bool{false, true} {
		if err := f.prepare(t.Context(), order, nil, tenant); err != nil {
			t.Fatal(err)
		}
		if dir, digest := f.written(head); !dir || digest == "" || f.setGo(head) != nil {
			t.Errorf("prepared, it is there %v, with %q", dir, digest)
		}
		if err := os.WriteFile(state, []byte("the head's"), 0o600); err != nil {
			t.Fatal(err)
		}
		if !reboots {
			continue // prepared twice it keeps what it has
		}
		disk.Again(t)
		if dir, digest := f.written(head); !dir || digest != "" || f.hasGo(head) {
			t.Errorf("after the reboot it is there %v, with %q, and goes: %v", dir, digest, f.hasGo(head))
		}
	}
	if err := f.prepare(t.Context(), order, nil, tenant); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("after the reboot the head's state: %v", err)
	}
	disk.Again(t) // and once more, just before its end
	if err := f.remove(t.Context(), head, nil); err != nil {
		t.Error(err)
	}
	if dir, _ := f.written(head); dir {
		t.Error("it is still there")
	}
}
