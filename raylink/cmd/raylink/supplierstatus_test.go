package main

import (
	"bytes"
	"strings"
	"testing"

	"raylink/supplier"
)

// TestStatusTellsOfABrokenWayOut: bytes alone would look as if the lease's way to the Internet worked.
func TestStatusTellsOfABrokenWayOut(t *testing.T) {
	var out bytes.Buffer
	showView(&out, supplier.View{Leases: []supplier.ViewLease{
		{Lease: "l-aaaaaaaaaa", Node: "well", Egress: 5 << 20},
		{Lease: "l-bbbbbbbbbb", Node: "broken", Egress: 5 << 20, Trouble: "set-mesh went wrong", EgressTrouble: "address already in use"},
	}}, true)
	for line := range strings.Lines(out.String()) {
		told := strings.Contains(line, "(see TROUBLE)") && strings.Contains(line, "set-mesh went wrong; Internet: address already in use")
		if strings.Contains(line, "l-") && told != strings.Contains(line, "broken") {
			t.Errorf("%q", line)
		}
	}
	if strings.Count(out.String(), "l-") != 2 {
		t.Error(out.String())
	}
}
