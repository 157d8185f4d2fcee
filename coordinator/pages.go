package coordinator

import (
	"context"
	"io"

	"github.com/gin-gonic/gin"

	"raylink/coordinator/api"
	"raylink/coordinator/dashboard"
	"raylink/raylink"
	"raylink/raylink/wire"
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
	d, err := dashboard.New(dashboard.Source{Who: s.Who, Status: s.Status, Machines: s.Machines, Clusters: s.Clusters, Cluster: s.Cluster, Fetching: s.Fetching, Bill: s.Bill,
		Balance: s.Balance, Accounts: s.Accounts, Earnings: s.Earnings, Treasury: func() wire.Treasury { return s.Treasury(context.Background()) }, Price: s.Price,
		Till: till(s)}, key, n.log)
	if err != nil {
		n.log.Error("opening the dashboard; it is left out", "err", err)
		return
	}
	d.Routes(r)
}

// till is what the pages need to take money in: they know who is signed in by a session, not by the access token that the API's own handlers ask for.
func till(s *api.Server) dashboard.Till {
	return dashboard.Till{
		Means: func() dashboard.Means { return dashboard.Means{Cards: s.Cards != nil, Assets: s.Assets()} },
		Purses: func(owner raylink.AccountID) map[raylink.ClusterID]string {
			pays := map[raylink.ClusterID]string{}
			for _, c := range s.Clusters(owner, raylink.RoleTenant) {
				pays[c.ID] = c.Pay
			}
			return pays
		},
		Topups: func(id raylink.AccountID) []wire.Topup { return s.Topups(id, raylink.RoleTenant) },
		Topup:  s.Topup,
		OpenTopup: func(ctx context.Context, id raylink.AccountID, key string, r wire.TopupRequest) (wire.Topup, error) {
			return s.OpenTopup(ctx, id, raylink.RoleTenant, key, r)
		},
	}
}
