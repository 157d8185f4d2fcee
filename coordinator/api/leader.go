package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/coordinator/consensus"
	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// The methods that only the leader answers: they need its memory of reports.
const (
	MethodAgent   = "report.agent"
	MethodGateway = "report.gateway"
	MethodPlace   = "place"
	MethodSeen    = "seen"
	MethodChain   = "chain"
	MethodCheck   = "chain.check"
)

// Memory is what the leader's methods need of the reports.
type Memory interface {
	Agent(raylink.MachineID, wire.AgentReport)
	Gateway(raylink.GatewayID, wire.GatewayReport)
	Seen() plan.Seen
}

// Leader answers the methods above. Register hands each to the consensus.
type Leader struct {
	Group  Group
	Memory Memory
	Told   *Told           // shared with this coordinator's Server, so that what is heard here is read once; nil reads each report anew
	Chain  func() Holdings // nil without a line to a chain, as is Check
	Check  func(context.Context, payout.Destination) error
}

// Holdings are what a node of the chain said of our token accounts, and when. The leader looks now and then.
type Holdings struct {
	Amounts map[money.Asset]int64 `json:"amounts,omitempty"` // minor units
	Books   map[money.Asset]int64 `json:"books,omitempty"`   // what the books said at that moment
	At      time.Time             `json:"at"`

	Differs map[money.Asset]time.Time `json:"differs,omitempty"` // since when every reading differed from the books; missing where the last one agreed
}

// Since takes over from the reading before since when readings differ. One that misses an asset says nothing of it, and ends nothing.
func (h *Holdings) Since(before Holdings) {
	h.Differs = map[money.Asset]time.Time{}
	for asset, books := range h.Books {
		began, lasting := before.Differs[asset]
		amount, read := h.Amounts[asset]
		switch {
		case lasting && (!read || amount != books):
			h.Differs[asset] = began
		case read && amount != books:
			h.Differs[asset] = h.At
		}
	}
}

// Wish is what the leader is asked to place. Coordinators of the time before images were looked at send and read the specification alone.
type Wish struct {
	raylink.ClusterSpec
	Runs string `json:"runs,omitempty"` // the image that will run
}

// Placement is the leader's answer to where a cluster's nodes would go, and what they run there. Leaders of the time before say the nodes alone.
type Placement struct {
	Nodes []state.QuoteNode `json:"nodes"`
	Image string            `json:"image,omitempty"` // on the head's machine
	Notes []string          `json:"notes,omitempty"` // of other images that run
}

// SeenAnswer tells when machines and gateways were heard last.
type SeenAnswer struct {
	Machines map[raylink.MachineID]time.Time `json:"machines"`
	Gateways map[raylink.GatewayID]time.Time `json:"gateways"`
	Since    time.Time                       `json:"since,omitzero"` // when the leader began to listen
	Said     map[raylink.MachineID]Said      `json:"said,omitempty"` // of machines that said something
}

// Register names every method with its answer.
func (l *Leader) Register(handle func(method string, answer consensus.Handler)) {
	handle(MethodCheck, func(ctx context.Context, body []byte) ([]byte, error) {
		var d payout.Destination
		if err := json.Unmarshal(body, &d); err != nil || l.Check == nil {
			return nil, err
		}
		return nil, l.Check(ctx, d)
	})
	handle(MethodChain, func(context.Context, []byte) ([]byte, error) {
		if l.Chain == nil {
			return json.Marshal(Holdings{})
		}
		return json.Marshal(l.Chain())
	})
	handle(MethodAgent, func(_ context.Context, body []byte) ([]byte, error) {
		id, report, err := l.Told.hear(body)
		if err == nil {
			l.Memory.Agent(id, report)
		}
		return nil, err
	})
	handle(MethodGateway, func(_ context.Context, body []byte) ([]byte, error) {
		var w GatewayWord
		if err := json.Unmarshal(body, &w); err != nil {
			return nil, fmt.Errorf("reading a gateway's report: %w", err)
		}
		l.Memory.Gateway(w.ID, w.Report)
		return nil, nil
	})
	handle(MethodPlace, l.place)
	handle(MethodSeen, l.seen)
	handle(MethodFetching, l.fetching)
}

func (l *Leader) place(_ context.Context, body []byte) ([]byte, error) {
	var wish Wish
	if err := json.Unmarshal(body, &wish); err != nil {
		return nil, fmt.Errorf("reading a cluster's specification: %w", err)
	}
	var p Placement
	var err error
	seen := l.Memory.Seen()
	l.Group.Read(func(s *state.State) {
		if p.Nodes, err = plan.PlaceImage(s, seen, time.Now(), wish.ClusterSpec, wish.Runs); err == nil && wish.Runs != "" {
			p.Image, p.Notes, err = plan.Runs(s, wish.ClusterSpec, p.Nodes)
		}
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(p)
}

func (l *Leader) seen(context.Context, []byte) ([]byte, error) {
	a := SeenAnswer{Machines: map[raylink.MachineID]time.Time{}, Gateways: map[raylink.GatewayID]time.Time{}}
	seen := l.Memory.Seen()
	a.Since, a.Said = seen.Since.UTC(), map[raylink.MachineID]Said{}
	for id, m := range seen.Machines {
		a.Machines[id] = m.At.UTC()
		if said, any := saidOf(m); any {
			a.Said[id] = said
		}
	}
	for id, g := range seen.Gateways {
		a.Gateways[id] = g.At.UTC()
	}
	return json.Marshal(a)
}
