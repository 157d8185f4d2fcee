package plan

import (
	"testing"
	"time"
)

// TestReportsStayFew: a small group's machines keep their two seconds; a large one's make 5,000 reports a second, and three of each always fit into the
// time that a machine counts as up.
func TestReportsStayFew(t *testing.T) {
	for machines, want := range map[int]int64{0: 0, 3: 0, 10_000: 0, 10_001: 3, 15_000: 3, 15_001: 4, 20_001: 5, 25_000: 5, 25_001: 5, 100_000: 5} {
		got := ReportSeconds(machines)
		if got != want {
			t.Errorf("%d machines report each %d s, wanted %d", machines, got, want)
		}
		if time.Duration(3*got)*time.Second > UpFor {
			t.Errorf("with %d machines three reports take %d s; a machine counts as up for %v", machines, 3*got, UpFor)
		}
	}
}
