package supplier

import (
	"testing"
	"time"

	"raylink/raylink"
)

// reportsIn counts the reports that reach the coordinator in a time, whether it takes them or not.
func (w *world) reportsIn(d time.Duration) int {
	tried := func() int {
		w.coordinator.mu.Lock()
		defer w.coordinator.mu.Unlock()
		return w.coordinator.tried
	}
	before := tried()
	w.pass(d)
	return tried() - before
}

// TestReportsAsOftenAsTheGroupWants: an agent without leases reports as often as it is told, and never more seldom than each five seconds; one with leases
// keeps its rhythm, news goes at once, and while no report is taken it is tried as often as ever.
func TestReportsAsOftenAsTheGroupWants(t *testing.T) {
	bubble(t, func(w *world) {
		for _, c := range []struct {
			told        int64
			least, most int
		}{{0, 29, 31}, {4, 14, 16}, {5, 11, 13}, {3600, 11, 13}, {-1, 29, 31}, {0, 29, 31}, {5, 11, 13}} {
			w.coordinator.every = c.told
			w.coordinator.order()
			w.pass(10 * time.Second)
			if n := w.reportsIn(time.Minute); n < c.least || n > c.most {
				t.Errorf("told to report each %d s, it sends %d reports in a minute", c.told, n)
			}
		}
		w.coordinator.setDown(true)
		w.pass(10 * time.Second)
		if n := w.reportsIn(time.Minute); n < 29 {
			t.Errorf("while nobody takes them, it sends %d reports in a minute", n)
		}
		w.coordinator.setDown(false)
		w.pass(10 * time.Second)
		w.coordinator.order(w.order(head, raylink.WantMesh))
		w.until("the lease is reported", 2*time.Second, func() bool { return w.coordinator.lease(head).Lease == head })
		w.untilStage(head, raylink.StageMesh)
		if n := w.reportsIn(time.Minute); n < 29 {
			t.Errorf("with a lease, it sends %d reports in a minute", n)
		}
	})
}
