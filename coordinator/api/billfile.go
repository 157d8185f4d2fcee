package api

import (
	"bufio"
	"crypto/ed25519"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/verify"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// getBillFile streams one cluster's part of the journal with the group's receipt, as billing/DESIGN.md describes it, for whoever pays to verify;
// with ?deposits=true also what he ever paid in on the chain.
func (s *Server) getBillFile(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	cl, err := s.Cluster(who.account, who.role, c.Param("id"))
	if err != nil {
		return nil, err
	}
	after, deposits := uint64(0), c.Query("deposits") == "true"
	return s.export(c, func(st *state.State, h *verify.Header) {
		h.Cluster = string(cl.ID)
		for _, l := range st.ClusterLeases(cl.ID) {
			if m, ok := st.Machines[l.Machine]; ok {
				h.Machines[string(m.ID)], _ = identity.DecodeKey(m.PublicKey) // checked when it joined
			}
		}
		if hold, ok := st.Ledger.Find("hold", string(cl.ID)); deposits {
			h.Payer = string(cl.Owner)
		} else if ok { // nothing about a cluster stands before its first hold
			after = hold.Seq - 1
		}
	}, func(w io.Writer, h verify.Header, journal pages, key ed25519.PublicKey, sign func([]byte) []byte) error {
		return verify.WriteBill(w, h, journal, after, key, sign)
	})
}

// getEarningsFile streams one supplier's part of the journal with the group's receipt: what he has earned, by which minutes of his machines, and what he was paid.
func (s *Server) getEarningsFile(c *gin.Context) (any, error) {
	id, err := s.earner(c)
	if err != nil {
		return nil, err
	}
	leases := map[string]bool{}
	return s.export(c, func(st *state.State, h *verify.Header) {
		h.Supplier = string(id)
		for _, l := range st.Leases {
			if l.Supplier != id {
				continue
			}
			leases[string(l.ID)] = true
			if m, ok := st.Machines[l.Machine]; ok {
				h.Machines[string(m.ID)], _ = identity.DecodeKey(m.PublicKey)
			}
		}
	}, func(w io.Writer, h verify.Header, journal pages, key ed25519.PublicKey, sign func([]byte) []byte) error {
		return verify.WriteEarnings(w, h, journal, func(lease string) bool { return leases[lease] }, key, sign)
	})
}

// export streams the journal, or a part of it. Fill names in the header whose part it is, and the machines; the rest of the header is the same for all.
func (s *Server) export(c *gin.Context, fill func(*state.State, *verify.Header),
	write func(w io.Writer, h verify.Header, journal pages, key ed25519.PublicKey, sign func([]byte) []byte) error) (any, error) {
	key, err := s.Authority.SigningKey()
	if err != nil {
		return nil, err
	}
	public := key.Public().(ed25519.PublicKey)
	header := verify.Header{ExportedAt: time.Now().UTC(), GroupKey: public, Machines: map[string]ed25519.PublicKey{}, Gateways: map[string]ed25519.PublicKey{}}
	journal := pages{read: s.Group.Read}
	s.Group.Read(func(st *state.State) {
		fill(st, &header)
		for id, g := range st.Gateways {
			header.Gateways[string(id)], _ = identity.DecodeKey(g.PublicKey)
		}
		header.Chain = st.Chain
		for _, m := range st.Deposits.Treasury {
			header.Treasury = append(header.Treasury, verify.TokenAccount{Asset: m.Asset, Mint: m.Mint, Program: m.Program, Account: m.Account, Wallet: m.Wallet})
		}
		var hash string
		if journal.upTo, hash = st.Ledger.Head(); header.Cluster+header.Supplier != "" && journal.upTo > 0 {
			header.Head, header.Anchor = &verify.Head{Seq: journal.upTo, Hash: hash}, st.Anchored()
		}
	})
	c.Header("Content-Type", "application/jsonl")
	c.Status(http.StatusOK)
	w := bufio.NewWriter(c.Writer)
	if err := write(w, header, journal, public, func(m []byte) []byte { return ed25519.Sign(key, m) }); err != nil {
		return nil, err
	}
	return nil, w.Flush()
}
