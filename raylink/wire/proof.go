package wire

import (
	"time"

	"raylink/raylink"
	"raylink/raylink/challenge"
)

// ProofOrder tells an agent that a device is to be proven. The seed is given out when it begins, and the clock runs from then.
type ProofOrder struct {
	ID       raylink.ProofID `json:"id"`
	Device   string          `json:"device"` // raylink.CPUDevice, or a GPU's UUID
	Deadline time.Time       `json:"deadline"`
	By       string          `json:"by,omitempty"`     // an appeal: the URL of the coordinator that is to judge it, and no other
	Starts   *time.Time      `json:"starts,omitempty"` // of a round: those of one machine that have the same are done at the same time. A begin is held until then
}

// ProofBegun is the answer to POST /v1/agent/proofs/<id>/begin: what to compute.
type ProofBegun struct {
	Task challenge.Task `json:"task"`
	Seed challenge.Seed `json:"seed"`
}

// ProofCommit is what an agent binds itself to: POST /v1/agent/proofs/<id>/commit. The first one counts.
type ProofCommit struct {
	Commitment challenge.Commitment `json:"commitment"`
}

// ProofWalk is the answer to it: where the walk through the resident memory begins. The zero Seed where the task has none.
type ProofWalk struct {
	Entropy challenge.Seed `json:"entropy"`
}

// ProofWalked binds the agent to the walk: POST /v1/agent/proofs/<id>/walked. The first one counts.
type ProofWalked struct {
	Root challenge.Hash `json:"root"`
}

// ProofOpen is the answer to it: what decides which parts are opened.
type ProofOpen struct {
	Entropy challenge.Seed `json:"entropy"`
}

// ProofAnswer opens them: POST /v1/agent/proofs/<id>/answer.
type ProofAnswer struct {
	Answer challenge.Answer `json:"answer"`
}

// Proof is one challenge and what became of it: GET /v1/proofs, GET /v1/proofs/<id>, and the answer to an agent's answer.
type Proof struct {
	ID       raylink.ProofID   `json:"id"`
	Machine  raylink.MachineID `json:"machine"`
	Device   string            `json:"device"`
	Why      string            `json:"why"`   // joined, due, changed, appeal, lottery, asked, retry, round
	State    string            `json:"state"` // open, begun, committed, walked, passed, failed, late, slow
	Detail   string            `json:"detail,omitempty"`
	Lease    raylink.LeaseID   `json:"lease,omitempty"` // during which it ran
	Round    int               `json:"round,omitempty"` // how many proofs of the owner's devices began at the same moment, this one among them; 0 is this one alone
	OpenedAt time.Time         `json:"opened_at"`
	BegunAt  *time.Time        `json:"begun_at,omitempty"`
	EndedAt  *time.Time        `json:"ended_at,omitempty"`
	Millis   int64             `json:"millis,omitempty"`     // from begin to commit
	WalkMs   int64             `json:"walk_ms,omitempty"`    // from the walk's beginning to its root
	Rate     int64             `json:"rate,omitempty"`       // millions of int8 multiply-adds in a second
	Judge    string            `json:"judge,omitempty"`      // the coordinator that checked the answer; it keeps the transcript
	SHA256   string            `json:"transcript,omitempty"` // of the transcript
}
