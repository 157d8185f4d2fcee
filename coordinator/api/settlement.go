package api

import (
	"cmp"

	"github.com/gin-gonic/gin"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// shownPayouts is how many payouts a list shows.
const shownPayouts = 100

func (s *Server) getSettlement(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	return s.settlement(who.account), nil
}

func (s *Server) settlement(account raylink.AccountID) wire.Settlement {
	var v wire.Settlement
	s.Group.Read(func(st *state.State) { v = settlementView(st, account) })
	return v
}

func settlementView(st *state.State, account raylink.AccountID) wire.Settlement {
	setting := st.Payouts.Setting(string(account))
	of := func(minor int64) money.Amount { return money.Amount{Minor: minor, Asset: setting.Takes} }
	least := of(st.Payouts.Policy.Minimum[setting.Takes])
	return wire.Settlement{Takes: setting.Takes, Wallet: setting.Wallet, Minimum: of(setting.Minimum), Least: &least}
}

func (s *Server) putSettlement(c *gin.Context) (any, error) {
	var r wire.Settlement
	who, _, err := s.asked(c, &r)
	if err != nil {
		return nil, err
	}
	if r.Takes = cmp.Or(r.Takes, money.USDC); r.Minimum.Minor != 0 && r.Minimum.Asset != r.Takes {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the minimum is %v, but what is taken is %s", r.Minimum, r.Takes).WithHint("give the minimum in %s", r.Takes)
	}
	cmd := &state.SetSettlement{Account: who.account, Takes: r.Takes, Wallet: r.Wallet, Minimum: r.Minimum.Minor}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	return s.settlement(who.account), nil
}

func (s *Server) getEarnings(c *gin.Context) (any, error) {
	id, err := s.earner(c)
	if err != nil {
		return nil, err
	}
	return s.Earnings(id), nil
}

// earner is the account whose earnings are asked for: one's own, an admin's anybody's.
func (s *Server) earner(c *gin.Context) (raylink.AccountID, error) {
	who, err := s.user(c)
	if err != nil {
		return "", err
	}
	id := raylink.AccountID(cmp.Or(c.Query("account"), string(who.account)))
	if id != who.account && who.role != raylink.RoleAdmin {
		return "", raylink.Errorf(raylink.CodeForbidden, "only an admin may see another account's earnings").WithHint("leave the account away to see your own")
	}
	return id, nil
}

// Earnings is what an account has earned as a supplier, and why each part of it was not paid yet.
func (s *Server) Earnings(id raylink.AccountID) wire.Earnings {
	v := wire.Earnings{Account: id, Lines: []payout.Line{}, Payouts: []payout.Payout{}}
	s.Group.Read(func(st *state.State) {
		v.Settlement, v.NextRun = settlementView(st, id), st.PaidRunAt.Add(st.PayEvery)
		for _, asset := range []money.Asset{money.USDC, money.IO} {
			earned := payout.Earned{
				Payable:   st.Ledger.Balance(ledger.Supplier(string(id)), asset),
				HeldGrant: st.Ledger.Balance(ledger.SupplierGrant(string(id)), asset),
				HeldCard:  st.Ledger.Balance(ledger.SupplierCard(string(id)), asset),
			}
			for _, p := range []exchange.Purse{exchange.USDC, exchange.IO} {
				earned.Paused += st.Ledger.Balance(ledger.SupplierPaused(string(p), string(id)), asset)
			}
			if asset == v.Settlement.Takes || earned != (payout.Earned{}) {
				v.Lines = append(v.Lines, st.Payouts.Explain(st.Now, string(id), asset, earned, st.Treasury(asset).MayLeave())...)
			}
		}
		paid := map[money.Asset]int64{}
		for _, p := range st.LastPayouts(id, len(st.Payouts.Payouts)) {
			if p.Kind == payout.Settlement && p.State == payout.Paid {
				paid[p.Asset] += p.Amount
			}
		}
		v.Paid = wire.SumsOf(func(asset money.Asset) int64 { return paid[asset] })
		v.Payouts = append(v.Payouts, st.LastPayouts(id, shownPayouts)...)
	})
	return v
}

func (s *Server) postWithdrawal(c *gin.Context) (any, error) {
	var r wire.WithdrawalRequest
	who, entropy, err := s.asked(c, &r, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	id, err := raylink.NewID[string](entropy, "wd")
	if err != nil {
		return nil, err
	}
	if r.Card {
		if err := s.propose(c, who.by(), idempotency(c), &state.RefundCard{ID: id, Account: who.account, Amount: r.Amount}, nil); err != nil {
			return nil, err
		}
		return payout.Payout{ID: id, Kind: "card-refund", Account: string(who.account), Asset: r.Amount.Asset, Amount: r.Amount.Minor, State: payout.Waiting}, nil
	}
	s.lookAt(c, who.account, r.Wallet, r.Amount.Asset)
	cmd := &state.RequestPayout{By: who.by(), Request: payout.Request{ID: id, Kind: payout.Withdrawal, Account: string(who.account), Asset: r.Amount.Asset,
		Amount: r.Amount.Minor, Wallet: r.Wallet}}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	return s.payout(id), nil
}

// lookAt lets the leader look now whether a wallet that an account has proven has a token account that could be paid. Where it cannot, what was seen
// before decides.
func (s *Server) lookAt(c *gin.Context, account raylink.AccountID, wallet string, asset money.Asset) {
	proven := false
	s.Group.Read(func(st *state.State) { proven = st.Wallets.Has(string(account), wallet) })
	if !proven {
		return
	}
	if err := s.leader(c.Request.Context(), MethodCheck, payout.Destination{Wallet: wallet, Asset: asset}, nil); err != nil {
		s.Log.Info("looking at a wallet's token account", "err", err)
	}
}

func (s *Server) payout(id string) payout.Payout {
	var v payout.Payout
	s.Group.Read(func(st *state.State) {
		if p, ok := st.Payouts.Payouts[id]; ok {
			v = *p
			v.Code = st.Payouts.Why(st.Now, p, st.Treasury(p.Asset).MayLeave())
		}
	})
	return v
}

func (s *Server) getPayouts(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	account := who.account
	if who.role == raylink.RoleAdmin && c.Query("account") != "self" {
		account = raylink.AccountID(c.Query("account"))
	}
	list := []payout.Payout{}
	s.Group.Read(func(st *state.State) {
		free := map[money.Asset]int64{money.USDC: st.Treasury(money.USDC).MayLeave(), money.IO: st.Treasury(money.IO).MayLeave()}
		for _, p := range st.LastPayouts(account, shownPayouts) {
			p.Code = st.Payouts.Why(st.Now, &p, free[p.Asset])
			list = append(list, p)
		}
	})
	return list, nil
}

func (s *Server) postPayoutAction(c *gin.Context) (any, error) {
	var r wire.PayoutAction
	who, _, err := s.asked(c, &r)
	if err != nil {
		return nil, err
	}
	id, action := c.Param("id"), c.Param("action")
	p := s.payout(id)
	mine := p.Account == string(who.account) && p.Kind == payout.Withdrawal && action == state.PayoutCancel
	if p.ID == "" || (who.role != raylink.RoleAdmin && p.Account != string(who.account)) {
		return nil, raylink.Errorf(raylink.CodeNotFound, "no payout %.60q", id).WithHint("see `raylink payout list`")
	}
	if who.role != raylink.RoleAdmin && !mine {
		return nil, raylink.Errorf(raylink.CodeForbidden, "you may cancel withdrawals of your own; the rest is an admin's").WithHint("ask an admin")
	}
	if err := s.propose(c, who.by(), idempotency(c), &state.ChangePayout{ID: id, Action: action, By: who.by()}, nil); err != nil {
		return nil, err
	}
	return s.payout(id), nil
}
