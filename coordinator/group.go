package coordinator

import (
	"context"
	"encoding/json"

	"raylink/coordinator/consensus"
	"raylink/coordinator/state"
)

// group shows the consensus and its state to the rooms that need them.
type group struct {
	node  *consensus.Node
	state *state.State
}

// Consensus looks whether the state can prepare entries, and does without if not: then each would hold the state for ten times as long.
var _ consensus.Preparer = (*state.State)(nil)

func (g *group) Read(f func(*state.State)) {
	g.node.Read(func(uint64) { f(g.state) })
}

func (g *group) Propose(ctx context.Context, commands ...json.RawMessage) ([]json.RawMessage, uint64, error) {
	return g.node.Propose(ctx, commands...)
}

func (g *group) ProposeHere(ctx context.Context, commands ...json.RawMessage) ([]json.RawMessage, uint64, error) {
	return g.node.ProposeHere(ctx, commands...)
}

func (g *group) CallLeader(ctx context.Context, method string, body []byte) ([]byte, error) {
	return g.node.CallLeader(ctx, method, body)
}

func (g *group) WaitIndex(ctx context.Context, index uint64) error {
	return g.node.WaitIndex(ctx, index)
}

func (g *group) Changed() <-chan struct{} { return g.node.Changed(g.node.Index()) }

func (g *group) Leader() string {
	id, _ := g.node.Leader()
	return id
}

func (g *group) Voters() map[string]bool {
	voters := map[string]bool{}
	for _, m := range g.node.Members() {
		voters[m.ID] = m.Voter
	}
	return voters
}

func (g *group) AddVoter(ctx context.Context, id, address string) error {
	return g.node.AddVoter(ctx, id, address)
}

func (g *group) Restored() uint64 { return g.node.Restored() }

func (g *group) Barrier(ctx context.Context) (uint64, error) { return g.node.Barrier(ctx) }
