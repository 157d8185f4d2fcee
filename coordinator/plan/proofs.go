package plan

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
	"raylink/raylink/challenge"
	"raylink/raylink/wire"
)

// MaxProofsAtOnce is how many proofs are open in the whole group at most: each is checked by a coordinator that has other work.
const MaxProofsAtOnce = 256

// OwnersProofs is how many of them may be one owner's when another round of his is opened: who has ten thousand machines leaves room for those who have one.
const OwnersProofs = MaxProofsAtOnce / 2

// Unanswered is how many proofs in a row under leases, not begun or late, are told the tenant and bring a proof at once when the device is idle. No more of a
// device's are kept than one above it.
const Unanswered = 3

// unknownRate is what a device is thought to do of which nothing is known, in millions of multiply-adds a second, where the policy has another size of proofs
// than the usual one: a slow core does that.
const unknownRate = 2_000

// proofs ends those that are late, and opens those that are due: of machines that are idle, and under leases of those that the lottery draws.
func proofs(s *state.State, seen Seen, now time.Time) []state.Command {
	var steps []state.Command
	running := s.OpenProofs()
	open, of := len(running), map[raylink.AccountID]int{}
	for _, p := range running {
		of[s.Machines[p.Machine].Owner]++
		if p.Expired(now) {
			steps = append(steps, &state.ExpireProof{ID: p.ID, Machine: p.Machine, Walk: p.State == state.ProofCommitted && p.Task.Walks()})
		}
	}
	if !s.Proving.Required {
		return steps
	}
	due := hits(s.Machines, func(id raylink.MachineID, m *state.Machine) bool {
		return m.State == state.MachineActive && anyDue(s, now, m) && present(seen, now, m)
	})
	back := hits(seen.Returned, func(id raylink.MachineID, _ time.Time) bool {
		m := s.Machines[id]
		return m != nil && returned(s, seen, now, id) && present(seen, now, m)
	})
	if len(back) > 0 {
		due = slices.Compact(slices.Sorted(slices.Values(append(due, back...))))
	}
	longestFirst(s, due) // so that everybody's turn comes, however many others are due again and again
	rounds := newRounds(s, seen, now, due)
	for _, id := range due {
		m := s.Machines[id]
		if of[m.Owner] >= OwnersProofs {
			continue
		}
		batch := rounds.open(m)
		if open += len(batch); open > MaxProofsAtOnce { // a round is opened whole, or later
			return steps
		}
		of[m.Owner] += len(batch)
		steps = append(steps, batch...)
	}
	return steps
}

// anyDue is a quick look at a machine of many: whether opened may find something.
func anyDue(s *state.State, now time.Time, m *state.Machine) bool {
	if m.Host == nil {
		return false
	}
	hired, looked := false, false
	for i := range m.Host.Devices {
		d := &m.Host.Devices[i]
		known := m.Proven[d.ID]
		switch {
		case d.Fault != "" && d.Kind == raylink.DeviceGPU, known != nil && known.Open != "":
			continue
		case known == nil || why(known, state.ClaimOf(*d), now) != "":
			return true
		}
		if !looked {
			hired, looked = len(s.LeasesOn(m.ID)) > 0, true
		}
		if !hired && (owes(s, known) || alone(s, known)) {
			return true
		}
		if hired && lucky(s, known, now) {
			return true
		}
	}
	return false
}

// opened are the proofs that a machine is to begin now. The processor comes alone, because its machine's GPUs need it; GPUs come together, so that
// one cannot stand in for the other (rounds.open).
func opened(s *state.State, seen Seen, now time.Time, m *state.Machine) []*state.OpenProof {
	leases := s.LeasesOn(m.ID)
	slices.SortFunc(leases, func(a, b *state.Lease) int { return cmp.Compare(a.ID, b.ID) })
	room := state.MaxOpenProofs
	for device, known := range m.Proven {
		if known.Open == "" {
			continue
		}
		if room--; device == raylink.CPUDevice {
			return nil
		}
	}
	var steps []*state.OpenProof
	for _, d := range m.Devices() {
		known, claim := m.Proven[d.ID], state.ClaimOf(d)
		if (known != nil && known.Open != "") || (known == nil && len(m.Proven)+len(steps) >= state.MaxProofDevices) || room == 0 {
			continue
		}
		reason, lease := "", raylink.LeaseID("")
		if len(leases) == 0 {
			if reason = why(known, claim, now); reason == "" && (owes(s, known) || alone(s, known)) {
				reason = state.WhyRetry
			}
		} else if l := using(leases, d.ID); l != nil && lucky(s, known, now) {
			reason, lease = state.WhyLottery, l.ID
		}
		if reason == "" {
			continue
		}
		c := opening(s, seen, now, m, d, reason, lease)
		if c == nil {
			continue
		}
		steps = append(steps, c)
		if room--; d.Kind == raylink.DeviceCPU {
			break
		}
	}
	return steps
}

// opening opens a proof of a device, under a lease or, with an empty one, while its machine is idle; nil where its budget has no room.
func opening(s *state.State, seen Seen, now time.Time, m *state.Machine, d raylink.Device, reason string, lease raylink.LeaseID) *state.OpenProof {
	known, claim := m.Proven[d.ID], state.ClaimOf(d)
	if !s.ProofRoom(known, challenge.Task{}, now) { // to size a task takes longer than to see that there is room for none
		return nil
	}
	task := ProofTask(s, m, known, claim, lease == "")
	if !s.ProofRoom(known, task, now) {
		return nil
	}
	return &state.OpenProof{ID: proofID(seen, m.ID, d.ID), Machine: m.ID, Device: d.ID, Claim: claim, Why: reason, Task: task, Lease: lease}
}

// why a device that is idle is to be proven now; empty where it is not.
func why(known *state.Proven, claim state.Claim, now time.Time) string {
	switch {
	case known == nil:
		return state.WhyJoined
	case now.Before(known.Next) && known.Claim == claim:
		return ""
	case known.Claim != claim && (known.Next.IsZero() || now.Sub(known.OpenedAt) >= OfferRest):
		return state.WhyChanged // an agent that changes its mind all the time must not fill the log
	case known.Claim != claim:
		return ""
	case known.PassedAt == nil || known.State != state.ProofPassed || known.Rounds > 0 || known.WalkRounds > 0 || known.Missed > 0:
		return state.WhyRetry
	}
	return state.WhyDue
}

// owes says that a device owes a proof: its last Unanswered, all of them under leases, were not begun or came too late. One may be the tenant's load; of a row
// of them nothing is known, and once the device is idle it is asked at once.
func owes(s *state.State, known *state.Proven) bool {
	if known == nil || len(known.Kept) < Unanswered {
		return false
	}
	for _, id := range known.Kept[len(known.Kept)-Unanswered:] {
		if p := s.Proofs[id]; p == nil || p.Lease == "" || p.State != state.ProofLate {
			return false
		}
	}
	return true
}

// alone says that what a device showed last it showed at a moment that somebody chose, its owner it may be, and not with that owner's others: it is due again
// once it is idle. Who asks for his machines one by one, each before it is due, would otherwise never have a round.
func alone(s *state.State, known *state.Proven) bool {
	if known == nil {
		return false
	}
	p := s.Proofs[known.Last()]
	return p != nil && p.State == state.ProofPassed && (p.Why == state.WhyAsked || p.Why == state.WhyAppeal)
}

// unanswered warns a tenant of machines that do not answer challenges while his nodes are on them.
func unanswered(s *state.State, l *state.Lease) string {
	m := s.Machines[l.Machine]
	for _, device := range append([]string{raylink.CPUDevice}, l.Devices...) {
		known := m.Proven[device]
		if !owes(s, known) || s.Proofs[known.Last()].Lease != l.ID {
			continue
		}
		what := "its processor"
		if device != raylink.CPUDevice {
			what = "a GPU of it"
		}
		return fmt.Sprintf("machine %s of %s has not answered the last %d challenges to %s in time: your own work may be why; it is proven anew when it is idle", m.ID, l.Node, Unanswered, what)
	}
	return ""
}

// lucky says whether the lottery of this hour has drawn a device whose moment has come and was not used yet.
func lucky(s *state.State, known *state.Proven, now time.Time) bool {
	if known == nil {
		return false
	}
	at, drawn := known.Drawn(now, s.Proving.Lottery)
	return drawn && !now.Before(at) && known.OpenedAt.Before(at)
}

// using is a lease that works on a device; nil for none.
func using(leases []*state.Lease, device string) *state.Lease {
	for _, l := range leases {
		if device == raylink.CPUDevice || slices.Contains(l.Devices, device) {
			return l
		}
	}
	return nil
}

// ProofTask is what a device is to compute: products, and every other time a walk through its memory as well, whose filling would spoil the rate. After a slow
// walk it is a walk again. Under a lease the memory is the tenant's. How long the first products and all walks are is the catalogue's word for such a model.
func ProofTask(s *state.State, m *state.Machine, known *state.Proven, claim state.Claim, idle bool) challenge.Task {
	return taskAt(s, m, known, claim, idle, guess(known, claim))
}

// guess is what a device is thought to do, in millions of multiply-adds a second; 0 where nothing is known.
func guess(known *state.Proven, claim state.Claim) int64 {
	rate := int64(0)
	least, _, banded := catalogue.Band(claim.Device())
	switch {
	case banded && claim.Kind == raylink.DeviceGPU:
		rate = 2 * least // the first guess: half of what dp4a reaches
	case banded:
		rate = max(2*least, unknownRate) // on a large processor a smaller task would measure the network
	}
	if known == nil || known.Claim != claim {
		return rate
	}
	if known.Guess > 0 {
		rate = known.Guess
	}
	if banded && known.Rounds > 0 && claim.Kind == raylink.DeviceCPU {
		rate = max(rate, least) // a slow round was short for what it is to show
	}
	return rate
}

func taskAt(s *state.State, m *state.Machine, known *state.Proven, claim state.Claim, idle bool, rate int64) challenge.Task {
	memory := int64(0)
	if known != nil && known.Claim == claim {
		shown, again := known.PassedAt != nil && known.Rounds == 0, known.WalkRounds > 0
		if shown && idle && s.Proving.Memory && (again || known.State == state.ProofPassed && (known.WalkedAt == nil || known.WalkedAt.Before(*known.PassedAt))) {
			if memory = claim.Memory; claim.Kind == raylink.DeviceCPU {
				memory = m.Offer.Resources.Memory
			}
		}
	}
	if s.Proving.Work != challenge.ProofTime {
		if rate <= 0 {
			rate = unknownRate
		}
		rate = max(min(rate, 1<<40)*s.Proving.Work.Milliseconds()/challenge.ProofTime.Milliseconds(), 1)
	}
	t := challenge.TaskFor(claim.Kind, memory, rate, catalogue.Reads(claim.Device()))
	t.Links = min(t.Links, state.MaxProofLinks)
	t.Openings = min(s.Proving.Openings, t.Links*t.TilesPerLink())
	return t
}

// proofID is the id of a proof that this look opens, from the entropy that was minted for the look.
func proofID(seen Seen, m raylink.MachineID, device string) raylink.ProofID {
	sum := sha256.Sum256(fmt.Appendf(seen.Entropy[:len(seen.Entropy):len(seen.Entropy)], "\nproof %s %s", m, device))
	id, err := raylink.NewID[raylink.ProofID](bytes.NewReader(sum[:]), "p")
	if err != nil {
		panic(fmt.Sprintf("32 bytes are not enough for an id: %v", err))
	}
	return id
}

// ProofOrders are the proofs that a machine is to go on with.
func ProofOrders(s *state.State, machine raylink.MachineID) []wire.ProofOrder {
	m := s.Machines[machine]
	if m == nil {
		return nil
	}
	var orders []wire.ProofOrder
	for _, device := range slices.Sorted(maps.Keys(m.Proven)) {
		p := s.Proofs[m.Proven[device].Open]
		if p == nil {
			continue
		}
		o := wire.ProofOrder{ID: p.ID, Device: p.Device, Deadline: p.Deadline}
		if p.Round != nil { // an agent takes it up before it begins, and the deadline for all of it
			o.Starts, o.Deadline = &p.Round.Starts, p.Round.Starts.Add(s.Proving.Compute+s.Proving.Walk+s.Proving.Answer)
		}
		if judge, ok := s.Members[p.By]; ok {
			o.By = judge.API
		}
		orders = append(orders, o)
	}
	return orders
}

// provenOnly takes the machines out of free that are not proven; of the others' GPUs State.FreeGPUs has counted those that are. It tells how many wait,
// by reason.
func provenOnly(s *state.State, now time.Time, free map[raylink.MachineID]raylink.Resources) map[raylink.Reason]int {
	waiting := map[raylink.Reason]int{}
	if !s.Proving.Required {
		return waiting
	}
	for id := range free {
		m := s.Machines[id]
		if why, _ := s.Unproven(m, now); why != raylink.ReasonNone {
			waiting[why]++
			delete(free, id)
		}
	}
	return waiting
}

// unplaced adds to a refusal how many machines wait for a proof.
func unplaced(err error, waiting map[raylink.Reason]int) error {
	if len(waiting) == 0 {
		return err
	}
	n, words := 0, []string{}
	for _, why := range slices.Sorted(maps.Keys(waiting)) {
		n += waiting[why]
		words = append(words, fmt.Sprintf("%d: %s", waiting[why], why.Words()))
	}
	e := *raylink.AsError(err)
	e.Message += fmt.Sprintf("; %d more wait for a proof (%s)", n, strings.Join(words, "; "))
	return &e
}
