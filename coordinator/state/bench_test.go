package state

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/raylink"
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

// BenchmarkTick settles one minute of 100,000 clusters of one node each, as the leader proposes it: thirty minutes in a command. It reports the time of
// the whole tick, and the longest and the median time for which one entry held the state machine.
func BenchmarkTick(b *testing.B) {
	const clusters, atOnce = 100_000, 30
	w := newWorld(b)
	owner, tenant := w.account("sam", ""), w.account("ada", "1000000")
	w.machine("mone", owner, offerOf(4, 64, "0.6"))
	w.gateway("gate")
	first := w.cluster("first", tenant, 1, "mone")
	leases := crowd(w, first, clusters)
	for b.Loop() {
		at := w.s.Now.Add(time.Minute)
		ordinal := w.s.Leases[leases[0]].Meter.Next
		var stalls []time.Duration
		var whole time.Duration
		for part := range slices.Chunk(leases, atOnce) {
			settle := &SettleMinutes{}
			for _, l := range part {
				settle.Minutes = append(settle.Minutes, w.minute(l, ordinal, "mone", "gate", 60, 60))
			}
			raw, err := Encode("leader", "", settle)
			if err != nil {
				b.Fatal(err)
			}
			begun := time.Now()
			results := w.s.Apply(w.s.Index+1, at, []json.RawMessage{raw})
			stalls = append(stalls, time.Since(begun))
			whole += stalls[len(stalls)-1]
			var done Settled
			if err := ReadResult(results[0], &done); err != nil || done.Charged != len(part) {
				b.Fatalf("%+v, %v", done, err)
			}
		}
		slices.Sort(stalls)
		b.ReportMetric(whole.Seconds()*1000, "ms/tick")
		b.ReportMetric(stalls[len(stalls)-1].Seconds()*1000, "ms/longest-entry")
		b.ReportMetric(stalls[len(stalls)/2].Seconds()*1000, "ms/median-entry")
		b.ReportMetric(clusters/whole.Seconds(), "minutes/s")
	}
}

// crowd copies a ready cluster of one node, with an hour's hold for each. Placing them one by one would measure something else.
func crowd(w *world, first raylink.ClusterID, clusters int) []raylink.LeaseID {
	w.t.Helper()
	model := w.s.Clusters[first]
	lease := w.s.Leases[model.Leases[0]]
	leases := []raylink.LeaseID{lease.ID}
	for i := range clusters - 1 {
		c, l := *model, *lease
		c.ID, l.ID = raylink.ClusterID(fmt.Sprintf("c-%010d", i)), raylink.LeaseID(fmt.Sprintf("l-%010d", i))
		c.Leases, l.Cluster = []raylink.LeaseID{l.ID}, c.ID
		w.s.Clusters[c.ID], w.s.Leases[l.ID] = &c, &l
		moves, err := ledger.Move(ledger.Tenant(string(c.Owner)), ledger.Posting{Account: ledger.Hold(string(c.ID)), Amount: money.MicroUSD(1_000_000)})
		if err == nil {
			_, err = w.s.Ledger.Post(w.s.Now, "hold", string(c.ID), moves, nil)
		}
		if err != nil {
			w.t.Fatalf("filling a hold: %v", err)
		}
		leases = append(leases, l.ID)
	}
	return leases
}
