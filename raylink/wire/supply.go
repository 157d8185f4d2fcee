package wire

import (
	"net/netip"
	"time"

	"raylink/raylink"
	"raylink/raylink/overlay"
)

// JoinRequest is sent by an agent or a gateway with its join token as bearer token: POST /v1/join.
type JoinRequest struct {
	CSR   []byte         `json:"csr"` // PKCS #10, DER; its key is the identity from now on
	Name  string         `json:"name"`
	Offer *raylink.Offer `json:"offer,omitempty"` // agents only
	URL   string         `json:"url,omitempty"`   // gateways only: the base of the endpoints it serves
}

// RenewRequest asks for a fresh certificate for the same key: POST /v1/renew, over the old certificate; or, by a gateway, for one to serve with:
// POST /v1/gateway/certificate, for an ECDSA key.
type RenewRequest struct {
	CSR []byte `json:"csr"`
}

// JoinAnswer is the answer to all three.
type JoinAnswer struct {
	ID           string   `json:"id"`
	Certificate  string   `json:"certificate"` // PEM, leaf
	CA           string   `json:"ca"`          // PEM
	Coordinators []string `json:"coordinators"`
	Gateways     []string `json:"gateways"`
	Coordinator  string   `json:"coordinator,omitempty"` // id of the one that answers
}

// Assignment is everything that one agent is to do now: GET /v1/agent/assignment?revision=R, answered when it differs from R or after the wait.
type Assignment struct {
	Revision     string       `json:"revision"` // opaque; equal content has equal revisions
	Leases       []LeaseOrder `json:"leases"`
	Proofs       []ProofOrder `json:"proofs,omitempty"`
	Coordinators []string     `json:"coordinators"`
	Gateways     []string     `json:"gateways"`             // URLs of all
	ImageKeys    []string     `json:"image_keys,omitempty"` // PEM: what the network signs images with

	Standing raylink.Standing `json:"standing"` // how the group sees this machine: what `raylink supplier status` shows beside its own view

	ReportSeconds int64 `json:"report_seconds,omitempty"` // how often to report without leases and news; 0 is the agent's usual rhythm
}

// LeaseOrder is one lease as its machine is to run it. RayToken is a secret.
type LeaseOrder struct {
	Lease   raylink.LeaseID   `json:"lease"`
	Cluster raylink.ClusterID `json:"cluster"`
	Node    string            `json:"node"` // the node's name, for people: <cluster name>-<group>-<n>
	Role    raylink.NodeRole  `json:"role"`
	Want    raylink.Want      `json:"want"`
	Image   string            `json:"image,omitempty"`
	Limits  raylink.Resources `json:"limits"`
	Mesh    overlay.Mesh      `json:"mesh"`

	Command  []string          `json:"command,omitempty"` // Ray's start line
	Env      map[string]string `json:"env,omitempty"`
	RayToken string            `json:"ray_token,omitempty"`

	ReadyAt        *time.Time `json:"ready_at,omitempty"` // minute 0 begins here
	RayNode        string     `json:"ray_node,omitempty"` // Ray's id of this node, as gateways saw it
	SettledThrough int64      `json:"settled_through"`    // minutes below this ordinal are settled: their records may go

	Isolation raylink.Isolation `json:"isolation,omitempty"` // empty is container
	Devices   []string          `json:"devices,omitempty"`   // UUIDs of the GPUs that the lease has
	Egress    Egress            `json:"egress"`
	Signature *ImageSignature   `json:"image_signature,omitempty"`
}

// Egress says what a lease may reach of the public Internet, through the proxy in its namespace. Private, link-local, multicast and metadata
// addresses and SMTP are never reached, whatever it says.
type Egress struct {
	Allow bool  `json:"allow"`
	Bytes int64 `json:"bytes,omitempty"` // both ways together, over the lease's life; 0 is the supplier's own limit alone
}

// ImageSignature is a signature over an image in cosign's form: Payload is the simple-signing JSON that names the image's digest, Signature is
// ECDSA P-256 over its SHA-256, ASN.1 DER.
type ImageSignature struct {
	Payload   []byte `json:"payload"`
	Signature []byte `json:"signature"`
}

// AgentReport is an agent's heartbeat and observation in one: POST /v1/agent/report. It stays out of the log.
type AgentReport struct {
	Started time.Time      `json:"started"` // of the agent's process
	Offer   *raylink.Offer `json:"offer,omitempty"`
	Leases  []LeaseReport  `json:"leases"`

	Host   *raylink.Host  `json:"host,omitempty"`
	Images []string       `json:"images,omitempty"` // image references of the network that are here already
	Leaves *time.Time     `json:"leaves,omitempty"` // when its owner's hours end, or ended
	Paused raylink.Reason `json:"paused,omitempty"` // owner-drain, paused, notice or out-of-hours: nothing new is to come
}

// LeaseReport is what an agent sees of one lease.
type LeaseReport struct {
	Lease     raylink.LeaseID  `json:"lease"`
	Stage     raylink.Stage    `json:"stage"`
	PublicKey string           `json:"public_key,omitempty"` // WireGuard, base64
	Signature string           `json:"signature,omitempty"`  // by the machine's identity over the key
	Endpoint  netip.AddrPort   `json:"endpoint,omitzero"`
	Blocked   []string         `json:"blocked,omitempty"` // peers that the preflight could not reach
	Restarts  int              `json:"restarts,omitempty"`
	Failure   *raylink.Failure `json:"failure,omitempty"`
	Minutes   []MinuteRecord   `json:"minutes,omitempty"`

	Progress *Progress `json:"progress,omitempty"` // while it fetches the image
	Egress   int64     `json:"egress_bytes,omitempty"`
}

// Progress is how far an image's fetch has come.
type Progress struct {
	Done  int64     `json:"done"`            // bytes
	Total int64     `json:"total,omitempty"` // bytes; 0 while it is not known
	Since time.Time `json:"since"`
}

// MinuteRecord is one side's signed word about one minute of one lease.
type MinuteRecord struct {
	Lease     raylink.LeaseID `json:"lease"`
	Ordinal   int64           `json:"ordinal"`
	Seconds   int             `json:"seconds"` // of the minute, 0 to 60
	RayNode   string          `json:"ray_node"`
	Signature string          `json:"signature"`
}

// GatewayAssignment is everything that one gateway is to serve: GET /v1/gateway/assignment?revision=R.
type GatewayAssignment struct {
	Revision     string         `json:"revision"`
	Clusters     []ClusterRoute `json:"clusters"`
	Coordinators []string       `json:"coordinators"`
	Gateways     []string       `json:"gateways"` // URLs of all
}

// ClusterRoute is one cluster as a gateway serves it. RayToken is a secret; Access holds hashes only.
type ClusterRoute struct {
	Cluster  raylink.ClusterID `json:"cluster"`
	Name     string            `json:"name"`
	Phase    raylink.Phase     `json:"phase"`
	Detail   string            `json:"detail,omitempty"` // why it is not ready yet, or no more
	Head     netip.Addr        `json:"head"`
	Mesh     overlay.Mesh      `json:"mesh"`
	RayToken string            `json:"ray_token"`
	Access   []string          `json:"access"` // SHA-256 of every access token that may use the endpoint
	Nodes    []RouteNode       `json:"nodes"`
}

// RouteNode is one node that a gateway watches and vouches for.
type RouteNode struct {
	Lease          raylink.LeaseID  `json:"lease"`
	Role           raylink.NodeRole `json:"role"`
	Address        netip.Addr       `json:"address"`
	ReadyAt        *time.Time       `json:"ready_at,omitempty"`
	SettledThrough int64            `json:"settled_through"`
}

// GatewayReport is a gateway's heartbeat and observation: POST /v1/gateway/report. It stays out of the log.
type GatewayReport struct {
	Started  time.Time       `json:"started"`
	URL      string          `json:"url"`
	Beside   string          `json:"beside,omitempty"` // id of the coordinator that it stands beside
	Clusters []ClusterReport `json:"clusters"`
}

// ClusterReport is what a gateway sees of one cluster.
type ClusterReport struct {
	Cluster   raylink.ClusterID `json:"cluster"`
	PublicKey string            `json:"public_key,omitempty"`
	Signature string            `json:"signature,omitempty"`
	Endpoint  netip.AddrPort    `json:"endpoint,omitzero"`
	HeadUp    bool              `json:"head_up"` // Ray's dashboard and GCS answer
	Nodes     []RayNode         `json:"nodes,omitempty"`
	Minutes   []MinuteRecord    `json:"minutes,omitempty"` // its confirmations
}

// RayNode is one node in Ray's own view.
type RayNode struct {
	Address netip.Addr `json:"address"`
	RayNode string     `json:"ray_node"`
	Alive   bool       `json:"alive"`
}
