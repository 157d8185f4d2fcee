package testbed

import (
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
)

// TestManyAgentsCutOff: nine machines of one cluster, enough for the guard against mass loss, are cut from every coordinator at once, for longer than a
// machine alone may be silent. Admins hear of it; no cluster fails, no machine is blamed, and after it all of them work as before. Of their minutes those whose
// evidence came too late are waived, for all alike.
func TestManyAgentsCutOff(t *testing.T) {
	t.Parallel()
	Run(t, 3, 9, func(b *Bed) {
		b.plenty()
		id := b.Create("first", 8)
		ready := b.Ready(id)
		before := b.Leases(id)
		b.At(ready.Add(100 * time.Second))
		for name := range b.machines {
			for _, c := range b.coordinators {
				b.Cut(name, c.id)
			}
		}
		b.Until("admins are told", 2*time.Minute, func() bool {
			status, err := b.Admin.Status(b.ctx())
			return err == nil && status.Alarm != ""
		})
		b.At(ready.Add(6 * time.Minute))
		if up := b.Up(); up != 0 {
			t.Errorf("%d machines are up that nobody can hear", up)
		}
		b.Heal()
		b.Until("all are back", 2*time.Minute, func() bool { return b.Up() == 9 })
		b.At(ready.Add(9 * time.Minute))
		after := b.Leases(id)
		if c := b.Cluster(id); c.Phase != raylink.PhaseReady || len(after) != len(before) {
			t.Errorf("the cluster is %s, with %d leases after %d", c.Phase, len(after), len(before))
		}
		for i := range min(len(before), len(after)) {
			if after[i].ID != before[i].ID {
				t.Errorf("lease %s was replaced by %s", before[i].ID, after[i].ID)
			}
		}
		b.Read(func(s *state.State) {
			for _, m := range s.Machines {
				if m.Record.Lost != 0 || m.Record.Failures != 0 {
					t.Errorf("%s is blamed: %+v", m.ID, m.Record)
				}
			}
		})
		for _, line := range b.over(id).Lines {
			late := waived(line)
			for _, reason := range late {
				if reason != "no evidence" {
					t.Errorf("%s: waived %v", line.Node, late)
				}
			}
			if line.Charged+line.Waived != 9 || line.Waived > 3 {
				t.Errorf("%s: %d minutes charged, waived %v", line.Node, line.Charged, late)
			}
		}
	})
}
