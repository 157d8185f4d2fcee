package coordinator

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"raylink/coordinator/authority"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// found writes a new group's first facts: its founder, and an admin's account with the token that Init made.
func (n *Node) found(ctx context.Context, secret string) error {
	account, err := raylink.NewID[raylink.AccountID](rand.Reader, "acc")
	if err != nil {
		return err
	}
	token, err := raylink.NewID[raylink.TokenID](rand.Reader, "tok")
	if err != nil {
		return err
	}
	var raws []json.RawMessage
	policy := state.DefaultProofPolicy()
	policy.Required = n.cfg.Proofs == "on"
	for _, c := range []state.Command{
		&state.SetProofPolicy{Policy: policy},
		&state.JoinMember{ID: n.cfg.ID, Raft: n.raftAddress(), API: n.cfg.URL},
		&state.OpenAccount{ID: account, Name: "admin"},
		&state.IssueToken{ID: token, Account: account, Role: raylink.RoleAdmin, Label: "founder", Hash: identity.HashToken(secret)},
	} {
		raw, err := state.Encode("founder", "", c)
		if err != nil {
			return err
		}
		raws = append(raws, raw)
	}
	results, _, err := n.raft.Propose(ctx, raws...)
	if err != nil {
		return fmt.Errorf("writing the group's first entry: %w", err)
	}
	for _, r := range results {
		if err := state.ReadResult(r, nil); err != nil {
			return fmt.Errorf("writing the group's first entry: %w", err)
		}
	}
	return nil
}

func (n *Node) raftAddress() string {
	if n.cfg.RaftAdvertise != "" {
		return n.cfg.RaftAdvertise
	}
	return n.cfg.RaftListen
}

// join gets the group's authority from one of its coordinators, by a join token.
func (c *Config) join(ctx context.Context) (*authority.Authority, error) {
	raw, err := os.ReadFile(c.JoinTokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading the join token: %w", err)
	}
	raft := c.RaftAdvertise
	if raft == "" {
		raft = c.RaftListen
	}
	if strings.HasPrefix(raft, ":") {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the other coordinators need an address to reach this one").WithHint("give it with --raft-advertise host:port")
	}
	answer, err := client.JoinGroup(ctx, c.Join, strings.TrimSpace(string(raw)), wire.GroupJoinRequest{ID: c.ID, Raft: raft, API: c.URL})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.authorityDir(), 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	return authority.Import(c.authorityDir(), answer.Bundle)
}

// voteTries bounds how long a joiner asks for its vote: a second apart.
const voteTries = 30

// askForVote asks the group to count this coordinator's vote; it listens for its peers already.
func (n *Node) askForVote(ctx context.Context, auth *authority.Authority, keeper *authority.Keeper) error {
	trust, err := auth.ClientTLS(keeper)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: trust}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	for try := 0; ; try++ {
		err = ask(ctx, c, strings.TrimSuffix(n.cfg.Join, "/")+"/v1/group/voter")
		if err == nil {
			return nil
		}
		if try == voteTries || ctx.Err() != nil {
			return fmt.Errorf("asking for a vote in the group: %w", err)
		}
		n.log.Warn("asking for a vote in the group", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func ask(ctx context.Context, c *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(nil))
	if err != nil {
		return err
	}
	answer, err := c.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNoContent {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return err
	}
	e := &raylink.Error{}
	if json.Unmarshal(raw, e) != nil || e.Code == "" {
		return fmt.Errorf("%s: %s", answer.Status, raw)
	}
	return e
}
