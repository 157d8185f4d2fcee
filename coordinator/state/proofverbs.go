package state

import (
	"cmp"
	"time"

	"raylink/raylink"
	"raylink/raylink/challenge"
)

// Bounds of proofs.
const (
	MaxOpenProofs   = 16   // of one machine
	MaxProofDevices = 128  // of one machine, ever
	MaxProofLinks   = 1024 // a commitment has 32 bytes for each, and stands in the log
	keptProofs      = 4    // ended ones of a device
	maxDevice       = 64   // bytes of a device's id
	maxVerdict      = 500  // bytes of a judge's words

	MaxRound     = 64 + MaxOpenProofs // proofs of a round
	MaxRoundLead = time.Minute        // from a round's opening to its begin
)

// OpenProof tells a device that it is to be proven. The id is minted before the log.
type OpenProof struct {
	ID      raylink.ProofID   `json:"id"`
	Machine raylink.MachineID `json:"machine"`
	Device  string            `json:"device"`
	Claim   Claim             `json:"claim"`
	Why     string            `json:"why"`
	Task    challenge.Task    `json:"task"`
	Lease   raylink.LeaseID   `json:"lease,omitempty"`
	By      string            `json:"by,omitempty"`   // an appeal: the coordinator that is to judge it
	Of      raylink.ProofID   `json:"of,omitempty"`   // an appeal: the proof that it is against
	Spot    bool              `json:"spot,omitempty"` // an owner or a tenant asked for it: passed, it makes its device due at once, and proven no longer
	Round   *Round            `json:"round,omitempty"`
}

func (*OpenProof) kind() string { return "proof.open" }

func (c *OpenProof) apply(s *State) (any, error) {
	m, err := s.machine(c.Machine)
	if err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if _, taken := s.Proofs[c.ID]; taken {
		return nil, raylink.Errorf(raylink.CodeConflict, "a proof %s exists already", c.ID)
	}
	if err := s.mayOpen(m, c); err != nil {
		return nil, err
	}
	known := m.Proven[c.Device]
	if known == nil {
		if m.Proven == nil {
			m.Proven = map[string]*Proven{}
		}
		known = &Proven{Claim: c.Claim}
		m.Proven[c.Device] = known
	}
	if known.Claim != c.Claim { // another device under its name: what was shown of the one before shows nothing of it
		known.Claim, known.PassedAt, known.WalkedAt, known.Rate, known.Guess, known.Rounds, known.WalkRounds = c.Claim, nil, nil, 0, 0, 0, 0
	}
	known.Open, known.OpenedAt = c.ID, s.Now
	if c.Why == WhyAppeal {
		now := s.Now
		known.Appealed = &now
	}
	s.open[c.ID] = true
	p := &Proof{ID: c.ID, Machine: c.Machine, Device: c.Device, Claim: c.Claim, Why: c.Why, State: ProofOpen, Lease: c.Lease, By: c.By, Of: c.Of, Spot: c.Spot, Round: c.Round,
		Task: c.Task, OpenedAt: s.Now, Deadline: s.Now.Add(s.Proving.Begin)}
	if c.Round != nil {
		p.Deadline = c.Round.Starts.Add(s.Proving.Compute) // who begins late has less time
	}
	s.Proofs[c.ID] = p
	return c.ID, nil
}

// Check refuses what is no proof's opening, whatever the state.
func (c *OpenProof) Check() error {
	word := func(text string) bool { return len(text) <= maxLabel && printable(text) }
	k := c.Claim
	switch {
	case !raylink.ValidID(string(c.ID), "p"):
		return raylink.Errorf(raylink.CodeInvalid, "%.40q is no proof's id", c.ID)
	case c.Device == "" || len(c.Device) > maxDevice || !printable(c.Device):
		return raylink.Errorf(raylink.CodeInvalid, "a device's id is 1 to %d bytes of printable characters", maxDevice)
	case (k.Kind == raylink.DeviceCPU) != (c.Device == raylink.CPUDevice) || (k.Kind != raylink.DeviceCPU && k.Kind != raylink.DeviceGPU):
		return raylink.Errorf(raylink.CodeInvalid, "device %s is no %.40q", c.Device, k.Kind)
	case !word(k.Name) || !word(k.Model) || k.Memory < 0 || k.Memory > maxMemory || k.Cores < 0 || k.Threads < 0:
		return raylink.Errorf(raylink.CodeInvalid, "what device %s is said to be is out of range", c.Device)
	case c.Task.Check() != nil:
		return raylink.Errorf(raylink.CodeInvalid, "%v", c.Task.Check())
	case c.Task.Links > MaxProofLinks:
		return raylink.Errorf(raylink.CodeInvalid, "a proof of %d links; at most %d stand in the log", c.Task.Links, MaxProofLinks)
	case (c.Why == WhyAppeal) != (c.By != "") || (c.Why == WhyAppeal) != (c.Of != ""):
		return raylink.Errorf(raylink.CodeInvalid, "an appeal names a judge and a proof, and nothing else does")
	case c.Round != nil && (c.Round.Of < 2 || c.Round.Of > MaxRound || c.Lease != "" || c.By != ""):
		return raylink.Errorf(raylink.CodeInvalid, "a round has 2 to %d proofs of idle devices", MaxRound)
	case c.Round == nil && c.Why == WhyRound:
		return raylink.Errorf(raylink.CodeInvalid, "a proof for a round that there is not")
	}
	switch c.Why {
	case WhyJoined, WhyDue, WhyChanged, WhyAppeal, WhyLottery, WhyAsked, WhyRetry, WhyRound:
		return nil
	}
	return raylink.Errorf(raylink.CodeInvalid, "a proof is opened for no reason %.40q", c.Why)
}

// mayOpen says why a proof cannot be opened now.
func (s *State) mayOpen(m *Machine, c *OpenProof) error {
	open := 0
	for _, p := range m.Proven {
		if p.Open != "" {
			open++
		}
	}
	known := m.Proven[c.Device]
	switch {
	case !s.Proving.Required:
		return raylink.Errorf(raylink.CodeUnsupported, "this group asks for no proofs").WithHint("an admin can: `raylink admin proofs on`")
	case m.State == MachineBanned:
		return raylink.Errorf(raylink.CodeForbidden, "machine %s is banned", m.ID)
	case known == nil && len(m.Proven) >= MaxProofDevices:
		return raylink.Errorf(raylink.CodeCapacity, "machine %s has shown %d devices already", m.ID, MaxProofDevices)
	case known != nil && known.Open != "":
		return raylink.Errorf(raylink.CodeConflict, "a proof of %s is open already: %s", c.Device, known.Open).WithHint("wait for it: it takes seconds")
	case open >= MaxOpenProofs:
		return raylink.Errorf(raylink.CodeCapacity, "%d proofs of machine %s are open", open, m.ID).WithHint("wait for them: they take seconds")
	case !s.ProofRoom(known, c.Task, s.Now):
		return raylink.Errorf(raylink.CodeCapacity, "proofs have taken as much of %s as they may in an hour (%s)", c.Device, s.Proving.Budget).WithHint("try again in an hour")
	case c.Round != nil && (!c.Round.Starts.After(s.Now) || c.Round.Starts.Sub(s.Now) > MaxRoundLead):
		return raylink.Errorf(raylink.CodeConflict, "a round that begins at %s is opened at %s", c.Round.Starts.Format("15:04:05.000"), s.Now.Format("15:04:05.000"))
	}
	if c.Lease != "" {
		if l, ok := s.Leases[c.Lease]; !ok || l.Gone || l.Machine != m.ID {
			return raylink.Errorf(raylink.CodeNotFound, "no lease %.40q runs on machine %s", c.Lease, m.ID)
		}
	}
	if c.Why == WhyAppeal {
		return s.mayAppeal(known, c)
	}
	return nil
}

// mayAppeal wants the same challenge before another judge, and not all day long: each try is another chance for who guesses.
func (s *State) mayAppeal(known *Proven, c *OpenProof) error {
	if known == nil || known.Last() != c.Of || known.State == "" || known.State == ProofPassed {
		return raylink.Errorf(raylink.CodeConflict, "nothing was held against %s by proof %.40s", c.Device, c.Of).WithHint("see `raylink challenge list`")
	}
	if known.Appealed != nil && s.Now.Sub(*known.Appealed) < s.Proving.Appeals {
		return raylink.Errorf(raylink.CodeConflict, "the last appeal for %s was less than %s ago", c.Device, s.Proving.Appeals).WithHint("it is tried again by itself, too")
	}
	before := s.Proofs[c.Of]
	if _, ok := s.Members[c.By]; !ok || before.Judge == c.By {
		return raylink.Errorf(raylink.CodeInvalid, "an appeal is judged by another coordinator than %s", cmp.Or(before.Judge, "none"))
	}
	if before.Task != c.Task {
		return raylink.Errorf(raylink.CodeInvalid, "an appeal repeats the same challenge")
	}
	return nil
}

// BeginProof gives the seed out; the clock runs from here, in a round from the moment at which all of it may begin. Who asks again is told the same.
type BeginProof struct {
	ID      raylink.ProofID   `json:"id"`
	Machine raylink.MachineID `json:"machine"`
	Nonce   challenge.Seed    `json:"nonce"` // minted before the log
}

func (*BeginProof) kind() string { return "proof.begin" }

func (c *BeginProof) apply(s *State) (any, error) {
	p, err := s.proof(c.ID, c.Machine)
	if err != nil {
		return nil, err
	}
	if p.State == ProofBegun {
		return c.ID, nil
	}
	if err := s.step(p, ProofOpen); err != nil {
		return nil, err
	}
	from := s.Now
	if p.Round != nil {
		if from = p.Round.Starts; s.Now.Before(from) {
			return nil, raylink.Errorf(raylink.CodeConflict, "proof %s begins at %s", p.ID, from.Format("15:04:05.000")).WithHint("all proofs of its round begin then")
		}
	}
	p.State, p.Nonce, p.BegunAt, p.Deadline = ProofBegun, c.Nonce, &from, from.Add(s.Proving.Compute)
	return c.ID, nil
}

// step refuses what comes out of order or too late. It waits for no word that the deadline has passed: the clock is in the state.
func (s *State) step(p *Proof, from string) error {
	if p.State != from {
		return raylink.Errorf(raylink.CodeConflict, "proof %s is %s", p.ID, p.State).WithHint("begin, commit, walked, answer: each once, and in this order")
	}
	if s.Now.After(p.Deadline) {
		return raylink.Errorf(raylink.CodeConflict, "proof %s was to go on by %s", p.ID, p.Deadline.Format("15:04:05.000")).WithHint("it is too late; the device is tried again by itself")
	}
	return nil
}

// CommitProof binds a device to its results. The first counts; who says the same again is told the same.
type CommitProof struct {
	ID         raylink.ProofID      `json:"id"`
	Machine    raylink.MachineID    `json:"machine"`
	Commitment challenge.Commitment `json:"commitment"`
	Walk       challenge.Seed       `json:"walk"` // minted before the log: where the walk begins
}

func (*CommitProof) kind() string { return "proof.commit" }

func (c *CommitProof) apply(s *State) (any, error) {
	p, err := s.proof(c.ID, c.Machine)
	if err != nil {
		return nil, err
	}
	if p.State == ProofCommitted && sameRoots(p.Commitment.Roots, c.Commitment.Roots) {
		return c.ID, nil
	}
	if err := s.step(p, ProofBegun); err != nil {
		return nil, err
	}
	if err := challenge.CheckCommitment(p.Task, c.Commitment); err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%v", err)
	}
	now := s.Now
	p.State, p.Commitment, p.CommittedAt, p.Deadline = ProofCommitted, c.Commitment, &now, now.Add(s.Proving.Walk)
	if p.Task.Walks() {
		p.WalkDraw = c.Walk
	}
	return c.ID, nil
}

func sameRoots(a, b []challenge.Hash) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// WalkProof binds a device to its walk; where the task has none, the root is zero. The first counts; who says the same again is told the same.
type WalkProof struct {
	ID      raylink.ProofID   `json:"id"`
	Machine raylink.MachineID `json:"machine"`
	Root    challenge.Hash    `json:"root"`
	Open    challenge.Seed    `json:"open"` // minted before the log: what is opened
}

func (*WalkProof) kind() string { return "proof.walk" }

func (c *WalkProof) apply(s *State) (any, error) {
	p, err := s.proof(c.ID, c.Machine)
	if err != nil {
		return nil, err
	}
	if p.State == ProofWalked && p.WalkRoot == c.Root {
		return c.ID, nil
	}
	if err := s.step(p, ProofCommitted); err != nil {
		return nil, err
	}
	if !p.Task.Walks() && c.Root != (challenge.Hash{}) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "proof %s has no walk, and so no root of one", p.ID)
	}
	now := s.Now
	p.State, p.WalkRoot, p.OpenDraw, p.WalkedAt, p.Deadline = ProofWalked, c.Root, c.Open, &now, now.Add(s.Proving.Answer)
	return c.ID, nil
}
