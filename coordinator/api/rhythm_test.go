package api

import (
	"fmt"
	"testing"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// TestALargeGroupAsksForFewerReports: an assignment says how often to report once very many machines have joined, and is another one then.
func TestALargeGroupAsksForFewerReports(t *testing.T) {
	r := newRig(t)
	ask := func() (a wire.Assignment) {
		r.call("machine", "GET", "/v1/agent/assignment", nil).into(t, &a)
		return a
	}
	small := ask()
	r.group.mu.Lock()
	for i := range 100_000 {
		id := raylink.MachineID(fmt.Sprint("m-", i))
		r.group.s.Machines[id] = &state.Machine{ID: id}
	}
	r.group.mu.Unlock()
	if large := ask(); small.ReportSeconds != 0 || large.ReportSeconds != 5 || large.Revision == small.Revision {
		t.Errorf("of two machines each %d s, of 100,000 each %d s; revisions %s and %s", small.ReportSeconds, large.ReportSeconds, small.Revision, large.Revision)
	}
}
