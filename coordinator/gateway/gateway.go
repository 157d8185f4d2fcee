package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"raylink/coordinator/gateway/endpoint"
	"raylink/coordinator/gateway/witness"
	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/wire"
)

// Coordinators is how a gateway hears and tells; *client.Client is it.
type Coordinators interface {
	// GatewayAssignment waits for an assignment of another revision than the one given.
	GatewayAssignment(ctx context.Context, revision string) (wire.GatewayAssignment, string, error)
	GatewayReport(ctx context.Context, report wire.GatewayReport) error
}

// Net is this gateway as a member of one cluster's overlay.
type Net interface {
	SetMesh(mesh overlay.Mesh) error
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Port() uint16 // UDP, outside the overlay
	Close() error
}

// Options are what a gateway needs of the world.
type Options struct {
	ID           raylink.GatewayID
	Key          ed25519.PrivateKey // its identity: signs overlay keys and minutes
	URL          string             // the base of the endpoints it serves
	Beside       string             // id of the coordinator that it stands beside; empty if it is not known
	Coordinators Coordinators
	Join         func(key overlay.PrivateKey, mesh overlay.Mesh) (Net, error) // makes a member; peers come with SetMesh
	Source       func(ctx context.Context, coordinators []string) netip.Addr  // where machines reach it; invalid when not known
	Keep         string                                                       // file for minutes that are not settled; empty keeps them in memory only
	Times        endpoint.Times
	Log          *slog.Logger
}

// Gateway serves the clusters that it is assigned.
type Gateway struct {
	o       Options
	handler http.Handler
	started time.Time
	news    chan struct{} // something is to be reported at once

	mu           sync.Mutex
	clusters     map[raylink.ClusterID]*cluster
	coordinators []string
	shared       string // the coordinator whose host name is this gateway's as well, once that was said
	book         *witness.Book
	dirty        bool // the book differs from the file
}

// cluster is one cluster as it is served. What has no guard named is fixed at birth.
type cluster struct {
	id        raylink.ClusterID
	key       overlay.PrivateKey
	public    string // of key
	signature string
	transport *endpoint.Transport
	stop      context.CancelFunc
	watched   chan struct{} // closed when nobody looks any more

	// Guarded by the gateway's lock.
	order  wire.ClusterRoute
	net    Net // nil while joining did not work
	headUp bool
	nodes  []wire.RayNode
	missed time.Time // since when no assignment names it; zero while one does
}

// New makes a gateway and reads what its predecessor left in the file of minutes.
func New(o Options) (*Gateway, error) {
	book, err := readBook(o.Keep)
	if err != nil {
		return nil, err
	}
	g := &Gateway{o: o, started: time.Now(), news: make(chan struct{}, 1), clusters: map[raylink.ClusterID]*cluster{}, book: book}
	g.handler = endpoint.Handler(endpoint.Options{Upstream: g, Log: o.Log, Times: o.Times})
	return g, nil
}

// Handler serves the endpoints, and /healthz for whoever watches the process.
func (g *Gateway) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			_, _ = w.Write([]byte("ok\n")) // the client's loss
			return
		}
		g.handler.ServeHTTP(w, r)
	})
}

// Run follows assignments, watches clusters and reports, until ctx ends; it returns why.
func (g *Gateway) Run(ctx context.Context) error {
	var reporting sync.WaitGroup
	reporting.Go(func() { g.report(ctx) })
	err := client.Follow(ctx, g.o.Log, g.o.Coordinators.GatewayAssignment, g.apply)
	reporting.Wait()
	g.mu.Lock()
	all := g.clusters
	g.clusters = map[raylink.ClusterID]*cluster{}
	g.mu.Unlock()
	for _, c := range all {
		g.close(c)
	}
	g.keep()
	return err
}

// apply makes what is served what is assigned.
func (g *Gateway) apply(ctx context.Context, a wire.GatewayAssignment) {
	var gone []*cluster
	g.mu.Lock()
	g.coordinators = a.Coordinators
	g.warn()
	assigned := map[raylink.ClusterID]bool{}
	for _, order := range a.Clusters {
		assigned[order.Cluster] = true
		c := g.clusters[order.Cluster]
		if c != nil && (c.order.Mesh.Address != order.Mesh.Address || c.order.Mesh.MTU != order.Mesh.MTU) {
			gone = append(gone, c) // a member's address is fixed at birth
			c = nil
		}
		if c == nil {
			c = g.open(ctx, order)
		}
		c.order, c.missed = order, time.Time{}
		g.mesh(c)
		g.book.Follow(order.Cluster, order.Nodes)
	}
	for id, c := range g.clusters {
		if !assigned[id] && c.missed.IsZero() {
			c.missed = time.Now()
		}
	}
	g.book.Forget(time.Now(), func(id raylink.ClusterID) bool { return assigned[id] })
	g.dirty = true
	g.mu.Unlock()
	for _, c := range gone {
		g.close(c)
	}
	g.sweep()
	g.poke()
}

// warn says once of each coordinator that its dashboard has this gateway's host name. The lock is held.
func (g *Gateway) warn() {
	i := slices.IndexFunc(g.coordinators, func(c string) bool { return wire.SameHost(c, g.o.URL) })
	if i < 0 || g.shared == g.coordinators[i] {
		return
	}
	g.shared = g.coordinators[i]
	g.o.Log.Warn("the endpoints have the host name of a coordinator's dashboard: browsers take one for the other, and a page of a tenant's cluster could get at the dashboard's cookies; "+
		"give this gateway a host name of its own with --public-url", "url", g.o.URL, "dashboard", g.shared)
}

// sweep ends clusters that are no longer assigned: at once when their end was announced, otherwise after a while, because a coordinator
// that was away and has not caught up yet does not know of a cluster whose streams are running.
func (g *Gateway) sweep() {
	var gone []*cluster
	g.mu.Lock()
	for id, c := range g.clusters {
		if !c.missed.IsZero() && (c.order.Phase == raylink.PhaseEnding || time.Since(c.missed) > missedFor) {
			delete(g.clusters, id)
			gone = append(gone, c)
		}
	}
	g.mu.Unlock()
	for _, c := range gone {
		g.close(c)
	}
}

// open begins to serve a cluster. The lock is held.
func (g *Gateway) open(ctx context.Context, order wire.ClusterRoute) *cluster {
	key, err := overlay.NewPrivateKey(rand.Reader)
	if err != nil {
		panic(fmt.Sprintf("the system has no randomness: %v", err))
	}
	public := key.Public().String()
	ctx, stop := context.WithCancel(ctx)
	c := &cluster{
		id: order.Cluster, key: key, public: public, order: order, stop: stop, watched: make(chan struct{}),
		signature: identity.Sign(g.o.Key, identity.OverlayKeyBytes(string(order.Cluster), public)),
	}
	c.transport = endpoint.NewTransport(func(ctx context.Context, network, address string) (net.Conn, error) {
		return g.dial(ctx, c, network, address)
	}, nil)
	g.clusters[order.Cluster] = c
	go g.watch(ctx, c)
	return c
}

// mesh joins the overlay if that is still to be done, and sets its peers. The lock is held.
func (g *Gateway) mesh(c *cluster) {
	if c.net == nil {
		member, err := g.o.Join(c.key, c.order.Mesh)
		if err != nil {
			g.o.Log.Error("joining a cluster's overlay did not work; it is tried again", "cluster", c.id, "error", err)
			return
		}
		c.net = member
	}
	if err := c.net.SetMesh(c.order.Mesh); err != nil {
		g.o.Log.Error("a cluster's overlay cannot be set", "cluster", c.id, "error", err)
	}
}

func (g *Gateway) dial(ctx context.Context, c *cluster, network, address string) (net.Conn, error) {
	g.mu.Lock()
	member := c.net
	g.mu.Unlock()
	if member == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: raylink.Errorf(raylink.CodeUnavailable, "this gateway is not in the cluster's overlay yet")}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := member.DialContext(ctx, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return conn, nil
}

// close ends everything of a cluster that is not served any more.
func (g *Gateway) close(c *cluster) {
	c.stop()
	<-c.watched
	g.mu.Lock()
	member := c.net
	c.net = nil
	g.mu.Unlock()
	if member != nil {
		if err := member.Close(); err != nil {
			g.o.Log.Warn("leaving a cluster's overlay", "cluster", c.id, "error", err)
		}
	}
	c.transport.CloseIdleConnections()
}

func (g *Gateway) poke() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}
