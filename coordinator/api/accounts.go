package api

import (
	"cmp"
	"io"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/exchange"
	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// mint is the entropy of one write: the same again for a repeated Idempotency-Key.
func (s *Server) mint(c *gin.Context, who caller) (io.Reader, error) {
	key := idempotency(c)
	if len(key) > state.MaxKey {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the Idempotency-Key has %d bytes; at most %d are taken", len(key), state.MaxKey)
	}
	return s.Authority.Mint(who.by(), c.Request.Method+" "+c.FullPath(), key)
}

// asked reads a user's write: who asks, by one of these roles; the body; and the entropy for what it mints.
func (s *Server) asked(c *gin.Context, into any, roles ...raylink.Role) (caller, io.Reader, error) {
	who, err := s.user(c, roles...)
	if err != nil {
		return who, nil, err
	}
	if err := body(c, maxBody, into); err != nil {
		return who, nil, err
	}
	entropy, err := s.mint(c, who)
	return who, entropy, err
}

func (s *Server) getWhoami(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleSupplier, raylink.RoleAdmin, raylink.RoleSigner)
	if err != nil {
		return nil, err
	}
	answer := wire.WhoAmI{Account: who.account, Name: who.name, Role: who.role}
	s.Group.Read(func(st *state.State) { answer.Coordinators, answer.Gateways = addresses(st) })
	return answer, nil
}

func (s *Server) getAccounts(c *gin.Context) (any, error) {
	if _, err := s.user(c, raylink.RoleAdmin); err != nil {
		return nil, err
	}
	return s.Accounts(), nil
}

// Accounts are all accounts with their money, by name; for admins only.
func (s *Server) Accounts() []wire.Account {
	list := []wire.Account{}
	s.Group.Read(func(st *state.State) {
		for _, a := range st.Accounts {
			list = append(list, accountView(st, a))
		}
	})
	slices.SortFunc(list, func(a, b wire.Account) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list
}

func accountView(st *state.State, a *state.Account) wire.Account {
	b := balanceView(st, a)
	return wire.Account{ID: a.ID, Name: a.Name, Free: b.Free, Held: b.Held, Earned: b.Earned, CreatedAt: a.CreatedAt}
}

func balanceView(st *state.State, a *state.Account) wire.Balance {
	held := map[exchange.Purse]int64{}
	for _, c := range st.Clusters {
		if c.Owner == a.ID && !c.Phase.Over() {
			held[state.PurseOf(c)] += st.Held(c).Minor
		}
	}
	v := wire.Balance{Account: a.ID, Name: a.Name}
	free, aside := map[money.Asset]int64{}, map[money.Asset]int64{}
	for _, p := range exchange.Purses() {
		one := wire.Purse{Purse: string(p), Free: st.Free(a.ID, p), Held: money.Amount{Minor: held[p], Asset: p.Asset()},
			RunsOutAt: st.PurseRunsOut(a.ID, p)}
		free[p.Asset()] += one.Free.Minor
		aside[p.Asset()] += one.Held.Minor
		v.Purses = append(v.Purses, one)
	}
	v.Free = wire.SumsOf(func(asset money.Asset) int64 { return free[asset] })
	v.Held = wire.SumsOf(func(asset money.Asset) int64 { return aside[asset] })
	v.Earned = wire.SumsOf(func(asset money.Asset) int64 { return st.Earned(a.ID, asset) })
	if limit, today := st.CapOf(a.ID); limit.PerDay > 0 {
		v.Cap = &wire.Cap{PerDay: money.MicroUSD(limit.PerDay), Alarm: limit.Alarm, Today: money.MicroUSD(today)}
	}
	return v
}

func (s *Server) postAccount(c *gin.Context) (any, error) {
	var r wire.AccountRequest
	who, entropy, err := s.asked(c, &r, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	id, err := raylink.NewID[raylink.AccountID](entropy, "acc")
	if err != nil {
		return nil, err
	}
	if err := s.propose(c, who.by(), idempotency(c), &state.OpenAccount{ID: id, Name: r.Name}, &id); err != nil {
		return nil, err
	}
	return s.account(id)
}

func (s *Server) account(id raylink.AccountID) (wire.Account, error) {
	var view wire.Account
	err := error(raylink.Errorf(raylink.CodeNotFound, "no account %q", id).WithHint("see `raylink admin account list`"))
	s.Group.Read(func(st *state.State) {
		if a, ok := st.Accounts[id]; ok {
			view, err = accountView(st, a), nil
		}
	})
	return view, err
}

func (s *Server) postGrant(c *gin.Context) (any, error) {
	var r wire.GrantRequest
	who, entropy, err := s.asked(c, &r, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	id, err := raylink.NewID[string](entropy, "grant")
	if err != nil {
		return nil, err
	}
	account := raylink.AccountID(c.Param("id"))
	if err := s.propose(c, who.by(), idempotency(c), &state.GrantCredit{ID: id, Account: account, Amount: r.Amount, Reason: r.Reason}, nil); err != nil {
		return nil, err
	}
	return s.account(account)
}

func (s *Server) getBalance(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	id := raylink.AccountID(cmp.Or(c.Query("account"), string(who.account)))
	if id != who.account && who.role != raylink.RoleAdmin {
		return nil, raylink.Errorf(raylink.CodeForbidden, "only an admin may see another account's balance").WithHint("leave the account away to see your own")
	}
	return s.Balance(id)
}

// Balance is an account's money.
func (s *Server) Balance(id raylink.AccountID) (wire.Balance, error) {
	var view wire.Balance
	err := error(raylink.Errorf(raylink.CodeNotFound, "no account %q", id).WithHint("see `raylink admin account list`"))
	s.Group.Read(func(st *state.State) {
		if a, ok := st.Accounts[id]; ok {
			view, err = balanceView(st, a), nil
		}
	})
	return view, err
}

func (s *Server) getTokens(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	list := []wire.Token{}
	s.Group.Read(func(st *state.State) {
		for _, t := range st.Tokens {
			if t.Account == who.account || who.role == raylink.RoleAdmin {
				list = append(list, tokenView(t))
			}
		}
	})
	slices.SortFunc(list, func(a, b wire.Token) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

func tokenView(t *state.Token) wire.Token {
	return wire.Token{ID: t.ID, Account: t.Account, Role: t.Role, Label: t.Label, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, RevokedAt: t.RevokedAt}
}

// lifetime reads a time to live; empty is what is usual there.
func lifetime(text string, usual time.Duration) (time.Duration, error) {
	if text == "" {
		return usual, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, raylink.Errorf(raylink.CodeInvalid, "%q is no time to live", text).WithHint("give a duration such as 30m or 720h")
	}
	return d, nil
}

func (s *Server) postToken(c *gin.Context) (any, error) {
	var r wire.TokenRequest
	who, entropy, err := s.asked(c, &r)
	if err != nil {
		return nil, err
	}
	account := cmp.Or(r.Account, who.account)
	if who.role != raylink.RoleAdmin && (account != who.account || r.Role != who.role) {
		return nil, raylink.Errorf(raylink.CodeForbidden, "you may issue tokens of your own account and role only").WithHint("leave account and role away, or ask an admin")
	}
	ttl, err := lifetime(r.TTL, 0)
	if err != nil {
		return nil, err
	}
	if who.until != nil && (ttl == 0 || time.Now().Add(ttl).After(*who.until)) {
		return nil, raylink.Errorf(raylink.CodeForbidden, "an access token may not issue one that outlives it; it ends at %s", who.until.Format(time.RFC3339)).
			WithHint("name a shorter time to live, or use a token without end")
	}
	id, err := raylink.NewID[raylink.TokenID](entropy, "tok")
	if err != nil {
		return nil, err
	}
	token, err := identity.NewAccessToken(entropy)
	if err != nil {
		return nil, err
	}
	secret, err := identity.ParseAccessToken(token)
	if err != nil {
		return nil, err
	}
	cmd := &state.IssueToken{ID: id, Account: account, Role: r.Role, Label: r.Label, Hash: identity.HashToken(secret), TTL: ttl}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	answer := wire.TokenAnswer{Secret: token}
	s.Group.Read(func(st *state.State) { answer.Token = tokenView(st.Tokens[id]) })
	return answer, nil
}

func (s *Server) deleteToken(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	id := raylink.TokenID(c.Param("id"))
	own := false
	s.Group.Read(func(st *state.State) { t, ok := st.Tokens[id]; own = ok && t.Account == who.account })
	if !own && who.role != raylink.RoleAdmin {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no token %q of yours", id).WithHint("see `raylink token list`")
	}
	if err := s.propose(c, who.by(), idempotency(c), &state.RevokeToken{ID: id}, nil); err != nil {
		return nil, err
	}
	var view wire.Token
	s.Group.Read(func(st *state.State) { view = tokenView(st.Tokens[id]) })
	return view, nil
}

func (s *Server) postJoinToken(c *gin.Context) (any, error) {
	var r wire.JoinTokenRequest
	who, entropy, err := s.asked(c, &r, raylink.RoleAdmin, raylink.RoleSupplier)
	if err != nil {
		return nil, err
	}
	if who.role != raylink.RoleAdmin && (r.Kind != state.JoinKindMachine || cmp.Or(r.Account, who.account) != who.account) {
		return nil, raylink.Errorf(raylink.CodeForbidden, "a supplier may let machines of his own in, and nothing else").WithHint("ask an admin for this one")
	}
	if r.Kind == state.JoinKindMachine {
		r.Account = cmp.Or(r.Account, who.account)
	}
	ttl, err := lifetime(r.TTL, time.Hour)
	if err != nil {
		return nil, err
	}
	id, err := raylink.NewID[raylink.TokenID](entropy, "tok")
	if err != nil {
		return nil, err
	}
	token, err := identity.NewJoinToken(entropy, s.Authority.CASHA256())
	if err != nil {
		return nil, err
	}
	secret, _, err := identity.ParseJoinToken(token)
	if err != nil {
		return nil, err
	}
	cmd := &state.IssueJoinToken{ID: id, Kind: r.Kind, Account: r.Account, Hash: identity.HashToken(secret), TTL: ttl}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	answer := wire.JoinTokenAnswer{ID: id, Secret: token}
	s.Group.Read(func(st *state.State) {
		if t, ok := st.JoinTokens[id]; ok { // a key repeated after a day may find it swept away
			answer.ExpiresAt = t.ExpiresAt
		}
	})
	return answer, nil
}
