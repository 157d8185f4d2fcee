package wire

import (
	"net/url"
	"strings"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
)

// AccountRequest makes an account: POST /v1/accounts.
type AccountRequest struct {
	Name string `json:"name"`
}

// Account is one person or firm.
type Account struct {
	ID        raylink.AccountID `json:"id"`
	Name      string            `json:"name"`
	Free      Sums              `json:"free"`
	Held      Sums              `json:"held"`
	Earned    Sums              `json:"earned"`
	CreatedAt time.Time         `json:"created_at"`
}

// TokenRequest issues an access token: POST /v1/tokens. Without an account it is for the caller's own.
type TokenRequest struct {
	Account raylink.AccountID `json:"account,omitempty"`
	Role    raylink.Role      `json:"role"`
	Label   string            `json:"label,omitempty"`
	TTL     string            `json:"ttl,omitempty"` // Go duration; empty is without end
}

// TokenAnswer carries the secret, once.
type TokenAnswer struct {
	Token  Token  `json:"token"`
	Secret string `json:"secret"`
}

// Token is an access token without its secret.
type Token struct {
	ID        raylink.TokenID   `json:"id"`
	Account   raylink.AccountID `json:"account"`
	Role      raylink.Role      `json:"role"`
	Label     string            `json:"label,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	ExpiresAt *time.Time        `json:"expires_at,omitempty"`
	RevokedAt *time.Time        `json:"revoked_at,omitempty"`
}

// JoinTokenRequest issues a single-use join token: POST /v1/join-tokens.
type JoinTokenRequest struct {
	Kind    string            `json:"kind"`              // machine, gateway, coordinator
	Account raylink.AccountID `json:"account,omitempty"` // the owner of the machine
	TTL     string            `json:"ttl,omitempty"`     // Go duration, at most 24h; 1h if empty
}

// JoinTokenAnswer carries the secret, once.
type JoinTokenAnswer struct {
	ID        raylink.TokenID `json:"id"`
	Secret    string          `json:"secret"`
	ExpiresAt time.Time       `json:"expires_at"`
}

// GrantRequest gives an account credit: POST /v1/accounts/<id>/grants.
type GrantRequest struct {
	Amount money.Amount `json:"amount"`
	Reason string       `json:"reason"`
}

// Machine is one machine as its owner, admins and tenants see it.
type Machine struct {
	ID       raylink.MachineID `json:"id"`
	Name     string            `json:"name"`
	Owner    raylink.AccountID `json:"owner"`
	State    string            `json:"state"` // up, down, draining, banned
	Offer    raylink.Offer     `json:"offer"`
	Used     raylink.Resources `json:"used"`
	Leases   int               `json:"leases"`
	LastSeen *time.Time        `json:"last_seen,omitempty"` // by the leader
	JoinedAt time.Time         `json:"joined_at"`

	Standing raylink.Standing `json:"standing"`
	Host     *raylink.Host    `json:"host,omitempty"`     // for its owner and admins whole; for tenants without UUIDs, bus addresses and versions
	Images   []string         `json:"images,omitempty"`   // that are there already
	Failures []FailureCount   `json:"failures,omitempty"` // of leases, by stage and reason; for its owner and admins
}

// FailureCount counts leases that failed alike on one machine.
type FailureCount struct {
	Stage  string    `json:"stage"`
	Reason string    `json:"reason"`
	Count  int64     `json:"count"`
	LastAt time.Time `json:"last_at"`
}

// Versions is the policy of minimum versions: GET and PUT /v1/policy/versions. An operator signs it (identity.VersionsBytes).
type Versions struct {
	Minimum   map[string]string `json:"minimum"` // by raylink.Version… constants
	SignedAt  time.Time         `json:"signed_at,omitzero"`
	Operator  string            `json:"operator,omitempty"`  // public key, standard base64
	Signature string            `json:"signature,omitempty"` // when it is set; over identity.VersionsBytes
	Below     int               `json:"below,omitempty"`     // machines below it, when it is shown
}

// MachineAction changes a machine: POST /v1/machines/<id>/<drain|resume|ban|appeal|prove>.
type MachineAction struct {
	Reason string `json:"reason,omitempty"`
	Notice string `json:"notice,omitempty"` // drain: Go duration after which the owner takes the machine back, whatever runs
}

// GroupJoinRequest is sent by a coordinator that joins, with its join token: POST /v1/group/join.
type GroupJoinRequest struct {
	ID      string `json:"id"`
	Raft    string `json:"raft"` // address where peers reach it
	API     string `json:"api"`  // URL
	Gateway string `json:"gateway,omitempty"`
}

// GroupJoinAnswer carries the group's secrets to a coordinator that proved its join token.
type GroupJoinAnswer struct {
	Bundle []byte `json:"bundle"`
}

// Status is one coordinator's view of the group: GET /v1/status. Two coordinators with the same index have the same digest.
type Status struct {
	ID       string    `json:"id"`
	Leader   string    `json:"leader"`
	Index    uint64    `json:"index"`
	Digest   string    `json:"digest"`
	Snapshot uint64    `json:"snapshot,omitempty"` // index of the snapshot that it began at, or was sent
	Now      time.Time `json:"now"`                // the replicated clock
	Members  []Member  `json:"members"`
	Gateways []Gateway `json:"gateways"`
	CASHA256 string    `json:"ca_sha256"`
	Version  string    `json:"version"`
	Alarm    string    `json:"alarm,omitempty"` // many machines were lost at once
}

// Member is one coordinator.
type Member struct {
	ID     string `json:"id"`
	Raft   string `json:"raft"`
	API    string `json:"api"`
	Leader bool   `json:"leader"`
	Voter  bool   `json:"voter"`
}

// Gateway is one gateway.
type Gateway struct {
	ID       raylink.GatewayID `json:"id"`
	URL      string            `json:"url"`
	LastSeen *time.Time        `json:"last_seen,omitempty"`
	Beside   string            `json:"beside,omitempty"`  // id of the coordinator that it stands beside
	Warning  string            `json:"warning,omitempty"` // what is wrong with where it stands
}

// SameHost says whether two URLs have one host name. Browsers keep one jar of cookies for it, whatever the port.
func SameHost(one, other string) bool {
	a, errA := url.Parse(one)
	b, errB := url.Parse(other)
	return errA == nil && errB == nil && a.Hostname() != "" && strings.EqualFold(a.Hostname(), b.Hostname())
}

// WhoAmI says whose access token was shown, and lists every address of the group: GET /v1/whoami.
type WhoAmI struct {
	Account      raylink.AccountID `json:"account"`
	Name         string            `json:"name"`
	Role         raylink.Role      `json:"role"`
	Coordinators []string          `json:"coordinators"`
	Gateways     []string          `json:"gateways"`
}
