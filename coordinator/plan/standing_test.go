package plan

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// hostOf is what a machine with these GPUs says of itself.
func hostOf(gpus ...string) *raylink.Host {
	h := &raylink.Host{OS: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0-28-amd64", Arch: "amd64", Memory: 64 << 30, Isolation: []raylink.Isolation{raylink.IsolationContainer},
		Devices:  []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: "AMD Ryzen 9 7950X", Cores: 16, Threads: 32}},
		Versions: map[string]string{raylink.VersionKernel: "6.1.0-28-amd64"}}
	for _, id := range gpus {
		h.Devices = append(h.Devices, raylink.Device{ID: id, Kind: raylink.DeviceGPU, Vendor: "nvidia", Name: "NVIDIA GeForce RTX 4090", Memory: 24 << 30})
	}
	return h
}

// hear lets one machine's agent report.
func (w *world) hear(name string, r wire.AgentReport) {
	last := w.seen.Machines[machineID(name)]
	next := MachineSeen{At: w.now, Report: r, Gap: last.Gap, Back: last.Back}
	if !last.At.IsZero() && w.now.Sub(last.At) > UpFor {
		next.Gap, next.Back = last.At, w.now
	}
	w.seen.Machines[machineID(name)] = next
}

// settle takes the leader's steps until there are none, as the loop does.
func (w *world) settle() {
	w.t.Helper()
	for range 20 {
		steps := Next(w.s, w.seen, w.now)
		if len(steps) == 0 {
			return
		}
		w.apply(steps...)
	}
	w.t.Fatalf("the leader never rests")
}

// policy sets the minimum version of the kernel; empty is none.
func (w *world) policy(kernel string) {
	w.t.Helper()
	c := &state.SetVersions{SignedAt: w.now, Operator: identity.EncodeKey(publicOf("oracle"))}
	if kernel != "" {
		c.Minimum = map[string]string{raylink.VersionKernel: kernel}
	}
	c.Signature = identity.Sign(keyOf("oracle"), identity.VersionsBytes(c.Minimum, c.SignedAt))
	prices := w.s.Prices.Policy
	prices.Operators = []string{c.Operator}
	w.apply(&state.SetPricePolicy{Policy: prices}, c)
}

// TestStandingTable goes through DESIGN.md's table of states: what happens to one machine, and where it stands then, with the reason, and whether it gets new nodes.
func TestStandingTable(t *testing.T) {
	w := newWorld(t)
	tenant, owner := w.account("ada", "100"), w.account("sam", "")
	offer := offerOf(8, 16, 10_000)
	offer.Resources.GPU = raylink.Unit
	w.machine("mone", owner, offer)
	w.machine("rival", owner, offerOf(8, 16, 10_000))
	one := machineID("mone")
	report := wire.AgentReport{Host: hostOf("gpu-a")}
	at := func(d time.Duration) *time.Time { x := w.now.Add(d); return &x }
	set := func(c state.SetMachine) { c.ID = one; w.apply(&c) }
	for i, step := range []struct {
		does func()
		want string
	}{
		{func() { w.seen.Machines = map[raylink.MachineID]MachineSeen{} }, "down silent no"},
		{func() { w.hear("mone", wire.AgentReport{}) }, "joining no-inventory yes"},
		{func() { w.hear("mone", report) }, "ready  yes"},
		{func() { report.Paused = raylink.ReasonPaused; w.hear("mone", report) }, "draining paused no"},
		{func() { report.Paused = "nonsense"; w.hear("mone", report) }, "ready  yes"},
		{func() { report.Paused, report.Leaves = "", at(59*time.Minute); w.hear("mone", report) }, "draining out-of-hours no"},
		{func() { report.Leaves = at(2 * time.Hour); w.hear("mone", report) }, "ready  yes"},
		{func() {
			report.Leaves = nil
			w.hear("mone", report)
			set(state.SetMachine{State: state.MachineDraining, Reason: "new disk"})
		}, "draining owner-drain no"},
		{func() { set(state.SetMachine{State: state.MachineDraining, Admin: true}) }, "draining admin-drain no"},
		{func() { set(state.SetMachine{State: state.MachineDraining, Notice: time.Hour}) }, "draining notice no"},
		{func() { set(state.SetMachine{State: state.MachineActive}) }, "ready  yes"},
		{func() { w.policy("6.2") }, "blocked below-minimum no"},
		{func() { w.now = w.now.Add(time.Second); w.policy("6.1") }, "ready  yes"},
		{func() { w.now = w.now.Add(UpFor) }, "down silent no"},
		{func() { w.now = w.now.Add(HostRest); report.Host = hostOf(); w.hear("mone", report) }, "quarantined implausible no"},
		{func() {
			w.now = w.now.Add(HostRest)
			report.Host = hostOf("gpu-a")
			report.Host.Devices[1].Fault = "gone"
			w.hear("mone", report)
		}, "quarantined device-fault no"},
		{func() {
			w.now = w.now.Add(HostRest)
			report.Host = hostOf("gpu-a")
			w.hear("mone", report)
			w.hear("rival", wire.AgentReport{Host: hostOf("gpu-b")})
		}, "ready  yes"},
		{func() { w.now = w.now.Add(HostRest); report.Host = hostOf("gpu-b"); w.hear("mone", report) }, "quarantined duplicate no"},
		{func() { w.apply(&state.SetMachine{ID: machineID("rival"), State: state.MachineBanned}) }, "ready  yes"},
		{func() { w.now = w.now.Add(time.Second); w.hear("mone", report); w.create(tenant, specOf("c", 0, 1)) }, "hired  yes"},
		{func() { set(state.SetMachine{State: state.MachineDraining}) }, "draining owner-drain no"},
		{func() { set(state.SetMachine{State: state.MachineBanned, Reason: "mined"}) }, "blocked banned no"},
	} {
		step.does()
		w.settle()
		st := StandingOf(w.s, w.seen, one, w.now)
		takes := map[bool]string{true: "yes", false: "no"}[NewStandings(w.s, w.seen, w.now).Takes(w.s.Machines[one])]
		if got := fmt.Sprintf("%s %s %s", st.State, st.Reason, takes); got != step.want {
			t.Errorf("step %d: %s (%s), want %s", i, got, st.Detail, step.want)
		}
		if st.Reason != raylink.ReasonNone && (st.Reason.State() != st.State || st.Reason.Words() == string(st.Reason)) {
			t.Errorf("step %d: %s does not belong to %s", i, st.Reason, st.State)
		}
	}
	if st := LoggedStanding(w.s, one); st.State != raylink.MachineBlocked || st.Detail != "mined" {
		t.Errorf("by the log alone: %+v", st)
	}
	if st := StandingOf(w.s, w.seen, "m-nobody", w.now); st.State != "" {
		t.Errorf("an unknown machine: %+v", st)
	}
}

// TestStageFailures: three leases that fail in a row put a machine into quarantine for an hour; then it is released by itself. Crashing jobs do not.
func TestStageFailures(t *testing.T) {
	for _, c := range []struct {
		stage string
		want  raylink.Reason
	}{{"image", raylink.ReasonStageFailures}, {"head", ""}, {"ready", ""}} {
		w := newWorld(t)
		tenant, owner := w.account("ada", "100"), w.account("sam", "")
		w.machine("mone", owner, offerOf(8, 16, 10_000))
		for i := range 3 {
			name := fmt.Sprintf("c%c", 'a'+i)
			cl := w.create(tenant, specOf(name, 0, 1))
			w.hear("mone", wire.AgentReport{Host: hostOf(), Leases: []wire.LeaseReport{{Lease: cl.Leases[0], Failure: &raylink.Failure{Stage: c.stage, Reason: "no"}}}})
			w.settle()
			if cl.Failure == nil {
				t.Fatalf("%s: cluster %d lives", c.stage, i)
			}
		}
		if st := StandingOf(w.s, w.seen, machineID("mone"), w.now); st.Reason != c.want || st.Failures != 3 {
			t.Errorf("%s: %+v", c.stage, st)
		}
		for _, later := range []time.Duration{59 * time.Minute, time.Minute} {
			w.now = w.now.Add(later)
			w.hear("mone", wire.AgentReport{Host: hostOf()})
			w.settle()
			if q := w.s.Machines[machineID("mone")].Quarantine; (q != nil) != (c.want != "" && later > time.Minute) {
				t.Errorf("%s: after %s: %+v", c.stage, later, q)
			}
		}
	}
}

// TestProofsQuarantineStays: what a proof began is not ended by a claim that comes and goes, but by a proof that passes, or with the policy.
func TestProofsQuarantineStays(t *testing.T) {
	for _, end := range []string{"pass", "policy"} {
		w := provers(t, "mone")
		m := w.s.Machines[machineID("mone")]
		w.looks()
		w.obey("mone", false)
		for _, memory := range []int64{1 << 30, 64 << 30} {
			h := *m.Host
			h.Memory = memory
			w.now = w.now.Add(HostRest)
			w.hear("mone", wire.AgentReport{Host: &h})
			w.settle()
			if st := StandingOf(w.s, w.seen, m.ID, w.now); st.State != raylink.MachineQuarantined || st.Reason != raylink.ReasonProofFailed || st.Detail != raylink.CPUDevice {
				t.Errorf("with %d bytes: %+v", memory, st)
			}
		}
		if end == "policy" {
			off := state.DefaultProofPolicy()
			off.Required = false
			w.apply(&state.SetProofPolicy{Policy: off})
		} else {
			w.now = w.now.Add(state.ProofPenance)
			w.hear("mone", wire.AgentReport{})
			w.looks()
			w.obey("mone", true)
		}
		w.hear("mone", wire.AgentReport{})
		w.settle()
		if st := StandingOf(w.s, w.seen, m.ID, w.now); st.State != raylink.MachineReady || m.Quarantine != nil || (st.ProvenAt == nil) != (end == "policy") {
			t.Errorf("after the %s: %+v", end, st)
		}
	}
}

// TestProvingStates: where a machine stands on its way to be proven, and when its proof is too old.
func TestProvingStates(t *testing.T) {
	w := provers(t, "mone")
	stands := func(state raylink.MachineState, reason raylink.Reason) {
		t.Helper()
		w.report()
		if st := StandingOf(w.s, w.seen, machineID("mone"), w.now); st.State != state || st.Reason != reason {
			t.Errorf("%+v, want %s %s", st, state, reason)
		}
	}
	stands(raylink.MachineProving, raylink.ReasonNoProof)
	w.looks()
	stands(raylink.MachineProving, raylink.ReasonProofRunning)
	w.obey("mone", true)
	stands(raylink.MachineReady, raylink.ReasonNone)
	w.describes("mone", processor(9))
	stands(raylink.MachineProving, raylink.ReasonChanged)
	w.describes("mone", processor(8))
	w.create(w.account("ada", "10"), specOf("c", 0, 1))
	stands(raylink.MachineHired, raylink.ReasonNone)
	w.now = w.s.Machines[machineID("mone")].Proven[raylink.CPUDevice].Until
	stands(raylink.MachineHired, raylink.ReasonProofExpired)
}

// TestTakenBack: an owner's notice warns, and at its time the cluster ends in order, without blame. So does the end of the hours that the agent tells.
func TestTakenBack(t *testing.T) {
	for _, how := range []string{"notice", "hours"} {
		w := newWorld(t)
		tenant, owner := w.account("ada", "100"), w.account("sam", "")
		w.machine("mone", owner, offerOf(8, 16, 10_000))
		c := w.create(tenant, specOf("c", 0, 1))
		w.apply(&state.AdvanceCluster{ID: c.ID, Phase: raylink.PhaseReady})
		leaves := w.now.Add(30 * time.Second)
		report := wire.AgentReport{Leaves: &leaves}
		if how == "notice" {
			report.Leaves = nil
			w.apply(&state.SetMachine{ID: machineID("mone"), State: state.MachineDraining, Notice: 30 * time.Second})
		}
		w.hear("mone", report)
		w.settle()
		if c.Phase != raylink.PhaseReady || !strings.Contains(c.Warning, "takes it back at "+leaves.Format(time.RFC3339)) {
			t.Errorf("%s: %s, warned %q", how, c.Phase, c.Warning)
		}
		w.now = leaves
		w.hear("mone", report)
		w.settle()
		if c.Phase != raylink.PhaseEnding || c.Failure != nil || !strings.Contains(c.Reason, "takes it back") || w.s.Machines[machineID("mone")].Record.Failures != 0 {
			t.Errorf("%s: %s, %q, %+v", how, c.Phase, c.Reason, c.Failure)
		}
	}
}

// fleet is a state with n machines, and a leader that hears them all.
func fleet(n int) (*state.State, Seen, []raylink.MachineID) {
	s := state.New()
	seen := Seen{Since: noon.Add(-time.Hour), Machines: map[raylink.MachineID]MachineSeen{}}
	var ids []raylink.MachineID
	for i := range n {
		id := raylink.MachineID(fmt.Sprintf("m-%06d", i))
		s.Machines[id] = &state.Machine{ID: id, State: state.MachineActive}
		seen.Machines[id] = MachineSeen{At: noon}
		ids = append(ids, id)
	}
	return s, seen, ids
}

// TestMassLossBounds: the fewest machines, the least part of them, the longest time between first and last, and the longest patience, each met and missed by one.
func TestMassLossBounds(t *testing.T) {
	for what, c := range map[string]struct {
		of, lost int
		spread   time.Duration // between the first that is lost and the last
		after    time.Duration // since the first was heard last
		want     bool
	}{
		"1,000, all":          {1000, 1000, 10 * time.Second, time.Minute, true},
		"1,000, 400":          {1000, 400, 10 * time.Second, time.Minute, true},
		"1,000, 399":          {1000, 399, 10 * time.Second, time.Minute, false},
		"one owner's eight":   {1000, 8, 0, time.Minute, false},
		"eight of eight":      {8, 8, 0, time.Minute, true},
		"seven of seven":      {7, 7, 0, time.Minute, false},
		"eight of twenty":     {20, 8, 0, time.Minute, true},
		"eight of twenty-one": {21, 8, 0, time.Minute, false},
		"within the window":   {1000, 500, MassWindow, time.Minute, true},
		"slowly":              {1000, 430, 2 * MassWindow, 2 * time.Minute, false}, // half of them within any window
		"at the last moment":  {1000, 500, 0, MassPatience, true},
		"too long":            {1000, 500, 0, MassPatience + 1, false},
		"not yet silent":      {1000, 500, 0, UpFor, false},
	} {
		s, seen, ids := fleet(c.of)
		now := noon.Add(c.after)
		for i, id := range ids {
			at := now
			if i < c.lost {
				at = noon.Add(c.spread * time.Duration(i) / time.Duration(max(c.lost-1, 1)))
			}
			seen.Machines[id] = MachineSeen{At: at}
		}
		l := LossOf(s, seen, now)
		if (l != nil) != c.want || (l.Alarm() != "") != c.want {
			t.Errorf("%s: %v, %s", what, l != nil, l.Alarm())
			continue
		}
		st := StandingOf(s, seen, ids[0], now)
		if (st.Reason == raylink.ReasonMassLoss) != c.want {
			t.Errorf("%s: %+v", what, st)
		}
		if l != nil && (l.Lost != c.lost || l.Of != c.of || l.Gone != c.lost || l.has(ids[len(ids)-1]) != (c.lost == c.of)) {
			t.Errorf("%s: %d of %d, %d gone", what, l.Lost, l.Of, l.Gone)
		}
	}
}

// TestMassLossTwin holds the sliding window against counting anew for every machine and every window.
func TestMassLossTwin(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	losses := 0
	for range 300 {
		s, seen, ids := fleet(10 + random.Intn(40))
		now := noon.Add(time.Duration(random.Intn(700)) * time.Second)
		for _, id := range ids {
			m := MachineSeen{At: now}
			fell := noon.Add(time.Duration(random.Intn(2)*100+random.Intn(40)) * time.Second)
			switch at := fell.Add(time.Duration(16+random.Intn(200)) * time.Second); {
			case random.Intn(3) == 0 || fell.After(now):
			case random.Intn(2) == 0 && at.Before(now):
				m.Gap, m.Back = fell, at
			default:
				m.At = fell
			}
			seen.Machines[id] = m
		}
		want := slowLoss(seen, ids, now)
		got := lossOf(s, seen, now).members
		losses += min(len(want), 1)
		for _, id := range ids {
			if got[id] != want[id] {
				t.Fatalf("%s at %s: %v, the twin says %v", id, now, got[id], want[id])
			}
		}
	}
	if losses < 20 || losses > 280 {
		t.Errorf("%d of 300 are losses: nothing is shown", losses)
	}
}

func slowLoss(seen Seen, ids []raylink.MachineID, now time.Time) map[raylink.MachineID]bool {
	fell := func(id raylink.MachineID) (from, to time.Time, ok bool) {
		m := seen.Machines[id]
		if now.Sub(m.At) > UpFor {
			return m.At, now.Add(time.Hour), true
		}
		return m.Gap, m.Back, !m.Gap.IsZero() && now.Sub(m.Gap) <= MassPatience
	}
	out := map[raylink.MachineID]bool{}
	for _, first := range ids {
		begin, _, ok := fell(first)
		if !ok || now.Sub(begin) > MassPatience {
			continue
		}
		var lost []raylink.MachineID
		up := 0
		for _, id := range ids {
			from, to, ok := fell(id)
			if !ok || !from.Before(begin) || !to.After(begin) {
				up++
			}
			if ok && !from.Before(begin) && !from.After(begin.Add(MassWindow)) {
				lost = append(lost, id)
			}
		}
		if len(lost) >= MassLeast && len(lost)*100 >= MassPercent*up {
			for _, id := range lost {
				out[id] = true
			}
		}
	}
	return out
}

// TestMassLossBlamesNobody: 1,000 machines with clusters on twelve of them vanish for five minutes. No cluster fails, starting or running; no failure and no lost
// minute is counted; the alarm ends when they return. When they stay away longer, clusters fail as ever.
func TestMassLossBlamesNobody(t *testing.T) {
	for _, away := range []time.Duration{5 * time.Minute, 15 * time.Minute} {
		w := newWorld(t)
		tenant, owner := w.account("ada", "1000"), w.account("sam", "")
		names := []string{}
		for i := range 12 {
			names = append(names, fmt.Sprintf("m%c", 'a'+i))
			w.machine(names[i], owner, offerOf(8, 16, 10_000))
		}
		w.seen.Since = w.now.Add(-time.Hour)
		c := w.create(tenant, specOf("starting", 9, 1))
		w.apply(&state.AdvanceCluster{ID: c.ID, Phase: raylink.PhaseOverlay})
		for i := range 988 { // the rest is heard in the same way, and has nothing
			id := raylink.MachineID(fmt.Sprintf("m-%06d", i))
			w.s.Machines[id] = &state.Machine{ID: id, State: state.MachineActive}
			w.seen.Machines[id] = MachineSeen{At: w.now}
		}
		before := w.now
		w.settle()
		for w.now.Sub(before) < away {
			w.now = w.now.Add(15 * time.Second)
			w.settle()
		}
		failed := c.Failure != nil
		if want := away > MassPatience; failed != want {
			t.Errorf("away for %s: failed %v, %+v", away, failed, c.Failure)
		}
		if l := LossOf(w.s, w.seen, w.now); (l.Alarm() != "") != (away <= MassPatience) {
			t.Errorf("away for %s: %q", away, l.Alarm())
		}
		for id, m := range w.seen.Machines {
			w.seen.Machines[id] = MachineSeen{At: w.now, Report: m.Report, Gap: m.At, Back: w.now}
		}
		w.settle()
		if l := LossOf(w.s, w.seen, w.now); l.Alarm() != "" {
			t.Errorf("all are back, and yet: %s", l.Alarm())
		}
		blamed := int64(0)
		for _, name := range names {
			blamed += w.s.Machines[machineID(name)].Record.Failures
		}
		if (blamed > 0) != (away > MassPatience) {
			t.Errorf("away for %s: %d failures are counted", away, blamed)
		}
	}
}

// TestExcused: the minutes of a mass loss do not count against a machine's reliability, those of its own silence do.
func TestExcused(t *testing.T) {
	for _, many := range []bool{true, false} {
		w, c, leases := alive(t, "100")
		_ = c
		if many {
			for i := range 20 {
				id := raylink.MachineID(fmt.Sprintf("m-%06d", i))
				w.s.Machines[id] = &state.Machine{ID: id, State: state.MachineActive}
				w.seen.Machines[id] = MachineSeen{At: w.now}
			}
		}
		fell := w.now
		w.now = w.now.Add(5 * time.Minute)
		l := leases[0]
		for id, m := range w.seen.Machines {
			w.seen.Machines[id] = MachineSeen{At: w.now, Report: m.Report, Gap: fell, Back: w.now}
		}
		w.says(l, nil, 0, 0, 60)
		for id, m := range w.seen.Machines {
			m.Gap, m.Back = fell, w.now
			w.seen.Machines[id] = m
		}
		w.next()
		if lost := w.s.Machines[l.Machine].Record.Lost; l.Meter.Next == 0 || (lost > 0) == many {
			t.Errorf("many %v: %d lost, next %d", many, lost, l.Meter.Next)
		}
	}
}

// TestNeverHeard: a new leader that hears none of the machines with leases takes it for its own fault, for as long.
func TestNeverHeard(t *testing.T) {
	w := newWorld(t)
	tenant, owner := w.account("ada", "1000"), w.account("sam", "")
	for i := range 12 {
		w.machine(fmt.Sprintf("m%c", 'a'+i), owner, offerOf(8, 16, 10_000))
	}
	c := w.create(tenant, specOf("c", 9, 1))
	w.apply(&state.AdvanceCluster{ID: c.ID, Phase: raylink.PhaseOverlay})
	w.seen = Seen{Since: w.now, Machines: map[raylink.MachineID]MachineSeen{}}
	for _, at := range []time.Duration{2 * time.Minute, MassPatience + time.Second} {
		w.now = w.seen.Since.Add(at)
		w.settle()
		if (c.Failure != nil) != (at > MassPatience) {
			t.Errorf("after %s: %+v", at, c.Failure)
		}
	}
}

func TestHits(t *testing.T) {
	got := hits(map[string]int{"b": 1, "a": 1, "c": 2}, func(_ string, n int) bool { return n == 1 })
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Error(got)
	}
}
