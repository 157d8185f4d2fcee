package nvml

import (
	"fmt"
	"testing"

	"raylink/raylink"
)

func TestChanges(t *testing.T) {
	before := []raylink.Device{{ID: "a"}, {ID: "b"}, {ID: "c", Fault: "hot"}}
	now := []raylink.Device{{ID: "c"}, {ID: "a"}, {ID: "d"}}
	if got := fmt.Sprint(Changes(before, now)); got != "[b: it is gone: the driver does not list it any more c is well again d is well again]" {
		t.Errorf("it changed: %s", got)
	}
	if got := Changes(now, now); len(got) != 0 {
		t.Errorf("nothing changed, and it says %v", got)
	}
}

// TestXidFaults: those of programs are nobody's fault.
func TestXidFaults(t *testing.T) {
	for xid, bad := range map[uint64]bool{0: false, 13: false, 31: false, 43: false, 45: false, 48: true, 79: true, 94: true, 119: true, 1 << 63: false} {
		if (XidFault(xid) != "") != bad {
			t.Errorf("Xid %d is %q", xid, XidFault(xid))
		}
	}
}
