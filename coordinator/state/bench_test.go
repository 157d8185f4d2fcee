package state

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// BenchmarkMinutes settles one minute of each of a cluster's 63 nodes in one entry: signatures checked, postings made, journal hashed. It reports the
// time of one minute of one node.
func BenchmarkMinutes(b *testing.B) {
	const nodes = 63
	w := newWorld(b)
	owner, tenant := w.account("sam", ""), w.account("ada", "1000000")
	var machines []string
	for i := range nodes {
		name := fmt.Sprintf("mach%c%c", 'a'+i/26, 'a'+i%26)
		w.machine(name, owner, offerOf(4, 64, "0.6"))
		machines = append(machines, name)
	}
	w.gateway("gate")
	cluster := w.cluster("bench", tenant, 1, machines...)
	leases := w.s.Clusters[cluster].Leases
	var entries [][]json.RawMessage
	for k := range b.N/nodes + 1 {
		settle := &SettleMinutes{}
		for i, l := range leases {
			settle.Minutes = append(settle.Minutes, w.minute(l, int64(k), machines[i], "gate", 60, 60))
		}
		raw, err := Encode("leader", "", settle)
		if err != nil {
			b.Fatal(err)
		}
		entries = append(entries, []json.RawMessage{raw})
	}
	at := w.s.Now
	b.ResetTimer()
	for k, entry := range entries {
		at = at.Add(time.Minute)
		for _, raw := range w.s.Apply(uint64(1_000+k), at, entry) {
			var done Settled
			if err := ReadResult(raw, &done); err != nil || done.Charged != nodes {
				b.Fatalf("minute %d: %+v, %v", k, done, err)
			}
		}
	}
}
