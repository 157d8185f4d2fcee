package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// maxWait is how long a coordinator may hold a long poll.
const maxWait = 25 * time.Second

// Join trades a single-use join token for a certificate. The coordinator is known by the CA's SHA-256 inside the token, before the
// token is shown to it. The same token with the same request may be sent again: the answer is the same.
func Join(ctx context.Context, coordinator, joinToken string, request wire.JoinRequest) (wire.JoinAnswer, error) {
	var answer wire.JoinAnswer
	c, err := pinned(ctx, coordinator, joinToken)
	if err != nil {
		return answer, err
	}
	defer c.Close()
	err = c.do(ctx, call{method: http.MethodPost, path: at("join"), in: request, out: &answer, key: joinKey(joinToken, request.CSR)})
	return answer, err
}

// JoinGroup trades a coordinator's join token for the group's secrets.
func JoinGroup(ctx context.Context, coordinator, joinToken string, request wire.GroupJoinRequest) (wire.GroupJoinAnswer, error) {
	var answer wire.GroupJoinAnswer
	c, err := pinned(ctx, coordinator, joinToken)
	if err != nil {
		return answer, err
	}
	defer c.Close()
	err = c.do(ctx, call{method: http.MethodPost, path: at("group", "join"), in: request, out: &answer, key: joinKey(joinToken, []byte(request.ID))})
	return answer, err
}

// pinned is a client that trusts the CA in a join token and shows that token.
func pinned(ctx context.Context, coordinator, joinToken string) (*Client, error) {
	_, pin, err := identity.ParseJoinToken(joinToken)
	if err != nil {
		return nil, err
	}
	ca, _, err := FetchCA(ctx, coordinator, pin)
	if err != nil {
		return nil, err
	}
	return New(Config{Coordinators: []string{coordinator}, CAPEM: ca, Token: joinToken})
}

// joinKey is the same for the same token and newcomer, so that a join which was cut off can be repeated, even after a restart.
func joinKey(joinToken string, newcomer []byte) string {
	sum := sha256.Sum256(append([]byte("raylink join\n"+joinToken+"\n"), newcomer...))
	return hex.EncodeToString(sum[:16])
}

// ServingCertificate is a gateway's request for a certificate for another key than its identity, good for serving its hosts.
func (c *Client) ServingCertificate(ctx context.Context, request wire.RenewRequest) (wire.JoinAnswer, error) {
	var answer wire.JoinAnswer
	err := c.do(ctx, call{method: http.MethodPost, path: at("gateway", "certificate"), in: request, out: &answer})
	return answer, err
}

// Renew asks for a fresh certificate for the same key, proven by the old one.
func (c *Client) Renew(ctx context.Context, request wire.RenewRequest) (wire.JoinAnswer, error) {
	var answer wire.JoinAnswer
	err := c.do(ctx, call{method: http.MethodPost, path: at("renew"), in: request, out: &answer})
	if err == nil {
		c.learn(answer.Coordinators)
	}
	return answer, err
}

// Assignment waits up to 25 s for an assignment of another revision than the one given, and returns what holds then, with its
// revision. It is made for Follow.
func (c *Client) Assignment(ctx context.Context, revision string) (wire.Assignment, string, error) {
	var answer wire.Assignment
	err := c.poll(ctx, at("agent", "assignment"), revision, &answer)
	if err == nil {
		c.learn(answer.Coordinators)
	}
	return answer, answer.Revision, err
}

// GatewayAssignment is Assignment for gateways.
func (c *Client) GatewayAssignment(ctx context.Context, revision string) (wire.GatewayAssignment, string, error) {
	var answer wire.GatewayAssignment
	err := c.poll(ctx, at("gateway", "assignment"), revision, &answer)
	if err == nil {
		c.learn(answer.Coordinators)
	}
	return answer, answer.Revision, err
}

// poll asks each coordinator once: Follow is who tries again.
func (c *Client) poll(ctx context.Context, path, revision string, out any) error {
	query := url.Values{"wait": {maxWait.String()}}
	if revision != "" {
		query.Set("revision", revision)
	}
	return c.do(ctx, call{method: http.MethodGet, path: path, query: query, out: out, timeout: maxWait + requestTimeout, rounds: 1})
}

// Report sends an agent's heartbeat and observation. It is tried at every coordinator once; the next report replaces it anyway.
func (c *Client) Report(ctx context.Context, report wire.AgentReport) error {
	return c.do(ctx, call{method: http.MethodPost, path: at("agent", "report"), in: report, rounds: 1, timeout: 10 * time.Second})
}

// GatewayReport is Report for gateways.
func (c *Client) GatewayReport(ctx context.Context, report wire.GatewayReport) error {
	return c.do(ctx, call{method: http.MethodPost, path: at("gateway", "report"), in: report, rounds: 1, timeout: 10 * time.Second})
}

// OnMachine has the group do something with a machine: drain, resume, appeal and so on. An agent may ask it for its own machine.
func (c *Client) OnMachine(ctx context.Context, id raylink.MachineID, action string, r wire.MachineAction) error {
	_, err := write[wire.Machine](ctx, c, http.MethodPost, at("machines", string(id), action), r)
	return err
}

// Standing is how the group sees the machine that this client speaks for, asked now: with what the leader has heard of it. Where no coordinator can tell
// that (none leads, or they are of an earlier release), it is what the assignment says, by the log alone.
func (c *Client) Standing(ctx context.Context, id raylink.MachineID) (raylink.Standing, error) {
	if m, err := get[wire.Machine](ctx, c, at("machines", string(id)), nil); err == nil && m.Standing.State != "" {
		return m.Standing, nil
	}
	a, _, err := c.Assignment(ctx, "")
	return a.Standing, err
}
