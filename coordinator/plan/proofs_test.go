package plan

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/raylink/wire"
)

// provers is a world with a policy, two coordinators, and machines of an owner each: those of one would be proven together.
func provers(t *testing.T, names ...string) *world {
	t.Helper()
	w := newWorld(t)
	w.apply(&state.JoinMember{ID: "n1", Raft: "n1:1", API: "https://n1:1"}, &state.JoinMember{ID: "n2", Raft: "n2:1", API: "https://n2:1"},
		&state.SetProofPolicy{Policy: state.DefaultProofPolicy()})
	for _, name := range names {
		w.machine(name, w.account("of"+name, ""), offerOf(8, 16, 60_000))
		w.describes(name, processor(8))
	}
	w.report()
	return w
}

// describes lets a machine's agent describe it.
func (w *world) describes(name string, devices ...raylink.Device) {
	w.t.Helper()
	w.apply(&state.SetHost{ID: machineID(name), Host: raylink.Host{OS: "a system", Arch: "amd64", Memory: 16 << 30, Devices: devices}})
	w.report()
}

func processor(cores int) raylink.Device {
	return raylink.Device{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: "a processor", Cores: cores}
}

func gpu(id string) raylink.Device {
	return raylink.Device{ID: id, Kind: raylink.DeviceGPU, Name: "a GPU", Memory: 8 << 30}
}

// looks lets the leader look until there is nothing more to do, and says what it did.
func (w *world) looks() []state.Command {
	w.t.Helper()
	var did []state.Command
	for {
		w.seen.Entropy = sha256.Sum256(fmt.Append(nil, "look", w.index))
		steps := proofs(w.s, w.seen, w.now)
		if len(steps) == 0 {
			return did
		}
		if did = append(did, steps...); len(did) > 1000 {
			w.t.Fatalf("the plan never rests: %+v", steps[0])
		}
		w.apply(steps...)
	}
}

// obey lets a machine do all that it is ordered to prove, and a judge judge it. It tells the tasks.
func (w *world) obey(name string, right bool) []challenge.Task {
	w.t.Helper()
	var tasks []challenge.Task
	m := machineID(name)
	for _, o := range ProofOrders(w.s, m) {
		p := w.s.Proofs[o.ID]
		tasks = append(tasks, p.Task)
		if p.Round != nil && w.now.Before(p.Round.Starts) {
			w.now = p.Round.Starts
		}
		w.apply(&state.BeginProof{ID: o.ID, Machine: m, Nonce: challenge.Seed{1}})
		w.now = w.now.Add(1500 * time.Millisecond)
		w.apply(&state.CommitProof{ID: o.ID, Machine: m, Commitment: challenge.Commitment{Roots: make([]challenge.Hash, p.Task.Links)}})
		w.apply(&state.WalkProof{ID: o.ID, Machine: m})
		w.apply(&state.JudgeProof{ID: o.ID, Machine: m, Right: right, Judge: "n1", SHA256: strings.Repeat("0", 64), Draw: challenge.Seed{byte(w.index), 1}})
	}
	return tasks
}

// TestProofsOfAMachine takes a machine with two GPUs from joining to proven, and to its next proofs.
func TestProofsOfAMachine(t *testing.T) {
	w := provers(t, "mone")
	m := machineID("mone")
	host := []raylink.Device{processor(8), gpu("GPU-a"), gpu("GPU-b"), {ID: "GPU-broken", Kind: raylink.DeviceGPU, Fault: "gone"}}
	w.describes("mone", host...)
	if did := w.looks(); len(did) != 1 || did[0].(*state.OpenProof).Device != raylink.CPUDevice || did[0].(*state.OpenProof).Why != state.WhyJoined {
		t.Fatalf("first the processor alone: %+v", did)
	}
	w.obey("mone", true)
	if did := w.looks(); len(did) != 2 {
		t.Fatalf("then both GPUs together: %+v", did)
	}
	for _, task := range w.obey("mone", true) {
		if task.Walks() {
			t.Error("the first task of a GPU spoils its rate by a walk")
		}
	}
	if n := w.s.Machines[m].ProvenGPUs(w.now); n != 0 {
		t.Errorf("%d GPUs are proven without their memory", n)
	}
	w.looks()
	for _, task := range w.obey("mone", true) {
		if task.Memory < 7<<30 || task.Memory > 8<<30 {
			t.Errorf("%d bytes of 8 GiB are shown", task.Memory)
		}
	}
	if n := w.s.Machines[m].ProvenGPUs(w.now); n != 2 {
		t.Errorf("%d GPUs are proven", n)
	}
	if did := w.looks(); len(did) != 0 {
		t.Errorf("all is proven, and still: %+v", did)
	}
	next := w.s.Machines[m].Proven[raylink.CPUDevice].Next
	w.now = next.Add(-time.Second)
	w.describes("mone", processor(8))
	if did := w.looks(); len(did) != 0 {
		t.Errorf("before its time: %+v", did)
	}
	w.now = next
	if did := w.looks(); len(did) != 1 || did[0].(*state.OpenProof).Why != state.WhyDue || !did[0].(*state.OpenProof).Task.Walks() {
		t.Errorf("in its time: %+v", did)
	}
	w.obey("mone", true)
	w.describes("mone", processor(64))
	if did := w.looks(); len(did) != 0 {
		t.Errorf("an agent that changes its mind at once is asked at once: %+v", did)
	}
	w.now = w.now.Add(time.Minute)
	w.describes("mone", processor(64))
	if did := w.looks(); len(did) != 1 || did[0].(*state.OpenProof).Why != state.WhyChanged {
		t.Errorf("another processor: %+v", did)
	}
}

// TestNoProofs: nothing is opened without a policy, nor for machines that are away, paused, draining, or busy.
func TestNoProofs(t *testing.T) {
	for what, change := range map[string]func(w *world){
		"no policy": func(w *world) {
			off := state.DefaultProofPolicy()
			off.Required = false
			w.apply(&state.SetProofPolicy{Policy: off})
		},
		"away": func(w *world) { w.now = w.now.Add(time.Minute) },
		"not described": func(w *world) {
			w.s.Machines[machineID("mone")].Host = nil
		},
		"paused": func(w *world) {
			w.seen.Machines[machineID("mone")] = MachineSeen{At: w.now, Report: wire.AgentReport{Paused: raylink.ReasonPaused}}
		},
		"draining": func(w *world) {
			w.apply(&state.SetMachine{ID: machineID("mone"), State: state.MachineDraining})
		},
	} {
		w := provers(t, "mone")
		change(w)
		if did := w.looks(); len(did) != 0 {
			t.Errorf("%s: %+v", what, did)
		}
	}
	w := provers(t, "mone")
	w.looks()
	w.obey("mone", true)
	w.create(w.account("ada", "10"), specOf("busy", 0, 1))
	w.now = w.s.Machines[machineID("mone")].Proven[raylink.CPUDevice].Until
	w.report()
	lottery := state.DefaultProofPolicy()
	lottery.Lottery = 0
	w.apply(&state.SetProofPolicy{Policy: lottery})
	if did := w.looks(); len(did) != 0 {
		t.Errorf("busy: %+v", did)
	}
}

// TestLate: a machine that does not do as it is told is asked more and more rarely, and the log does not fill.
func TestLate(t *testing.T) {
	w := provers(t, "mone")
	opened := 0
	for range 24 * 60 {
		for _, c := range w.looks() {
			if _, ok := c.(*state.OpenProof); ok {
				opened++
			}
		}
		w.now = w.now.Add(time.Minute)
		w.report()
	}
	if opened < 5 || opened > 12 {
		t.Errorf("a machine that never begins is asked %d times a day", opened)
	}
	if why, _ := w.s.Unproven(w.s.Machines[machineID("mone")], w.now); why == raylink.ReasonProofLate || why == raylink.ReasonNone {
		t.Errorf("it stands as %q", why)
	}
}

// surelyDrawn is a world of one proven machine with a cluster on it, and a lottery that draws it each hour.
func surelyDrawn(t *testing.T) (*world, *state.Cluster) {
	w := provers(t, "mone")
	sure := state.DefaultProofPolicy()
	sure.Lottery = 1000
	w.apply(&state.SetProofPolicy{Policy: sure})
	w.looks()
	w.obey("mone", true)
	c := w.create(w.account("ada", "10"), specOf("busy", 0, 1))
	return w, c
}

// TestLotteryUnderLease: with a sure lottery each hour under lease has one proof, at another moment each, without a walk.
func TestLotteryUnderLease(t *testing.T) {
	w, c := surelyDrawn(t)
	hours, minutes := map[int]int{}, map[int]bool{}
	for w.now = noon.Add(time.Hour); w.now.Before(noon.Add(11 * time.Hour)); w.now = w.now.Add(30 * time.Second) {
		w.report()
		for _, step := range w.looks() {
			o := step.(*state.OpenProof)
			if o.Why != state.WhyLottery || o.Lease != c.Leases[0] || o.Task.Walks() {
				t.Fatalf("%+v", o)
			}
			hours[w.now.Hour()]++
			minutes[w.now.Minute()] = true
		}
		if len(ProofOrders(w.s, machineID("mone"))) > 0 {
			w.obey("mone", true)
		}
	}
	for h := 13; h < 23; h++ {
		if hours[h] < 1 || hours[h] > 6 { // a pass draws anew, so that nobody is safe for the rest of the hour
			t.Errorf("at %d h: %d proofs", h, hours[h])
		}
	}
	if len(minutes) < 5 {
		t.Errorf("always at the minutes %v", minutes)
	}
}

// TestPlaceProven: only proven machines are placed on, and the refusal says how many wait and why. Without a policy all are.
func TestPlaceProven(t *testing.T) {
	w := provers(t, "mone", "mtwo", "mthree")
	spec := specOf("c", 1, 8)
	w.looks()
	w.obey("mone", true)
	w.obey("mtwo", false)
	_, err := Place(w.s, w.seen, w.now, spec)
	if e := raylink.AsError(err); e.Code != raylink.CodeCapacity || !strings.Contains(e.Message, "2 more wait for a proof (1: it answered a challenge wrongly; 1: a challenge is under way)") || e.Hint == "" {
		t.Fatalf("%v", err)
	}
	w.obey("mthree", true)
	nodes, err := Place(w.s, w.seen, w.now, spec)
	if err != nil || nodes[0].Machine == machineID("mtwo") || nodes[1].Machine == machineID("mtwo") {
		t.Errorf("%+v, %v", nodes, err)
	}
	w.describes("mone", processor(2))
	if _, err := Place(w.s, w.seen, w.now, spec); !strings.Contains(fmt.Sprint(err), "changed") {
		t.Errorf("a machine that is another one now: %v", err)
	}
	off := state.DefaultProofPolicy()
	off.Required = false
	w.apply(&state.SetProofPolicy{Policy: off})
	if _, err := Place(w.s, w.seen, w.now, specOf("c", 2, 8)); err != nil {
		t.Errorf("without a policy: %v", err)
	}
}

// TestPlaceGPUs: of a machine's GPUs only those count that are proven and still there.
func TestPlaceGPUs(t *testing.T) {
	w := provers(t)
	offer := offerOf(8, 16, 60_000)
	offer.Resources.GPU = 2 * raylink.Unit
	w.machine("mone", w.account("sue", ""), offer)
	spec := specOf("c", 0, 1)
	spec.Head.Resources.GPU = 2 * raylink.Unit
	host := []raylink.Device{processor(8), gpu("GPU-a"), gpu("GPU-b")}
	fits := func(what string, want bool) {
		t.Helper()
		w.report()
		if _, err := Place(w.s, w.seen, w.now, spec); (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.describes("mone", host...)
	for _, step := range []string{"processor", "products", "memory"} {
		w.looks()
		w.obey("mone", true)
		fits("after the "+step, step == "memory")
	}
	w.describes("mone", host[:2]...)
	fits("one is gone", false)
	spec.Head.Resources.GPU = raylink.Unit
	fits("one of one", true)
}

// TestAppealOrder: the order names the judge's address.
func TestAppealOrder(t *testing.T) {
	w := provers(t, "mone")
	w.looks()
	p := ProofOrders(w.s, machineID("mone"))[0]
	if p.By != "" || p.Deadline.IsZero() {
		t.Errorf("%+v", p)
	}
	w.obey("mone", false)
	before := w.s.Proofs[p.ID]
	w.apply(&state.OpenProof{ID: "p-appealaaaa", Machine: before.Machine, Device: before.Device, Claim: before.Claim, Why: state.WhyAppeal, Task: before.Task, By: "n2", Of: p.ID})
	if o := ProofOrders(w.s, machineID("mone")); len(o) != 1 || o[0].By != "https://n2:1" {
		t.Errorf("%+v", o)
	}
	if ProofOrders(w.s, "m-nobodyaaaa") != nil {
		t.Error("a machine that is not known has proofs")
	}
}

// TestManyMachines: no more proofs are open at once than coordinators can check, and all machines have their turn.
func TestManyMachines(t *testing.T) {
	names := make([]string, MaxProofsAtOnce+50)
	for i := range names {
		names[i] = fmt.Sprintf("m%c%c", 'a'+i/20, 'a'+i%20)
	}
	w := provers(t, names...)
	patient := state.DefaultProofPolicy()
	patient.Begin = time.Hour
	w.apply(&state.SetProofPolicy{Policy: patient})
	if did := w.looks(); len(did) != MaxProofsAtOnce {
		t.Errorf("%d proofs at once", len(did))
	}
	for _, name := range names {
		w.obey(name, true)
	}
	w.report()
	if did := w.looks(); len(did) != 50 {
		t.Errorf("then %d more", len(did))
	}
}

// BenchmarkProofsLook is what one look costs the leader when 100,000 machines are proven and nothing is due.
func BenchmarkProofsLook(b *testing.B) {
	w := newWorld(b)
	w.apply(&state.SetProofPolicy{Policy: state.DefaultProofPolicy()})
	at := noon
	for i := range 100_000 {
		m := &state.Machine{ID: raylink.MachineID(fmt.Sprint("m-", i)), State: state.MachineActive, Host: &raylink.Host{Devices: []raylink.Device{processor(8)}}}
		m.Proven = map[string]*state.Proven{raylink.CPUDevice: {Claim: state.ClaimOf(processor(8)), State: state.ProofPassed, PassedAt: &at, Next: noon.Add(time.Hour), Until: noon.Add(2 * time.Hour)}}
		w.s.Machines[m.ID] = m
		w.seen.Machines[m.ID] = MachineSeen{At: noon}
	}
	for b.Loop() {
		if did := proofs(w.s, w.seen, noon); len(did) > 0 {
			b.Fatal(did)
		}
	}
}
