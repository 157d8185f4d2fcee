package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"

	"raylink/raylink"
	"raylink/raylink/wire"
)

// Proofs lists the last proofs of the caller's machines, and of leases of his clusters, the newest first; an admin sees all. A machine's id or name picks its own.
func (c *Client) Proofs(ctx context.Context, machine string) ([]wire.Proof, error) {
	query := url.Values{}
	if machine != "" {
		query.Set("machine", machine)
	}
	return get[[]wire.Proof](ctx, c, at("proofs"), query)
}

// Proof is one proof.
func (c *Client) Proof(ctx context.Context, id raylink.ProofID) (wire.Proof, error) {
	return get[wire.Proof](ctx, c, at("proofs", string(id)), nil)
}

// Transcript is all that was said in a proof, as its judge keeps it: coordinators that did not judge it are passed over. Its SHA-256 is held against the
// one in the log, so whoever keeps it cannot change it.
func (c *Client) Transcript(ctx context.Context, id raylink.ProofID) ([]byte, error) {
	p, err := c.Proof(ctx, id)
	if err != nil {
		return nil, err
	}
	text, err := get[json.RawMessage](ctx, c, at("proofs", string(id), "transcript"), nil)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, raylink.Errorf(raylink.CodeInternal, "the transcript of %s is not the one that was judged: SHA-256 %x, not %s", id, sum, p.SHA256).
			WithHint("coordinator %s keeps it: ask its operator", p.Judge)
	}
	return text, nil
}

// ProveCluster asks for proofs of the devices under a cluster's leases, now.
func (c *Client) ProveCluster(ctx context.Context, cluster string) (wire.Proved, error) {
	return write[wire.Proved](ctx, c, http.MethodPost, at("clusters", cluster, "prove"), struct{}{})
}

// ProveMachine asks for proofs of a machine's devices, now.
func (c *Client) ProveMachine(ctx context.Context, id raylink.MachineID, r wire.MachineAction) (wire.Machine, error) {
	return write[wire.Machine](ctx, c, http.MethodPost, at("machines", string(id), "prove"), r)
}

// AppealMachine has what a machine failed judged again: the same challenge, another coordinator.
func (c *Client) AppealMachine(ctx context.Context, id raylink.MachineID, r wire.MachineAction) (wire.Machine, error) {
	return write[wire.Machine](ctx, c, http.MethodPost, at("machines", string(id), "appeal"), r)
}

// ProofPolicy is what has to be proven, and when.
func (c *Client) ProofPolicy(ctx context.Context) (wire.ProofPolicy, error) {
	return get[wire.ProofPolicy](ctx, c, at("proofs", "policy"), nil)
}

// SetProofPolicy changes what is given and leaves the rest; admins only.
func (c *Client) SetProofPolicy(ctx context.Context, p wire.ProofPolicy) (wire.ProofPolicy, error) {
	return write[wire.ProofPolicy](ctx, c, http.MethodPut, at("proofs", "policy"), p)
}
