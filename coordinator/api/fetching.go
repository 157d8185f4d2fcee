package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// MethodFetching is the leader's answer to how far a cluster's machines have come with its image.
const MethodFetching = "fetching"

// fetchingLimit is how long a view of a cluster waits for it: without it the view says less, but comes.
const fetchingLimit = time.Second

func (l *Leader) fetching(_ context.Context, body []byte) ([]byte, error) {
	var id raylink.ClusterID
	if err := json.Unmarshal(body, &id); err != nil {
		return nil, fmt.Errorf("reading a cluster's id: %w", err)
	}
	var p map[raylink.LeaseID]wire.Progress
	seen := l.Memory.Seen()
	l.Group.Read(func(s *state.State) { p = plan.Fetching(s, seen, id) })
	return json.Marshal(p)
}

// Fetching adds to the view of a cluster in the stage of the image how far each machine has come.
func (s *Server) Fetching(ctx context.Context, cl wire.Cluster) wire.Cluster {
	if cl.Phase != raylink.PhaseImage {
		return cl
	}
	ctx, cancel := context.WithTimeout(ctx, fetchingLimit)
	defer cancel()
	var p map[raylink.LeaseID]wire.Progress
	if err := s.leader(ctx, MethodFetching, cl.ID, &p); err != nil {
		s.Log.Debug("how far images have come is not known", "cluster", cl.ID, "error", err)
		return cl
	}
	var words []string
	for i, n := range cl.Nodes {
		if one, ok := p[n.Lease]; ok {
			cl.Nodes[i].Progress = &one
			words = append(words, n.Node+" "+plan.FetchWords(one, time.Now()))
		}
	}
	if len(words) > 0 {
		cl.Detail = "fetching the image: " + strings.Join(words, "; ")
	}
	return cl
}
