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

// pretender is a GPU that claims to be an H100, by a model's clock: what it multiplies in a second, what share of the claimed memory is its own, how many random
// reads a second that one serves and the host's behind PCIe, and the way to the coordinators and back. Package challenge's tests walk in such memories read by read.
type pretender struct {
	rate        int64 // millions
	own         int64 // percent
	here, there int64 // millions
	network     time.Duration
}

func h100(id string) raylink.Device {
	return raylink.Device{ID: id, Kind: raylink.DeviceGPU, Name: "NVIDIA H100 80GB HBM3", Memory: 81559 << 20}
}

// walks is how long its walk takes: both memories serve reads at the same time.
func (g pretender) walks(t challenge.Task) time.Duration {
	steps := int64(t.Steps)
	here, there := steps*g.own/100*1000/g.here, int64(0)
	if g.own < 100 {
		there = steps * (100 - g.own) / 100 * 1000 / g.there
	}
	return g.network + time.Duration(max(here, there))
}

// answers lets the machine do what it is ordered to: its processor at once, its GPU by the clock. A coordinator judges as it does, with the catalogue's word for
// what the device claims to be.
func (w *world) answers(name string, g pretender) {
	w.t.Helper()
	m := machineID(name)
	for _, o := range ProofOrders(w.s, m) {
		p := w.s.Proofs[o.ID]
		took, walked := time.Second, time.Duration(0)
		if p.Device != raylink.CPUDevice {
			took = g.network + time.Duration(p.Task.Work()/g.rate)*time.Microsecond
			if p.Task.Walks() {
				took, walked = took+time.Second, g.walks(p.Task)
			}
		}
		w.apply(&state.BeginProof{ID: o.ID, Machine: m, Nonce: challenge.Seed{1}})
		w.now = w.now.Add(took)
		w.apply(&state.CommitProof{ID: o.ID, Machine: m, Commitment: challenge.Commitment{Roots: make([]challenge.Hash, p.Task.Links)}})
		if walked > w.s.Proving.Walk {
			w.now = w.now.Add(w.s.Proving.Walk + time.Millisecond)
			w.report()
			w.looks()
			continue
		}
		w.now = w.now.Add(walked)
		w.apply(&state.WalkProof{ID: o.ID, Machine: m})
		least, most, _ := catalogue.Band(p.Claim.Device())
		w.apply(&state.JudgeProof{ID: o.ID, Machine: m, Right: true, Judge: "n1", SHA256: strings.Repeat("0", 64), Draw: challenge.Seed{byte(w.index), 1}, Least: least, Most: most,
			WalkMost: challenge.WalkMost(p.Task, catalogue.Reads(p.Claim.Device()))})
	}
}

// lives lets so many hours pass, and says for how many minutes of them the GPU counted as proven.
func (w *world) lives(name string, g pretender, hours int) (proven int) {
	for end := w.now.Add(time.Duration(hours) * time.Hour); w.now.Before(end); w.now = w.now.Add(time.Minute) {
		w.report()
		w.looks()
		w.answers(name, g)
		proven += int(w.s.Machines[machineID(name)].ProvenGPUs(w.now))
	}
	return proven
}

// TestHostMemoryIsNoVRAM: GPUs whose answers are all right, bit for bit, are told by the clock from what they claim to be.
func TestHostMemoryIsNoVRAM(t *testing.T) {
	for _, c := range []struct {
		name string
		gpu  pretender
		want raylink.Reason
	}{
		{"an H100", pretender{40_000_000, 100, 13_000, 1, 60 * time.Millisecond}, raylink.ReasonNone},
		{"an H100 far away, at the least", pretender{18_000_000, 100, 5_300, 1, 300 * time.Millisecond}, raylink.ReasonNone},
		{"an RTX 3060 with dp4a", pretender{8_000_000, 15, 2_800, 600, 0}, raylink.ReasonProofSlow},
		{"an RTX 3060 with tensor cores", pretender{45_000_000, 15, 2_800, 600, 0}, raylink.ReasonProofSlow},
		{"an RTX 4090", pretender{60_000_000, 30, 7_800, 600, 0}, raylink.ReasonProofSlow},
		{"an RTX 5090", pretender{80_000_000, 40, 14_000, 1_200, 0}, raylink.ReasonProofSlow},
		{"one whose memory is all the host's", pretender{40_000_000, 0, 13_000, 1_200, 0}, raylink.ReasonProofSlow},
	} {
		w := provers(t, "mone")
		w.describes("mone", processor(8), h100("GPU-a"))
		proven := w.lives("mone", c.gpu, 8)
		known := w.s.Machines[machineID("mone")].Proven["GPU-a"]
		if known.Trouble() != c.want || (proven > 0) != (c.want == raylink.ReasonNone) {
			t.Errorf("%s: %q after 8 hours, proven for %d minutes: %s", c.name, known.Trouble(), proven, known.Detail)
		}
		if why, _ := w.s.Unproven(w.s.Machines[machineID("mone")], w.now); why != c.want {
			t.Errorf("%s: its machine stands as %q", c.name, why)
		}
	}
}

// TestShownOnceIsNotShownForGood: who has shown the memory once, and cannot any more, loses the proof after the rounds there are; products that pass do not
// make up for it, whether the walk is slow or does not end in time. One good walk does.
func TestShownOnceIsNotShownForGood(t *testing.T) {
	honest := pretender{40_000_000, 100, 13_000, 1, 60 * time.Millisecond}
	for what, cheat := range map[string]pretender{"slow": {40_000_000, 40, 14_000, 1_200, 0}, "late": {40_000_000, 0, 13_000, 1_200, 2 * time.Second}} {
		w := provers(t, "mone")
		w.describes("mone", processor(8), h100("GPU-a"))
		if w.lives("mone", honest, 1) == 0 {
			t.Fatalf("%s: not proven", what)
		}
		w.lives("mone", cheat, 40)
		known := w.s.Machines[machineID("mone")].Proven["GPU-a"]
		if known.Trouble() != raylink.ReasonProofSlow || w.lives("mone", cheat, 24) != 0 || !strings.Contains(known.Detail, "walk") {
			t.Errorf("%s: %q, %s", what, known.Trouble(), known.Detail)
		}
		if w.lives("mone", honest, 48) == 0 || w.s.Machines[machineID("mone")].Proven["GPU-a"].Trouble() != raylink.ReasonNone {
			t.Errorf("%s: a good walk does not end it", what)
		}
	}
}

// TestGPUsWalkAsLongAsTheirModelNeeds: the task follows from what is claimed: a better name has more to do, and the product's first guess is the model's, too.
func TestGPUsWalkAsLongAsTheirModelNeeds(t *testing.T) {
	w := provers(t, "mone")
	m := w.s.Machines[machineID("mone")]
	at := w.now
	task := func(name string, gib int64) challenge.Task {
		claim := state.Claim{Kind: raylink.DeviceGPU, Name: name, Memory: gib << 30}
		if first := ProofTask(w.s, m, nil, claim, true); first.Walks() || first.Version != 1 {
			t.Errorf("%s: the first task is %+v", name, first)
		}
		return ProofTask(w.s, m, &state.Proven{Claim: claim, State: state.ProofPassed, PassedAt: &at, Guess: 1_000_000}, claim, true)
	}
	large, small, unknown := task("NVIDIA H100 80GB HBM3", 79), task("NVIDIA GeForce RTX 3060", 12), task("unheard of", 12)
	if large.Steps <= 3*small.Steps || large.Windows != 3 || small.Windows != 1 || unknown.Steps < 1<<30 {
		t.Errorf("walks of %d steps in %d windows, %d in %d, %d", large.Steps, large.Windows, small.Steps, small.Windows, unknown.Steps)
	}
	claim := state.Claim{Kind: raylink.DeviceGPU, Name: "NVIDIA H100 80GB HBM3", Memory: 79 << 30}
	if guessed := ProofTask(w.s, m, nil, claim, true).Work(); guessed < 20_000_000*1500*1000 {
		t.Errorf("an H100's first products are %d multiply-adds: the network would be most of their time", guessed)
	}
}
