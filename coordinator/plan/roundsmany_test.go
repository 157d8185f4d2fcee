package plan

import (
	"fmt"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/challenge"
)

// TestAReturnIsAskedOnce: GPUs that come back are shown with their owner's others once, and not until their budget is spent.
func TestAReturnIsAskedOnce(t *testing.T) {
	w := provers(t)
	sam := w.account("sam", "")
	card := raylink.Device{Kind: raylink.DeviceGPU, Name: "a GPU", Memory: 8 << 30}
	for _, name := range []string{"samone", "samtwo"} {
		offer := offerOf(8, 16, 60_000)
		offer.Resources.GPU = raylink.Unit
		w.machine(name, sam, offer)
		card.ID = "GPU-" + name
		w.describes(name, processor(8), card)
		shown := func(claim state.Claim) *state.Proven {
			return &state.Proven{Claim: claim, State: state.ProofPassed, OpenedAt: w.now, PassedAt: &w.now, WalkedAt: &w.now, Next: w.now.Add(9 * time.Hour), Until: w.now.Add(10 * time.Hour)}
		}
		w.s.Machines[machineID(name)].Proven = map[string]*state.Proven{raylink.CPUDevice: shown(state.ClaimOf(processor(8))), card.ID: shown(state.ClaimOf(card))}
	}
	w.now = w.now.Add(2 * time.Hour)
	w.report()
	w.seen.Returned = map[raylink.MachineID]time.Time{machineID("samone"): w.now}
	rounds := 0
	for range 5 {
		if did := w.looks(); len(did) > 0 {
			rounds++
			w.allPass()
		}
		w.now = w.now.Add(ReturnRest)
		w.report()
	}
	if rounds != 1 {
		t.Errorf("a return led to %d rounds", rounds)
	}
}

// fleet gives an owner so many machines, all alike, of which the same is known.
func (w *world) fleet(owner raylink.AccountID, n int, known func() *state.Proven) {
	first := w.machines[len(w.machines)-1].name
	like := w.s.Machines[machineID(first)]
	for i := range n {
		m := *like
		m.ID, m.Owner, m.Proven = raylink.MachineID(fmt.Sprintf("a-%08d", i)), owner, map[string]*state.Proven{raylink.CPUDevice: known()}
		w.s.Machines[m.ID], w.seen.Machines[m.ID] = &m, MachineSeen{At: w.now}
	}
}

// TestOneOwnersManyMachines: a look is short however many of them are due and have no room in their budgets, and they do not keep the proofs of others waiting
// however often they are due themselves.
func TestOneOwnersManyMachines(t *testing.T) {
	w := provers(t, "honest")
	w.now = w.now.Add(24 * time.Hour)
	w.report()
	many := w.account("many", "")
	claim := state.ClaimOf(processor(8))
	missed := func() *state.Proven {
		return &state.Proven{Claim: claim, Missed: 1, OpenedAt: w.now.Add(-10 * time.Minute), Next: w.now}
	}
	w.s.Machines[machineID("honest")].Proven = map[string]*state.Proven{raylink.CPUDevice: {Claim: claim, State: state.ProofPassed, PassedAt: &noon, OpenedAt: w.now.Add(-time.Hour), Next: w.now}}
	w.fleet(many, 10_000, missed)
	begun := time.Now()
	steps := proofs(w.s, w.seen, w.now)
	t.Logf("%d proofs of 10,000 machines that are due: a look of %s", len(steps), time.Since(begun))
	of := map[raylink.AccountID]int{}
	for _, c := range steps {
		of[w.s.Machines[c.(*state.OpenProof).Machine].Owner]++
	}
	if of[w.s.Machines[machineID("honest")].Owner] != 1 || of[many] < OwnersProofs || of[many] > OwnersProofs+state.MaxRound {
		t.Errorf("proofs by owner: %v", of)
	}
	w.apply(steps...)
	w.s.Machines[machineID("honest")].Proven[raylink.CPUDevice].Open = ""
	if again := proofs(w.s, w.seen, w.now); len(again) != 1 {
		t.Errorf("with %d open of one owner there are %d more", of[many], len(again))
	}
	w.fleet(many, 10_000, func() *state.Proven {
		p := missed()
		p.Spent = []state.Spent{{At: w.now, Of: 15 * time.Second}}
		return p
	})
	w.s.Machines[machineID("honest")].Proven[raylink.CPUDevice].Next = w.now.Add(time.Hour)
	begun = time.Now()
	steps = proofs(w.s, w.seen, w.now)
	if took := time.Since(begun); len(steps) > 0 || took > 2*time.Second {
		t.Errorf("%d proofs of machines without room, in %s", len(steps), took)
	} else {
		t.Logf("10,000 machines that are due and have no room: a look of %s", took)
	}
}

// TestARoundBeginsByTheLogsTime: after a leader whose clock was ahead comes one whose is not, and what he opens is not refused for that.
func TestARoundBeginsByTheLogsTime(t *testing.T) {
	w := provers(t)
	sam := w.account("sam", "")
	for _, name := range []string{"samone", "samtwo"} {
		w.machine(name, sam, offerOf(8, 16, 60_000))
		w.describes(name, processor(8))
	}
	logs := w.now
	w.now = w.now.Add(-20 * time.Second)
	w.report()
	steps := proofs(w.s, w.seen, w.now)
	w.now = logs
	w.apply(steps...)
	if o := steps[0].(*state.OpenProof); len(steps) != 2 || !o.Round.Starts.Equal(logs.Add(RoundLead)) {
		t.Errorf("%+v", steps)
	}
}

// TestRoundsFitIntoTheDeadline: a device that was late once, and does a little more than its model's least, can commit in time whatever the policy leaves for it.
func TestRoundsFitIntoTheDeadline(t *testing.T) {
	for _, x := range []struct{ work, compute time.Duration }{
		{1500 * time.Millisecond, 8 * time.Second}, {1500 * time.Millisecond, 1500 * time.Millisecond}, {4 * time.Second, 5 * time.Second}, {time.Second, 19 * time.Second},
	} {
		f := newOwned(t, 2)
		policy := state.DefaultProofPolicy()
		policy.Work, policy.Compute, policy.Walk, policy.Begin, policy.Rounds = x.work, x.compute, time.Second, time.Second, 20
		f.apply(&state.SetProofPolicy{Policy: policy})
		f.report()
		for _, name := range f.names {
			claim := state.ClaimOf(f.device())
			f.s.Machines[f.id(name)].Proven = map[string]*state.Proven{raylink.CPUDevice: {Claim: claim, State: state.ProofLate, Guess: f.least, Failures: 1}}
		}
		for _, c := range proofs(f.s, f.seen, f.now) {
			o := c.(*state.OpenProof)
			if least := time.Duration(o.Task.Work() / f.least * int64(time.Microsecond)); o.Round == nil || least > x.compute+x.compute/20 {
				t.Errorf("%s of %s: at its model's least %s takes %s", x.work, x.compute, o.Machine, least)
			}
		}
	}
}

// TestNoExcuse: who never begins a proof of a GPU is in the rounds of his processors all the same; who computes already is not.
func TestNoExcuse(t *testing.T) {
	w := provers(t)
	sam := w.account("sam", "")
	card := gpu("GPU-ghost")
	for _, name := range []string{"samone", "samtwo", "samthree"} {
		w.machine(name, sam, offerOf(8, 16, 60_000))
		w.describes(name, processor(8), card)
	}
	w.looks()
	w.allPass()
	for _, name := range []string{"samtwo", "samthree"} {
		m := machineID(name)
		w.s.Machines[m].Proven[card.ID] = &state.Proven{Claim: state.ClaimOf(card)}
		w.apply(&state.OpenProof{ID: proofID(w.seen, m, card.ID), Machine: m, Device: card.ID, Claim: state.ClaimOf(card), Why: state.WhyAsked,
			Task: challenge.TaskFor(raylink.DeviceGPU, 0, 0, 0)})
	}
	w.apply(&state.BeginProof{ID: proofID(w.seen, machineID("samthree"), card.ID), Machine: machineID("samthree")})
	w.s.Machines[machineID("samone")].Proven[raylink.CPUDevice].Next = w.now
	in := map[string]int{}
	for _, c := range w.looks() {
		if o, ok := c.(*state.OpenProof); ok && o.Device == raylink.CPUDevice && o.Round != nil {
			in[w.s.Machines[o.Machine].Name] = o.Round.Of
		}
	}
	if fmt.Sprint(in) != "map[samone:2 samtwo:2]" {
		t.Errorf("in the round: %v", in)
	}
}
