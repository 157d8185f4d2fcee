package plan

import (
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

func TestFetchWords(t *testing.T) {
	for want, p := range map[string]wire.Progress{
		"0 of 340 MB":                       {Total: 340_000_000, Since: noon},
		"120 of 340 MB, 12.00 MB/s":         {Done: 120_000_000, Total: 340_000_000, Since: noon.Add(-10 * time.Second)},
		"1.20 of 3.40 GB, 0.33 MB/s":        {Done: 1_204_000_000, Total: 3_409_999_999, Since: noon.Add(-time.Hour)},
		"0 of 0 MB, 0.00 MB/s":              {Done: -5, Total: -5, Since: noon.Add(-time.Hour)},
		"0 of 7 MB":                         {Total: 7_000_000, Since: noon.Add(time.Hour)}, // a clock that goes ahead
		"9223372036.85 of 9223372036.85 GB": {Done: 1<<63 - 1, Total: 1<<63 - 1, Since: noon},
	} {
		if got := FetchWords(p, noon); got != want {
			t.Errorf("%+v is told as %q, wanted %q", p, got, want)
		}
	}
}

func TestFetchingIsOfTheStageOfTheImage(t *testing.T) {
	w := newWorld(t)
	owner := w.account("sam", "")
	tenant := w.account("ada", "10")
	w.machine("mone", owner, offerOf(8, 8, 100_000))
	c := w.create(tenant, specOf("one", 0, 1))
	lease := c.Leases[0]
	p := wire.Progress{Done: 5, Total: 10, Since: noon}
	w.seen.Machines[machineID("mone")] = MachineSeen{At: w.now, Report: wire.AgentReport{Leases: []wire.LeaseReport{{Lease: lease, Progress: &p}}}}
	if got := Fetching(w.s, w.seen, c.ID); len(got) != 0 {
		t.Errorf("before the stage: %+v", got)
	}
	w.apply(&state.AdvanceCluster{ID: c.ID, Phase: raylink.PhaseImage})
	if got := Fetching(w.s, w.seen, c.ID); len(got) != 1 || got[lease] != p {
		t.Errorf("in the stage: %+v", got)
	}
	if f := late(w.s, w.seen, w.now, w.s.Clusters[c.ID], w.s.ClusterLeases(c.ID)); f.Reason != "not done after 20m0s: one-headgroup on machine "+string(machineID("mone"))+" (0 of 0 MB)" {
		t.Errorf("too late: %+v", f)
	}
	if got := Fetching(w.s, w.seen, "c-nonenonene"); len(got) != 0 {
		t.Errorf("of no cluster: %+v", got)
	}
}
