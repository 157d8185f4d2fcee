package plan

import (
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
	"raylink/raylink/challenge"
)

// TestUnansweredUnderLease: one check that is not answered while a tenant works there says nothing; three in a row are told the tenant, and once the machine is idle it
// is proven at once, though its time has not come. One that is answered in between ends the row.
func TestUnansweredUnderLease(t *testing.T) {
	w, c := surelyDrawn(t)
	warned := func() string {
		for _, step := range keep(w.s, w.seen, w.now, c) {
			if warn, ok := step.(*state.WarnCluster); ok {
				return warn.Warning
			}
		}
		return ""
	}
	ask := func(answers bool) {
		t.Helper()
		for range 24 * 60 {
			w.now = w.now.Add(time.Minute)
			w.report()
			if w.looks(); len(ProofOrders(w.s, machineID("mone"))) > 0 {
				break
			}
		}
		if answers {
			w.obey("mone", true)
			return
		}
		w.now = w.now.Add(w.s.Proving.Begin + time.Second)
		w.report()
		if w.looks(); len(w.s.OpenProofs()) != 0 {
			t.Fatalf("a proof that was not begun goes on")
		}
	}
	for i, answers := range []bool{false, false, true, false, false, false} {
		ask(answers)
		if warning := warned(); strings.Contains(warning, "has not answered the last 3 challenges to its processor") != (i == 5) {
			t.Errorf("after check %d: %q", i, warning)
		}
	}
	known := w.s.Machines[machineID("mone")].Proven[raylink.CPUDevice]
	w.apply(&state.EndCluster{ID: c.ID, Reason: "deleted"}, &state.RecordLeases{Facts: []state.LeaseFact{{Lease: c.Leases[0], Stage: raylink.StageGone}}})
	known.Next = w.now.Add(time.Hour)
	w.report()
	did := w.looks()
	if len(did) != 1 || did[0].(*state.OpenProof).Why != state.WhyRetry || did[0].(*state.OpenProof).Lease != "" {
		t.Fatalf("idle, it is asked for %+v", did)
	}
	w.obey("mone", true)
	if did := w.looks(); len(did) != 0 {
		t.Errorf("proven, it is asked again: %+v", did)
	}
}

// TestSlowRyzen: a machine that calls itself a Ryzen 9 7950X and does a thirtieth of what one does is found slow after three rounds, and one that does a hundredth is late; an honest one is placed after its first,
// though the way to the coordinators takes a second, because its first task is of its size.
func TestSlowRyzen(t *testing.T) {
	for _, c := range []struct {
		what   string
		rate   int64 // millions
		rounds int
		want   raylink.Reason
	}{{"a hundredth", 32 * 350, 4, raylink.ReasonProofLate}, {"a thirtieth", 32 * 1_150, 3, raylink.ReasonProofSlow},
		{"an honest one", 32 * 35_000, 1, ""}, {"an honest one that is busy", 32 * 8_000, 1, ""}} {
		w := provers(t, "mone")
		w.describes("mone", raylink.Device{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: "AMD Ryzen 9 7950X 16-Core Processor", Cores: 16, Threads: 32})
		m := machineID("mone")
		for range c.rounds {
			w.looks()
			for _, o := range ProofOrders(w.s, m) {
				p := w.s.Proofs[o.ID]
				took := time.Second + time.Duration(p.Task.Work()/c.rate)*time.Microsecond
				w.apply(&state.BeginProof{ID: o.ID, Machine: m, Nonce: challenge.Seed{1}})
				w.now = w.now.Add(took)
				if took > w.s.Proving.Compute { // it is late, and asked for half as much
					w.report()
					w.looks()
					continue
				}
				least, most, _ := catalogue.Band(p.Claim.Device())
				w.apply(&state.CommitProof{ID: o.ID, Machine: m, Commitment: challenge.Commitment{Roots: make([]challenge.Hash, p.Task.Links)}}, &state.WalkProof{ID: o.ID, Machine: m},
					&state.JudgeProof{ID: o.ID, Machine: m, Right: true, Judge: "n1", SHA256: strings.Repeat("0", 64), Draw: challenge.Seed{1}, Least: least, Most: most})
			}
			w.now = w.now.Add(time.Hour)
			w.report()
		}
		known := w.s.Machines[m].Proven[raylink.CPUDevice]
		if why := known.Trouble(); why != c.want || c.want == "" && (known.PassedAt == nil || known.Rounds > 0) {
			t.Errorf("%s: %q after %d rounds, state %s, %s", c.what, why, c.rounds, known.State, known.Detail)
		}
	}
}
