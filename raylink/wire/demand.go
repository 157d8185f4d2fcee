package wire

import (
	"encoding/json"
	"slices"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
)

// QuoteRequest asks what a cluster would cost: POST /v1/quotes.
type QuoteRequest struct {
	Manifest string        `json:"manifest"`         // YAML or JSON text of one RayCluster
	Pay      string        `json:"pay,omitempty"`    // the purse: grant, card, usdc or io; empty is the first one that holds enough
	Budget   *money.Amount `json:"budget,omitempty"` // in USD: the most that the cluster may ever cost; none is what the purse holds now
}

// Quote is a priced plan that its owner may accept until it expires.
type Quote struct {
	ID         raylink.QuoteID `json:"id"`
	Name       string          `json:"name"` // the cluster's
	ImageAsked string          `json:"image_asked"`
	Image      string          `json:"image"` // what will run, by the catalogue
	RayVersion string          `json:"ray_version"`
	Nodes      []QuoteNode     `json:"nodes"`
	PerHour    money.Amount    `json:"per_hour"`           // of all nodes, without the fee
	Fee        money.Amount    `json:"fee"`                // of an hour
	Hold       money.Amount    `json:"hold"`               // set aside at accept, in the purse's asset: an hour with its fee
	Balance    money.Amount    `json:"balance"`            // what is free in the purse, when asked
	Pay        string          `json:"pay"`                // the purse
	PriceIO    money.Price     `json:"price_io,omitempty"` // when it was made; each minute converts at its own
	Maximum    *money.Amount   `json:"maximum,omitempty"`  // in USD: the cluster may never cost more, unless its owner says so; quotes of old coordinators have none
	CreatedAt  time.Time       `json:"created_at"`
	ExpiresAt  time.Time       `json:"expires_at"`
	Notes      []string        `json:"notes,omitempty"`    // what the manifest asked for and is done differently
	Contract   *Contract       `json:"contract,omitempty"` // the group's signature over all of the above but Balance
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

	Reliability *int64 `json:"reliability,omitempty"` // of the machine, when the quote is shown, of 10,000; no part of the contract
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
	Pay        string            `json:"pay"`                     // the purse that it is paid from
	Maximum    *money.Amount     `json:"maximum,omitempty"`       // in USD: what its quote says, or what its owner has agreed to since; none is no limit but the purse
	Alarm      int64             `json:"alarm_percent,omitempty"` // of the maximum: from there on it carries a warning
	RunsOutAt  *time.Time        `json:"runs_out_at,omitempty"`   // when money, budget or cap is used up, if nothing is added
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
	Progress *Progress         `json:"progress,omitempty"` // while its machine fetches the image
}

// Bill is what a cluster cost so far: GET /v1/clusters/<id>/bill.
type Bill struct {
	Cluster       raylink.ClusterID `json:"cluster"`
	Name          string            `json:"name"`
	Lines         []BillLine        `json:"lines"`
	Pay           string            `json:"pay"`  // the purse
	Paid          money.Amount      `json:"paid"` // from the hold, in the purse's asset
	Maximum       *money.Amount     `json:"maximum,omitempty"`
	Use           money.Amount      `json:"use"`         // in USD
	FeePercent    string            `json:"fee_percent"` // "2", or "0" for what is paid in IO
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
	Use     money.Amount      `json:"use"`     // in USD
	Fee     money.Amount      `json:"fee"`     // in USD
	Paid    money.Amount      `json:"paid"`    // use and fee in the purse's asset
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
	Amount         money.Amount `json:"amount"` // the use, in USD
	Fee            money.Amount `json:"fee"`    // in USD
	Paid           money.Amount `json:"paid"`   // both, in the purse's asset
	PriceIO        money.Price  `json:"price_io,omitempty"`
	Halt           string       `json:"halt,omitempty"` // why the price of IO could not be believed
	Entry          uint64       `json:"entry"`          // of the journal
}

// Balance is an account's money: GET /v1/balance.
type Balance struct {
	Account raylink.AccountID `json:"account"`
	Name    string            `json:"name"`
	Free    Sums              `json:"free"`
	Held    Sums              `json:"held"`
	Earned  Sums              `json:"earned"` // as a supplier, paid out or not yet payable left aside
	Purses  []Purse           `json:"purses"`
	Cap     *Cap              `json:"cap,omitempty"`
}

// Cap is the most that an account spends in one day (UTC), fees included, and what it has spent today.
type Cap struct {
	PerDay money.Amount `json:"per_day"`
	Alarm  int64        `json:"alarm_percent,omitempty"`
	Today  money.Amount `json:"today"`
}

// CapRequest sets it: PUT /v1/cap. A cap of zero takes it away.
type CapRequest struct {
	PerDay money.Amount `json:"per_day"`
	Alarm  int64        `json:"alarm_percent,omitempty"`
}

// BudgetRequest changes the most that a cluster may ever cost: PUT /v1/clusters/<id>/budget. Zero is no limit but the purse.
type BudgetRequest struct {
	Budget money.Amount `json:"budget"`
	Alarm  int64        `json:"alarm_percent,omitempty"` // of it, 1 to 100: from there on the cluster carries a warning; 0 leaves that as it is, which is 80 at first
}

// Contract is what makes a quote binding: the group's Ed25519 signature over QuoteBytes, and the key.
type Contract struct {
	Key       []byte `json:"key"`
	Signature []byte `json:"signature"`
}

// QuoteBytes is what the group signs of a quote: a heading line, then the quote's JSON without contract, balance and reliabilities.
func QuoteBytes(q Quote) ([]byte, error) {
	q.Contract, q.Balance = nil, money.Amount{Asset: q.Hold.Asset}
	q.Nodes = slices.Clone(q.Nodes)
	for i := range q.Nodes {
		q.Nodes[i].Reliability = nil
	}
	text, err := json.Marshal(q)
	return append([]byte("raylink quote v1\n"), text...), err
}
