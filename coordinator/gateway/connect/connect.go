// Package connect puts a cluster's API on the user's own loopback, as if Ray ran there: through whichever gateway answers, with the
// user's token added. Everything on this machine that reaches the port acts as the user, as with a port forwarded by kubectl; pages of
// other web sites do not.
package connect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"raylink/coordinator/gateway/endpoint"
	"raylink/raylink"
	"raylink/raylink/ray"
)

const dialTime = 5 * time.Second

// Config says which cluster, through whom, and where it is to appear.
type Config struct {
	Cluster  raylink.ClusterID
	Gateways []string    // base URLs; the first that answers is used, and stays in use while it answers
	Token    string      // the user's access token: a secret
	TLS      *tls.Config // how gateways are trusted; nil for the system's CAs
	Listen   string      // on a loopback address; empty is Usual
	Times    endpoint.Times
}

// Usual is the address of the loopback at which Ray's own tools look for a cluster's API.
func Usual() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(ray.DashboardPort)) }

// Run serves until ctx ends. Once it listens, ready is told the URL.
func Run(ctx context.Context, c Config, ready func(url string), log *slog.Logger) error {
	if c.Listen == "" {
		c.Listen = Usual()
	}
	at, err := netip.ParseAddrPort(c.Listen)
	if err != nil || !at.Addr().IsLoopback() {
		return raylink.Errorf(raylink.CodeInvalid, "%s is not an address of the loopback", c.Listen).
			WithHint("whoever reaches it acts with your token; %s is the usual one", Usual())
	}
	through, err := newGateways(c)
	if err != nil {
		return err
	}
	defer through.transport.CloseIdleConnections()
	listener, err := net.Listen("tcp", c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return raylink.Errorf(raylink.CodeConflict, "something listens on %s already: a Ray of this machine, or another `raylink connect`", c.Listen).
			WithHint("take another port with --port")
	}
	if err != nil {
		return fmt.Errorf("listening on %s: %w", c.Listen, err)
	}
	handler := endpoint.Local(endpoint.Options{Upstream: through, Times: c.Times, Log: log})
	if ready != nil {
		ready("http://" + listener.Addr().String())
	}
	return endpoint.Serve(ctx, listener, handler, log)
}

// gateways is the way to the cluster: an Upstream whose one route leads through whichever gateway answers.
type gateways struct {
	route     endpoint.Route
	transport *endpoint.Transport
	list      []*url.URL

	mu      sync.Mutex
	current int // the gateway that answered last
}

func newGateways(c Config) (*gateways, error) {
	g := &gateways{transport: endpoint.NewTransport((&net.Dialer{Timeout: dialTime}).DialContext, c.TLS)}
	for _, text := range c.Gateways {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%q is not the URL of a gateway", text)
		}
		if u.Scheme == "http" && !loopback(u.Hostname()) {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%s would be shown your token in plain text", text).WithHint("gateways are reached by https://")
		}
		g.list = append(g.list, u)
	}
	if len(g.list) == 0 {
		return nil, raylink.Errorf(raylink.CodeUnavailable, "no gateway is known").WithHint("`raylink admin status` lists the gateways; one runs beside each coordinator")
	}
	base := *g.list[0]
	base.Path, base.RawPath = strings.TrimSuffix(base.Path, "/")+"/c/"+string(c.Cluster), ""
	g.route = endpoint.Route{Base: &base, Transport: g, Token: c.Token}
	return g, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Route is the same for every request: which gateway is taken is decided when it is sent.
func (g *gateways) Route(string) (endpoint.Route, error) { return g.route, nil }

// RoundTrip sends a request through the gateway that answered last, or the next one that answers. A request that may have arrived is
// sent again only if it changes nothing.
func (g *gateways) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	first := g.current
	g.mu.Unlock()
	repeatable := (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.Body == nil || r.Body == http.NoBody)
	body := r.Body
	if body != nil {
		defer body.Close()
	}
	var failed error
	for i := range g.list {
		at := (first + i) % len(g.list)
		last := i == len(g.list)-1
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.Host = g.list[at].Scheme, g.list[at].Host, ""
		if body != nil {
			out.Body = keepOpen{body} // a gateway that is not there closes it
		}
		answer, err := g.transport.RoundTrip(out)
		if err == nil && !last && repeatable && elsewhere(answer) {
			_ = answer.Body.Close() // another gateway may know more
			continue
		}
		if err == nil {
			g.mu.Lock()
			g.current = at
			g.mu.Unlock()
			return answer, nil
		}
		failed = err
		var dial *net.OpError
		if r.Context().Err() != nil || !repeatable && !(errors.As(err, &dial) && dial.Op == "dial") {
			break
		}
	}
	return nil, fmt.Errorf("asking the gateways: %w", failed)
}

// keepOpen is a body that outlives the attempt to send it.
type keepOpen struct{ io.Reader }

func (keepOpen) Close() error { return nil }

// elsewhere says that a gateway has no way to the cluster, while another one may: it was just started, or it lacks the overlay.
func elsewhere(answer *http.Response) bool {
	code := raylink.Code(answer.Header.Get(endpoint.ErrorHeader))
	return code == raylink.CodeNotFound || code == raylink.CodeUnavailable
}
