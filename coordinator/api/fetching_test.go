package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// TestHowFarAnImageHasComeIsShown: while machines fetch, the cluster's view says how far each is; before and after, it says nothing of it.
func TestHowFarAnImageHasComeIsShown(t *testing.T) {
	r := newRig(t)
	var quote wire.Quote
	var cl wire.Cluster
	read := func(method, path string, ask, into any) {
		t.Helper()
		if got := r.call("ada", method, path, ask); got.status/100 != 2 || json.Unmarshal(got.body, into) != nil {
			t.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
		}
	}
	read("POST", "/v1/quotes", wire.QuoteRequest{Manifest: r.manifest}, &quote)
	read("POST", "/v1/clusters", wire.CreateRequest{Quote: quote.ID}, &cl)
	node := cl.Nodes[0]
	r.memory.Agent(node.Machine, wire.AgentReport{Leases: []wire.LeaseReport{{Lease: node.Lease, Progress: &wire.Progress{Done: 120_000_000, Total: 340_000_000, Since: time.Now()}}}})
	look := func() wire.Cluster {
		var x wire.Cluster
		read("GET", "/v1/clusters/"+string(cl.ID), nil, &x)
		return x
	}
	if x := look(); x.Nodes[0].Progress != nil {
		t.Errorf("before the stage: %+v", x.Nodes[0].Progress)
	}
	r.apply(time.Now(), &state.AdvanceCluster{ID: cl.ID, Phase: raylink.PhaseImage})
	if x := look(); x.Nodes[0].Progress == nil || x.Nodes[0].Progress.Done != 120_000_000 || !strings.Contains(x.Detail, node.Node+" 120 of 340 MB") {
		t.Errorf("in the stage: %q, %+v", x.Detail, x.Nodes[0].Progress)
	}
	r.apply(time.Now(), &state.AdvanceCluster{ID: cl.ID, Phase: raylink.PhaseOverlay})
	if x := look(); x.Nodes[0].Progress != nil || strings.Contains(x.Detail, "MB") {
		t.Errorf("after it: %q", x.Detail)
	}
}
