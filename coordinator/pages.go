package coordinator

import (
	"io"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/api"
	"raylink/coordinator/dashboard"
)

// pages puts the dashboard beside the API. Every coordinator of the group derives the same key, so that each takes the others' sessions. Without a
// dashboard the API still serves.
func (n *Node) pages(r *gin.Engine, s *api.Server) {
	key := make([]byte, 32)
	stream, err := s.Authority.Mint("dashboard", "key of sessions", "v1")
	if err == nil {
		_, err = io.ReadFull(stream, key)
	}
	if err != nil {
		n.log.Error("deriving the dashboard's key; it is left out", "err", err)
		return
	}
	d, err := dashboard.New(dashboard.Source{Who: s.Who, Status: s.Status, Machines: s.Machines, Clusters: s.Clusters, Cluster: s.Cluster, Bill: s.Bill,
		Balance: s.Balance, Accounts: s.Accounts}, key, n.log)
	if err != nil {
		n.log.Error("opening the dashboard; it is left out", "err", err)
		return
	}
	d.Routes(r)
}
