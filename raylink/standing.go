package raylink

import (
	"fmt"
	"time"
)

// MachineState is where a machine stands in the market.
type MachineState string

// The states of a machine. Each comes with a Reason.
const (
	MachineJoining     MachineState = "joining"     // its key is known; what it is has not been told yet
	MachineProving     MachineState = "proving"     // told, and not (or no more) proven
	MachineReady       MachineState = "ready"       // proven, and free to be hired
	MachineHired       MachineState = "hired"       // nodes run on it
	MachineDraining    MachineState = "draining"    // keeps what runs, gets nothing new
	MachineQuarantined MachineState = "quarantined" // something was wrong; a rule says how it comes back
	MachineDown        MachineState = "down"        // not heard
	MachineBlocked     MachineState = "blocked"     // by an admin or a policy
)

// Reason is a code of why a machine is where it is. It survives the wire; Words and Remedy say it to people.
type Reason string

// The reasons, under the states that they belong to. Hired and ready say ReasonNone, or why room is left unused.
const (
	ReasonNone Reason = ""

	ReasonNoInventory Reason = "no-inventory" // joining

	ReasonNoProof      Reason = "no-proof"      // proving: never proven
	ReasonProofRunning Reason = "proof-running" // proving
	ReasonProofExpired Reason = "proof-expired" // proving: the last one is too old
	ReasonChanged      Reason = "changed"       // proving: it is another machine than the one that was proven

	ReasonOwnerDrain Reason = "owner-drain" // draining, paused or out of hours
	ReasonAdminDrain Reason = "admin-drain"
	ReasonPaused     Reason = "paused"
	ReasonHours      Reason = "out-of-hours"
	ReasonNotice     Reason = "notice" // draining with an end that was announced

	ReasonProofFailed   Reason = "proof-failed"   // quarantined: a challenge was answered wrongly
	ReasonProofLate     Reason = "proof-late"     // quarantined: answered too late, several times
	ReasonProofSlow     Reason = "proof-slow"     // quarantined: right, but not what such a model does
	ReasonDuplicate     Reason = "duplicate"      // quarantined: a device that another machine has
	ReasonImplausible   Reason = "implausible"    // quarantined: what it claims cannot be
	ReasonStageFailures Reason = "stage-failures" // quarantined: leases failed on it in a row
	ReasonDeviceFault   Reason = "device-fault"   // quarantined: a device that it offers is gone or broken

	ReasonSilent   Reason = "silent"    // down
	ReasonMassLoss Reason = "mass-loss" // down, with so many others that the fault is taken for ours

	ReasonBanned  Reason = "banned"        // blocked by an admin
	ReasonMinimum Reason = "below-minimum" // blocked by the policy of versions
)

// reasonRow is what people are told of a reason.
type reasonRow struct{ words, remedy string }

func reasonTable(r Reason) reasonRow {
	switch r {
	case ReasonNone:
		return reasonRow{}
	case ReasonNoInventory:
		return reasonRow{"its agent has not said yet what it is", "wait a few seconds; if it stays, update the agent"}
	case ReasonNoProof:
		return reasonRow{"its devices have not been proven yet", "nothing: a challenge comes within a minute, while the machine is idle"}
	case ReasonProofRunning:
		return reasonRow{"a challenge is under way", "nothing: it takes seconds"}
	case ReasonProofExpired:
		return reasonRow{"its last proof is too old", "nothing: a challenge comes as soon as the machine is idle"}
	case ReasonChanged:
		return reasonRow{"its devices have changed since they were proven", "nothing: a challenge comes within a minute"}
	case ReasonOwnerDrain:
		return reasonRow{"its owner drains it", "`raylink supplier resume` takes it back into the market"}
	case ReasonAdminDrain:
		return reasonRow{"an admin drains it", "ask the group's admin"}
	case ReasonPaused:
		return reasonRow{"its owner has paused it", "`raylink supplier resume` takes it back into the market"}
	case ReasonHours:
		return reasonRow{"it is outside the hours that its owner set", "wait, or change the hours with `raylink supplier schedule`"}
	case ReasonNotice:
		return reasonRow{"its owner takes it back", "`raylink supplier resume` withdraws the notice"}
	case ReasonProofFailed:
		return reasonRow{"it answered a challenge wrongly", "see `raylink challenge show`; `raylink supplier appeal` has the same challenge judged by another coordinator"}
	case ReasonProofLate:
		return reasonRow{"it did not answer challenges in time", "see that nothing else loads the machine; it is tried again by itself, or with `raylink supplier appeal`"}
	case ReasonProofSlow:
		return reasonRow{"its figures do not fit what it claims to be", "see that nothing else loads the machine and that it does not throttle; `raylink supplier appeal` tries again"}
	case ReasonDuplicate:
		return reasonRow{"a device of it is also claimed by another machine", "run one agent a machine; ask the group's admin if the device is yours"}
	case ReasonImplausible:
		return reasonRow{"what it says of its devices cannot be", "run `raylink supplier doctor`; update driver and agent"}
	case ReasonStageFailures:
		return reasonRow{"several leases in a row failed on it", "run `raylink supplier doctor`; it comes back by itself after an hour and a proof"}
	case ReasonDeviceFault:
		return reasonRow{"a device that it offers is gone or broken", "run `raylink supplier doctor`; it comes back once the device answers and is proven"}
	case ReasonSilent:
		return reasonRow{"its agent is not heard", "see that the agent runs and reaches a coordinator: `raylink supplier doctor`"}
	case ReasonMassLoss:
		return reasonRow{"it went silent together with many others; nobody is blamed", "wait: the network is looked at"}
	case ReasonBanned:
		return reasonRow{"an admin has blocked it", "ask the group's admin"}
	case ReasonMinimum:
		return reasonRow{"what its sandbox rests on is older than the network allows", "update what `raylink supplier doctor` names"}
	}
	return reasonRow{string(r), ""}
}

// State is the state that a reason belongs to; empty for ReasonNone and for what is no reason.
func (r Reason) State() MachineState {
	switch r {
	case ReasonNoInventory:
		return MachineJoining
	case ReasonNoProof, ReasonProofRunning, ReasonProofExpired, ReasonChanged:
		return MachineProving
	case ReasonOwnerDrain, ReasonAdminDrain, ReasonPaused, ReasonHours, ReasonNotice:
		return MachineDraining
	case ReasonProofFailed, ReasonProofLate, ReasonProofSlow, ReasonDuplicate, ReasonImplausible, ReasonStageFailures, ReasonDeviceFault:
		return MachineQuarantined
	case ReasonSilent, ReasonMassLoss:
		return MachineDown
	case ReasonBanned, ReasonMinimum:
		return MachineBlocked
	}
	return ""
}

// Words says a reason to people.
func (r Reason) Words() string { return reasonTable(r).words }

// Remedy says what its owner can do; empty where there is nothing to do.
func (r Reason) Remedy() string { return reasonTable(r).remedy }

// Standing is where a machine stands, why, and what is known of it.
type Standing struct {
	State  MachineState `json:"state"`
	Reason Reason       `json:"reason,omitempty"`
	Detail string       `json:"detail,omitempty"` // which device, which version, whose words
	Since  time.Time    `json:"since,omitzero"`   // of what the log knows

	Reliability *int64     `json:"reliability,omitempty"` // proven minutes of 10,000 that were its to prove; none before the first hundred
	Minutes     int64      `json:"minutes"`               // that it was hired and served
	Lost        int64      `json:"lost"`                  // that it was hired and did not serve
	Failures    int64      `json:"failures,omitempty"`    // leases that failed on it, in all
	ProvenAt    *time.Time `json:"proven_at,omitempty"`
	Rate        int64      `json:"rate,omitempty"`   // proven: millions of int8 multiply-adds in a second, the least of the last rounds
	Leaves      *time.Time `json:"leaves,omitempty"` // when its owner takes it back

	GPUs        int64  `json:"gpus,omitempty"`         // that it offers
	ProvenGPUs  int64  `json:"proven_gpus,omitempty"`  // of those, how many are proven now; all, where nothing has to be
	WaitingGPUs int64  `json:"waiting_gpus,omitempty"` // of those, how many nobody has and nobody can get
	GPUReason   Reason `json:"gpu_reason,omitempty"`   // why, of the first of them
}

// GPUsWait says in words that GPUs which a machine offers are not to be had, and why; empty where all are, or are leased.
func (s Standing) GPUsWait() string {
	switch {
	case s.WaitingGPUs == 0:
		return ""
	case s.WaitingGPUs == 1:
		return fmt.Sprintf("1 of %d GPUs is not to be had: %s", s.GPUs, s.GPUReason.Words())
	}
	return fmt.Sprintf("%d of %d GPUs are not to be had: %s", s.WaitingGPUs, s.GPUs, s.GPUReason.Words())
}
