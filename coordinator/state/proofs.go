package state

import (
	"maps"
	"slices"
	"time"

	"raylink/raylink"
	"raylink/raylink/challenge"
)

// States of a proof. The last four are ends.
const (
	ProofOpen      = "open"      // its device has been told that it is to be proven
	ProofBegun     = "begun"     // the seed is given out: the clock runs
	ProofCommitted = "committed" // bound to its results
	ProofWalked    = "walked"    // bound to its walk, and told what is opened
	ProofPassed    = "passed"
	ProofFailed    = "failed" // answered wrongly, or faster than such a device can be
	ProofLate      = "late"   // a deadline passed
	ProofSlow      = "slow"   // right, and slower than such a device is
)

// Why a proof was opened.
const (
	WhyJoined  = "joined"
	WhyDue     = "due"
	WhyChanged = "changed"
	WhyAppeal  = "appeal"
	WhyLottery = "lottery"
	WhyAsked   = "asked"
	WhyRetry   = "retry"
	WhyRound   = "round" // another device of the same owner is due: they begin together
)

// Round is what proofs of one owner's devices have in common that begin at the same moment, so that none of them can stand in for another.
type Round struct {
	Starts time.Time `json:"starts"` // their seeds are given out then, and the clocks of all run from then
	Of     int       `json:"of"`     // how many there are
}

// Claim is what a device was said to be when it was proven. Another claim is another device.
type Claim struct {
	Kind    raylink.DeviceKind `json:"kind"`
	Name    string             `json:"name,omitempty"`
	Model   string             `json:"model,omitempty"`
	Memory  int64              `json:"memory,omitempty"` // bytes of its own
	Cores   int                `json:"cores,omitempty"`
	Threads int                `json:"threads,omitempty"`
}

// ClaimOf is what of a device's description has to stay the same.
func ClaimOf(d raylink.Device) Claim {
	return Claim{Kind: d.Kind, Name: d.Name, Model: d.Model, Memory: d.Memory, Cores: d.Cores, Threads: d.Threads}
}

// Device is a device of which no more is known than a claim says.
func (c Claim) Device() raylink.Device {
	return raylink.Device{Kind: c.Kind, Name: c.Name, Model: c.Model, Memory: c.Memory, Cores: c.Cores, Threads: c.Threads}
}

// Proof is one challenge to one device. What was minted for it and what it was committed to is forgotten at its end: the judge keeps the transcript.
type Proof struct {
	ID      raylink.ProofID
	Machine raylink.MachineID
	Device  string // raylink.CPUDevice, or a GPU's UUID
	Claim   Claim
	Why     string
	State   string
	Detail  string
	Lease   raylink.LeaseID // during which it runs; empty while the machine is idle
	By      string          // an appeal: the id of the coordinator that may judge it, and no other
	Of      raylink.ProofID // an appeal: the proof that is appealed against
	Spot    bool            `json:",omitempty"` // somebody chose its moment: passed, it does not count for longer than that
	Round   *Round          `json:",omitempty"` // nil where it begins when its device likes, up to the deadline

	Task       challenge.Task
	Nonce      challenge.Seed // the device's seed is bound to it
	WalkDraw   challenge.Seed // where the walk begins
	OpenDraw   challenge.Seed // what is opened
	Commitment challenge.Commitment
	WalkRoot   challenge.Hash

	OpenedAt    time.Time
	Deadline    time.Time // of the step that is waited for
	BegunAt     *time.Time
	CommittedAt *time.Time
	WalkedAt    *time.Time
	EndedAt     *time.Time

	Rate   int64  // millions of int8 multiply-adds in a second
	Judge  string // id of the coordinator that judged it and keeps the transcript
	SHA256 string // of the transcript
}

// Ended says whether nothing more comes.
func (p *Proof) Ended() bool { return p.EndedAt != nil }

// Millis is how long it took from begin to commitment; 0 before.
func (p *Proof) Millis() int64 { return between(p.BegunAt, p.CommittedAt) }

// WalkMillis is how long the walk took; 0 before, and without one.
func (p *Proof) WalkMillis() int64 {
	if !p.Task.Walks() {
		return 0
	}
	return between(p.CommittedAt, p.WalkedAt)
}

func between(from, to *time.Time) int64 {
	if from == nil || to == nil {
		return 0
	}
	return to.Sub(*from).Milliseconds()
}

// Proven is what is known of a device of a machine from its proofs. Standings are made of it.
type Proven struct {
	Claim      Claim           // the last one that a proof was opened for
	Open       raylink.ProofID // the one that runs; empty for none
	State      string          // how that ended: passed, failed, late, slow; empty before. A slow round alone leaves it as it was
	Detail     string
	At         time.Time         // when that was
	OpenedAt   time.Time         // when the last one was opened
	PassedAt   *time.Time        // when its products were shown last, for this claim
	WalkedAt   *time.Time        // when its memory was
	Until      time.Time         // it is proven until then, if it is at all
	Next       time.Time         // the next proof is due then
	Appealed   *time.Time        // when the last appeal was opened
	Rate       int64             // of this claim, the best: millions of int8 multiply-adds in a second. Published is LastRate
	Guess      int64             // what the next task is sized for
	Failures   int               // ends that count against it (failed, late, slow), in a row
	Rounds     int               // slow rounds in a row
	WalkRounds int               // slow walks in a row; one is left over when they were too many, until a walk passes
	Missed     int               // proofs in a row that were not even begun
	Draw       challenge.Seed    // what the next times are drawn from; no machine is ever told
	Spent      []Spent           // of the device's time, over the last hour, oldest first
	Kept       []raylink.ProofID // the last few that ended, oldest first
	Aside      bool              `json:",omitempty"` // its trouble counts only while the machine offers it: AsideProof
	Behind     int               `json:",omitempty"` // rounds in a row that it did not pass, however they ended
	BehindOf   int               `json:",omitempty"` // the largest of them
	BehindAt   *time.Time        `json:",omitempty"` // the last of them
}

// Spent is what one proof took of a device.
type Spent struct {
	At time.Time
	Of time.Duration
}

// LateTimes is how many late ends in a row put a machine into quarantine: one alone may be the network's.
const LateTimes = 3

// Last is the proof that ended last; empty for none.
func (p *Proven) Last() raylink.ProofID {
	if len(p.Kept) == 0 {
		return ""
	}
	return p.Kept[len(p.Kept)-1]
}

// Trouble is why a device's machine is to stand in quarantine for what its proofs showed; ReasonNone where it is not.
func (p *Proven) Trouble() raylink.Reason {
	switch {
	case p.State == ProofFailed:
		return raylink.ReasonProofFailed
	case p.State == ProofSlow:
		return raylink.ReasonProofSlow
	case p.State == ProofLate && p.Failures >= LateTimes:
		return raylink.ReasonProofLate
	}
	return raylink.ReasonNone
}

// Lacks is why a device is not proven: ReasonNone where it is, else no-proof, proof-running, proof-expired, or its trouble. A GPU has to show its
// memory as well.
func (p *Proven) Lacks(now time.Time) raylink.Reason {
	switch {
	case p == nil:
		return raylink.ReasonNoProof
	case p.Trouble() != raylink.ReasonNone:
		return p.Trouble()
	case p.PassedAt != nil && (p.WalkedAt != nil || p.Claim.Kind != raylink.DeviceGPU):
		if now.Before(p.Until) {
			return raylink.ReasonNone
		}
		return raylink.ReasonProofExpired
	case p.Open != "":
		return raylink.ReasonProofRunning
	}
	return raylink.ReasonNoProof
}

// Trouble is why a machine is to stand in quarantine for what its proofs showed, and the device that it is for. A device that was put aside counts while
// the machine offers it.
func (m *Machine) Trouble() (why raylink.Reason, device string) {
	for id, known := range m.Proven { // the first by its id, without sorting: every look asks every machine
		if what := known.Trouble(); what != raylink.ReasonNone && (device == "" || id < device) && (!known.Aside || m.offers(id)) {
			why, device = what, id
		}
	}
	return why, device
}

// Withdrawn is a GPU in trouble that the machine does not offer and that was not put aside yet, the first of them by id; empty for none.
func (m *Machine) Withdrawn() (device string) {
	for id, known := range m.Proven {
		if known.Trouble() != raylink.ReasonNone && (device == "" || id < device) && !known.Aside && m.Host != nil && !m.offers(id) {
			device = id
		}
	}
	return device
}

// offers says whether a device is one of those that a machine can use and rents out. Which GPUs are left of an offer of some is the agent's choice, so all
// of them count.
func (m *Machine) offers(device string) bool {
	return device == raylink.CPUDevice || m.Offer.Resources.GPU > 0 && slices.ContainsFunc(m.GPUs(), func(d raylink.Device) bool { return d.ID == device })
}

// Unproven is why a machine is not placed on for want of proofs, and the device that it is for. With a policy that asks for none it is ReasonNone.
// A machine whose processor is proven is placed on; what is wrong with one of its GPUs keeps all of it away only where it is trouble.
func (s *State) Unproven(m *Machine, now time.Time) (raylink.Reason, string) {
	if !s.Proving.Required {
		return raylink.ReasonNone, ""
	}
	if why, device := m.Trouble(); why != raylink.ReasonNone {
		return why, device
	}
	if m.Host == nil && len(m.Proven) == 0 {
		return raylink.ReasonNoInventory, ""
	}
	return m.Lacks(raylink.CPUDevice, now), raylink.CPUDevice
}

// Lacks is why a device is not proven as what it is said to be now.
func (m *Machine) Lacks(device string, now time.Time) raylink.Reason {
	known := m.Proven[device]
	if known == nil {
		return raylink.ReasonNoProof
	}
	for _, d := range m.Devices() {
		if d.ID == device && ClaimOf(d) != known.Claim {
			return raylink.ReasonChanged
		}
	}
	return known.Lacks(now)
}

// Devices are what a machine says it has and can use, the processor first; none before it has said what it is.
func (m *Machine) Devices() []raylink.Device {
	if m.Host == nil {
		return nil
	}
	return append([]raylink.Device{m.Host.Devices[0]}, m.GPUs()...)
}

// proven says whether every machine of a quote is still one to be placed on.
func (s *State) proven(q *Quote) error {
	for _, n := range q.Nodes {
		m, ok := s.Machines[n.Machine]
		if !ok {
			continue
		}
		if why, device := s.Unproven(m, s.Now); why != raylink.ReasonNone {
			return raylink.Errorf(raylink.CodeCapacity, "machine %s is no longer to be had: %s (%s)", n.Machine, why.Words(), device).WithHint("ask for a new quote")
		}
	}
	return nil
}

// ProvenGPUs is how many GPUs of a machine are proven now, and still there.
func (m *Machine) ProvenGPUs(now time.Time) int64 {
	n := int64(0)
	for _, d := range m.GPUs() {
		if m.Lacks(d.ID, now) == raylink.ReasonNone {
			n++
		}
	}
	return n
}

// LastRate is what a device is said to do, in millions of multiply-adds in a second: the least of the last rounds that are kept. Rounds that were over in less
// than half the time that they are made for say more of the network than of the device, and count only where there are no others. Nor do those under a
// lease count, where a tenant works beside them.
func (s *State) LastRate(known *Proven) int64 {
	whole, short := int64(0), int64(0)
	for _, id := range known.Kept {
		p := s.Proofs[id]
		if p == nil || p.Task.Walks() || p.Lease != "" || p.Claim != known.Claim || p.Rate == 0 || p.State != ProofPassed && p.State != ProofSlow {
			continue
		}
		least := &whole
		if p.Millis() < s.Proving.Work.Milliseconds()/2 {
			least = &short
		}
		if *least == 0 || p.Rate < *least {
			*least = p.Rate
		}
	}
	switch {
	case whole > 0:
		return whole
	case short > 0:
		return short
	case known.Guess > 0: // the last round, which is not kept any more
		return min(known.Guess, known.Rate)
	}
	return known.Rate
}

// OpenProofs are the proofs that have not ended, by their ids.
func (s *State) OpenProofs() []*Proof {
	list := make([]*Proof, 0, len(s.open))
	for _, id := range slices.Sorted(maps.Keys(s.open)) {
		list = append(list, s.Proofs[id])
	}
	return list
}

func (s *State) proof(id raylink.ProofID, m raylink.MachineID) (*Proof, error) {
	p, ok := s.Proofs[id]
	if !ok || p.Machine != m {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no proof %.40q", id).WithHint("a proof belongs to one machine and is forgotten after a few others: see `raylink challenge list`")
	}
	return p, nil
}
