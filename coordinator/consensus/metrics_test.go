package consensus

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestMetrics runs with and without -tags hashicorpmetrics; raftCounts says which.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := Metrics(registry); err != nil {
		t.Fatal(err)
	}
	g := onLoopback(t, newAuthority(t), 1)
	g.propose(g.leader(), line("x"))
	g.close()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	if names["raylink_raft_apply"] != raftCounts {
		t.Errorf("raft counts: %v, it should: %v; there are %v", !raftCounts, raftCounts, names)
	}
}
