package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"raylink/coordinator/gateway/witness"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/ray"
	"raylink/raylink/wire"
)

const (
	dialTime  = 10 * time.Second
	probeTime = 4 * time.Second        // of one question to a head or an agent; below the interval between looks
	startPace = 500 * time.Millisecond // between looks at a cluster that is starting: its user waits for every one
	probesMax = 32                     // questions to the agents of one cluster at once
)

// watch looks at one cluster until ctx ends.
func (g *Gateway) watch(ctx context.Context, c *cluster) {
	defer close(c.watched)
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		begun := time.Now()
		pace := g.look(ctx, c)
		next.Reset(max(pace-time.Since(begun), 0))
	}
}

// sight is what one look at a cluster showed.
type sight struct {
	headUp bool
	nodes  []ray.NodeView
	agents map[netip.Addr]bool // answered that they are well
}

// look looks once, notes what it saw, and says how long to wait for the next look.
func (g *Gateway) look(ctx context.Context, c *cluster) time.Duration {
	g.mu.Lock()
	order := c.order
	if c.net == nil {
		g.mesh(c)
	}
	g.mu.Unlock()
	pace := startPace
	switch order.Phase {
	case raylink.PhaseHead, raylink.PhaseWorkers:
	case raylink.PhaseReady:
		pace = witness.Interval
	case raylink.PhaseEnding: // nobody is asked any more, but the minute that was over just before still has to be told
		g.count(order, func(int) string { return "" })
		return witness.Interval
	default:
		return startPace // Ray does not run
	}
	s := g.see(ctx, c, order)
	if ctx.Err() != nil {
		return pace
	}
	g.note(c, order, s)
	return pace
}

// see asks the head and all agents at once, so that a look is short even when some are silent.
func (g *Gateway) see(ctx context.Context, c *cluster, order wire.ClusterRoute) sight {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	s := sight{agents: map[netip.Addr]bool{}}
	var healthy, versioned bool
	var mu sync.Mutex
	var asked sync.WaitGroup
	base := ray.DashboardURL(order.Head)
	asked.Go(func() { _, err := ask(ctx, c, ray.HeadHealthURL(order.Head), ""); healthy = err == nil })
	asked.Go(func() {
		answer, err := ask(ctx, c, base+ray.VersionPath, order.RayToken)
		if err == nil {
			_, err = ray.Version(answer)
		}
		versioned = err == nil
	})
	asked.Go(func() {
		answer, err := ask(ctx, c, base+ray.NodesPath, order.RayToken)
		if err == nil {
			s.nodes, err = ray.Nodes(answer)
		}
		if err != nil {
			g.o.Log.Debug("Ray's view is not to be had", "cluster", c.id, "error", err)
		}
	})
	room := make(chan struct{}, probesMax)
	for _, n := range order.Nodes {
		if n.ReadyAt == nil {
			continue
		}
		asked.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			if _, err := ask(ctx, c, ray.AgentHealthURL(n.Address), ""); err == nil {
				mu.Lock()
				s.agents[n.Address] = true
				mu.Unlock()
			}
		})
	}
	asked.Wait()
	s.headUp = healthy && versioned
	return s
}

// ask gets one answer, which must be 200.
func ask(ctx context.Context, c *cluster, url, token string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, ray.MaxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", url, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking %s: answered %s", url, answer.Status)
	}
	return body, nil
}

// note writes down what a look showed.
func (g *Gateway) note(c *cluster, order wire.ClusterRoute, s sight) {
	nodes := nodesOf(order, s.nodes)
	g.count(order, func(i int) string {
		if nodes[i].Alive && s.agents[nodes[i].Address] {
			return nodes[i].RayNode
		}
		return ""
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	nodes = slices.DeleteFunc(nodes, func(n wire.RayNode) bool { return n.RayNode == "" })
	if c.headUp != s.headUp || !slices.Equal(c.nodes, nodes) {
		c.headUp, c.nodes = s.headUp, nodes
		g.o.Log.Info("a cluster looks different", "cluster", c.id, "head_up", s.headUp, "nodes", len(nodes))
		g.poke()
	}
}

// count enters a look into the book. alive is Ray's id of the order's i-th node, or nothing.
func (g *Gateway) count(order wire.ClusterRoute, alive func(i int) string) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, n := range order.Nodes {
		if n.ReadyAt == nil {
			continue
		}
		if g.book.Look(n.Lease, now, alive(i), g.sign) {
			g.poke()
		}
		g.dirty = true
	}
}

// nodesOf is Ray's view of each node that the cluster should have, in the same order; RayNode is empty where Ray knows none. The head
// belongs to the tenant: whatever else it lists does not count. A node that was started again is listed twice, once dead.
func nodesOf(order wire.ClusterRoute, views []ray.NodeView) []wire.RayNode {
	nodes := make([]wire.RayNode, len(order.Nodes))
	for i, n := range order.Nodes {
		nodes[i].Address = n.Address
		for _, v := range views {
			if v.Address == n.Address && (v.Alive || !nodes[i].Alive) {
				nodes[i].RayNode, nodes[i].Alive = v.ID, v.Alive
			}
		}
	}
	return nodes
}

func (g *Gateway) sign(r wire.MinuteRecord) string {
	return identity.Sign(g.o.Key, identity.ConfirmBytes(string(r.Lease), r.Ordinal, r.Seconds, r.RayNode))
}
