package raylink

import (
	"io"
	"strings"

	"encoding/base32"
)

// Ids. Each is a short prefix and ten characters of lower-case base32; they are minted before the log, never inside Apply.
type (
	AccountID string // acc-…: a person or firm: tenant, supplier or admin
	TokenID   string // tok-…: an access token's or join token's public name
	MachineID string // m-…: one host of a supplier; derived from its identity key
	GatewayID string // g-…: one gateway; derived from its identity key
	QuoteID   string // q-…: a priced plan
	ClusterID string // c-…: one tenant's Ray cluster
	LeaseID   string // l-…: one node placed on one machine
	ProofID   string // p-…: one challenge to one device
)

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewID mints an id such as "c-k3v7…" from 50 bits of entropy.
func NewID[T ~string](entropy io.Reader, prefix string) (T, error) {
	var raw [7]byte
	if _, err := io.ReadFull(entropy, raw[:]); err != nil {
		return "", err
	}
	return T(prefix + "-" + idEncoding.EncodeToString(raw[:])[:10]), nil
}

// ValidID says whether s could be an id with this prefix: short and free of anything that a path or a shell could trip over.
func ValidID(s, prefix string) bool {
	rest, ok := strings.CutPrefix(s, prefix+"-")
	if !ok || len(rest) != 10 {
		return false
	}
	return strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// Role says what an access token may do.
type Role string

// The roles of an access token.
const (
	RoleAdmin    Role = "admin"
	RoleTenant   Role = "tenant"
	RoleSupplier Role = "supplier"
	RoleSigner   Role = "signer" // a process that signs payouts; it sees nothing else
)

// Valid says whether r is a role.
func (r Role) Valid() bool {
	return r == RoleAdmin || r == RoleTenant || r == RoleSupplier || r == RoleSigner
}

// Phase is how far a cluster has come.
type Phase string

// The phases, in their order. A cluster that ends passes through ending; a failed one keeps the stage that failed in its Failure.
const (
	PhasePlaced    Phase = "placed"    // machines chosen, money held
	PhaseImage     Phase = "image"     // machines fetch the image
	PhaseOverlay   Phase = "overlay"   // containers wait, overlay comes up
	PhasePreflight Phase = "preflight" // every pair is dialled
	PhaseHead      Phase = "head"      // Ray's head starts
	PhaseWorkers   Phase = "workers"   // Ray's workers start
	PhaseReady     Phase = "ready"     // every node alive in Ray's own view; billing runs
	PhaseEnding    Phase = "ending"    // machines clean up
	PhaseEnded     Phase = "ended"
	PhaseFailed    Phase = "failed"
)

var phaseOrder = [...]Phase{PhasePlaced, PhaseImage, PhaseOverlay, PhasePreflight, PhaseHead, PhaseWorkers, PhaseReady, PhaseEnding, PhaseEnded}

// Phases are the phases from placed to ready, in their order.
func Phases() []Phase { return append([]Phase(nil), phaseOrder[:7]...) }

// Order is the phase's place in the sequence, or -1 for failed.
func (p Phase) Order() int {
	for i, q := range phaseOrder {
		if p == q {
			return i
		}
	}
	return -1
}

// Over says that nothing of the cluster runs any more, nor will.
func (p Phase) Over() bool { return p == PhaseEnded || p == PhaseFailed }

// NodeRole is what a node is in its Ray cluster.
type NodeRole string

// The roles of a node.
const (
	NodeHead   NodeRole = "head"
	NodeWorker NodeRole = "worker"
)

// Want is how far an agent is to go with a lease.
type Want string

// The wants, in their order; end removes everything.
const (
	WantMesh      Want = "mesh"      // image, container waiting, TUN up, key reported
	WantPreflight Want = "preflight" // dial every peer
	WantRun       Want = "run"       // start Ray
	WantEnd       Want = "end"       // remove all that was made for the lease
)

// Stage is how far an agent has come with a lease, as it reports itself.
type Stage string

// The stages of a lease on its machine.
const (
	StageNone      Stage = ""          // nothing yet
	StageImage     Stage = "image"     // the image is here
	StageMesh      Stage = "mesh"      // container waits, TUN is up, key and endpoint known
	StagePreflight Stage = "preflight" // every peer answered
	StageRunning   Stage = "running"   // Ray's process runs
	StageGone      Stage = "gone"      // everything of the lease is removed
)

// Order is the stage's place in the sequence.
func (s Stage) Order() int {
	for i, q := range [...]Stage{StageNone, StageImage, StageMesh, StagePreflight, StageRunning, StageGone} {
		if s == q {
			return i
		}
	}
	return -1
}

// Failure says what went wrong, where, and what to do.
type Failure struct {
	Stage   string    `json:"stage"`
	Machine MachineID `json:"machine,omitempty"`
	Reason  string    `json:"reason"`
	Hint    string    `json:"hint,omitempty"`
}
