package state

import (
	"time"

	"raylink/raylink"
	"raylink/raylink/challenge"
)

// ProofPolicy says what has to be proven, and when. The zero policy asks for nothing: logs from before proofs keep their meaning.
type ProofPolicy struct {
	Required bool          `json:"required"`          // devices are challenged, and only proven ones are placed on
	Least    time.Duration `json:"least"`             // a device that is idle is proven again after a random time between these two
	Most     time.Duration `json:"most"`              //
	Work     time.Duration `json:"work"`              // what its products take, as the task is sized
	Openings int           `json:"openings"`          // tiles that are opened
	Lottery  int64         `json:"lottery"`           // of a thousand hours under lease, how many draw a proof
	Begin    time.Duration `json:"begin"`             // a device has so long to begin,
	Compute  time.Duration `json:"compute"`           // from there to commit,
	Walk     time.Duration `json:"walk"`              // from there to have walked,
	Answer   time.Duration `json:"answer"`            // and from there to answer
	Budget   time.Duration `json:"budget"`            // of a device's time in any hour
	Rounds   int           `json:"rounds"`            // slow ones in a row, after which it is slow: one alone may be the network's
	Memory   bool          `json:"memory,omitempty"`  // memory is shown too, every other time
	Retry    time.Duration `json:"retry,omitempty"`   // between two tries, at least
	Appeals  time.Duration `json:"appeals,omitempty"` // between two appeals, at least
}

// MaxProofBudget is the most that a policy may take of a device, in any hour.
const MaxProofBudget = 20 * time.Second

// DefaultProofPolicy is what a new group begins with. One proof takes about 1.5 s, with its memory 3 s; what is set aside for one in the budget is its
// two deadlines, 12 s, until it is known what it took.
func DefaultProofPolicy() ProofPolicy {
	return ProofPolicy{Required: true, Least: time.Hour, Most: 6 * time.Hour, Work: challenge.ProofTime, Openings: 64, Lottery: 50, Begin: 2 * time.Minute, Compute: 8 * time.Second,
		Walk: 4 * time.Second, Answer: 30 * time.Second, Budget: MaxProofBudget, Rounds: 3, Memory: true, Retry: challenge.MinInterval, Appeals: 6 * time.Hour}
}

// Check refuses a policy that no device could follow, or that takes more of one than anybody is told.
func (p ProofPolicy) Check() error {
	within := func(d, least, most time.Duration) bool { return d >= least && d <= most }
	switch {
	case !within(p.Least, time.Minute, 30*24*time.Hour) || !within(p.Most, p.Least, 30*24*time.Hour):
		return raylink.Errorf(raylink.CodeInvalid, "a device is proven again after a minute to 30 days, the least time before the most")
	case !within(p.Work, time.Millisecond, p.Compute):
		return raylink.Errorf(raylink.CodeInvalid, "a proof's products take a millisecond to the time there is to commit (%s)", p.Compute)
	case p.Openings < 1 || p.Openings > challenge.MaxOpenings:
		return raylink.Errorf(raylink.CodeInvalid, "%d openings: 1 to %d", p.Openings, challenge.MaxOpenings)
	case p.Lottery < 0 || p.Lottery > 1000:
		return raylink.Errorf(raylink.CodeInvalid, "a lottery of %d in a thousand hours: 0 to 1000", p.Lottery)
	case !within(p.Begin, time.Second, time.Hour) || !within(p.Answer, time.Second, time.Hour):
		return raylink.Errorf(raylink.CodeInvalid, "a device has a second to an hour to begin, and to answer")
	case !within(p.Compute, 10*time.Millisecond, MaxProofBudget) || !within(p.Walk, 10*time.Millisecond, MaxProofBudget):
		return raylink.Errorf(raylink.CodeInvalid, "a device has 10 ms to 20 s to commit, and to walk")
	case !within(p.Budget, p.Compute+p.Walk, MaxProofBudget):
		return raylink.Errorf(raylink.CodeInvalid, "a budget of %s an hour: at least both deadlines together (%s), at most %s", p.Budget, p.Compute+p.Walk, MaxProofBudget)
	case p.Rounds < 1 || p.Rounds > 20:
		return raylink.Errorf(raylink.CodeInvalid, "%d rounds: 1 to 20", p.Rounds)
	case !within(p.Retry, time.Second, p.Most) || !within(p.Appeals, time.Second, 30*24*time.Hour):
		return raylink.Errorf(raylink.CodeInvalid, "between two tries there is a second to the longest interval, between two appeals a second to 30 days")
	}
	return nil
}

// SetProofPolicy changes what has to be proven.
type SetProofPolicy struct {
	Policy ProofPolicy `json:"policy"`
}

func (*SetProofPolicy) kind() string { return "proof.policy" }

func (c *SetProofPolicy) apply(s *State) (any, error) {
	if err := c.Policy.Check(); err != nil {
		return nil, err
	}
	s.Proving = c.Policy
	return nil, nil
}

// ProofRoom says whether a device's budget has room for a proof of this task at a time: what it spent in the hour before, and all that the proof may take.
func (s *State) ProofRoom(p *Proven, t challenge.Task, now time.Time) bool {
	spent := s.Proving.cost(t)
	if p != nil {
		for _, one := range p.Spent {
			if now.Sub(one.At) < time.Hour {
				spent += one.Of
			}
		}
	}
	return spent <= s.Proving.Budget
}

// cost is the most that a proof takes of a device: its deadlines say so.
func (p ProofPolicy) cost(t challenge.Task) time.Duration {
	if t.Walks() {
		return p.Compute + p.Walk
	}
	return p.Compute
}

// spend records what a proof took. What is over an hour old counts no more.
func (p *Proven) spend(at time.Time, of time.Duration) {
	if of <= 0 {
		return
	}
	kept := p.Spent[:0:0]
	for _, one := range p.Spent {
		if at.Sub(one.At) < time.Hour {
			kept = append(kept, one)
		}
	}
	p.Spent = append(kept, Spent{At: at, Of: of})
}
