package connect

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"raylink/coordinator/gateway/endpoint"
	"raylink/coordinator/gateway/raytest"
	"raylink/raylink"
)

const (
	cluster = "c-aaaaaaaaaa"
	alice   = "rl_access_alice"
)

// one is an Upstream with one cluster, or with none.
type one struct{ route *endpoint.Route }

func (o one) Route(id string) (endpoint.Route, error) {
	if o.route == nil || id != cluster {
		return endpoint.Route{}, raylink.Errorf(raylink.CodeNotFound, "no cluster %s is served here", id)
	}
	return *o.route, nil
}

// stage is a head, as many gateways before it as are asked for, and the forwarder.
type stage struct {
	t    *testing.T
	head *raytest.Head
	stop []func() // each gateway's
	url  string
}

func begin(t *testing.T, count int) *stage {
	t.Helper()
	s := &stage{t: t, head: raytest.New("cluster-secret")}
	headListener := s.listen()
	s.head.Start(headListener)
	t.Cleanup(s.head.Kill)
	transport := endpoint.NewTransport(new(net.Dialer).DialContext, nil)
	t.Cleanup(transport.CloseIdleConnections)
	route := &endpoint.Route{
		Base: &url.URL{Scheme: "http", Host: headListener.Addr().String()}, Transport: transport, Token: "cluster-secret",
		Access: func(token string) bool { return token == alice },
	}
	var list []string
	for range count {
		list = append(list, s.gateway(one{route}))
	}
	s.connect(list)
	return s
}

func (s *stage) listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *stage) gateway(upstream endpoint.Upstream) string {
	listener := s.listen()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- endpoint.Serve(ctx, listener, endpoint.Handler(endpoint.Options{Upstream: upstream, Log: quiet()}), quiet())
	}()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
	s.t.Cleanup(stop)
	s.stop = append(s.stop, stop)
	return "http://" + listener.Addr().String()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (s *stage) connect(list []string) {
	ctx, cancel := context.WithCancel(s.t.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- Run(ctx, Config{Cluster: cluster, Gateways: list, Token: alice, Listen: "127.0.0.1:0", Times: endpoint.Times{Probe: 200 * time.Millisecond}},
			func(url string) { ready <- url }, quiet())
	}()
	select {
	case s.url = <-ready:
	case err := <-done:
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

func (s *stage) do(method, path, body string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestAnyGatewayDoes(t *testing.T) {
	s := begin(t, 3)
	if status, text := s.do("GET", "/api/version", ""); status != 200 || !strings.Contains(text, "2.60.0") {
		t.Fatalf("answered %d %s", status, text)
	}
	s.stop[0]()
	if status, text := s.do("POST", "/api/jobs/", `{"submission_id":"j"}`); status != 200 {
		t.Errorf("through the second: %d %s", status, text)
	}
	s.stop[1]()
	big := strings.Repeat("x", 3<<20)
	if status, text := s.do("PUT", "/api/packages/gcs/_ray_pkg_1.zip", big); status != 200 || s.head.Package("/api/packages/gcs/_ray_pkg_1.zip") != 3<<20 {
		t.Errorf("through the third: %d %s, %d bytes", status, text, s.head.Package("/api/packages/gcs/_ray_pkg_1.zip"))
	}
	s.stop[2]()
	if status, text := s.do("GET", "/api/version", ""); status != 503 || !strings.Contains(text, "the gateway does not answer") {
		t.Errorf("through none: %d %s", status, text)
	}
	for _, r := range s.head.Requests() {
		if r.Header.Get("Authorization") != "Bearer cluster-secret" {
			t.Errorf("%s came with %q", r.URL, r.Header.Get("Authorization"))
		}
	}
}

func TestAGatewayThatDoesNotKnowTheCluster(t *testing.T) {
	s := begin(t, 1)
	empty := s.gateway(one{})
	head := s.head.Requests()
	s.connect([]string{empty, strings.Replace(s.gateway(one{s.routeOf()}), "127.0.0.1", "localhost", 1)})
	if status, text := s.do("GET", "/api/version", ""); status != 200 {
		t.Errorf("answered %d %s", status, text)
	}
	if len(s.head.Requests()) != len(head)+1 {
		t.Error("the head was not asked once")
	}
}

// routeOf is a second way to the same head.
func (s *stage) routeOf() *endpoint.Route {
	listener := s.listen()
	s.head.Kill()
	s.head.Start(listener)
	return &endpoint.Route{
		Base: &url.URL{Scheme: "http", Host: listener.Addr().String()}, Transport: &http.Transport{DisableKeepAlives: true}, Token: "cluster-secret",
		Access: func(token string) bool { return token == alice },
	}
}

func TestAFollowOutlivesAGateway(t *testing.T) {
	s := begin(t, 2)
	s.head.Submit("j")
	s.head.Append("j", "one\n")
	c, _, err := websocket.Dial(t.Context(), s.url+"/api/jobs/j/logs/tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	var got bytes.Buffer
	read := func(until string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for got.String() != until {
			_, text, err := c.Read(ctx)
			if err != nil {
				t.Fatalf("after %q: %v", got.String(), err)
			}
			got.Write(text)
		}
	}
	read("one\n")
	s.stop[0]()
	s.head.Append("j", "two\n")
	read("one\ntwo\n")
	s.head.Finish("j", "SUCCEEDED", "")
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("ended with %v", err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	for _, row := range []struct {
		c    Config
		want string
	}{
		{Config{Listen: "0.0.0.0:0", Gateways: []string{"https://g"}}, "loopback"},
		{Config{Listen: "localhost:0", Gateways: []string{"https://g"}}, "loopback"},
		{Config{Listen: "127.0.0.1:0"}, "no gateway"},
		{Config{Listen: "127.0.0.1:0", Gateways: []string{"g.example:8443"}}, "not the URL"},
		{Config{Listen: "127.0.0.1:0", Gateways: []string{"http://g.example:8443"}}, "plain text"},
		{Config{Listen: taken.Listener.Addr().String(), Gateways: []string{"https://g"}}, "listens"},
	} {
		err := Run(t.Context(), row.c, nil, quiet())
		if err == nil || !strings.Contains(fmt.Sprint(err), row.want) {
			t.Errorf("%+v: %v, want %s", row.c, err, row.want)
		}
	}
}

func TestTheGatewayThatAnswersIsKept(t *testing.T) {
	alive := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer alive.Close()
	g, err := newGateways(Config{Cluster: cluster, Gateways: []string{"http://127.0.0.1:1", alive.URL}, Token: alice})
	if err != nil {
		t.Fatal(err)
	}
	defer g.transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:1/c/x/api/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := g.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if g.current != 1 {
		t.Errorf("the next request begins with gateway %d", g.current)
	}
}
