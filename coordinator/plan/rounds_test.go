package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
	"raylink/raylink/challenge"
	"raylink/raylink/wire"
)

// owned are one owner's machines over days, all of which say that they are the same model.
type owned struct {
	*world
	owner raylink.AccountID
	names []string
	ids   map[string]raylink.MachineID // by name
	least int64                        // millions of multiply-adds in a second that their model does at least

	real   float64           // what computes behind all of them together, in times of the least; 0 is that each does twice the least itself
	begins func(string) bool // whether one that cannot be served in time is begun all the same, to be late
	away   func(string) bool // whether a machine is paused by its owner
	silent map[string]bool   // agents that do not report,
	gone   map[string]bool   // and for so long that they do not count as up
	moves  bool              // the owner does something at any time
	asks   time.Duration     // so long before they are due the owner asks for proofs of his machines, one by one
	again  bool              // who stands in quarantine leaves, and joins anew as somebody else

	shown map[string]time.Time // when a machine's proof was computed last
	hours float64              // of machines that could be hired, together
	asked map[string]int       // proofs of a machine in an hour
	round int                  // proofs in rounds
	bad   int                  // times that a machine was found in quarantine
}

const (
	fleetBeat = 10 * time.Second
	fleetName = "AMD Ryzen 9 7950X 16-Core Processor"
)

func newOwned(t *testing.T, n int) *owned {
	t.Helper()
	f := &owned{world: newWorld(t), shown: map[string]time.Time{}, asked: map[string]int{}, silent: map[string]bool{}, gone: map[string]bool{}, ids: map[string]raylink.MachineID{}}
	f.begins, f.away = func(string) bool { return true }, func(string) bool { return false }
	f.apply(&state.JoinMember{ID: "n1", Raft: "n1:1", API: "https://n1:1"}, &state.SetProofPolicy{Policy: state.DefaultProofPolicy()})
	f.owner = f.account("sam", "")
	f.seen.Returned = map[raylink.MachineID]time.Time{}
	f.least, _, _ = catalogue.Band(f.device())
	for range n {
		f.join()
	}
	return f
}

func (f *owned) id(name string) raylink.MachineID {
	if f.ids[name] == "" {
		f.ids[name] = machineID(name)
	}
	return f.ids[name]
}

func (f *owned) device() raylink.Device {
	return raylink.Device{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: fleetName, Cores: 16, Threads: 32}
}

func (f *owned) join() {
	n := len(f.machines)
	name := fmt.Sprintf("m%c%c%c", 'a'+n/400, 'a'+n/20%20, 'a'+n%20)
	f.machine(name, f.owner, offerOf(16, 64, 60_000))
	f.apply(&state.SetHost{ID: f.id(name), Host: raylink.Host{OS: "a system", Arch: "amd64", Memory: 64 << 30, Devices: []raylink.Device{f.device()}}})
	f.names = append(f.names, name)
}

// accounts gives each machine an owner of its own.
func (f *owned) accounts() {
	for i, name := range f.names {
		f.s.Machines[f.id(name)].Owner = f.account(fmt.Sprintf("own%c", 'a'+i), "")
	}
}

// live lets the time pass in beats: agents report, the leader looks, the owner answers as he can.
func (f *owned) live(d time.Duration) {
	f.t.Helper()
	for end := f.now.Add(d); f.now.Before(end); f.wait(end) {
		for _, name := range f.names {
			f.hear(name)
		}
		f.asksOne()
		f.seen.Entropy = challenge.Seed{byte(f.index), byte(f.index >> 8), byte(f.index >> 16)}
		steps := proofs(f.s, f.seen, f.now)
		if len(steps) > 0 {
			f.apply(steps...)
		}
		for _, c := range steps {
			if o, ok := c.(*state.OpenProof); ok {
				f.asked[fmt.Sprint(o.Machine, f.now.Truncate(time.Hour))]++
				if o.Round != nil {
					f.round++
				}
			}
		}
		f.answer()
	}
}

// asksOne lets the owner ask for a proof of one machine, as he may at any time.
func (f *owned) asksOne() {
	for _, name := range f.names {
		m := f.s.Machines[f.id(name)]
		known := m.Proven[raylink.CPUDevice]
		if f.asks == 0 || known == nil || known.Open != "" || known.Next.Sub(f.now) > f.asks || known.Trouble() != raylink.ReasonNone || !f.s.ProofRoom(known, challenge.Task{}, f.now) {
			continue
		}
		f.seen.Entropy = challenge.Seed{byte(f.index), byte(f.index >> 8), byte(f.index >> 16), 1}
		f.apply(&state.OpenProof{ID: proofID(f.seen, m.ID, raylink.CPUDevice), Machine: m.ID, Device: raylink.CPUDevice, Claim: known.Claim, Why: state.WhyAsked, Spot: true,
			Task: ProofTask(f.s, m, known, known.Claim, false)})
		return
	}
}

// wait lets a beat pass, or more where nothing is to happen in between: nobody is asked, and nobody comes or goes.
func (f *owned) wait(end time.Time) {
	next := end
	for _, name := range f.names {
		known := f.s.Machines[f.id(name)].Proven[raylink.CPUDevice]
		if known == nil || known.Open != "" || f.silent[name] || f.moves {
			next = f.now
			break
		}
		for _, at := range []time.Time{known.Next, known.Until, f.seen.Returned[f.id(name)].Add(ReturnRest)} {
			if at.After(f.now) && at.Before(next) {
				next = at
			}
		}
	}
	idle := max(next.Sub(f.now).Truncate(fleetBeat)-fleetBeat, 0)
	f.count(idle + fleetBeat)
	f.now = f.now.Add(idle)
	if idle > 0 {
		for _, name := range f.names {
			f.hear(name)
		}
	}
	f.now = f.now.Add(fleetBeat)
}

// hear keeps of a machine's report what package reconcile's memory does.
func (f *owned) hear(name string) {
	id, paused := f.id(name), f.away(name)
	last, known := f.seen.Machines[id]
	if f.silent[name] {
		f.gone[name] = f.now.Sub(last.At) > UpFor
		return
	}
	next := MachineSeen{At: f.now, Gap: last.Gap, Back: last.Back}
	if known && f.gone[name] {
		next.Gap, next.Back, f.seen.Returned[id] = last.At, f.now, f.now
	}
	if paused {
		next.Report.Paused = raylink.ReasonPaused
	} else if last.Report.Paused != raylink.ReasonNone {
		f.seen.Returned[id] = f.now
	}
	f.seen.Machines[id], f.gone[name] = next, false
}

// answer begins what may begin now, and commits to it: those first that were computed for longest ago, for one device behind them does one after the other.
// What it cannot do in time it begins later, and in a round too late, or not at all.
func (f *owned) answer() {
	type commit struct {
		name  string
		p     *state.Proof
		after time.Duration
	}
	var list []commit
	for _, name := range f.names {
		f.silent[name] = false
		for _, o := range ProofOrders(f.s, f.id(name)) {
			if p := f.s.Proofs[o.ID]; p.State == state.ProofOpen && (p.Round == nil || !f.now.Before(p.Round.Starts)) && !f.away(name) {
				list = append(list, commit{name, p, 0})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b commit) int { return f.shown[a.name].Compare(f.shown[b.name]) })
	const late = 7500 * time.Millisecond
	busy, begun := time.Duration(0), list[:0]
	for _, c := range list {
		at := func(times float64) time.Duration {
			return time.Duration(float64(c.p.Task.Work()) / (times * float64(f.least) * 1e6) * float64(time.Second))
		}
		limit := at(1)
		if c.p.Task.Walks() { // its products are not measured: only the deadline is
			limit = late
		}
		switch {
		case f.real == 0:
			c.after = at(2)
		case busy+at(f.real) <= min(limit, late):
			busy += at(f.real)
			c.after, f.shown[c.name] = busy, f.now
		case c.p.Round == nil: // it can be begun later
			continue
		case f.begins(c.name):
			c.after = late
		default:
			f.silent[c.name] = true
			continue
		}
		begun = append(begun, c)
		f.apply(&state.BeginProof{ID: c.p.ID, Machine: c.p.Machine})
	}
	slices.SortStableFunc(begun, func(a, b commit) int { return cmp.Compare(a.after, b.after) })
	beat := f.now
	for _, c := range begun {
		f.now = beat.Add(c.after)
		f.apply(&state.CommitProof{ID: c.p.ID, Machine: c.p.Machine, Commitment: challenge.Commitment{Roots: make([]challenge.Hash, c.p.Task.Links)}},
			&state.WalkProof{ID: c.p.ID, Machine: c.p.Machine},
			&state.JudgeProof{ID: c.p.ID, Machine: c.p.Machine, Right: true, Least: f.least, Judge: "n1", SHA256: strings.Repeat("0", 64), Draw: challenge.Seed{byte(f.index), byte(f.index >> 8), byte(f.index >> 16)}})
	}
	f.now = beat
}

// count adds up who could be hired now, and lets those leave whom nobody would hire.
func (f *owned) count(d time.Duration) {
	for _, name := range slices.Clone(f.names) {
		m := f.s.Machines[f.id(name)]
		if why, _ := m.Trouble(); why != raylink.ReasonNone {
			f.bad++
			if f.again {
				f.names = slices.DeleteFunc(f.names, func(other string) bool { return other == name })
				f.join()
			}
			continue
		}
		if why, _ := f.s.Unproven(m, f.now); why == raylink.ReasonNone && !f.away(name) && f.seen.Up(m.ID, f.now) {
			f.hours += d.Hours()
		}
	}
}

// TestARelayServesNoFleet: one device answers for a dozen machines that are nothing, as much as it can at once, and their owner does what he can about the rest.
// Without rounds all twelve stand in the market all the time. How many do with them, over two days, is bounded by package challenge's documentation.
func TestARelayServesNoFleet(t *testing.T) {
	const n, days = 12, 2
	for _, x := range []struct {
		what  string
		real  float64
		owner func(f *owned)
	}{
		{"the others are too late", 1, func(f *owned) {}},
		{"they are those of twelve accounts: this is not seen", 12, func(f *owned) { f.real = 1; f.accounts() }},
		{"and they leave, and join anew", 1, func(f *owned) { f.again = true }},
		{"the others fall silent", 1, func(f *owned) { f.begins = func(string) bool { return false } }},
		{"each is asked for by its owner, alone, before it is due", 1, func(f *owned) { f.moves, f.asks = true, 10*time.Minute }},
		{"each is asked for as often as its budget allows", 1, func(f *owned) { f.moves, f.asks = true, 100*time.Hour }},
		{"twice as fast", 2, func(f *owned) { f.begins = func(string) bool { return false } }},
		{"each hour one by one, the others paused", 1, func(f *owned) {
			f.moves = true
			f.away = func(name string) bool {
				turn := int(f.now.Sub(noon) % time.Hour / (3 * fleetBeat))
				return turn < n && f.names[turn] != name
			}
		}},
	} {
		f := newOwned(t, n)
		f.real = x.real
		x.owner(f)
		f.live(days * 24 * time.Hour)
		stand := f.hours / (days * 24)
		t.Logf("%s: %.1f of %d machines stand in the market with %.0f behind them", x.what, stand, n, f.real)
		if seen := x.real != n; stand > 6*f.real && seen || !seen && stand < n-1 {
			t.Errorf("%s: %.1f", x.what, stand)
		}
	}
}

// TestHonestFleet: real machines of one owner are proven together for a week, none is ever blamed, and none is asked for more than its budget.
func TestHonestFleet(t *testing.T) {
	const n, days = 12, 7
	f := newOwned(t, n)
	f.live(days * 24 * time.Hour)
	most := 0
	for _, times := range f.asked {
		most = max(most, times)
	}
	t.Logf("%.2f of %d machines in the market; %d proofs in rounds, %.1f a machine and day; at most %d in an hour", f.hours/(days*24), n, f.round, float64(f.round)/n/days, most)
	if f.bad > 0 || f.hours < 0.999*n*days*24 || most > 6 {
		t.Errorf("blamed %d times", f.bad)
	}
}

// allPass lets everybody do what he is asked to, at the same time.
func (w *world) allPass() {
	w.t.Helper()
	for _, p := range w.s.OpenProofs() {
		if p.Round != nil {
			w.now = p.Round.Starts
		}
	}
	for _, p := range w.s.OpenProofs() {
		w.apply(&state.BeginProof{ID: p.ID, Machine: p.Machine})
	}
	w.now = w.now.Add(time.Second)
	for _, p := range w.s.OpenProofs() {
		w.apply(&state.CommitProof{ID: p.ID, Machine: p.Machine, Commitment: challenge.Commitment{Roots: make([]challenge.Hash, p.Task.Links)}},
			&state.WalkProof{ID: p.ID, Machine: p.Machine},
			&state.JudgeProof{ID: p.ID, Machine: p.Machine, Right: true, Judge: "n1", SHA256: strings.Repeat("0", 64), Draw: challenge.Seed{byte(w.index)}})
	}
	w.report()
}

// TestWhoIsInARound: what is idle of one owner begins at the same moment, and nothing else does.
func TestWhoIsInARound(t *testing.T) {
	w := provers(t)
	sam, sue := w.account("sam", ""), w.account("sue", "")
	for _, name := range []string{"samone", "samtwo", "samthree", "sambusy", "sampaused", "samaway", "sueone"} {
		owner, cores := sam, int64(8)
		switch name {
		case "sueone":
			owner = sue
		case "sambusy":
			cores = 64
		}
		w.machine(name, owner, offerOf(cores, 16, 60_000))
		w.describes(name, processor(8))
	}
	opened := func() string {
		var list []string
		for _, c := range w.looks() {
			o := c.(*state.OpenProof)
			what := fmt.Sprintf("%s %s", w.s.Machines[o.Machine].Name, o.Why)
			if o.Round != nil {
				what += fmt.Sprintf(" of %d in %s", o.Round.Of, o.Round.Starts.Sub(w.now))
			}
			list = append(list, what)
		}
		slices.Sort(list)
		return strings.Join(list, "; ")
	}
	expect := func(what, want string) {
		t.Helper()
		if got := opened(); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
		}
		w.allPass()
	}
	leave := func() {
		w.seen.Machines[machineID("sampaused")] = MachineSeen{At: w.now, Report: wire.AgentReport{Paused: raylink.ReasonPaused}}
		w.seen.Machines[machineID("samaway")] = MachineSeen{At: w.now.Add(-time.Minute)}
	}
	expect("all join", "samaway joined of 6 in 10s; sambusy joined of 6 in 10s; samone joined of 6 in 10s; sampaused joined of 6 in 10s; samthree joined of 6 in 10s; samtwo joined of 6 in 10s; sueone joined")
	w.create(w.account("ada", "100"), specOf("busy", 0, 64))
	w.now = w.s.Machines[machineID("samone")].Proven[raylink.CPUDevice].Until // that of the others may be later
	w.report()
	leave()
	for _, m := range w.s.Machines {
		if m.Name != "samone" {
			m.Proven[raylink.CPUDevice].Next = w.now.Add(time.Hour)
		}
	}
	expect("one is due", "samone due of 3 in 10s; samthree round of 3 in 10s; samtwo round of 3 in 10s")
	w.s.Machines[machineID("samtwo")].Proven[raylink.CPUDevice].Spent = []state.Spent{{At: w.now, Of: 15 * time.Second}}
	w.s.Machines[machineID("samone")].Proven[raylink.CPUDevice].Next = w.now
	leave()
	expect("one has no room", "samone due of 2 in 10s; samthree round of 2 in 10s")
}

// TestRoundsOfGPUs: the GPUs of all an owner's machines begin together, and each has as long for its products as the others, at its model's least, whatever it
// was thought to do: or the one with the smallest task could do it first, and then those of the others.
func TestRoundsOfGPUs(t *testing.T) {
	w := provers(t)
	sam := w.account("sam", "")
	card := func(id, name string) raylink.Device {
		return raylink.Device{ID: id, Kind: raylink.DeviceGPU, Name: name, Memory: 24 << 30}
	}
	for name, model := range map[string]string{"samone": "NVIDIA GeForce RTX 4090", "samtwo": "NVIDIA GeForce RTX 3090"} {
		offer := offerOf(8, 16, 60_000)
		offer.Resources.GPU = 2 * raylink.Unit
		w.machine(name, sam, offer)
		w.describes(name, processor(8), card("GPU-"+name+"-a", model), card("GPU-"+name+"-b", model))
		known := map[string]*state.Proven{raylink.CPUDevice: {Claim: state.ClaimOf(processor(8)), State: state.ProofPassed, PassedAt: &w.now, Next: w.now.Add(time.Hour), Until: w.now.Add(time.Hour)}}
		w.s.Machines[machineID(name)].Proven = known
	}
	slow := w.s.Machines[machineID("samone")].Devices()[1]
	w.s.Machines[machineID("samone")].Proven[slow.ID] = &state.Proven{Claim: state.ClaimOf(slow), Guess: 1}
	times := map[string]float64{}
	for _, c := range w.looks() {
		o := c.(*state.OpenProof)
		least, _, _ := catalogue.Band(o.Claim.Device())
		times[o.Device] = float64(o.Task.Work()) / float64(least) / 1e6
		if o.Round == nil || o.Round.Of != 4 {
			t.Errorf("%s: %+v", o.Device, o.Round)
		}
	}
	if len(times) != 4 {
		t.Fatalf("%v", times)
	}
	for device, s := range times {
		if s < 2.8 || s > 3.2 { // twice the least in 1.5 s, in whole products
			t.Errorf("%s has %.2f s for its products at its model's least", device, s)
		}
	}
}
