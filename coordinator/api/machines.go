package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// lastSeen asks the leader who was heard when; without a leader nobody was.
func (s *Server) lastSeen(ctx context.Context) SeenAnswer {
	ctx, cancel := context.WithTimeout(ctx, seenLimit)
	defer cancel()
	var seen SeenAnswer
	if err := s.leader(ctx, MethodSeen, nil, &seen); err != nil {
		s.Log.Debug("asking the leader who was seen", "err", err)
	}
	return seen
}

func machineView(st *state.State, m *state.Machine, seen SeenAnswer, at plan.Standings, sees insight) wire.Machine {
	v := wire.Machine{ID: m.ID, Name: m.Name, Owner: m.Owner, Offer: m.Offer, Used: st.Used(m.ID), Leases: len(st.LeasesOn(m.ID)), JoinedAt: m.JoinedAt, State: m.State}
	if heard, ok := seen.Machines[m.ID]; ok {
		v.LastSeen = &heard
	}
	stand(&v, m, at, seen.Said[m.ID], sees)
	if m.State == state.MachineActive {
		v.State = "down"
		if v.LastSeen != nil && time.Since(*v.LastSeen) <= plan.UpFor {
			v.State = "up"
		}
	}
	return v
}

// visible says whether a caller may see a machine: tenants see the market, suppliers their own.
func visible(who caller, m *state.Machine) bool {
	return who.role != raylink.RoleSupplier || m.Owner == who.account
}

func (s *Server) getMachines(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	return s.Machines(c.Request.Context(), who.account, who.role), nil
}

// Machines lists the machines that an account may see in a role.
func (s *Server) Machines(ctx context.Context, account raylink.AccountID, role raylink.Role) []wire.Machine {
	seen := s.lastSeen(ctx)
	list := []wire.Machine{}
	who := caller{account: account, role: role}
	s.Group.Read(func(st *state.State) {
		at := plan.NewStandings(st, seen.plan(), time.Now())
		for _, m := range st.Machines {
			if visible(who, m) {
				list = append(list, machineView(st, m, seen, at, insightOf(who, m)))
			}
		}
	})
	slices.SortFunc(list, func(a, b wire.Machine) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list
}

func (s *Server) getMachine(c *gin.Context) (any, error) {
	if _, token := bearer(c); !token {
		if id, err := s.peer(c, identity.Machine); err == nil {
			return s.itself(c, raylink.MachineID(id))
		}
	}
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	return s.machine(c, who)
}

// machine finds one by id, or by name where that is unique.
func (s *Server) machine(c *gin.Context, who caller) (wire.Machine, error) {
	var hits []wire.Machine
	for _, m := range s.Machines(c.Request.Context(), who.account, who.role) {
		if string(m.ID) == c.Param("id") {
			return m, nil
		}
		if m.Name == c.Param("id") {
			hits = append(hits, m)
		}
	}
	if len(hits) == 1 {
		return hits[0], nil
	}
	if len(hits) > 1 {
		return wire.Machine{}, raylink.Errorf(raylink.CodeConflict, "%d machines are named %q", len(hits), c.Param("id")).WithHint("name one by its id")
	}
	return wire.Machine{}, raylink.Errorf(raylink.CodeNotFound, "no machine %q", c.Param("id")).WithHint("see `raylink machine list`")
}

func (s *Server) postMachineAction(c *gin.Context) (any, error) {
	who, err := s.keeper(c)
	if err != nil {
		return nil, err
	}
	var r wire.MachineAction
	if err := body(c, maxBody, &r); err != nil {
		return nil, err
	}
	m, err := s.machine(c, who)
	if err != nil {
		return nil, err
	}
	if done, err := s.machineProof(c, who, m.ID); err != nil {
		return nil, err
	} else if done {
		return s.machine(c, who)
	}
	to := map[string]string{"drain": state.MachineDraining, "resume": state.MachineActive, "ban": state.MachineBanned}[c.Param("action")]
	if to == "" {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no action %q on a machine", c.Param("action")).WithHint("there are drain, resume, ban, prove and appeal")
	}
	if who.role != raylink.RoleAdmin && (to == state.MachineBanned || m.State == state.MachineBanned) {
		return nil, raylink.Errorf(raylink.CodeForbidden, "only an admin bans a machine or takes the ban back")
	}
	cmd := &state.SetMachine{ID: m.ID, State: to, Reason: r.Reason, Admin: who.role == raylink.RoleAdmin}
	if r.Notice != "" {
		if cmd.Notice, err = time.ParseDuration(r.Notice); err != nil || cmd.Notice <= 0 || to != state.MachineDraining {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%.40q is no notice of a drain", r.Notice).WithHint("write it as 90m or 24h, with `drain`")
		}
	}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	c.Params = gin.Params{{Key: "id", Value: string(m.ID)}}
	return s.machine(c, who)
}

func (s *Server) getStatus(c *gin.Context) (any, error) { return s.Status(c), nil }

// sharesHost says what is wrong where a gateway's endpoints have the host name of a coordinator's dashboard; empty if nothing is.
func sharesHost(st *state.State, g *state.Gateway) string {
	for _, id := range slices.Sorted(maps.Keys(st.Members)) {
		if wire.SameHost(g.URL, st.Members[id].API) {
			return fmt.Sprintf("its endpoints have the host name of %s's dashboard: browsers take one for the other, and a page of a tenant's cluster could get at the dashboard's cookies. "+
				"Give it a host name of its own with --public-url", id)
		}
	}
	return ""
}

// Status is this coordinator's view of the group.
func (s *Server) Status(ctx context.Context) wire.Status {
	seen := s.lastSeen(ctx)
	leader, voters := s.Roster.Leader(), s.Roster.Voters()
	a := wire.Status{ID: s.ID, Leader: leader, CASHA256: s.Authority.CASHA256(), Version: s.Version, Snapshot: s.Roster.Restored(), Members: []wire.Member{}, Gateways: []wire.Gateway{}}
	s.Group.Read(func(st *state.State) {
		a.Index, a.Digest, a.Now = st.Index, s.digest.of(st), st.Now
		for _, m := range st.Members {
			a.Members = append(a.Members, wire.Member{ID: m.ID, Raft: m.Raft, API: m.API, Leader: m.ID == leader, Voter: voters[m.ID]})
		}
		for _, g := range st.Gateways {
			v := wire.Gateway{ID: g.ID, URL: g.URL, Beside: g.Beside, Warning: sharesHost(st, g)}
			if at, ok := seen.Gateways[g.ID]; ok {
				v.LastSeen = &at
			}
			a.Gateways = append(a.Gateways, v)
		}
	})
	a.Alarm = s.alarm(seen)
	slices.SortFunc(a.Members, func(x, y wire.Member) int { return cmp.Compare(x.ID, y.ID) })
	slices.SortFunc(a.Gateways, func(x, y wire.Gateway) int { return cmp.Compare(x.ID, y.ID) })
	return a
}
