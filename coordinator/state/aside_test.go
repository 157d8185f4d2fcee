package state

import (
	"fmt"
	"testing"
	"time"

	"raylink/raylink"
)

// TestAside: a GPU in trouble that its machine does not offer is put aside and counts no more; offered again it counts again. What is offered is not put aside, nor what
// nobody knows. A log without such an entry means what it meant.
func TestAside(t *testing.T) {
	w := provers(t)
	cpu, gpu, m := cpuClaim(), gpuClaim(), machineID("mone")
	host := raylink.Host{OS: "a system", Arch: "amd64", Memory: 1 << 34, Devices: []raylink.Device{{ID: raylink.CPUDevice, Kind: cpu.Kind, Name: cpu.Name, Cores: cpu.Cores, Threads: cpu.Threads}}}
	without := host
	host.Devices = append(host.Devices[:1:1], raylink.Device{ID: "GPU-1", Kind: gpu.Kind, Name: gpu.Name, Model: gpu.Model, Memory: gpu.Memory})
	offers := func(n int64) {
		o := w.s.Machines[m].Offer
		o.Resources.GPU = n * raylink.Unit
		w.now = w.now.Add(time.Hour)
		w.must(&SetOffer{ID: m, Offer: o})
	}
	trouble := func(what string, want raylink.Reason, withdrawn string) {
		t.Helper()
		w.s = reload(t, w.s)
		mach := w.s.Machines[m]
		if why, _ := mach.Trouble(); why != want || mach.Withdrawn() != withdrawn {
			t.Errorf("%s: in trouble for %q, and %q is withdrawn; want %q and %q", what, why, mach.Withdrawn(), want, withdrawn)
		}
	}
	aside := &AsideProof{Machine: m, Device: "GPU-1"}
	w.must(&SetHost{ID: m, Host: host})
	offers(1)
	open := openOf("bad", "mone", "GPU-1")
	w.proofAt(open, "bad", "mone", ProofWalked)
	j := judgeOf("bad", "mone")
	j.Right = false
	w.must(j)
	trouble("failed", raylink.ReasonProofFailed, "")
	w.refused("what it offers", aside, raylink.CodeConflict)
	w.refused("what nobody knows", &AsideProof{Machine: m, Device: "GPU-2"}, raylink.CodeNotFound)
	w.must(&SetHost{ID: m, Host: without})
	trouble("gone, as in an old log", raylink.ReasonProofFailed, "GPU-1")
	w.must(aside)
	trouble("put aside", "", "")
	w.must(&SetHost{ID: m, Host: host})
	trouble("there again", raylink.ReasonProofFailed, "")
	offers(0)
	trouble("kept by its owner", "", "")
	w.refused("the processor", &AsideProof{Machine: m, Device: raylink.CPUDevice}, raylink.CodeNotFound)
}

// TestLastRate: what is published is the least of the last rounds. Short rounds, walks, rounds under a lease and those of another claim do not count beside whole ones.
func TestLastRate(t *testing.T) {
	round := func(rate int64, millis int, change func(*Proof)) Proof {
		begun := noon
		done := begun.Add(time.Duration(millis) * time.Millisecond)
		p := Proof{Claim: cpuClaim(), State: ProofPassed, Task: task(false), BegunAt: &begun, CommittedAt: &done, Rate: rate}
		if change != nil {
			change(&p)
		}
		return p
	}
	whole := func(rate int64) Proof { return round(rate, 1500, nil) }
	for name, c := range map[string]struct {
		rounds []Proof
		want   int64
	}{
		"the least":            {[]Proof{whole(900), whole(400), whole(700)}, 400},
		"a slow one too":       {[]Proof{whole(900), round(100, 8000, func(p *Proof) { p.State = ProofSlow })}, 100},
		"not a short one":      {[]Proof{round(10, 300, nil), whole(900)}, 900},
		"short ones alone":     {[]Proof{round(10, 300, nil), round(12, 200, nil)}, 10},
		"not under a lease":    {[]Proof{whole(900), round(50, 1500, func(p *Proof) { p.Lease = "l-a" })}, 900},
		"not another device's": {[]Proof{whole(900), round(50, 1500, func(p *Proof) { p.Claim.Threads++ })}, 900},
		"not a wrong one":      {[]Proof{whole(900), round(50, 1500, func(p *Proof) { p.State = ProofFailed })}, 900},
		"not a walk":           {[]Proof{whole(900), round(50, 1500, func(p *Proof) { p.Task = task(true) })}, 900},
		"none is kept":         {nil, 600},
	} {
		s := New()
		s.Proving = DefaultProofPolicy()
		known := &Proven{Claim: cpuClaim(), Rate: 1000, Guess: 600}
		for i, p := range c.rounds {
			p.ID = raylink.ProofID(fmt.Sprintf("p-%d", i))
			s.Proofs[p.ID] = &p
			known.Kept = append(known.Kept, p.ID)
		}
		if got := s.LastRate(known); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
