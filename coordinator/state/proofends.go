package state

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"raylink/raylink"
	"raylink/raylink/challenge"
)

// Times after a proof.
const (
	// JudgeFor is how long after the deadline of an answer its judge may still be at work.
	JudgeFor = time.Minute
	// ProofGrace is how long after the next proof is due a device still counts as proven: it may be hired, or its machine switched off.
	ProofGrace = time.Hour
	// ProofPenance is how long after a wrong answer, or after too many slow rounds, a device is tried again by itself.
	ProofPenance = 24 * time.Hour
	// BehindFor is how long a round that was not passed counts: an owner who has fewer machines since may have none as large to make up for it.
	BehindFor = 7 * 24 * time.Hour
)

// JudgeProof ends a proof by its judge's word. How long it took is the state's own knowledge.
type JudgeProof struct {
	ID      raylink.ProofID   `json:"id"`
	Machine raylink.MachineID `json:"machine"`
	Right   bool              `json:"right"`
	Detail  string            `json:"detail,omitempty"`
	Judge   string            `json:"judge"`
	SHA256  string            `json:"transcript"`
	Draw    challenge.Seed    `json:"draw"`            // minted before the log, and told to nobody: the next times follow from it
	Least   int64             `json:"least,omitempty"` // millions of multiply-adds in a second that such a device does at least; 0 is not known
	Most    int64             `json:"most,omitempty"`  // and at most

	WalkMost int64 `json:"walk_most,omitempty"` // milliseconds that the walk may take on such a device; 0 is no bound
}

func (*JudgeProof) kind() string { return "proof.judge" }

func (c *JudgeProof) apply(s *State) (any, error) {
	p, err := s.proof(c.ID, c.Machine)
	if err != nil {
		return nil, err
	}
	_, member := s.Members[c.Judge]
	switch {
	case p.State != ProofWalked:
		return nil, raylink.Errorf(raylink.CodeConflict, "proof %s is %s", p.ID, p.State)
	case !member || (p.By != "" && p.By != c.Judge):
		return nil, raylink.Errorf(raylink.CodeForbidden, "coordinator %.40q does not judge proof %s", c.Judge, p.ID)
	case len(c.Detail) > maxVerdict || !printable(c.Detail):
		return nil, raylink.Errorf(raylink.CodeInvalid, "a judge's words are at most %d bytes of printable characters", maxVerdict)
	case c.Least < 0 || c.Most < 0 || (c.Most > 0 && c.Least > c.Most) || c.WalkMost < 0:
		return nil, raylink.Errorf(raylink.CodeInvalid, "a band from %d to %d, and a walk of %d ms", c.Least, c.Most, c.WalkMost)
	}
	if err := checkHash(c.SHA256); err != nil {
		return nil, err
	}
	p.Judge, p.SHA256, p.Detail = c.Judge, c.SHA256, c.Detail
	known := s.Machines[p.Machine].Proven[p.Device]
	known.Draw = c.Draw
	if !p.Task.Walks() {
		p.Rate = challenge.Rate(p.Task, p.Millis())
	}
	switch {
	case !c.Right:
		s.end(p, ProofFailed)
	case c.Most > 0 && p.Rate > c.Most:
		p.Detail = fmt.Sprintf("%d million multiply-adds a second: no such device does more than %d", p.Rate, c.Most)
		s.end(p, ProofFailed)
	case p.Rate < c.Least && !p.Task.Walks():
		p.Detail = fmt.Sprintf("%d million multiply-adds a second, where such a device does %d", p.Rate, c.Least)
		s.end(p, ProofSlow)
	case c.WalkMost > 0 && p.WalkMillis() > c.WalkMost:
		p.Detail = fmt.Sprintf("the walk through its memory took %d ms, where such a device's own takes %d at most", p.WalkMillis(), c.WalkMost)
		s.end(p, ProofSlow)
	default:
		s.end(p, ProofPassed)
	}
	return p.State, nil
}

// ExpireProof ends a proof whose deadline has passed.
type ExpireProof struct {
	ID      raylink.ProofID   `json:"id"`
	Machine raylink.MachineID `json:"machine"`
	Walk    bool              `json:"walk,omitempty"` // what is late is its walk, which counts as a slow one: the products that pass after it say nothing of that
}

func (*ExpireProof) kind() string { return "proof.expire" }

func (c *ExpireProof) apply(s *State) (any, error) {
	p, err := s.proof(c.ID, c.Machine)
	if err != nil {
		return nil, err
	}
	if !p.Expired(s.Now) {
		return nil, raylink.Errorf(raylink.CodeConflict, "proof %s is %s, and not late", p.ID, p.State)
	}
	how := ProofLate
	if c.Walk && p.State == ProofCommitted && p.Task.Walks() {
		how = ProofSlow
	}
	p.Detail = map[string]string{ProofOpen: "it was not begun", ProofBegun: "it was not committed to", ProofCommitted: "the walk did not end", ProofWalked: "it was not answered"}[p.State] +
		" by " + p.Deadline.Format("15:04:05") + " UTC"
	s.end(p, how)
	return p.State, nil
}

// AsideProof puts a GPU in trouble aside that its machine does not offer any more: gone, broken, swapped, or kept by its owner. Nobody could end the
// quarantine otherwise, for a proof needs the device. It stays aside, and what was shown of it stays: once it is offered again, its trouble counts again.
type AsideProof struct {
	Machine raylink.MachineID `json:"machine"`
	Device  string            `json:"device"`
}

func (*AsideProof) kind() string { return "proof.aside" }

func (c *AsideProof) apply(s *State) (any, error) {
	m, err := s.machine(c.Machine)
	if err != nil {
		return nil, err
	}
	known := m.Proven[c.Device]
	switch {
	case known == nil:
		return nil, raylink.Errorf(raylink.CodeNotFound, "machine %s has shown no device %.40q", m.ID, c.Device)
	case m.Host == nil || m.offers(c.Device):
		return nil, raylink.Errorf(raylink.CodeConflict, "machine %s offers its device %.40q", m.ID, c.Device)
	}
	known.Aside = true
	return nil, nil
}

// Expired says whether the deadline of what is waited for has passed. An answer may be with its judge meanwhile.
func (p *Proof) Expired(now time.Time) bool {
	deadline := p.Deadline
	if p.State == ProofWalked {
		deadline = deadline.Add(JudgeFor)
	}
	return !p.Ended() && now.After(deadline)
}

// end records how a proof ended, and what that means for its device.
func (s *State) end(p *Proof, how string) {
	known := s.Machines[p.Machine].Proven[p.Device]
	known.spend(s.Now, s.took(p))
	begun, now := p.BegunAt != nil, s.Now
	p.State, p.EndedAt, p.Deadline = how, &now, time.Time{}
	p.Nonce, p.WalkDraw, p.OpenDraw, p.Commitment, p.WalkRoot = challenge.Seed{}, challenge.Seed{}, challenge.Seed{}, challenge.Commitment{}, challenge.Hash{}
	known.Open = ""
	delete(s.open, p.ID)
	known.Kept = append(known.Kept, p.ID)
	for len(known.Kept) > keptProofs {
		delete(s.Proofs, known.Kept[0])
		known.Kept = append([]raylink.ProofID(nil), known.Kept[1:]...)
	}
	switch {
	case how == ProofPassed:
		s.passed(known, p)
	case how == ProofFailed:
		known.ended(p, now)
		known.forget(p.Task)
		known.Next = now.Add(ProofPenance)
	case p.Lease != "": // a tenant works on the device: that it was slow or late says nothing
	case how == ProofSlow && p.Task.Walks():
		s.slowWalk(known, p)
	case how == ProofSlow:
		s.slow(known, p)
	case !begun: // its agent may be gone, or too old: not its fault, but there is no use in asking all the time
		known.Missed++
		known.Next = now.Add(s.wait(known.Missed))
	default:
		known.ended(p, now)
		known.Guess = max(p.Task.Work()/(2*1000*max(s.Proving.Work.Milliseconds(), 1)), 1) // half of what it was thought to do
		known.Next = now.Add(s.wait(known.Failures))
	}
	if p.Round != nil {
		s.behind(known, p)
	}
}

// behind counts the rounds that a device did not pass, however they ended: answered slowly, late, or not at all, its agent gone meanwhile. So many in a
// row (ProofPolicy.Rounds), and it is not the device that it passed for when it was asked alone. Only a round of half as many or more makes up for them, so
// that an owner cannot show his machines one by one in between.
func (s *State) behind(known *Proven, p *Proof) {
	if p.State == ProofPassed {
		if 2*p.Round.Of >= known.BehindOf && !p.Task.Walks() { // a walk's products are not measured
			known.Behind, known.BehindOf = 0, 0
		}
		return
	}
	now := s.Now
	if known.BehindAt != nil && now.Sub(*known.BehindAt) > BehindFor {
		known.Behind, known.BehindOf = 0, 0
	}
	known.Behind, known.BehindOf, known.BehindAt = known.Behind+1, max(known.BehindOf, p.Round.Of), &now
	if known.Behind < s.Proving.Rounds {
		return
	}
	rounds := known.Behind
	if known.Behind, known.BehindOf = 0, 0; known.Trouble() != raylink.ReasonNone {
		return
	}
	known.Detail = fmt.Sprintf("%d times in a row it did not show, at the same moment as its owner's other devices, what it is said to do; the last time: %s", rounds, p.Detail)
	known.State, known.At, known.PassedAt, known.WalkedAt = ProofSlow, s.Now, nil, nil
	known.Failures, known.Rounds, known.WalkRounds, known.Next = known.Failures+1, 0, 0, s.Now.Add(ProofPenance)
}

// took is what a proof has taken of its device's time.
func (s *State) took(p *Proof) time.Duration {
	switch {
	case p.BegunAt == nil:
		return 0
	case p.CommittedAt == nil:
		return p.Deadline.Sub(*p.BegunAt)
	case p.WalkedAt == nil && p.Task.Walks():
		return p.Deadline.Sub(*p.BegunAt)
	case p.WalkedAt == nil || !p.Task.Walks(): // what passes between two requests without a walk is the network's
		return p.CommittedAt.Sub(*p.BegunAt)
	}
	return p.WalkedAt.Sub(*p.BegunAt)
}

// wait grows with every try that came to nothing, up to the longest time between two proofs.
func (s *State) wait(times int) time.Duration {
	return min(s.Proving.Retry<<min(max(times-1, 0), 6), max(s.Proving.Most, s.Proving.Retry))
}

func (p *Proven) ended(proof *Proof, now time.Time) {
	p.State, p.Detail, p.At = proof.State, proof.Detail, now
	p.Failures, p.Missed = p.Failures+1, 0
}

// forget takes back what was shown by tasks of this form: only such a task shows it again.
func (p *Proven) forget(t challenge.Task) {
	if t.Walks() {
		p.WalkedAt = nil
		return
	}
	p.PassedAt = nil
}

// passed makes a device proven until some time after its next proof, which comes at a random moment.
func (s *State) passed(known *Proven, p *Proof) {
	now := s.Now
	if p.Task.Walks() {
		known.WalkRounds = 0
	}
	if known.State != ProofSlow || known.WalkRounds == 0 { // products do not make up for slow walks
		known.State, known.Detail, known.At = ProofPassed, "", now
	}
	known.Failures, known.Missed = 0, 0
	if p.Task.Walks() {
		known.WalkedAt = &now
	} else {
		known.PassedAt, known.Rounds = &now, 0
		if p.Lease == "" {
			known.Guess = p.Rate
		}
		known.Rate = max(known.Rate, p.Rate)
	}
	if p.Spot {
		known.Next = now
		return
	}
	known.Next = now.Add(s.Proving.Least + known.drawn("next", s.Proving.Most-s.Proving.Least))
	known.Until = known.Next.Add(ProofGrace)
	if known.PassedAt == nil || (known.Claim.Kind == raylink.DeviceGPU && known.WalkedAt == nil) {
		known.Next = now // the other half is still to be shown
	}
}

// slow counts the rounds: only when all were slow is the device (package challenge's documentation says why).
func (s *State) slow(known *Proven, p *Proof) {
	known.Rounds++
	known.Guess, known.Rate, known.Missed = p.Rate, max(known.Rate, p.Rate), 0
	known.Next = s.Now.Add(s.Proving.Retry)
	if known.Rounds >= s.Proving.Rounds {
		known.ended(p, s.Now)
		known.forget(p.Task)
		known.Rounds, known.WalkRounds, known.Next = 0, 0, s.Now.Add(ProofPenance)
	}
}

// slowWalk is the same for walks. What the memory is, is shown by a walk alone: the next proofs are walks until one is as fast as it should be.
func (s *State) slowWalk(known *Proven, p *Proof) {
	known.WalkRounds++
	known.Missed = 0
	known.Next = s.Now.Add(s.Proving.Retry)
	if known.WalkRounds >= s.Proving.Rounds {
		known.ended(p, s.Now)
		known.forget(p.Task)
		known.WalkRounds, known.Next = 1, s.Now.Add(ProofPenance)
	}
}

// drawn is a time below most, as the last judge's draw has it for this purpose.
func (p *Proven) drawn(purpose string, most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(p.number(purpose) % uint64(most))
}

func (p *Proven) number(purpose string) uint64 {
	sum := sha256.Sum256(append([]byte("raylink proofs v1\n"+purpose+"\n"), p.Draw[:]...))
	return binary.BigEndian.Uint64(sum[:])
}

// Drawn says whether the lottery of this hour falls on a device, and when in it: so many of a thousand hours do. The machine cannot know: the draw is
// the judges' secret.
func (p *Proven) Drawn(now time.Time, perMille int64) (time.Time, bool) {
	hour := now.Truncate(time.Hour)
	purpose := hour.UTC().Format("lottery 2006-01-02T15")
	if p.Draw == (challenge.Seed{}) || int64(p.number(purpose)%1000) >= perMille {
		return time.Time{}, false
	}
	return hour.Add(p.drawn(purpose+" at", time.Hour)), true
}
