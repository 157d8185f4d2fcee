package api

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/billing/solanapay"
	"raylink/billing/wallet"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// topupLife is how long a top-up is open. What comes later is credited all the same.
const topupLife = 24 * time.Hour

// shownTopups is how many a list shows.
const shownTopups = 200

func (s *Server) postTopup(c *gin.Context) (any, error) {
	var r wire.TopupRequest
	who, entropy, err := s.asked(c, &r, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	return s.openTopup(c.Request.Context(), who, entropy, r)
}

// OpenTopup announces a payment of a user who has proven who he is; the same key opens the same one.
func (s *Server) OpenTopup(ctx context.Context, account raylink.AccountID, role raylink.Role, key string, r wire.TopupRequest) (wire.Topup, error) {
	who := caller{account: account, role: role}
	entropy, err := s.Authority.Mint(who.by(), "top-up", key)
	if err != nil {
		return wire.Topup{}, err
	}
	return s.openTopup(ctx, who, entropy, r)
}

func (s *Server) openTopup(ctx context.Context, who caller, entropy io.Reader, r wire.TopupRequest) (wire.Topup, error) {
	if r.Lot != "" && who.role != raylink.RoleAdmin {
		return wire.Topup{}, raylink.Errorf(raylink.CodeForbidden, "only an admin pays into a lot").WithHint("leave the lot away to top up your own balance")
	}
	id, err := raylink.NewID[string](entropy, "top")
	if err != nil {
		return wire.Topup{}, err
	}
	if r.Card {
		return s.cardTopup(ctx, who, id, r.Amount)
	}
	if r.Amount.Asset == money.USD {
		return wire.Topup{}, raylink.Errorf(raylink.CodeInvalid, "USD comes by card, USDC and IO by a transfer").WithHint("`raylink topup 50 --card`, or `raylink topup 50 --asset usdc`")
	}
	reference := make([]byte, wallet.AddressSize)
	if _, err := io.ReadFull(entropy, reference); err != nil {
		return wire.Topup{}, err
	}
	cmd := &state.OpenTopup{ID: id, Account: who.account, Asset: r.Amount.Asset, Reference: wallet.Encode(reference), Expected: r.Amount.Minor, Lot: r.Lot, TTL: topupLife}
	if _, err := s.commit(ctx, who.by(), "", cmd, nil); err != nil { // by its id it is opened once
		return wire.Topup{}, err
	}
	return s.Topup(who.account, who.role, id)
}

// Assets are those that can be paid in.
func (s *Server) Assets() []money.Asset {
	var list []money.Asset
	s.Group.Read(func(st *state.State) {
		for _, asset := range []money.Asset{money.USDC, money.IO} {
			if _, ok := st.Deposits.Treasury.Of(asset); ok {
				list = append(list, asset)
			}
		}
	})
	return list
}

func (s *Server) getTopups(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	return s.Topups(who.account, who.role), nil
}

// Topups are an account's last top-ups, the newest first; an admin's are all.
func (s *Server) Topups(account raylink.AccountID, role raylink.Role) []wire.Topup {
	list := []wire.Topup{}
	s.Group.Read(func(st *state.State) {
		for _, t := range st.Deposits.Topups {
			if t.Account == string(account) || role == raylink.RoleAdmin {
				if v, err := topupView(st, t); err == nil {
					list = append(list, v)
				}
			}
		}
		list = append(list, cardTopups(st, account, role)...)
	})
	slices.SortFunc(list, func(a, b wire.Topup) int { return cmp.Or(b.OpenedAt.Compare(a.OpenedAt), cmp.Compare(a.ID, b.ID)) })
	return list[:min(len(list), shownTopups)]
}

func (s *Server) getTopup(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	return s.Topup(who.account, who.role, c.Param("id"))
}

// Topup is one top-up of an account's; an admin may see all.
func (s *Server) Topup(account raylink.AccountID, role raylink.Role, id string) (wire.Topup, error) {
	var v wire.Topup
	err := error(raylink.Errorf(raylink.CodeNotFound, "no top-up %.60q", id).WithHint("see `raylink topup list`"))
	s.Group.Read(func(st *state.State) {
		mine := func(owner string) bool { return owner == string(account) || role == raylink.RoleAdmin }
		if t, ok := st.Deposits.Topups[id]; ok && mine(t.Account) {
			v, err = topupView(st, t)
		} else if t, ok := st.Cards.Topup(id); ok && mine(t.Account) {
			v, err = cardView(t), nil
		}
	})
	return v, err
}

// topupView shows a top-up with the transfer request that pays it.
func topupView(st *state.State, t *deposit.Topup) (wire.Topup, error) {
	amount := money.Amount{Minor: t.Expected, Asset: t.Asset}
	v := wire.Topup{ID: t.ID, Account: raylink.AccountID(t.Account), Amount: amount, State: "open", Reference: t.Reference, Lot: t.Lot,
		Received: money.Amount{Minor: t.Received, Asset: t.Asset}, OpenedAt: t.OpenedAt, ExpiresAt: t.ExpiresAt}
	for _, key := range t.Deposits {
		v.Deposits = append(v.Deposits, *st.Deposits.Deposits[key])
	}
	switch {
	case len(t.Deposits) > 0:
		v.State = "paid"
	case !st.Now.Before(t.ExpiresAt):
		v.State = "expired"
	}
	mint, ok := st.Deposits.Treasury.Of(t.Asset)
	if !ok {
		return v, nil // the treasury has been changed: what is on its way to the old account is the admin's to find
	}
	url, err := solanapay.New(solanapay.Request{Recipient: mint.Wallet, Mint: mint.Mint, Amount: amount, References: []string{t.Reference},
		Label: "Raylink", Message: "top-up " + t.ID, Memo: t.ID})
	if err != nil {
		return v, fmt.Errorf("writing the transfer request: %w", err)
	}
	v.URL = url
	return v, nil
}

func (s *Server) postWalletChallenge(c *gin.Context) (any, error) {
	var r wire.WalletRequest
	who, entropy, err := s.asked(c, &r)
	if err != nil {
		return nil, err
	}
	if err := wallet.CheckAddress("the wallet", r.Address); err != nil {
		return nil, err
	}
	nonce, err := raylink.NewID[string](entropy, "nonce")
	if err != nil {
		return nil, err
	}
	if err := s.propose(c, who.by(), idempotency(c), &state.ChallengeWallet{Account: who.account, Nonce: nonce}, nil); err != nil {
		return nil, err
	}
	return wire.WalletChallenge{Address: r.Address, Nonce: nonce, Text: wallet.Text(s.Authority.CASHA256(), string(who.account), r.Address, nonce)}, nil
}

func (s *Server) postWallet(c *gin.Context) (any, error) {
	var r wire.WalletRequest
	who, _, err := s.asked(c, &r)
	if err != nil {
		return nil, err
	}
	cmd := &state.ProveWallet{Account: who.account, Address: r.Address, Nonce: r.Nonce, Signature: r.Signature, Group: s.Authority.CASHA256()}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	return s.wallets(who.account), nil
}

func (s *Server) getWallets(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	return s.wallets(who.account), nil
}

func (s *Server) wallets(account raylink.AccountID) []wire.Wallet {
	list := []wire.Wallet{}
	s.Group.Read(func(st *state.State) {
		for _, p := range st.Wallets.Of(string(account)) {
			list = append(list, wire.Wallet{Address: p.Address, At: p.At})
		}
	})
	return list
}

func (s *Server) deleteWallet(c *gin.Context) (any, error) {
	who, err := s.user(c)
	if err != nil {
		return nil, err
	}
	if err := s.propose(c, who.by(), idempotency(c), &state.RemoveWallet{Account: who.account, Address: c.Param("address")}, nil); err != nil {
		return nil, err
	}
	return s.wallets(who.account), nil
}
