package api

import (
	"bufio"
	"crypto/ed25519"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/verify"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// getBillFile streams one cluster's part of the journal with the group's receipt, as billing/DESIGN.md describes it, for whoever pays to verify.
func (s *Server) getBillFile(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleTenant, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	cl, err := s.Cluster(who.account, who.role, c.Param("id"))
	if err != nil {
		return nil, err
	}
	key, err := s.Authority.SigningKey()
	if err != nil {
		return nil, err
	}
	public := key.Public().(ed25519.PublicKey)
	header := verify.Header{Cluster: string(cl.ID), ExportedAt: time.Now().UTC(), GroupKey: public, Machines: map[string]ed25519.PublicKey{}, Gateways: map[string]ed25519.PublicKey{}}
	var journal pages
	after := uint64(0)
	s.Group.Read(func(st *state.State) {
		for _, l := range st.ClusterLeases(cl.ID) {
			if m, ok := st.Machines[l.Machine]; ok {
				header.Machines[string(m.ID)], _ = identity.DecodeKey(m.PublicKey) // checked when it joined
			}
		}
		for id, g := range st.Gateways {
			header.Gateways[string(id)], _ = identity.DecodeKey(g.PublicKey)
		}
		if hold, ok := st.Ledger.Find("hold", string(cl.ID)); ok { // nothing about a cluster stands before its first hold
			after = hold.Seq - 1
		}
		journal.upTo, _ = st.Ledger.Head()
	})
	journal.read = s.Group.Read
	c.Header("Content-Type", "application/jsonl")
	c.Status(http.StatusOK)
	w := bufio.NewWriter(c.Writer)
	if err := verify.WriteBill(w, header, journal, after, public, func(m []byte) []byte { return ed25519.Sign(key, m) }); err != nil {
		return nil, err
	}
	return nil, w.Flush()
}
