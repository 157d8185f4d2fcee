package api

import (
	"github.com/gin-gonic/gin"

	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

func (s *Server) putCap(c *gin.Context) (any, error) {
	var r wire.CapRequest
	who, _, err := s.asked(c, &r, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	if r.PerDay.Asset != money.USD {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a cap is an amount of USD a day, not %v", r.PerDay)
	}
	if err := s.propose(c, who.by(), idempotency(c), &state.SetCap{Account: who.account, PerDay: r.PerDay.Minor, Alarm: r.Alarm}, nil); err != nil {
		return nil, err
	}
	var v wire.Balance
	s.Group.Read(func(st *state.State) { v = balanceView(st, st.Accounts[who.account]) })
	return v, nil
}

func (s *Server) putBudget(c *gin.Context) (any, error) {
	var r wire.BudgetRequest
	who, _, err := s.asked(c, &r, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	cl, err := s.Cluster(who.account, who.role, c.Param("id"))
	if err != nil {
		return nil, err
	}
	if r.Budget.Asset != money.USD {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a budget is an amount of USD, not %v", r.Budget)
	}
	if raises := r.Budget.Minor == 0 || (cl.Maximum != nil && r.Budget.Minor > cl.Maximum.Minor); cl.Owner != who.account && raises {
		return nil, raylink.Errorf(raylink.CodeForbidden, "only its owner may let cluster %s cost more", cl.ID).WithHint("an admin may lower it, or end the cluster")
	}
	if err := s.propose(c, who.by(), idempotency(c), &state.SetBudget{ID: cl.ID, Budget: r.Budget.Minor, Alarm: r.Alarm}, nil); err != nil {
		return nil, err
	}
	return s.Cluster(who.account, who.role, string(cl.ID))
}
