package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"raylink/raylink"
	"raylink/raylink/wire"
)

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var out T
	err := c.do(ctx, call{method: http.MethodGet, path: path, query: query, out: &out, read: true})
	return out, err
}

func write[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	err := c.do(ctx, call{method: method, path: path, in: in, out: &out, key: newKey()})
	return out, err
}

func at(parts ...string) string {
	path := "/v1"
	for _, part := range parts {
		path += "/" + url.PathEscape(part)
	}
	return path
}

// Status is what the coordinator that answers says of the group; the client's list of coordinators follows the answer. It needs no
// token.
func (c *Client) Status(ctx context.Context) (wire.Status, error) {
	status, err := get[wire.Status](ctx, c, at("status"), nil)
	if err == nil {
		c.learn(addresses(status.Members))
	}
	return status, err
}

// addresses are the URLs of the members that have said theirs.
func addresses(members []wire.Member) []string {
	var list []string
	for _, m := range members {
		if m.API != "" {
			list = append(list, m.API)
		}
	}
	return list
}

// Refresh asks the coordinator that answered last, and no other, for the addresses of all, if any has answered at all: what other
// answers do not carry. It tells nobody of an error, because the answer that mattered has come already.
func (c *Client) Refresh(ctx context.Context) {
	if !c.answered.Load() {
		return
	}
	var me wire.WhoAmI
	if err := c.once(ctx, c.Coordinators()[0], call{method: http.MethodGet, path: at("whoami"), out: &me, timeout: 2 * dialTimeout}, nil); err == nil {
		c.learn(me.Coordinators)
	}
}

// StatusOf asks one coordinator, once, and no other in its place.
func (c *Client) StatusOf(ctx context.Context, base string) (wire.Status, error) {
	var out wire.Status
	err := c.once(ctx, base, call{method: http.MethodGet, path: at("status"), out: &out, timeout: 2 * dialTimeout}, nil)
	return out, err
}

// WhoAmI says whose token the client carries; the client's list of coordinators follows the answer.
func (c *Client) WhoAmI(ctx context.Context) (wire.WhoAmI, error) {
	me, err := get[wire.WhoAmI](ctx, c, at("whoami"), nil)
	if err == nil {
		c.learn(me.Coordinators)
	}
	return me, err
}

// CreateAccount makes an account; admins only.
func (c *Client) CreateAccount(ctx context.Context, r wire.AccountRequest) (wire.Account, error) {
	return write[wire.Account](ctx, c, http.MethodPost, at("accounts"), r)
}

// Accounts lists all accounts; admins only.
func (c *Client) Accounts(ctx context.Context) ([]wire.Account, error) {
	return get[[]wire.Account](ctx, c, at("accounts"), nil)
}

// Grant gives an account credit; admins only.
func (c *Client) Grant(ctx context.Context, id raylink.AccountID, r wire.GrantRequest) (wire.Account, error) {
	return write[wire.Account](ctx, c, http.MethodPost, at("accounts", string(id), "grants"), r)
}

// CreateToken issues an access token; its secret is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, r wire.TokenRequest) (wire.TokenAnswer, error) {
	return write[wire.TokenAnswer](ctx, c, http.MethodPost, at("tokens"), r)
}

// Tokens lists the caller's access tokens, without secrets.
func (c *Client) Tokens(ctx context.Context) ([]wire.Token, error) {
	return get[[]wire.Token](ctx, c, at("tokens"), nil)
}

// RevokeToken ends an access token at once.
func (c *Client) RevokeToken(ctx context.Context, id raylink.TokenID) (wire.Token, error) {
	return write[wire.Token](ctx, c, http.MethodDelete, at("tokens", string(id)), nil)
}

// CreateJoinToken issues a single-use join token; its secret is in the answer and nowhere else.
func (c *Client) CreateJoinToken(ctx context.Context, r wire.JoinTokenRequest) (wire.JoinTokenAnswer, error) {
	return write[wire.JoinTokenAnswer](ctx, c, http.MethodPost, at("join-tokens"), r)
}

// Machines lists the machines.
func (c *Client) Machines(ctx context.Context) ([]wire.Machine, error) {
	return get[[]wire.Machine](ctx, c, at("machines"), nil)
}

// Machine is one machine.
func (c *Client) Machine(ctx context.Context, id raylink.MachineID) (wire.Machine, error) {
	return get[wire.Machine](ctx, c, at("machines", string(id)), nil)
}

// DrainMachine lets a machine's leases end and gives it no new ones.
func (c *Client) DrainMachine(ctx context.Context, id raylink.MachineID, r wire.MachineAction) (wire.Machine, error) {
	return write[wire.Machine](ctx, c, http.MethodPost, at("machines", string(id), "drain"), r)
}

// ResumeMachine undoes a drain or a ban.
func (c *Client) ResumeMachine(ctx context.Context, id raylink.MachineID, r wire.MachineAction) (wire.Machine, error) {
	return write[wire.Machine](ctx, c, http.MethodPost, at("machines", string(id), "resume"), r)
}

// BanMachine shuts a machine out; admins only.
func (c *Client) BanMachine(ctx context.Context, id raylink.MachineID, r wire.MachineAction) (wire.Machine, error) {
	return write[wire.Machine](ctx, c, http.MethodPost, at("machines", string(id), "ban"), r)
}

// CreateQuote asks what the cluster of a manifest would cost.
func (c *Client) CreateQuote(ctx context.Context, r wire.QuoteRequest) (wire.Quote, error) {
	return write[wire.Quote](ctx, c, http.MethodPost, at("quotes"), r)
}

// Quote is a quote made before.
func (c *Client) Quote(ctx context.Context, id raylink.QuoteID) (wire.Quote, error) {
	return get[wire.Quote](ctx, c, at("quotes", string(id)), nil)
}

// CreateCluster accepts a quote. It answers when the money is held and the cluster placed; assembling it goes on.
func (c *Client) CreateCluster(ctx context.Context, r wire.CreateRequest) (wire.Cluster, error) {
	return write[wire.Cluster](ctx, c, http.MethodPost, at("clusters"), r)
}

// Clusters lists the caller's clusters; an admin's call lists all.
func (c *Client) Clusters(ctx context.Context) ([]wire.Cluster, error) {
	return get[[]wire.Cluster](ctx, c, at("clusters"), nil)
}

// Cluster is one cluster, by its id or its name.
func (c *Client) Cluster(ctx context.Context, idOrName string) (wire.Cluster, error) {
	return get[wire.Cluster](ctx, c, at("clusters", idOrName), nil)
}

// DeleteCluster ends a cluster; machines clean up after the answer.
func (c *Client) DeleteCluster(ctx context.Context, idOrName string) (wire.Cluster, error) {
	return write[wire.Cluster](ctx, c, http.MethodDelete, at("clusters", idOrName), nil)
}

// Bill is what a cluster cost so far, with the evidence of each minute.
func (c *Client) Bill(ctx context.Context, idOrName string) (wire.Bill, error) {
	return get[wire.Bill](ctx, c, at("clusters", idOrName, "bill"), nil)
}

// BillFile copies to w what the journal says of a cluster, with the group's receipt: what `raylink verify` takes. With deposits, what its owner ever paid in on the
// chain is in it as well. See Journal for its errors.
func (c *Client) BillFile(ctx context.Context, idOrName string, deposits bool, w io.Writer) error {
	query := url.Values{}
	if deposits {
		query.Set("deposits", "true")
	}
	return c.copied(ctx, at("clusters", idOrName, "bill", "export"), query, w)
}

// Balance is an account's money; the caller's own for an empty id.
func (c *Client) Balance(ctx context.Context, id raylink.AccountID) (wire.Balance, error) {
	query := url.Values{}
	if id != "" {
		query.Set("account", string(id))
	}
	return get[wire.Balance](ctx, c, at("balance"), query)
}

// Journal copies the whole journal to w; admins only. Nothing was written to w when a coordinator could not be reached;
// an error in the middle leaves w with whole or cut lines.
func (c *Client) Journal(ctx context.Context, w io.Writer) error {
	return c.copied(ctx, at("journal"), nil, w)
}

// copied copies an answer of any length to w, from the first coordinator that gives one.
func (c *Client) copied(ctx context.Context, path string, query url.Values, w io.Writer) error {
	k := call{method: http.MethodGet, path: path, query: query, read: true}
	var last error
	for _, base := range c.Coordinators() {
		answer, err := c.send(ctx, base, k, nil)
		if err != nil {
			if last = err; passOver(err) {
				continue
			}
			return err
		}
		c.prefer(base)
		defer answer.Body.Close()
		if _, err := io.Copy(w, answer.Body); err != nil {
			return fmt.Errorf("copying %s from %s: %w", path, base, err)
		}
		return nil
	}
	return c.nobody(last)
}
