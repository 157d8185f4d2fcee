package state

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

// roundOf is a proof of a machine in a round of so many, which begins ten seconds from now.
func (w *world) roundOf(name, machine string, of int) *OpenProof {
	c := openOf(name, machine, raylink.CPUDevice)
	c.Why, c.Round = WhyRound, &Round{Starts: w.now.Add(10 * time.Second), Of: of}
	return c
}

// TestRoundBegins: no seed is given out before a round begins, and the clock of who begins late has run since then.
func TestRoundBegins(t *testing.T) {
	w := provers(t)
	first, second := w.roundOf("first", "mone", 2), w.roundOf("second", "mtwo", 2)
	w.must(first, second)
	begin := func(c *OpenProof) *BeginProof { return &BeginProof{ID: c.ID, Machine: c.Machine, Nonce: seedOf(1)} }
	w.now = w.now.Add(10*time.Second - time.Millisecond)
	w.refused("a begin before the round's", begin(first), raylink.CodeConflict)
	w.now = w.now.Add(time.Millisecond)
	w.must(begin(first))
	w.now = w.now.Add(3 * time.Second)
	w.must(begin(second))
	for _, c := range []*OpenProof{first, second} {
		p := w.s.Proofs[c.ID]
		if !p.BegunAt.Equal(c.Round.Starts) || !p.Deadline.Equal(c.Round.Starts.Add(w.s.Proving.Compute)) {
			t.Errorf("%s began at %s and has until %s; the round began at %s", c.ID, p.BegunAt, p.Deadline, c.Round.Starts)
		}
	}
	w.now = w.now.Add(time.Second)
	w.must(commitOf("second", "mtwo", 1))
	if got := w.s.Proofs[second.ID].Millis(); got != 4000 {
		t.Errorf("a device that began 3 s late and took 1 s is said to have taken %d ms", got)
	}
	third := w.roundOf("third", "mthree", 3)
	for what, change := range map[string]func(*OpenProof){
		"a round of one":          func(c *OpenProof) { c.Round.Of = 1 },
		"a round of very many":    func(c *OpenProof) { c.Round.Of = MaxRound + 1 },
		"a round without a round": func(c *OpenProof) { c.Round = nil },
		"a round under a lease":   func(c *OpenProof) { c.Lease = "l-aaaaaaaaaa" },
		"an appeal in a round":    func(c *OpenProof) { c.Why, c.By, c.Of = WhyAppeal, "n2", first.ID },
	} {
		c := *third
		round := *third.Round
		c.Round, c.Machine = &round, machineID("mone")
		change(&c)
		w.refused(what, &c, raylink.CodeInvalid)
	}
	third.Machine = machineID("mone")
	w.must(endOf(first)...)
	for what, starts := range map[string]time.Time{"begun already": w.now, "far away": w.now.Add(MaxRoundLead + time.Second)} {
		third.Round = &Round{Starts: starts, Of: 2}
		w.refused("a round that is "+what, third, raylink.CodeConflict)
	}
}

// endOf takes a proof that has begun to its end.
func endOf(c *OpenProof) []Command {
	return []Command{&CommitProof{ID: c.ID, Machine: c.Machine, Commitment: commitOf("", "", 1).Commitment}, &WalkProof{ID: c.ID, Machine: c.Machine},
		&JudgeProof{ID: c.ID, Machine: c.Machine, Right: true, Judge: "n1", SHA256: strings.Repeat("ab", 32), Draw: seedOf(9)}}
}

// TestBehind: three rounds in a row that a device did not pass, however they ended, and it is slow. What it passes alone does not make up for them, nor does a much
// smaller round, nor one with a walk, whose products are not measured.
func TestBehind(t *testing.T) {
	for rounds, want := range map[string]string{
		"slow8 slow8 slow8":              "slow",
		"late8 gone8 slow8":              "slow",
		"gone8 gone8 gone8":              "slow",
		"slow8 alone gone8 alone late8":  "slow",
		"slow8 gone8 pass3 late8":        "slow",
		"slow8 gone8 walk8 late8":        "slow",
		"slow8 gone8 pass4 late8 gone8":  "fine",
		"slow2 gone2 pass80 late2 gone2": "fine",
		"pass8 pass8 alone":              "fine",
		"slow8 gone8 week slow8 gone8":   "fine",
	} {
		w := provers(t)
		for i, step := range strings.Fields(rounds) {
			w.plays(fmt.Sprintf("r%c", 'a'+i), step)
		}
		known, got := w.known("mone", raylink.CPUDevice), "fine"
		if known.Trouble() == raylink.ReasonProofSlow {
			got = "slow"
		}
		if got != want {
			t.Errorf("%s: %s, want %s: %+v", rounds, got, want, known)
		}
		if got == "slow" && rounds != "slow8 slow8 slow8" && (known.PassedAt != nil || known.Next.Sub(w.s.Now) < ProofPenance-time.Minute || !strings.Contains(known.Detail, "at the same moment as its owner's other devices")) {
			t.Errorf("%s: slow, and %+v", rounds, known)
		}
	}
}

// plays lets the processor of a machine have one proof: alone, or in a round of so many, which ends so.
func (w *world) plays(name, step string) {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	if step == "week" {
		w.now = w.now.Add(BehindFor)
		return
	}
	how, of := step, 0
	if step != "alone" {
		how = step[:4]
		fmt.Sscan(step[4:], &of)
	}
	c := w.roundOf(name, "mone", of)
	if of == 0 {
		c.Why, c.Round = WhyRetry, nil
	}
	c.Task = task(how == "walk")
	w.must(c)
	if w.now = w.now.Add(10 * time.Second); how == "gone" {
		w.now = w.now.Add(time.Minute)
		w.must(&ExpireProof{ID: c.ID, Machine: c.Machine})
		return
	}
	w.must(&BeginProof{ID: c.ID, Machine: c.Machine, Nonce: seedOf(1)})
	if how == "late" {
		w.now = w.now.Add(time.Minute)
		w.must(&ExpireProof{ID: c.ID, Machine: c.Machine})
		return
	}
	w.now = w.now.Add(time.Second)
	end := endOf(c)
	if how == "slow" {
		end[2].(*JudgeProof).Least = 1 << 40
	}
	w.must(end...)
}

// TestASpotShowsItsMoment: what an owner or a tenant asked for shows what a device does, and neither makes it proven for longer nor puts off its next proof.
func TestASpotShowsItsMoment(t *testing.T) {
	w := provers(t)
	w.proofAt(openOf("first", "mone", raylink.CPUDevice), "first", "mone", ProofPassed)
	until := w.known("mone", raylink.CPUDevice).Until
	w.now = w.now.Add(50 * time.Minute)
	spot := openOf("spot", "mone", raylink.CPUDevice)
	spot.Why, spot.Spot = WhyAsked, true
	w.proofAt(spot, "spot", "mone", ProofPassed)
	known := w.known("mone", raylink.CPUDevice)
	if !known.Until.Equal(until) || !known.Next.Equal(w.s.Now) || !known.PassedAt.Equal(w.s.Now) || known.Lacks(w.s.Now) != raylink.ReasonNone || known.Lacks(until) != raylink.ReasonProofExpired {
		t.Errorf("it was proven until %s, and then %+v", until, known)
	}
}
