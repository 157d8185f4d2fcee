//go:build linux

package state

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// BenchmarkTick settles one minute of 100,000 clusters of one node each, as the leader proposes it: so many minutes in a command, signed. It reports the time of
// the whole tick, of it the time for which the state machine was held, and the longest and the median time of that for one entry; and the same by the thread's
// own clock, which other processes on the machine do not move.
func BenchmarkTick(b *testing.B) {
	const rich, hour = 1_000_000, 612_000 // micro-USD: what lies in a hold; an hour's is filled up again after each minute
	b.Run("30 unsigned", func(b *testing.B) { benchTick(b, 30, false, rich) })
	b.Run("20 signed", func(b *testing.B) { benchTick(b, 20, true, rich) })
	b.Run("60 signed", func(b *testing.B) { benchTick(b, 60, true, rich) })
	b.Run("20 signed and refilled", func(b *testing.B) { benchTick(b, 20, true, hour) })
}

func benchTick(b *testing.B, atOnce int, signed bool, hold int64) {
	const clusters = 100_000
	w := newWorld(b)
	owner, tenant := w.account("sam", ""), w.account("ada", "1000000")
	w.machine("mone", owner, offerOf(4, 64, "0.6"))
	w.gateway("gate")
	word := w.minute("l-any", 0, "mone", "gate", 60, 60) // where the leader has signed nobody looks whether it holds, so one will do for all
	leases := crowd(w, w.cluster("first", tenant, 1, "mone"), clusters, hold)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for b.Loop() {
		at := w.s.Now.Add(time.Minute)
		ordinal := w.s.Leases[leases[0]].Meter.Next
		var walls, threads clock
		for part := range slices.Chunk(leases, atOnce) {
			settle := &SettleMinutes{}
			for _, l := range part {
				if word.Lease, word.Ordinal = l, ordinal; !signed {
					word = w.minute(l, ordinal, "mone", "gate", 60, 60)
				}
				settle.Minutes = append(settle.Minutes, word)
			}
			if signed {
				settle.Sign(keyOf("group"))
			}
			raw, err := Encode("leader", "", settle)
			if err != nil {
				b.Fatal(err)
			}
			entry := []json.RawMessage{raw}
			begun, used := time.Now(), threadTime(b)
			w.s.Prepare(at, entry)
			held, heldUsed := time.Now(), threadTime(b)
			results := w.s.Apply(w.s.Index+1, at, entry)
			walls.entry(held.Sub(begun), time.Since(held))
			threads.entry(heldUsed-used, threadTime(b)-heldUsed)
			var done Settled
			if err := ReadResult(results[0], &done); err != nil || done.Charged != len(part) {
				b.Fatalf("%+v, %v", done, err)
			}
		}
		walls.report(b, "")
		threads.report(b, "cpu-")
	}
}

// clock adds up what entries took by one clock.
type clock struct {
	whole, held time.Duration
	stalls      []time.Duration
}

func (c *clock) entry(prepared, held time.Duration) {
	c.whole, c.held, c.stalls = c.whole+prepared+held, c.held+held, append(c.stalls, held)
}

func (c *clock) report(b *testing.B, by string) {
	slices.Sort(c.stalls)
	for what, d := range map[string]time.Duration{"tick": c.whole, "held": c.held, "longest-entry": c.stalls[len(c.stalls)-1],
		"p99-entry": c.stalls[len(c.stalls)*99/100], "median-entry": c.stalls[len(c.stalls)/2]} {
		b.ReportMetric(d.Seconds()*1000, by+"ms/"+what)
	}
}

// threadTime is how long this thread has run.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// crowd copies a ready cluster of one node, with a hold of so many micro-USD for each. Placing them one by one would measure something else.
func crowd(w *world, first raylink.ClusterID, clusters int, hold int64) []raylink.LeaseID {
	w.t.Helper()
	model := w.s.Clusters[first]
	lease := w.s.Leases[model.Leases[0]]
	leases := []raylink.LeaseID{lease.ID}
	for i := range clusters - 1 {
		c, l := *model, *lease
		c.ID, l.ID = raylink.ClusterID(fmt.Sprintf("c-%010d", i)), raylink.LeaseID(fmt.Sprintf("l-%010d", i))
		c.Leases, l.Cluster = []raylink.LeaseID{l.ID}, c.ID
		w.s.Clusters[c.ID], w.s.Leases[l.ID] = &c, &l
		moves, err := ledger.Move(ledger.Tenant(string(c.Owner)), ledger.Posting{Account: ledger.Hold(string(c.ID)), Amount: money.MicroUSD(hold)})
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
