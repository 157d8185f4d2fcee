package state

import (
	"cmp"
	"slices"
	"time"

	"raylink/billing/meter"
	"raylink/raylink"
)

// Rules about machines that fail.
const (
	// FailuresInARow is how many leases fail on a machine before Ray starts, with no charged minute in between, until it is quarantined.
	FailuresInARow = 3
	// QuarantineRest is how long a machine stays in quarantine for them.
	QuarantineRest = time.Hour
	// MaxNotice is the longest notice that an owner may give.
	MaxNotice = 30 * 24 * time.Hour
	// ReliableFrom is how many minutes have to be measured before a reliability is said.
	ReliableFrom = 100

	maxFailureRows  = 16
	maxFailureWords = 120
	maxDetail       = 256
)

// Quarantine says why a machine gets nothing new until a rule releases it.
type Quarantine struct {
	Reason raylink.Reason
	Detail string `json:",omitempty"`
	Since  time.Time
	Until  *time.Time `json:",omitempty"` // not before; nil is as soon as the cause is gone
}

// Record is what was measured of a machine since it joined.
type Record struct {
	Served   int64        // minutes that it was hired for and served
	Lost     int64        // minutes that it was hired for and did not serve
	Failures int64        // leases that failed on it
	Row      int          // of them before Ray started, since the last charged minute
	Stages   []FailureRow `json:",omitempty"` // by stage and reason, the most frequent first; the rarest go when there are too many
}

// FailureRow counts leases that failed alike.
type FailureRow struct {
	Stage  string
	Reason string
	Count  int64
	LastAt time.Time
}

// Reliability is how many of 10,000 minutes that were its to serve a machine served; nil before the first hundred.
func (r Record) Reliability() *int64 {
	all := r.Served + r.Lost
	if all < ReliableFrom {
		return nil
	}
	value := r.Served * 10_000 / all // minutes of a century are 5·10⁷: no overflow
	return &value
}

// measure counts a settled minute for or against its machine. It counts against it only where a gateway was there to see: where no gateway
// spoke, the fault may be anybody's. Nor does a minute of a mass loss count.
func (s *State) measure(l *Lease, note meter.MinuteNote, excused bool) {
	m := s.Machines[l.Machine]
	served, _ := note.Verdict()
	switch {
	case served: // also what the purse could not pay
		m.Record.Served++
		m.Record.Row = 0
	case note.Gateway != nil && !excused:
		m.Record.Lost++
	}
}

// failed counts a lease that failed on a machine.
func (s *State) failed(id raylink.MachineID, f raylink.Failure) {
	m, ok := s.Machines[id]
	if !ok {
		return
	}
	r := &m.Record
	r.Failures++
	if early(f.Stage) {
		r.Row++
	}
	stage, reason := cut(f.Stage, maxFailureWords), cut(f.Reason, maxFailureWords)
	at := slices.IndexFunc(r.Stages, func(x FailureRow) bool { return x.Stage == stage && x.Reason == reason })
	if at < 0 {
		if len(r.Stages) == maxFailureRows {
			r.Stages = r.Stages[:maxFailureRows-1]
		}
		r.Stages = append(r.Stages, FailureRow{Stage: stage, Reason: reason})
		at = len(r.Stages) - 1
	}
	r.Stages[at].Count++
	r.Stages[at].LastAt = s.Now
	slices.SortStableFunc(r.Stages, func(a, b FailureRow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.LastAt.Compare(a.LastAt))
	})
}

// early says whether a stage is the machine's own business. From Ray's start on it may be the tenant's program, and nobody shall be able to put a machine
// into quarantine by a job that crashes.
func early(stage string) bool {
	switch raylink.Phase(stage) {
	case raylink.PhaseImage, raylink.PhaseOverlay, raylink.PhasePreflight:
		return true
	}
	return false
}

// cut is the beginning of a text, whole characters of it.
func cut(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	for bytes > 0 && text[bytes]&0xC0 == 0x80 {
		bytes--
	}
	return text[:bytes]
}

// QuarantineMachine takes a machine out of the market for a reason that a rule found.
type QuarantineMachine struct {
	ID     raylink.MachineID `json:"id"`
	Reason raylink.Reason    `json:"reason"`
	Detail string            `json:"detail,omitempty"`
	For    time.Duration     `json:"for,omitempty"` // at least; 0 is until the cause is gone
}

func (*QuarantineMachine) kind() string { return "machine.quarantine" }

func (c *QuarantineMachine) apply(s *State) (any, error) {
	m, err := s.machine(c.ID)
	if err != nil {
		return nil, err
	}
	if c.Reason.State() != raylink.MachineQuarantined {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%.40q is no reason for a quarantine", string(c.Reason))
	}
	if len(c.Detail) > maxDetail || !printable(c.Detail) || c.For < 0 || c.For > MaxNotice {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a quarantine has at most %d bytes of printable detail and lasts at most %s", maxDetail, MaxNotice)
	}
	if m.Quarantine != nil && m.Quarantine.Reason == c.Reason && m.Quarantine.Detail == c.Detail {
		return nil, nil // known
	}
	q := &Quarantine{Reason: c.Reason, Detail: c.Detail, Since: s.Now}
	if c.For > 0 {
		until := s.Now.Add(c.For)
		q.Until = &until
	}
	m.Quarantine = q
	return nil, nil
}

// ReleaseMachine ends a quarantine. Reason is the one that is meant: another one that has come meanwhile stays.
type ReleaseMachine struct {
	ID     raylink.MachineID `json:"id"`
	Reason raylink.Reason    `json:"reason"`
}

func (*ReleaseMachine) kind() string { return "machine.release" }

func (c *ReleaseMachine) apply(s *State) (any, error) {
	m, err := s.machine(c.ID)
	if err != nil {
		return nil, err
	}
	if m.Quarantine == nil || m.Quarantine.Reason != c.Reason {
		return nil, nil
	}
	if until := m.Quarantine.Until; until != nil && s.Now.Before(*until) {
		return nil, raylink.Errorf(raylink.CodeConflict, "machine %s stays in quarantine until %s", c.ID, until.Format(time.RFC3339))
	}
	m.Quarantine = nil
	if c.Reason == raylink.ReasonStageFailures { // or who was quarantined for something else meanwhile would get off
		m.Record.Row = 0
	}
	return nil, nil
}

// Open says why a machine gets no new leases, as far as the log knows; nil where it does.
func (s *State) Open(m *Machine) error {
	hint := "ask for a new quote"
	switch {
	case m.State != MachineActive:
		return raylink.Errorf(raylink.CodeCapacity, "machine %s takes no new leases", m.ID).WithHint("%s", hint)
	case m.Quarantine != nil:
		return raylink.Errorf(raylink.CodeCapacity, "machine %s is in quarantine: %s", m.ID, m.Quarantine.Reason.Words()).WithHint("%s", hint)
	}
	if below := s.Versions.Below(m.Host); below != "" {
		return raylink.Errorf(raylink.CodeCapacity, "machine %s is below the network's minimum versions", m.ID).WithHint("%s", hint)
	}
	return nil
}

// blame counts a cluster's failure against the machine that it names, unless the machine's own word of it was counted already.
func (s *State) blame(c *Cluster, f *raylink.Failure) {
	if f == nil || f.Machine == "" {
		return
	}
	for _, id := range c.Leases {
		if l := s.Leases[id]; l.Machine == f.Machine && l.Failure == nil {
			s.failed(l.Machine, *f)
			return
		}
	}
}
