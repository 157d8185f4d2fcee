package state

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/challenge"
)

func proofID(name string) raylink.ProofID { return id[raylink.ProofID]("p", name) }

// task is a small challenge, without a walk or with one.
func task(walk bool) challenge.Task {
	t := challenge.Task{Version: 1, Size: 64, Tile: 16, Links: 2, Openings: 8}
	if walk {
		t.Memory, t.Segments, t.Steps, t.Checks = 1<<20, 4, 64, 2
	}
	return t
}

func cpuClaim() Claim {
	return Claim{Kind: raylink.DeviceCPU, Name: "a processor", Cores: 4, Threads: 8}
}
func gpuClaim() Claim {
	return Claim{Kind: raylink.DeviceGPU, Name: "a GPU", Model: "G", Memory: 24 << 30}
}

// openOf opens a proof of a machine's processor, or of a GPU if another device is named.
func openOf(name, machine, device string) *OpenProof {
	c := &OpenProof{ID: proofID(name), Machine: machineID(machine), Device: device, Claim: cpuClaim(), Why: WhyJoined, Task: task(false)}
	if device != raylink.CPUDevice {
		c.Claim = gpuClaim()
	}
	return c
}

func seedOf(n byte) challenge.Seed { return challenge.Seed{n, 31: n} }

func commitOf(name, machine string, fill byte) *CommitProof {
	return &CommitProof{ID: proofID(name), Machine: machineID(machine), Walk: seedOf(2),
		Commitment: challenge.Commitment{Roots: []challenge.Hash{{fill}, {fill + 1}}}}
}

func judgeOf(name, machine string) *JudgeProof {
	return &JudgeProof{ID: proofID(name), Machine: machineID(machine), Right: true, Judge: "n1", SHA256: strings.Repeat("ab", 32), Draw: seedOf(9), Least: 1, Most: 1 << 40}
}

// proofAt takes a proof to a state, a moment for each step.
func (w *world) proofAt(open *OpenProof, name, machine, at string) {
	w.t.Helper()
	w.must(open)
	for _, step := range []struct {
		state string
		c     Command
	}{{ProofBegun, &BeginProof{ID: open.ID, Machine: open.Machine, Nonce: seedOf(1)}}, {ProofCommitted, commitOf(name, machine, 1)},
		{ProofWalked, &WalkProof{ID: open.ID, Machine: open.Machine, Open: seedOf(3)}}, {ProofPassed, judgeOf(name, machine)}} {
		if w.s.Proofs[open.ID].State == at {
			return
		}
		w.now = w.now.Add(5 * time.Millisecond)
		w.must(step.c)
	}
}

// richProofs has a proof in every state, and one that is late.
func richProofs(w *world) {
	policy := DefaultProofPolicy()
	policy.Begin = time.Second
	host := hostOf()
	host.Devices[0] = cpuClaim().Device()
	host.Devices[0].ID = raylink.CPUDevice
	w.must(&JoinMember{ID: "n1", Raft: "n1:1", API: "https://n1:1"}, &JoinMember{ID: "n2", Raft: "n2:1", API: "https://n2:1"}, &SetProofPolicy{Policy: policy},
		openOf("late", "mtwo", "GPU-late"))
	w.now = w.now.Add(2 * time.Second)
	w.must(&SetProofPolicy{Policy: DefaultProofPolicy()}, &SetHost{ID: machineID("mtwo"), Host: host})
	w.proofAt(openOf("onepassed", "mone", raylink.CPUDevice), "onepassed", "mone", ProofPassed)
	w.proofAt(openOf("twopassed", "mtwo", raylink.CPUDevice), "twopassed", "mtwo", ProofPassed)
	w.proofAt(openOf("open", "mtwo", raylink.CPUDevice), "open", "mtwo", ProofOpen)
	w.proofAt(openOf("begun", "mone", "GPU-begun"), "begun", "mone", ProofBegun)
	w.proofAt(openOf("committed", "mone", "GPU-committed"), "committed", "mone", ProofCommitted)
	w.proofAt(openOf("walked", "mone", raylink.CPUDevice), "walked", "mone", ProofWalked)
	w.proofAt(openOf("passed", "mone", "GPU-passed"), "passed", "mone", ProofPassed)
}

// doableProofs are commands of each kind that the rich world takes.
func doableProofs() []Command {
	mone, mtwo := machineID("mone"), machineID("mtwo")
	policy := DefaultProofPolicy()
	policy.Lottery = 7
	return []Command{&SetProofPolicy{Policy: policy}, openOf("new", "mtwo", "GPU-new"), &BeginProof{ID: proofID("open"), Machine: mtwo, Nonce: seedOf(1)},
		commitOf("begun", "mone", 1), &WalkProof{ID: proofID("committed"), Machine: mone, Open: seedOf(3)}, judgeOf("walked", "mone"),
		&ExpireProof{ID: proofID("late"), Machine: mtwo}, &AsideProof{Machine: mtwo, Device: "GPU-late"}}
}

// provers is a world with a policy, two machines and two coordinators.
func provers(t *testing.T) *world {
	w, _ := small(t, "10")
	w.must(&JoinMember{ID: "n1", Raft: "n1:1", API: "https://n1:1"}, &JoinMember{ID: "n2", Raft: "n2:1", API: "https://n2:1"}, &SetProofPolicy{Policy: DefaultProofPolicy()})
	return w
}

func (w *world) known(machine, device string) *Proven {
	return w.s.Machines[machineID(machine)].Proven[device]
}

// TestProofLife goes through a proof with a walk and looks at it after each step; then it goes through again from a snapshot taken before each step,
// as a new leader would.
func TestProofLife(t *testing.T) {
	w := provers(t)
	cpu, gpu := cpuClaim(), gpuClaim()
	w.must(&SetHost{ID: machineID("mone"), Host: raylink.Host{OS: "a system", Arch: "amd64", Memory: 1 << 34, Devices: []raylink.Device{
		{ID: raylink.CPUDevice, Kind: cpu.Kind, Name: cpu.Name, Cores: cpu.Cores, Threads: cpu.Threads}, {ID: "GPU-1", Kind: gpu.Kind, Name: gpu.Name, Model: gpu.Model, Memory: gpu.Memory}}}})
	open := openOf("life", "mone", "GPU-1")
	open.Task = task(true)
	p := func() *Proof { return w.s.Proofs[proofID("life")] }
	m := machineID("mone")
	for i, step := range []struct {
		c     Command
		want  string
		after time.Duration // of the step before
	}{
		{open, ProofOpen, 0},
		{&BeginProof{ID: open.ID, Machine: m, Nonce: seedOf(1)}, ProofBegun, time.Second},
		{commitOf("life", "mone", 1), ProofCommitted, 2 * time.Second},
		{&WalkProof{ID: open.ID, Machine: m, Root: challenge.Hash{5}, Open: seedOf(3)}, ProofWalked, 700 * time.Millisecond},
		{judgeOf("life", "mone"), ProofPassed, time.Second},
	} {
		w.now = w.now.Add(step.after)
		w.s = reload(t, w.s)
		w.must(step.c)
		if p().State != step.want {
			t.Fatalf("step %d: %s, want %s", i, p().State, step.want)
		}
	}
	if p().Millis() != 2000 || p().WalkMillis() != 700 || p().Judge != "n1" || p().Nonce != (challenge.Seed{}) || p().Commitment.Roots != nil {
		t.Errorf("%+v", p())
	}
	known := w.known("mone", "GPU-1")
	if known.WalkedAt == nil || known.PassedAt != nil || known.Lacks(w.s.Now) != raylink.ReasonNoProof || !known.Next.Equal(w.s.Now) || known.Open != "" ||
		len(known.Spent) != 1 || known.Spent[0].Of != 2700*time.Millisecond {
		t.Errorf("a GPU has shown its memory alone: %+v", known)
	}
	w.proofAt(openOf("second", "mone", "GPU-1"), "second", "mone", ProofPassed)
	if known = w.known("mone", "GPU-1"); known.Lacks(w.s.Now) != raylink.ReasonNone || known.Lacks(known.Until) != raylink.ReasonProofExpired {
		t.Errorf("a GPU has shown both: %s, then %s", known.Lacks(w.s.Now), known.Lacks(known.Until))
	}
	if n := w.s.Machines[m].ProvenGPUs(w.s.Now); n != 1 {
		t.Errorf("%d GPUs are proven", n)
	}
	if why, device := w.s.Unproven(w.s.Machines[m], w.s.Now); why != raylink.ReasonNoProof || device != raylink.CPUDevice {
		t.Errorf("without its processor: %s of %s", why, device)
	}
	if wait := known.Next.Sub(known.At); wait < time.Hour || wait >= 6*time.Hour {
		t.Errorf("the next proof is due after %s", wait)
	}
}

// TestFirstCounts: what was said once stands; the same again is told the same, and anything else is refused.
func TestFirstCounts(t *testing.T) {
	w := provers(t)
	m := machineID("mone")
	w.proofAt(openOf("one", "mone", raylink.CPUDevice), "one", "mone", ProofBegun)
	p := w.s.Proofs[proofID("one")]
	w.must(&BeginProof{ID: p.ID, Machine: m, Nonce: seedOf(99)})
	if p.Nonce != seedOf(1) {
		t.Error("a second begin changed the seed")
	}
	w.refused("a commitment of another form", &CommitProof{ID: p.ID, Machine: m, Commitment: challenge.Commitment{Roots: make([]challenge.Hash, 1)}}, raylink.CodeInvalid)
	w.refused("a walk before the commitment", &WalkProof{ID: p.ID, Machine: m}, raylink.CodeConflict)
	w.refused("a verdict before the answer", judgeOf("one", "mone"), raylink.CodeConflict)
	w.must(commitOf("one", "mone", 1), commitOf("one", "mone", 1))
	w.refused("another commitment", commitOf("one", "mone", 7), raylink.CodeConflict)
	w.refused("a begin after it", &BeginProof{ID: p.ID, Machine: m}, raylink.CodeConflict)
	w.refused("a root without a walk", &WalkProof{ID: p.ID, Machine: m, Root: challenge.Hash{1}}, raylink.CodeInvalid)
	w.must(&WalkProof{ID: p.ID, Machine: m, Open: seedOf(3)}, &WalkProof{ID: p.ID, Machine: m, Open: seedOf(77)})
	if p.OpenDraw != seedOf(3) {
		t.Error("asking again drew other openings")
	}
	w.refused("another root", &WalkProof{ID: p.ID, Machine: m, Root: challenge.Hash{1}}, raylink.CodeConflict)
	stranger := judgeOf("one", "mone")
	stranger.Judge = "n9"
	w.refused("a judge who is no member", stranger, raylink.CodeForbidden)
	w.must(judgeOf("one", "mone"))
	w.refused("a second verdict", judgeOf("one", "mone"), raylink.CodeConflict)
	w.refused("a commitment after the end", commitOf("one", "mone", 1), raylink.CodeConflict)
}

// TestAnothersProof: each command names the machine that the certificate proved; another machine's proof is not there.
func TestAnothersProof(t *testing.T) {
	w := provers(t)
	two := machineID("mtwo")
	for i, at := range []string{ProofOpen, ProofBegun, ProofCommitted, ProofWalked} {
		device := fmt.Sprint("GPU-", i)
		w.proofAt(openOf(at, "mone", device), at, "mone", at)
	}
	for what, c := range map[string]Command{
		"begin": &BeginProof{ID: proofID(ProofOpen), Machine: two}, "commit": commitOf(ProofBegun, "mtwo", 1), "walk": &WalkProof{ID: proofID(ProofCommitted), Machine: two},
		"judge": judgeOf(ProofWalked, "mtwo"), "expire": &ExpireProof{ID: proofID(ProofOpen), Machine: two}, "none": &BeginProof{ID: proofID("nothing"), Machine: two},
	} {
		w.refused(what, c, raylink.CodeNotFound)
	}
}

func TestOpenRefused(t *testing.T) {
	w := provers(t)
	w.must(openOf("first", "mone", raylink.CPUDevice))
	change := func(f func(*OpenProof)) *OpenProof {
		c := openOf("other", "mtwo", raylink.CPUDevice)
		f(c)
		return c
	}
	for what, c := range map[string]struct {
		c    Command
		code raylink.Code
	}{
		"a second one at once":        {openOf("other", "mone", raylink.CPUDevice), raylink.CodeConflict},
		"a taken id":                  {openOf("first", "mtwo", raylink.CPUDevice), raylink.CodeConflict},
		"no machine":                  {openOf("other", "mthree", raylink.CPUDevice), raylink.CodeNotFound},
		"a bad id":                    {change(func(c *OpenProof) { c.ID = "p-../../etc" }), raylink.CodeInvalid},
		"a GPU that is the processor": {change(func(c *OpenProof) { c.Device = "GPU-1" }), raylink.CodeInvalid},
		"no reason":                   {change(func(c *OpenProof) { c.Why = "" }), raylink.CodeInvalid},
		"a judge without an appeal":   {change(func(c *OpenProof) { c.By = "n1" }), raylink.CodeInvalid},
		"an appeal against nothing":   {change(func(c *OpenProof) { c.Why, c.By, c.Of = WhyAppeal, "n1", proofID("none") }), raylink.CodeConflict},
		"a lease that is not there":   {change(func(c *OpenProof) { c.Lease = "l-aaaaaaaaaa" }), raylink.CodeNotFound},
		"a task of nothing":           {change(func(c *OpenProof) { c.Task = challenge.Task{} }), raylink.CodeInvalid},
		"a task too long for the log": {change(func(c *OpenProof) { c.Task.Links = MaxProofLinks + 1 }), raylink.CodeInvalid},
	} {
		w.refused(what, c.c, c.code)
	}
	off := DefaultProofPolicy()
	off.Required = false
	w.must(&SetProofPolicy{Policy: off})
	w.refused("no policy", openOf("other", "mtwo", raylink.CPUDevice), raylink.CodeUnsupported)
	if why, _ := w.s.Unproven(w.s.Machines[machineID("mtwo")], w.s.Now); why != raylink.ReasonNone {
		t.Errorf("without a policy a machine lacks %s", why)
	}
	for what, f := range map[string]func(*ProofPolicy){"a budget over the most": func(p *ProofPolicy) { p.Budget = MaxProofBudget + 1 }, "a budget below one proof": func(p *ProofPolicy) { p.Budget = p.Compute },
		"no rounds": func(p *ProofPolicy) { p.Rounds = 0 }, "an interval backwards": func(p *ProofPolicy) { p.Most = p.Least - 1 }, "a lottery of all and more": func(p *ProofPolicy) { p.Lottery = 1001 }} {
		bad := DefaultProofPolicy()
		f(&bad)
		w.refused(what, &SetProofPolicy{Policy: bad}, raylink.CodeInvalid)
	}
}

// TestDeadlines: what comes after a deadline is refused though nobody has called it late yet; then it is late, and it counts if it was begun.
func TestDeadlines(t *testing.T) {
	policy := DefaultProofPolicy()
	for _, c := range []struct {
		at       string
		wait     time.Duration
		late     func(name string) Command
		failures int
	}{
		{ProofOpen, policy.Begin, func(n string) Command { return &BeginProof{ID: proofID(n), Machine: machineID("mone")} }, 0},
		{ProofBegun, policy.Compute, func(n string) Command { return commitOf(n, "mone", 1) }, 1},
		{ProofCommitted, policy.Walk, func(n string) Command { return &WalkProof{ID: proofID(n), Machine: machineID("mone")} }, 1},
		{ProofWalked, policy.Answer + JudgeFor, nil, 1},
	} {
		w := provers(t)
		w.proofAt(openOf("one", "mone", raylink.CPUDevice), "one", "mone", c.at)
		expire := &ExpireProof{ID: proofID("one"), Machine: machineID("mone")}
		w.now = w.now.Add(c.wait)
		w.refused(c.at+" in time", expire, raylink.CodeConflict)
		w.now = w.now.Add(time.Millisecond)
		if c.late != nil {
			w.refused(c.at+" too late", c.late("one"), raylink.CodeConflict)
		}
		w.must(expire)
		known := w.known("mone", raylink.CPUDevice)
		if p := w.s.Proofs[proofID("one")]; p.State != ProofLate || p.Detail == "" || known.Failures != c.failures || known.Open != "" || !known.Next.After(w.s.Now) {
			t.Errorf("%s: %+v, %+v", c.at, p, known)
		}
		w.refused("a second end", expire, raylink.CodeConflict)
	}
}

// TestTrouble: a wrong answer is trouble at once, late ones in a row, slow ones after all rounds; one good round is enough, and a pass ends trouble.
func TestTrouble(t *testing.T) {
	w := provers(t)
	n := 0
	round := func(how string) raylink.Reason {
		n++
		name := fmt.Sprintf("r%c", 'a'+n)
		w.now = w.now.Add(time.Hour)
		w.proofAt(openOf(name, "mone", raylink.CPUDevice), name, "mone", ProofBegun)
		if how == ProofLate {
			w.now = w.now.Add(time.Minute)
			w.must(&ExpireProof{ID: proofID(name), Machine: machineID("mone")})
			return w.known("mone", raylink.CPUDevice).Trouble()
		}
		w.now = w.now.Add(time.Millisecond)
		w.must(commitOf(name, "mone", 1), &WalkProof{ID: proofID(name), Machine: machineID("mone")})
		j := judgeOf(name, "mone")
		j.Right = how != ProofFailed
		if how == ProofSlow {
			j.Least = 1 << 30
		}
		if how == "implausible" {
			j.Most = 1
		}
		w.must(j)
		return w.known("mone", raylink.CPUDevice).Trouble()
	}
	for i, c := range []struct {
		how  string
		want raylink.Reason
	}{
		{ProofSlow, ""}, {ProofSlow, ""}, {ProofPassed, ""}, {ProofSlow, ""}, {ProofSlow, ""}, {ProofSlow, raylink.ReasonProofSlow}, {ProofPassed, ""},
		{ProofLate, ""}, {ProofLate, ""}, {ProofLate, raylink.ReasonProofLate}, {ProofPassed, ""}, {ProofLate, ""}, {ProofPassed, ""},
		{ProofFailed, raylink.ReasonProofFailed}, {ProofPassed, ""}, {"implausible", raylink.ReasonProofFailed}, {ProofPassed, ""},
	} {
		if got := round(c.how); got != c.want {
			t.Errorf("round %d (%s): %q, want %q: %+v", i, c.how, got, c.want, w.known("mone", raylink.CPUDevice))
		}
		why, _ := w.s.Unproven(w.s.Machines[machineID("mone")], w.s.Now)
		if c.want != "" && why != c.want {
			t.Errorf("round %d: its machine is placed on but for %q", i, why)
		}
	}
	if len(w.s.Proofs) != keptProofs || len(w.known("mone", raylink.CPUDevice).Kept) != keptProofs {
		t.Errorf("%d proofs are kept", len(w.s.Proofs))
	}
}

// TestSlowWalk: a walk that takes longer than its judge says such a device's may is a slow round; so is one that does not end, if whoever ends it says so. After all
// rounds in a row the device is slow, and until a walk passes products change nothing of that. A judge who gives no bound, as those of older builds, bounds nothing.
func TestSlowWalk(t *testing.T) {
	w := provers(t)
	n := 0
	round := func(walk bool, takes time.Duration, most int64) *Proven {
		n++
		name := fmt.Sprintf("w%c", 'a'+n)
		w.now = w.now.Add(time.Hour)
		open := openOf(name, "mone", "GPU-1")
		open.Task = task(walk)
		w.proofAt(open, name, "mone", ProofCommitted)
		w.now = w.now.Add(takes)
		if takes > DefaultProofPolicy().Walk {
			w.must(&ExpireProof{ID: open.ID, Machine: open.Machine, Walk: true})
		} else {
			j := judgeOf(name, "mone")
			j.WalkMost = most
			w.must(&WalkProof{ID: open.ID, Machine: open.Machine}, j)
		}
		w.s = reload(t, w.s)
		return w.known("mone", "GPU-1")
	}
	const ms = time.Millisecond
	for i, c := range []struct {
		walk   bool
		takes  time.Duration
		most   int64
		want   raylink.Reason
		proven bool
	}{
		{false, 0, 0, "", false}, {true, 1600 * ms, 1600, "", true}, {true, 3 * time.Second, 0, "", true}, // at the bound, and without one
		{true, 1601 * ms, 1600, "", true}, {true, 3 * time.Second, 1600, "", true}, {true, ms, 1600, "", true}, // one of three is good
		{true, 1601 * ms, 1600, "", true}, {false, 0, 1600, "", true}, {true, 5 * time.Second, 1600, "", true}, {true, 1601 * ms, 1600, raylink.ReasonProofSlow, false},
		{false, 0, 1600, raylink.ReasonProofSlow, false}, {true, ms, 1600, "", true},
	} {
		known := round(c.walk, c.takes, c.most)
		if known.Trouble() != c.want || (known.Lacks(known.At) == raylink.ReasonNone) != c.proven {
			t.Errorf("round %d: %q, want %q; it lacks %q: %+v", i, known.Trouble(), c.want, known.Lacks(known.At), known)
		}
	}
	bad := judgeOf("wb", "mone")
	bad.WalkMost = -1
	w.proofAt(openOf("wb", "mone", raylink.CPUDevice), "wb", "mone", ProofWalked)
	w.refused("a walk of less than nothing", bad, raylink.CodeInvalid)
}

// TestAppeal: the same challenge, another judge, not all day long.
func TestAppeal(t *testing.T) {
	w := provers(t)
	w.proofAt(openOf("bad", "mone", raylink.CPUDevice), "bad", "mone", ProofWalked)
	wrong := judgeOf("bad", "mone")
	wrong.Right, wrong.Detail = false, "tile 3"
	w.must(wrong)
	appeal := openOf("appeal", "mone", raylink.CPUDevice)
	appeal.Why, appeal.By, appeal.Of = WhyAppeal, "n1", proofID("bad")
	w.refused("the same judge", appeal, raylink.CodeInvalid)
	appeal.By = "n7"
	w.refused("a stranger", appeal, raylink.CodeInvalid)
	appeal.By = "n2"
	appeal.Task.Openings++
	w.refused("another challenge", appeal, raylink.CodeInvalid)
	appeal.Task.Openings--
	w.must(appeal)
	w.must(&BeginProof{ID: appeal.ID, Machine: appeal.Machine, Nonce: seedOf(4)}, commitOf("appeal", "mone", 1), &WalkProof{ID: appeal.ID, Machine: appeal.Machine})
	w.refused("the first judge again", judgeOf("appeal", "mone"), raylink.CodeForbidden)
	verdict := judgeOf("appeal", "mone")
	verdict.Judge, verdict.Right = "n2", false
	w.must(verdict)
	again := openOf("again", "mone", raylink.CPUDevice)
	again.Why, again.By, again.Of = WhyAppeal, "n1", appeal.ID
	w.refused("at once again", again, raylink.CodeConflict)
	w.now = w.now.Add(6 * time.Hour)
	w.must(again)
	w.must(&BeginProof{ID: again.ID, Machine: again.Machine, Nonce: seedOf(4)}, commitOf("again", "mone", 1), &WalkProof{ID: again.ID, Machine: again.Machine}, judgeOf("again", "mone"))
	if why := w.known("mone", raylink.CPUDevice).Trouble(); why != raylink.ReasonNone {
		t.Errorf("after a pass there is still %s", why)
	}
	again.ID, again.Of = proofID("third"), again.ID
	w.now = w.now.Add(6 * time.Hour)
	w.refused("nothing to appeal against", again, raylink.CodeConflict)
}

// TestChangedClaim: another device under the same name has shown nothing.
func TestChangedClaim(t *testing.T) {
	w := provers(t)
	w.proofAt(openOf("one", "mone", raylink.CPUDevice), "one", "mone", ProofPassed)
	other := openOf("two", "mone", raylink.CPUDevice)
	other.Claim.Cores = 64
	w.must(other)
	if known := w.known("mone", raylink.CPUDevice); known.PassedAt != nil || known.Rate != 0 || known.Lacks(w.s.Now) != raylink.ReasonProofRunning {
		t.Errorf("%+v", known)
	}
}

// TestTenantsLoad: slow or late while a lease runs says nothing; wrong says it all.
func TestTenantsLoad(t *testing.T) {
	w, tenant := small(t, "10")
	w.must(&JoinMember{ID: "n1", Raft: "n1:1", API: "https://n1:1"}, &SetProofPolicy{Policy: DefaultProofPolicy()})
	w.proofAt(openOf("idle", "mone", raylink.CPUDevice), "idle", "mone", ProofPassed)
	w.cluster("busy", tenant, 1, "mone")
	lease := leaseOf("busy", 0)
	for i, how := range []string{ProofSlow, ProofLate, ProofSlow, ProofSlow, ProofFailed} {
		name := fmt.Sprintf("b%c", 'a'+i)
		open := openOf(name, "mone", raylink.CPUDevice)
		open.Lease, open.Why = lease, WhyAsked
		w.now = w.now.Add(time.Hour)
		w.proofAt(open, name, "mone", ProofWalked)
		if how == ProofLate {
			w.now = w.now.Add(time.Hour)
			w.must(&ExpireProof{ID: open.ID, Machine: open.Machine})
		} else {
			j := judgeOf(name, "mone")
			j.Least, j.Right = 1<<30, how != ProofFailed
			w.must(j)
		}
		if got := w.known("mone", raylink.CPUDevice).Trouble() != raylink.ReasonNone; got != (how == ProofFailed) || w.s.Proofs[open.ID].State != how {
			t.Errorf("%d, %s: %v, %+v", i, how, got, w.s.Proofs[open.ID])
		}
	}
}

// TestOldSnapshot: a snapshot from before proofs is read, and asks for none.
func TestOldSnapshot(t *testing.T) {
	w, _ := small(t, "10")
	text := contents(t, w.s)
	if strings.Contains(text, "Prov") || strings.Contains(text, "Proof") {
		t.Errorf("a state without proofs mentions them: %.300s", text)
	}
	fresh := New()
	if err := fresh.Load(strings.NewReader(text)); err != nil || fresh.Proving.Required || fresh.Proofs == nil {
		t.Errorf("%v, %+v", err, fresh.Proving)
	}
	fresh.Proofs["p-x"] = &Proof{}
	if maps.Equal(fresh.Proofs, New().Proofs) {
		t.Error("states share their proofs")
	}
}
