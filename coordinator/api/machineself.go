package api

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// keeper is who may act on the machine that a request names: an admin, a supplier, or the machine itself by its certificate, which stands for its
// owner. The last may act on that one machine alone, by its id.
func (s *Server) keeper(c *gin.Context) (caller, error) {
	if _, ok := bearer(c); ok {
		return s.user(c, raylink.RoleAdmin, raylink.RoleSupplier)
	}
	id, err := s.peer(c, identity.Machine)
	if err != nil {
		return s.user(c, raylink.RoleAdmin, raylink.RoleSupplier) // says that a token is missing
	}
	if id != c.Param("id") {
		return caller{}, raylink.Errorf(raylink.CodeForbidden, "machine %s does not act for another", id).WithHint("use its owner's access token")
	}
	var who caller
	s.Group.Read(func(st *state.State) {
		if m, ok := st.Machines[raylink.MachineID(id)]; ok {
			who = caller{account: m.Owner, role: raylink.RoleSupplier}
		}
	})
	if who.account == "" {
		return who, raylink.Errorf(raylink.CodeNotFound, "no machine %q", id)
	}
	return who, nil
}

// itself is a machine as its owner sees it, for its own agent's host: with what the leader has heard of it. Its assignment tells where it stands by the log
// alone, taken that it is heard, and whether it is heard is what an owner wants to know. Without a leader there is no answer.
func (s *Server) itself(c *gin.Context, id raylink.MachineID) (any, error) {
	if _, err := s.keeper(c); err != nil {
		return nil, err
	}
	if err := s.standing(identity.Machine, string(id)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), seenLimit)
	defer cancel()
	var seen SeenAnswer
	if err := s.leader(ctx, MethodSeen, nil, &seen); err != nil {
		return nil, err
	}
	var v wire.Machine
	s.Group.Read(func(st *state.State) {
		if m, ok := st.Machines[id]; ok {
			v = machineView(st, m, seen, plan.NewStandings(st, seen.plan(), time.Now()), whole)
		}
	})
	return v, nil
}
