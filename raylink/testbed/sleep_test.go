package testbed

import (
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

// TestASleeperIsNoNode: a container that runs is not yet Ray. Whichever node sleeps instead, the cluster is ready in no look at it, fails at the
// stage that waits for that node with its name and machine, and costs nothing.
func TestASleeperIsNoNode(t *testing.T) {
	for _, c := range []struct {
		node  int // 0 is the head
		stage raylink.Phase
		says  string
	}{{2, raylink.PhaseWorkers, "is not alive in Ray's view"}, {0, raylink.PhaseHead, "Ray's head does not answer on "}} {
		t.Run(string(c.stage), func(t *testing.T) {
			t.Parallel()
			Run(t, 1, 3, func(b *Bed) {
				b.plenty()
				before := b.Balance()
				id := b.Create("first", 2)
				sleeper := b.Leases(id)[c.node]
				b.Sleep(sleeper.ID)
				b.Until("its containers run", time.Minute, func() bool {
					return b.Cluster(id).Phase == c.stage && b.Leases(id)[c.node].Stage == raylink.StageRunning
				})
				b.Until("it is over", 10*time.Minute, func() bool { return b.Cluster(id).Phase.Over() })
				x := b.Cluster(id)
				f := x.Failure
				if x.Phase != raylink.PhaseFailed || x.ReadyAt != nil || f == nil {
					t.Fatalf("it is %s, ready since %v: %+v", x.Phase, x.ReadyAt, f)
				}
				who := sleeper.Node + " on machine " + string(sleeper.Machine) + " "
				if c.node == 0 {
					who = ""
				}
				if f.Stage != string(c.stage) || f.Machine != sleeper.Machine || !strings.Contains(f.Reason, who+c.says) || f.Hint == "" {
					t.Errorf("it failed with %+v; the sleeper is %s on %s", f, sleeper.Node, sleeper.Machine)
				}
				for _, awake := range b.Leases(id) {
					if c.node != 0 && awake.ID != sleeper.ID && strings.Contains(f.Reason, awake.Node) {
						t.Errorf("%s is blamed too: %s", awake.Node, f.Reason)
					}
				}
				bill := b.Bill(id)
				if !bill.Final || bill.Total.Minor != 0 || b.Balance() != before {
					t.Errorf("the bill is %+v, the balance %d of %d", bill, b.Balance(), before)
				}
				for _, line := range bill.Lines {
					if line.Charged != 0 || line.Waived != 0 {
						t.Errorf("%s: %d minutes charged, %d waived", line.Node, line.Charged, line.Waived)
					}
				}
			})
		})
	}
}

// TestFallsAsleep: a worker whose Ray gave way to `sleep` under a ready cluster is paid for no minute of it, however well its agent reports it.
func TestFallsAsleep(t *testing.T) {
	t.Parallel()
	Run(t, 1, 3, func(b *Bed) {
		b.plenty()
		id := b.Create("first", 2)
		ready := b.Ready(id)
		sleeper := b.Leases(id)[1]
		b.At(ready.Add(3 * time.Minute))
		b.Sleep(sleeper.ID)
		b.At(ready.Add(8*time.Minute + 30*time.Second))
		for _, line := range b.over(id).Lines {
			lost := waived(line)
			switch {
			case line.Lease != sleeper.ID && (line.Charged != 8 || len(lost) != 0):
				t.Errorf("%s: %d minutes charged, waived %v", line.Node, line.Charged, lost)
			case line.Lease == sleeper.ID && (line.Charged != 3 || len(lost) != 5 || !strings.Contains(lost[5], "gateway")):
				t.Errorf("the sleeper: %d minutes charged, waived %v", line.Charged, lost)
			}
		}
	})
}
