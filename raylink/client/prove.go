package client

import (
	"context"
	"net/http"

	"raylink/raylink"
	"raylink/raylink/wire"
)

// BeginProof starts a proof's clock and says what to compute. By is the URL of the only coordinator that is to be asked, or empty for any. Like the three
// that follow it may be sent again: the first one counts.
func (c *Client) BeginProof(ctx context.Context, by string, id raylink.ProofID) (wire.ProofBegun, error) {
	return proofStep[wire.ProofBegun](ctx, c, by, id, "begin", struct{}{})
}

// CommitProof commits to the results, and says where the walk begins.
func (c *Client) CommitProof(ctx context.Context, by string, id raylink.ProofID, commit wire.ProofCommit) (wire.ProofWalk, error) {
	return proofStep[wire.ProofWalk](ctx, c, by, id, "commit", commit)
}

// WalkedProof commits to the walk, and says what decides the openings.
func (c *Client) WalkedProof(ctx context.Context, by string, id raylink.ProofID, walked wire.ProofWalked) (wire.ProofOpen, error) {
	return proofStep[wire.ProofOpen](ctx, c, by, id, "walked", walked)
}

// AnswerProof opens what was drawn, and says what became of the proof.
func (c *Client) AnswerProof(ctx context.Context, by string, id raylink.ProofID, answer wire.ProofAnswer) (wire.Proof, error) {
	return proofStep[wire.Proof](ctx, c, by, id, "answer", answer)
}

func proofStep[T any](ctx context.Context, c *Client, by string, id raylink.ProofID, step string, in any) (T, error) {
	var out T
	if by == "" {
		return out, c.do(ctx, call{method: http.MethodPost, path: at("agent", "proofs", string(id), step), in: in, out: &out})
	}
	only, err := cleanURLs([]string{by})
	if err != nil {
		return out, err
	}
	// A client of one coordinator, over the same connections: an appeal is judged by it and by no other.
	return out, (&Client{http: c.http, token: c.token, coordinators: only}).do(ctx, call{method: http.MethodPost, path: at("agent", "proofs", string(id), step), in: in, out: &out})
}
