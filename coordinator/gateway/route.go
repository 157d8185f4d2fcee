package gateway

import (
	"net/url"

	"raylink/coordinator/gateway/endpoint"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/ray"
)

// Route says where a cluster's head answers and who may use it, as of the last assignment.
func (g *Gateway) Route(id string) (endpoint.Route, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.clusters[raylink.ClusterID(id)]
	if c == nil {
		return endpoint.Route{}, raylink.Errorf(raylink.CodeNotFound, "no cluster %s is served here; it may have ended", id).
			WithHint("`raylink cluster list` shows yours, `raylink cluster endpoint <cluster>` their URLs")
	}
	base, err := url.Parse(ray.DashboardURL(c.order.Head))
	if err != nil {
		return endpoint.Route{}, raylink.Errorf(raylink.CodeInternal, "the head's address is none: %v", err)
	}
	hashes := c.order.Access // replaced as a whole by a new assignment, never changed
	return endpoint.Route{
		Base: base, Transport: c.transport, Token: c.order.RayToken, Down: c.down(),
		Access: func(token string) bool { return access(hashes, token) },
	}, nil
}

// access compares with every hash, in the same time whichever fits.
func access(hashes []string, token string) bool {
	shown, found := identity.HashToken(token), false
	for _, hash := range hashes {
		if identity.Equal(hash, shown) {
			found = true
		}
	}
	return found
}

// down says why a cluster cannot be used now. The lock is held.
func (c *cluster) down() *raylink.Error {
	detail := c.order.Detail
	if detail != "" {
		detail = ": " + detail
	}
	switch c.order.Phase {
	case raylink.PhaseReady:
		if c.net == nil {
			return raylink.Errorf(raylink.CodeUnavailable, "this gateway is not in the overlay of cluster %s yet", c.order.Name).
				WithHint("another gateway may be: `raylink cluster endpoint %s` lists all", c.order.Name)
		}
		return nil
	case raylink.PhaseEnding, raylink.PhaseEnded, raylink.PhaseFailed:
		return raylink.Errorf(raylink.CodeUnavailable, "the cluster %s is %s%s", c.order.Name, c.order.Phase, detail).
			WithHint("`raylink cluster get %s` says why; `raylink cluster create` makes another", c.order.Name)
	}
	return raylink.Errorf(raylink.CodeUnavailable, "the cluster %s is being assembled, it is at the stage %s%s", c.order.Name, c.order.Phase, detail).
		WithHint("`raylink cluster get %s` shows how far it is", c.order.Name)
}
