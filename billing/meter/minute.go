package meter

import (
	"fmt"
	"strconv"
	"strings"

	"raylink/billing/money"
)

// The kinds of journal entry that settle a minute, and the rule by which it goes to one of them.
const (
	KindCharged = "minute.charged"
	KindWaived  = "minute.waived"

	SecondsPerMinute = 60
	MinAliveSeconds  = 45 // of 60, as both sides must have seen, for a minute to be charged
)

// The reasons of waived minutes other than those that Verdict words.
const (
	ReasonNoEvidence = "no evidence"     // one side or both kept silent until the deadline
	ReasonBudget     = "budget is spent" // used, but it would cost more than its cluster may; the supplier bears it
	ReasonUnfunded   = "hold is spent"   // used, but the cluster's hold could not pay; the supplier bears it
)

// Evidence is what the machine's agent says of a minute, signed by the machine.
type Evidence struct {
	Seconds   int    `json:"seconds"`   // in which container and data plane were alive, 0 to 60
	RayNode   string `json:"ray_node"`  // Ray's id of the node, as the agent knows it
	Machine   string `json:"machine"`   // whose key signed
	Signature string `json:"signature"` // Ed25519 over the bytes in DESIGN.md, standard base64
}

// Confirmation is what a gateway says of a minute, signed by the gateway.
type Confirmation struct {
	Gateway   string `json:"gateway"`   // whose key signed
	Seconds   int    `json:"seconds"`   // in which Ray saw the node alive and it answered, 0 to 60
	RayNode   string `json:"ray_node"`  // Ray's id of the node
	Signature string `json:"signature"` // Ed25519 over the bytes in DESIGN.md, standard base64
}

// MinuteNote is the note of a journal entry that settles a minute: all that is needed to judge the
// minute and to compute its price again.
type MinuteNote struct {
	Cluster        string        `json:"cluster"`
	Lease          string        `json:"lease"`
	Node           string        `json:"node"`
	Machine        string        `json:"machine"`
	Ordinal        int64         `json:"ordinal"` // from 0, which begins at ready
	Rate           money.Rate    `json:"rate"`
	FeeBasisPoints int64         `json:"fee_basis_points"`
	Agent          *Evidence     `json:"agent,omitempty"`
	Gateway        *Confirmation `json:"gateway,omitempty"`
	Coordinator    *Seal         `json:"coordinator,omitempty"` // absent of the time before coordinators signed
	Reason         string        `json:"reason,omitempty"`      // why it was waived; empty when charged

	// What follows came with purses and prices. A note without a purse is of the time before: USD from
	// the hold straight to the supplier.
	Purse                  string      `json:"purse,omitempty"`                     // what the cluster pays from: an exchange.Purse
	Takes                  money.Asset `json:"takes,omitempty"`                     // what the supplier has chosen to earn
	SupplierFeeBasisPoints int64       `json:"supplier_fee_basis_points,omitempty"` // off what he takes
	Price                  money.Price `json:"price,omitempty"`                     // of IO, believed or last believed; absent where there is none
	PriceID                uint64      `json:"price_id,omitempty"`                  // of the snapshot that the price is from
	PriceHalt              string      `json:"price_halt,omitempty"`                // reason code, if no price could be believed
	Budget                 int64       `json:"budget,omitempty"`                    // micro-USD, fees included: the most that the cluster may ever cost; absent without a limit
}

// Ref is the ref of the journal entry that settles the minute.
func Ref(lease string, ordinal int64) string {
	return lease + "/" + strconv.FormatInt(ordinal, 10)
}

// Verdict is the rule: a minute is charged if and only if both sides saw the node alive for
// MinAliveSeconds; otherwise the reason says who saw how little.
func Verdict(agentSeconds, gatewaySeconds int) (charge bool, reason string) {
	var short []string
	if agentSeconds < MinAliveSeconds {
		short = append(short, fmt.Sprintf("the agent saw %d s", agentSeconds))
	}
	if gatewaySeconds < MinAliveSeconds {
		short = append(short, fmt.Sprintf("the gateway saw %d s", gatewaySeconds))
	}
	if short == nil {
		return true, ""
	}
	return false, fmt.Sprintf("%s of %d, at least %d needed", strings.Join(short, " and "), SecondsPerMinute, MinAliveSeconds)
}

// Verdict applies the rule to the note's evidence: ReasonNoEvidence where a side is missing. When
// to stop waiting for a side is the caller's business.
func (n MinuteNote) Verdict() (charge bool, reason string) {
	if n.Agent == nil || n.Gateway == nil {
		return false, ReasonNoEvidence
	}
	return Verdict(n.Agent.Seconds, n.Gateway.Seconds)
}
