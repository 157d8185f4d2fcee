package api

import (
	"context"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// joinSecret is the hash of the join token that a request shows.
func (s *Server) joinSecret(c *gin.Context) (string, error) {
	bad := raylink.Errorf(raylink.CodeUnauthenticated, "this needs a join token").WithHint("`raylink join-token create` makes one")
	text, ok := bearer(c)
	if !ok {
		return "", bad
	}
	secret, sum, err := identity.ParseJoinToken(text)
	if err != nil {
		return "", bad
	}
	if sum != s.Authority.CASHA256() {
		return "", raylink.Errorf(raylink.CodeUnauthenticated, "this join token belongs to another group").WithHint("check the address that you join")
	}
	return identity.HashToken(secret), nil
}

func (s *Server) postJoin(c *gin.Context) (any, error) {
	var r wire.JoinRequest
	if err := body(c, maxBody, &r); err != nil {
		return nil, err
	}
	hash, err := s.joinSecret(c)
	if err != nil {
		return nil, err
	}
	// The token may have been issued a moment ago, on another coordinator.
	if err := s.barrier(c.Request.Context()); err != nil {
		return nil, err
	}
	kind, err := s.joinKind(hash)
	if err != nil {
		return nil, err
	}
	issued, err := s.Authority.IssueCSR(r.CSR, kind, servingHosts(kind, r.URL)...)
	if err != nil {
		return nil, raylink.AsError(err)
	}
	if err := s.admits(hash, string(kind), issued.Principal.ID); err != nil {
		return nil, err
	}
	public := identity.EncodeKey(issued.Public)
	var cmd state.Command
	if kind == identity.Machine {
		if r.Offer == nil {
			return nil, raylink.Errorf(raylink.CodeInvalid, "a machine joins with its offer")
		}
		cmd = &state.JoinMachine{TokenHash: hash, ID: raylink.MachineID(issued.Principal.ID), PublicKey: public, Name: r.Name, Offer: *r.Offer}
	} else {
		cmd = &state.JoinGateway{TokenHash: hash, ID: raylink.GatewayID(issued.Principal.ID), PublicKey: public, Name: r.Name, URL: r.URL}
	}
	if err := s.propose(c, issued.Principal.String(), "", cmd, nil); err != nil {
		return nil, err
	}
	return s.joined(issued.Principal.ID, issued.PEM), nil
}

// servingHosts are the hosts that a gateway's certificate is good for: those of its public URL. A machine serves nothing.
func servingHosts(kind identity.Kind, public string) []string {
	u, err := url.Parse(public)
	if kind != identity.Gateway || err != nil || u.Hostname() == "" {
		return nil
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback()) {
		return []string{"localhost", "127.0.0.1", "::1"}
	}
	return []string{u.Hostname()}
}

func (s *Server) joinKind(hash string) (identity.Kind, error) {
	kind := ""
	s.Group.Read(func(st *state.State) {
		for _, t := range st.JoinTokens {
			if identity.Equal(t.Hash, hash) {
				kind = t.Kind
			}
		}
	})
	switch kind {
	case state.JoinKindMachine:
		return identity.Machine, nil
	case state.JoinKindGateway:
		return identity.Gateway, nil
	case state.JoinKindCoordinator:
		return "", raylink.Errorf(raylink.CodeInvalid, "this join token is for a coordinator").WithHint("use it with `raylink coordinator join`")
	}
	return "", raylink.Errorf(raylink.CodeUnauthenticated, "this join token is not known here").WithHint("it may have been used up long ago; ask for a new one")
}

// admits refuses what apply would refuse, before it gets into the log: who has no good join token writes nothing there, however often he asks.
func (s *Server) admits(hash, kind, by string) (err error) {
	s.Group.Read(func(st *state.State) { _, err = st.Admits(hash, kind, by) })
	return err
}

func (s *Server) joined(id string, certificate []byte) wire.JoinAnswer {
	a := wire.JoinAnswer{ID: id, Certificate: string(certificate), CA: string(s.Authority.CAPEM()), Coordinator: s.ID}
	s.Group.Read(func(st *state.State) { a.Coordinators, a.Gateways = addresses(st) })
	return a
}

// postRenew gives a fresh certificate for the key that the old one proved; who is banned gets none.
func (s *Server) postRenew(c *gin.Context) (any, error) {
	var r wire.RenewRequest
	if err := body(c, maxBody, &r); err != nil {
		return nil, err
	}
	for _, kind := range []identity.Kind{identity.Machine, identity.Gateway} {
		id, err := s.peer(c, kind)
		if err != nil {
			continue
		}
		if err := s.standing(kind, id); err != nil {
			return nil, err
		}
		public := ""
		s.Group.Read(func(st *state.State) {
			if g, ok := st.Gateways[raylink.GatewayID(id)]; ok {
				public = g.URL
			}
		})
		issued, err := s.Authority.IssueCSR(r.CSR, kind, servingHosts(kind, public)...)
		if err != nil {
			return nil, err
		}
		if issued.Principal.ID != id {
			return nil, raylink.Errorf(raylink.CodeForbidden, "a certificate is renewed for the same key only").WithHint("a new key joins with a new join token")
		}
		return s.joined(id, issued.PEM), nil
	}
	return nil, raylink.Errorf(raylink.CodeUnauthenticated, "this needs the certificate of a machine or gateway").WithHint("join the group first: `raylink join-token create` makes a token")
}

// standing refuses machines that are unknown or banned, and gateways that are unknown.
func (s *Server) standing(kind identity.Kind, id string) error {
	var err error
	s.Group.Read(func(st *state.State) {
		if kind == identity.Gateway {
			if _, ok := st.Gateways[raylink.GatewayID(id)]; !ok {
				err = raylink.Errorf(raylink.CodeUnavailable, "gateway %s is not known here (yet)", id).WithHint("another coordinator may know it; if none does, join again")
			}
			return
		}
		m, ok := st.Machines[raylink.MachineID(id)]
		if !ok {
			err = raylink.Errorf(raylink.CodeUnavailable, "machine %s is not known here (yet)", id).WithHint("another coordinator may know it; if none does, join again")
		} else if m.State == state.MachineBanned {
			err = raylink.Errorf(raylink.CodeForbidden, "machine %s is banned: %s", id, m.Reason).WithHint("ask the group's admin")
		}
	})
	return err
}

// postGroupJoin lets a new coordinator in: it gets the group's authority, with which it can prove itself from now on.
func (s *Server) postGroupJoin(c *gin.Context) (any, error) {
	var r wire.GroupJoinRequest
	if err := body(c, maxBody, &r); err != nil {
		return nil, err
	}
	hash, err := s.joinSecret(c)
	if err != nil {
		return nil, err
	}
	if err := s.barrier(c.Request.Context()); err != nil {
		return nil, err
	}
	if err := s.admits(hash, state.JoinKindCoordinator, r.ID); err != nil {
		return nil, err
	}
	if err := s.propose(c, "coordinator:"+r.ID, "", &state.JoinMember{TokenHash: hash, ID: r.ID, Raft: r.Raft, API: r.API}, nil); err != nil {
		return nil, err
	}
	bundle, err := s.Authority.Export()
	if err != nil {
		return nil, err
	}
	return wire.GroupJoinAnswer{Bundle: bundle}, nil
}

// postGroupVoter makes the coordinator that asks a voter. It listens for its peers already: a voter that does not would cost the group its majority.
func (s *Server) postGroupVoter(c *gin.Context) (any, error) {
	id, err := s.peer(c, identity.Coordinator)
	if err != nil {
		return nil, err
	}
	address := ""
	s.Group.Read(func(st *state.State) {
		if m, ok := st.Members[id]; ok {
			address = m.Raft
		}
	})
	if address == "" {
		return nil, raylink.Errorf(raylink.CodeNotFound, "coordinator %s has not joined", id).WithHint("`raylink coordinator join` with a join token comes first")
	}
	return nil, s.Roster.AddVoter(c.Request.Context(), id, address)
}

// poll answers when make gives something of another revision than the caller's, or after the wait.
func (s *Server) poll(c *gin.Context, make func(*state.State) any, stamp func(revision string) any) (any, error) {
	wait := maxWait
	if text := c.Query("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return nil, raylink.Errorf(raylink.CodeInvalid, "wait must be a duration such as 25s")
		}
		wait = min(d, maxWait)
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), wait)
	defer cancel()
	for {
		changed := s.Group.Changed()
		var value any
		s.Group.Read(func(st *state.State) { value = make(st) })
		revision, err := revisionOf(value)
		if err != nil {
			return nil, err
		}
		if revision != c.Query("revision") {
			return stamp(revision), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return stamp(revision), nil
		}
	}
}

func addresses(st *state.State) (coordinators, gateways []string) {
	coordinators, gateways = []string{}, []string{}
	for _, m := range st.Members {
		coordinators = append(coordinators, m.API)
	}
	for _, g := range st.Gateways {
		gateways = append(gateways, g.URL)
	}
	slices.Sort(coordinators)
	slices.Sort(gateways)
	return coordinators, gateways
}
