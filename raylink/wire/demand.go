package wire

import (
	"time"

	"raylink/billing/money"
	"raylink/raylink"
)

// QuoteRequest asks what a cluster would cost: POST /v1/quotes.
type QuoteRequest struct {
	Manifest string `json:"manifest"` // YAML or JSON text of one RayCluster
}

// Quote is a priced plan that its owner may accept until it expires.
type Quote struct {
	ID         raylink.QuoteID `json:"id"`
	Name       string          `json:"name"` // the cluster's
	ImageAsked string          `json:"image_asked"`
	Image      string          `json:"image"` // what will run, by the catalogue
	RayVersion string          `json:"ray_version"`
	Nodes      []QuoteNode     `json:"nodes"`
	PerHour    money.Amount    `json:"per_hour"` // of all nodes, without the fee
	Fee        money.Amount    `json:"fee"`      // of an hour
	Hold       money.Amount    `json:"hold"`     // set aside at accept: an hour with its fee
	Balance    money.Amount    `json:"balance"`  // the account's, when asked
	CreatedAt  time.Time       `json:"created_at"`
	ExpiresAt  time.Time       `json:"expires_at"`
	Notes      []string        `json:"notes,omitempty"` // what the manifest asked for and is done differently
}

// QuoteNode is one node of a quote.
type QuoteNode struct {
	Node      string            `json:"node"`
	Role      raylink.NodeRole  `json:"role"`
	Group     string            `json:"group"`
	Machine   raylink.MachineID `json:"machine"`
	Supplier  string            `json:"supplier"`
	Resources raylink.Resources `json:"resources"`
	Rate      money.Rate        `json:"rate"`
}

// CreateRequest accepts a quote: POST /v1/clusters.
type CreateRequest struct {
	Quote raylink.QuoteID `json:"quote"`
}

// Cluster is one cluster as its owner and admins see it.
type Cluster struct {
	ID         raylink.ClusterID `json:"id"`
	Name       string            `json:"name"`
	Owner      raylink.AccountID `json:"owner"`
	Phase      raylink.Phase     `json:"phase"`
	Detail     string            `json:"detail,omitempty"` // what it waits for, in words
	Stages     []StageTime       `json:"stages"`
	Failure    *raylink.Failure  `json:"failure,omitempty"`
	Warning    string            `json:"warning,omitempty"` // money runs out, head restarted, …
	Nodes      []Node            `json:"nodes"`
	Endpoints  []string          `json:"endpoints"`
	PerHour    money.Amount      `json:"per_hour"`
	Hold       money.Amount      `json:"hold"`
	Spent      money.Amount      `json:"spent"`   // with fee
	Minutes    int64             `json:"minutes"` // charged, over all nodes
	Image      string            `json:"image"`
	RayVersion string            `json:"ray_version"`
	Subnet     string            `json:"subnet"`
	CreatedAt  time.Time         `json:"created_at"`
	ReadyAt    *time.Time        `json:"ready_at,omitempty"`
	EndedAt    *time.Time        `json:"ended_at,omitempty"`
}

// StageTime says when a phase was entered.
type StageTime struct {
	Phase raylink.Phase `json:"phase"`
	At    time.Time     `json:"at"`
}

// Node is one node of a cluster, with its lease.
type Node struct {
	Lease    raylink.LeaseID   `json:"lease"`
	Node     string            `json:"node"`
	Role     raylink.NodeRole  `json:"role"`
	Group    string            `json:"group"`
	Machine  raylink.MachineID `json:"machine"`
	Address  string            `json:"address"` // in the overlay
	Stage    raylink.Stage     `json:"stage"`
	RayNode  string            `json:"ray_node,omitempty"`
	Rate     money.Rate        `json:"rate"`
	Restarts int               `json:"restarts,omitempty"`
	Failure  *raylink.Failure  `json:"failure,omitempty"`
}

// Bill is what a cluster cost so far: GET /v1/clusters/<id>/bill.
type Bill struct {
	Cluster       raylink.ClusterID `json:"cluster"`
	Name          string            `json:"name"`
	Lines         []BillLine        `json:"lines"`
	Use           money.Amount      `json:"use"`
	FeePercent    string            `json:"fee_percent"` // "2"
	Fee           money.Amount      `json:"fee"`
	Total         money.Amount      `json:"total"`
	Held          money.Amount      `json:"held"`
	BalanceBefore money.Amount      `json:"balance_before"` // free balance just before the hold
	BalanceNow    money.Amount      `json:"balance_now"`
	From          time.Time         `json:"from"`
	To            time.Time         `json:"to"`
	Final         bool              `json:"final"`
}

// BillLine is one lease's part of a bill.
type BillLine struct {
	Lease   raylink.LeaseID   `json:"lease"`
	Node    string            `json:"node"`
	Machine raylink.MachineID `json:"machine"`
	Rate    money.Rate        `json:"rate"`
	Charged int64             `json:"charged"` // minutes
	Waived  int64             `json:"waived"`  // minutes
	Use     money.Amount      `json:"use"`
	Fee     money.Amount      `json:"fee"`
	Minutes []BillMinute      `json:"minutes,omitempty"`
}

// BillMinute is one minute and its evidence.
type BillMinute struct {
	Ordinal        int64        `json:"ordinal"`
	Outcome        string       `json:"outcome"` // charged, waived
	Reason         string       `json:"reason,omitempty"`
	AgentSeconds   int          `json:"agent_seconds"`
	GatewaySeconds int          `json:"gateway_seconds"`
	Gateway        string       `json:"gateway,omitempty"`
	Amount         money.Amount `json:"amount"`
	Fee            money.Amount `json:"fee"`
	Entry          uint64       `json:"entry"` // of the journal
}

// Balance is an account's money: GET /v1/balance.
type Balance struct {
	Account raylink.AccountID `json:"account"`
	Name    string            `json:"name"`
	Free    money.Amount      `json:"free"`
	Held    money.Amount      `json:"held"`
	Earned  money.Amount      `json:"earned"` // as a supplier
}
