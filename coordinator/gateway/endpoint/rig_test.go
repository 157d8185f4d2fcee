package endpoint_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"raylink/coordinator/gateway/endpoint"
	"raylink/coordinator/gateway/raytest"
	"raylink/raylink"
)

const (
	clusterA = "c-aaaaaaaaaa"
	clusterB = "c-bbbbbbbbbb"
	alice    = "rl_access_alice"
	bob      = "rl_access_bob"
)

// routes is an Upstream that tests write into.
type routes struct {
	mu sync.Mutex
	to map[string]endpoint.Route
}

func (r *routes) Route(cluster string) (endpoint.Route, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	route, ok := r.to[cluster]
	if !ok {
		return endpoint.Route{}, raylink.Errorf(raylink.CodeNotFound, "no cluster %s is served here", cluster)
	}
	return route, nil
}

func (r *routes) set(cluster string, change func(*endpoint.Route)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	route := r.to[cluster]
	change(&route)
	if r.to == nil {
		r.to = map[string]endpoint.Route{}
	}
	r.to[cluster] = route
}

func (r *routes) remove(cluster string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.to, cluster)
}

func only(tokens ...string) func(string) bool {
	return func(token string) bool {
		for _, t := range tokens {
			if t == token {
				return true
			}
		}
		return false
	}
}

// rig is a head, and an endpoint before it, on loopback TCP.
type rig struct {
	t      *testing.T
	head   *raytest.Head
	routes *routes
	addr   string // of the endpoint
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, head: raytest.New("cluster-secret"), routes: &routes{}}
	listener := listen(t)
	g.head.Start(listener)
	t.Cleanup(g.head.Kill)
	transport := endpoint.NewTransport(new(net.Dialer).DialContext, nil)
	t.Cleanup(transport.CloseIdleConnections)
	g.routes.set(clusterA, func(r *endpoint.Route) {
		*r = endpoint.Route{
			Base: &url.URL{Scheme: "http", Host: listener.Addr().String()}, Transport: transport, Token: "cluster-secret", Access: only(alice),
		}
	})
	g.routes.set(clusterB, func(r *endpoint.Route) {
		*r = endpoint.Route{Base: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Access: only(bob)}
	})
	g.addr = serve(t, endpoint.Handler(endpoint.Options{Upstream: g.routes, Log: slog.New(slog.DiscardHandler)}))
	return g
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	listener := listen(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- endpoint.Serve(ctx, listener, handler, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return listener.Addr().String()
}

// answer is what came back.
type answer struct {
	status int
	body   string
	header http.Header
}

// ask sends one request; headers are "Name: value". The path goes out exactly as written.
func (g *rig) ask(method, path, body string, headers ...string) answer {
	g.t.Helper()
	head := fmt.Sprintf("%s %s HTTP/1.1\r\n", method, path)
	if !has(headers, "Host:") {
		head += "Host: " + g.addr + "\r\n"
	}
	for _, h := range headers {
		head += h + "\r\n"
	}
	if body != "" {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return g.raw(head+"Connection: close\r\n\r\n"+body, method)
}

func has(headers []string, prefix string) bool {
	for _, h := range headers {
		if strings.HasPrefix(h, prefix) {
			return true
		}
	}
	return false
}

// raw writes bytes and reads one answer.
func (g *rig) raw(request, method string) answer {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		g.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		g.t.Fatalf("reading the answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("reading the body: %v", err)
	}
	return answer{status: resp.StatusCode, body: string(body), header: resp.Header}
}

// want fails unless the status is as said and the body holds every part.
func (a answer) want(t *testing.T, status int, parts ...string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d, want %d: %s", a.status, status, a.body)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			t.Fatalf("the answer lacks %q: %s", part, a.body)
		}
	}
}

const asAlice = "Authorization: Bearer " + alice
