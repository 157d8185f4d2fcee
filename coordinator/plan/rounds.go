package plan

import (
	"cmp"
	"slices"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
)

// Rounds. Nobody can see from bits that one machine computed for another (package challenge's documentation). So what one owner has idle is proven at the same
// moment: whatever stands behind it then has to do all of it at once. A device that is due brings the owner's others along, as far as their budgets have room.
const (
	// RoundLead is from a round's opening to its begin: agents hear of it and make their devices ready meanwhile.
	RoundLead = 10 * time.Second
	// RoundMost is how many proofs a round has at most; the GPUs of one machine stay together, so it may be fewer than state.MaxOpenProofs more.
	RoundMost = 64
	// ReturnRest is how long after its last proof a machine that was away, paused or silent, is proven with its owner's others,
	ReturnRest = time.Minute
	// ReturnFor is how long after its return that happens at the latest. Who comes later brings it along.
	ReturnFor = 10 * time.Minute

	// Of a model's least, in thousandths: the first tasks of its devices are sized for twice that, and none for a thousand times.
	leastTimes, mostTimes = 2_000, 1_000_000
)

// rounds puts together what is to begin at the same moment. It is made for one look.
type rounds struct {
	s     *state.State
	seen  Seen
	now   time.Time
	idle  map[raylink.AccountID][]raylink.MachineID // of the owners of machines that are due: those that can be proven, who waited longest first
	taken map[raylink.MachineID]bool                // a proof of it was opened in this look
}

// newRounds looks for the company of the machines that are due.
func newRounds(s *state.State, seen Seen, now time.Time, due []raylink.MachineID) *rounds {
	r := &rounds{s: s, seen: seen, now: now, idle: map[raylink.AccountID][]raylink.MachineID{}, taken: map[raylink.MachineID]bool{}}
	if len(due) == 0 {
		return r
	}
	for _, id := range due {
		r.idle[s.Machines[id].Owner] = nil
	}
	for id, m := range s.Machines {
		if list, asked := r.idle[m.Owner]; asked && present(seen, now, m) && len(s.LeasesOn(id)) == 0 {
			r.idle[m.Owner] = append(list, id)
		}
	}
	for _, list := range r.idle {
		longestFirst(s, list)
	}
	return r
}

// present says whether a machine can be asked for a proof now.
func present(seen Seen, now time.Time, m *state.Machine) bool {
	return m.State == state.MachineActive && m.Host != nil && seen.Up(m.ID, now) && seen.Machines[m.ID].Report.Paused == raylink.ReasonNone
}

// stands is the kind of a machine's devices that it stands in the market by: its GPUs, or the processor of one that has none.
func stands(m *state.Machine) raylink.DeviceKind {
	if len(m.GPUs()) > 0 {
		return raylink.DeviceGPU
	}
	return raylink.DeviceCPU
}

// lastAsked is when a machine was asked last for a proof of what it stands in the market by.
func lastAsked(m *state.Machine) (at time.Time) {
	kind := stands(m)
	for _, known := range m.Proven {
		if known.Claim.Kind == kind && known.OpenedAt.After(at) {
			at = known.OpenedAt
		}
	}
	return at
}

// longestFirst sorts machines by how long ago they were asked.
func longestFirst(s *state.State, list []raylink.MachineID) {
	asked := make(map[raylink.MachineID]time.Time, len(list))
	for _, id := range list {
		asked[id] = lastAsked(s.Machines[id])
	}
	slices.SortFunc(list, func(a, b raylink.MachineID) int { return cmp.Or(asked[a].Compare(asked[b]), cmp.Compare(a, b)) })
}

// returned says whether a machine was away since its last proof, and is back for long enough. Who could show his machines while the others are away, and have them
// all hired later, had one of them only. In a mass loss all are away, and it is us.
func returned(s *state.State, seen Seen, now time.Time, id raylink.MachineID) bool {
	back, asked := seen.Returned[id], lastAsked(s.Machines[id])
	return back.After(asked) && now.Sub(asked) >= ReturnRest && now.Sub(back) <= ReturnFor && !seen.loss.has(id)
}

// open gives the proofs that a machine which is due is to begin, with those of its owner's others where it is idle.
func (r *rounds) open(m *state.Machine) []state.Command {
	if r.taken[m.ID] {
		return nil
	}
	due := opened(r.s, r.seen, r.now, m)
	if len(r.s.LeasesOn(m.ID)) > 0 {
		return commands(due)
	}
	kind := stands(m)
	if len(due) > 0 {
		kind = due[0].Claim.Kind
	}
	round := r.part(m, kind, due)
	own := len(round)
	if own == 0 { // its budget is spent: to look for company takes long where its owner has very many
		return nil
	}
	for _, id := range r.idle[m.Owner] {
		if len(round) >= RoundMost {
			break
		}
		if id != m.ID && !r.taken[id] {
			round = append(round, r.part(r.s.Machines[id], kind, opened(r.s, r.seen, r.now, r.s.Machines[id]))...)
		}
	}
	if len(due) == 0 && len(round) == own { // it came back, and nobody else is here: what it has shown it has shown alone
		return nil
	}
	now := r.now
	if r.s.Now.After(now) { // the last leader's clock was ahead of ours, and the log's time does not go back
		now = r.s.Now
	}
	for _, c := range round {
		r.taken[c.Machine] = true
		if len(round) > 1 {
			c.Round = &state.Round{Starts: now.Add(RoundLead).UTC(), Of: len(round)}
		}
	}
	if len(round) > 1 {
		r.alike(round)
	}
	return commands(round)
}

// alike sizes the products of a round so that each device has the same time for its own, at the least that its model does: that many times the least, as
// the slowest of them is thought to do. Were some smaller, one fast device could do them first, in no time, and the others after them within theirs.
func (r *rounds) alike(round []*state.OpenProof) {
	times := int64(mostTimes)
	for _, c := range round {
		if least, _, _ := catalogue.Band(c.Claim.Device()); least > 0 {
			times = min(times, min(guess(r.s.Machines[c.Machine].Proven[c.Device], c.Claim), 1<<40)*1000/least)
		}
	}
	// Where the policy leaves less time, they are as long as a device may take that does the least: it would be late each time.
	times = max(times, min(leastTimes, 1000*r.s.Proving.Compute.Milliseconds()/max(r.s.Proving.Work.Milliseconds(), 1)))
	for _, c := range round {
		if least, _, _ := catalogue.Band(c.Claim.Device()); least > 0 {
			m := r.s.Machines[c.Machine]
			c.Task = taskAt(r.s, m, m.Proven[c.Device], c.Claim, true, times*least/1000)
		}
	}
}

// part is what one machine's devices of a kind add to a round: those that are due, and those that have room in their budgets.
func (r *rounds) part(m *state.Machine, kind raylink.DeviceKind, steps []*state.OpenProof) []*state.OpenProof {
	if len(steps) > 0 && steps[0].Claim.Kind != kind {
		return nil
	}
	room := state.MaxOpenProofs
	for _, known := range m.Proven {
		if known.Open == "" {
			continue
		}
		// One that can wait is done after the round; a machine that never begins it has no excuse for that.
		if p := r.s.Proofs[known.Open]; p == nil || p.State != state.ProofOpen || p.Round != nil {
			return steps
		}
		room--
	}
	for _, d := range m.Devices() {
		known, claim := m.Proven[d.ID], state.ClaimOf(d)
		asked := slices.ContainsFunc(steps, func(c *state.OpenProof) bool { return c.Device == d.ID })
		if d.Kind != kind || known == nil || known.Open != "" || asked || known.Claim != claim || known.Trouble() != raylink.ReasonNone || len(steps) >= room {
			continue
		}
		if c := opening(r.s, r.seen, r.now, m, d, state.WhyRound, ""); c != nil {
			steps = append(steps, c)
		}
	}
	return steps
}

func commands(proofs []*state.OpenProof) []state.Command {
	var list []state.Command
	for _, c := range proofs {
		list = append(list, c)
	}
	return list
}
