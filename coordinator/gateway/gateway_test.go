package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raylink/coordinator/gateway/raytest"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/memory"
	"raylink/raylink/wire"
)

const (
	clusterID  = raylink.ClusterID("c-aaaaaaaaaa")
	headLease  = raylink.LeaseID("l-aaaaaaaaaa")
	otherLease = raylink.LeaseID("l-bbbbbbbbbb")
	headNode   = "1c87d6fc4c829eea9a709cc1c8b1c1aca7b1f58c0d36ba5a7b7fdf44"
	workerNode = "52836805101943b974b4577e1a375b43de2fde9531144c3e3f735a95"
	alice      = "rl_access_alice"
)

// world is one cluster of a head and a worker, the coordinators' side, and a gateway between them, in virtual time.
type world struct {
	t       *testing.T
	network *memory.Network
	keys    map[string]overlay.PrivateKey
	head    *raytest.Head
	members map[string]*memory.Member
	agents  map[string]*http.Server
	keep    string
	private ed25519.PrivateKey
	gateway *Gateway
	stop    context.CancelFunc
	ended   chan error

	mu      sync.Mutex
	order   wire.GatewayAssignment
	changed chan struct{}
	silent  bool // no coordinator answers
	last    wire.GatewayReport
}

func inWorld(t *testing.T, test func(w *world)) {
	keep := filepath.Join(t.TempDir(), "minutes.json")
	synctest.Test(t, func(t *testing.T) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, network: new(memory.Network), keys: map[string]overlay.PrivateKey{}, head: raytest.New("cluster-secret"), keep: keep,
			members: map[string]*memory.Member{}, agents: map[string]*http.Server{}, private: private, changed: make(chan struct{})}
		for _, host := range []string{"100.64.0.2", "100.64.0.10"} {
			w.join(host)
		}
		w.order = wire.GatewayAssignment{Revision: "0", Coordinators: []string{"https://127.0.0.1:7443"}, Clusters: []wire.ClusterRoute{{
			Cluster: clusterID, Name: "demo", Phase: raylink.PhaseImage, Detail: "m-x fetches the image", Head: netip.MustParseAddr("100.64.0.2"),
			RayToken: "cluster-secret", Access: []string{identity.HashToken("rl_access_other"), identity.HashToken(alice)},
			Mesh: overlay.Mesh{Address: netip.MustParsePrefix("100.64.0.3/24"), Peers: w.peers()},
			Nodes: []wire.RouteNode{{Lease: headLease, Role: raylink.NodeHead, Address: netip.MustParseAddr("100.64.0.2")},
				{Lease: otherLease, Role: raylink.NodeWorker, Address: netip.MustParseAddr("100.64.0.10")}},
		}}}
		w.start()
		test(w)
		w.end()
		w.head.Kill()
		for _, a := range w.agents {
			_ = a.Close()
		}
		_ = public
		synctest.Wait()
	})
}

func (w *world) join(host string) {
	key, err := overlay.NewPrivateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := w.network.Join(key, netip.MustParsePrefix(host+"/24"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.keys[host], w.members[host] = key, m
}

func (w *world) peers() []overlay.Peer {
	var peers []overlay.Peer
	for host, key := range w.keys {
		peers = append(peers, overlay.Peer{PublicKey: key.Public(), Address: netip.MustParseAddr(host), Endpoint: w.members[host].Endpoint()})
	}
	return peers
}

func (w *world) start() {
	var err error
	w.gateway, err = New(Options{
		ID: "g-aaaaaaaaaa", Key: w.private, URL: "http://localhost:8443", Coordinators: w, Keep: w.keep, Log: slog.New(slog.DiscardHandler),
		Join: func(key overlay.PrivateKey, mesh overlay.Mesh) (Net, error) {
			m, err := w.network.Join(key, mesh.Address)
			if err != nil {
				return nil, err
			}
			// The coordinators tell the others of the new key; here it is done at once.
			for host, other := range w.members {
				peers := []overlay.Peer{{PublicKey: key.Public(), Address: mesh.Address.Addr(), Endpoint: m.Endpoint()}}
				if err := other.SetMesh(overlay.Mesh{Address: netip.MustParsePrefix(host + "/24"), Peers: peers}); err != nil {
					return nil, err
				}
			}
			return m, nil
		},
		Source: func(context.Context, []string) netip.Addr { return netip.MustParseAddr("192.0.2.7") },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(w.t.Context())
	w.ended = make(chan error, 1)
	go func() { w.ended <- w.gateway.Run(ctx) }()
}

func (w *world) end() {
	w.stop()
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		w.t.Errorf("ended with %v", err)
	}
}

// startRay lets head and worker answer.
func (w *world) startRay() {
	w.head.Start(w.listen("100.64.0.2", 8265))
	w.head.SetNodes(raytest.Node{ID: headNode, IP: "100.64.0.2", Head: true, State: "ALIVE"}, raytest.Node{ID: workerNode, IP: "100.64.0.10", State: "ALIVE"})
	for host := range w.members {
		w.startAgent(host)
	}
}

func (w *world) startAgent(host string) {
	server := &http.Server{Handler: http.HandlerFunc(func(a http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/healthz" && r.Header.Get("Authorization") == "" {
			_, _ = io.WriteString(a, "raylet: success")
			return
		}
		http.NotFound(a, r)
	})}
	listener := w.listen(host, 52365)
	go func() { _ = server.Serve(listener) }()
	w.agents[host] = server
}

func (w *world) listen(host string, port uint16) net.Listener {
	l, err := w.members[host].Listen(port)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// assign changes what the gateway is told.
func (w *world) assign(change func(a *wire.GatewayAssignment)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.order
	next.Clusters = append([]wire.ClusterRoute{}, w.order.Clusters...)
	for i := range next.Clusters {
		next.Clusters[i].Nodes = append([]wire.RouteNode{}, next.Clusters[i].Nodes...)
	}
	change(&next)
	next.Revision += "+"
	w.order = next
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) phase(p raylink.Phase) {
	w.assign(func(a *wire.GatewayAssignment) { a.Clusters[0].Phase, a.Clusters[0].Detail = p, "" })
}

// ready makes the cluster ready now.
func (w *world) ready() time.Time {
	now := time.Now()
	w.assign(func(a *wire.GatewayAssignment) {
		a.Clusters[0].Phase = raylink.PhaseReady
		for i := range a.Clusters[0].Nodes {
			a.Clusters[0].Nodes[i].ReadyAt = &now
		}
	})
	return now
}

func (w *world) GatewayAssignment(ctx context.Context, revision string) (wire.GatewayAssignment, string, error) {
	for {
		w.mu.Lock()
		a, changed, silent := w.order, w.changed, w.silent
		w.mu.Unlock()
		if silent {
			return a, "", errors.New("nobody answers")
		}
		if a.Revision != revision {
			return a, a.Revision, nil
		}
		select {
		case <-ctx.Done():
			return a, "", ctx.Err()
		case <-time.After(25 * time.Second):
			return a, a.Revision, nil
		case <-changed:
		}
	}
}

func (w *world) GatewayReport(_ context.Context, r wire.GatewayReport) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent {
		return errors.New("nobody answers")
	}
	w.last = r
	return nil
}

// pass lets virtual time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// after lets d pass and gives the report that came last.
func (w *world) after(d time.Duration) wire.ClusterReport {
	w.t.Helper()
	pass(d)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.last.Clusters) != 1 {
		return wire.ClusterReport{}
	}
	return w.last.Clusters[0]
}

// get asks the gateway as a user does.
func (w *world) get(path, token string) (int, string) {
	w.t.Helper()
	answer := &recorder{header: http.Header{}}
	r, err := http.NewRequestWithContext(w.t.Context(), "GET", "http://localhost"+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	w.gateway.Handler().ServeHTTP(answer, r)
	return answer.status, answer.body.String()
}

type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = 200
	}
	return r.body.Write(p)
}

func TestAssembling(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.after(time.Second)
		public, err := overlay.ParseKey(r.PublicKey)
		if err != nil || !identity.Verify(w.private.Public().(ed25519.PublicKey), identity.OverlayKeyBytes(string(clusterID), public.String()), r.Signature) {
			t.Errorf("the overlay key is not vouched for: %+v %v", r, err)
		}
		if r.Endpoint.Addr() != netip.MustParseAddr("192.0.2.7") || r.Endpoint.Port() == 0 {
			t.Errorf("endpoint %v", r.Endpoint)
		}
		if status, body := w.get("/c/c-aaaaaaaaaa/api/version", alice); status != 503 || !strings.Contains(body, "stage image: m-x fetches the image") {
			t.Errorf("while assembling: %d %s", status, body)
		}
		w.phase(raylink.PhaseHead)
		if r = w.after(time.Second); r.HeadUp {
			t.Error("a head that does not run is up")
		}
		w.head.SetSick(true)
		w.startRay()
		if r = w.after(3 * time.Second); r.HeadUp {
			t.Error("a head whose GCS is sick is up")
		}
		w.head.SetSick(false)
		w.head.SetNodes(raytest.Node{ID: headNode, IP: "100.64.0.2", State: "DEAD"}, raytest.Node{ID: workerNode, IP: "100.64.0.2", State: "ALIVE"},
			raytest.Node{ID: "aa", IP: "100.64.0.2", State: "DEAD"}, raytest.Node{ID: "bb", IP: "100.64.0.99", State: "ALIVE"})
		r = w.after(time.Second) // told at once: it is looked at every half second
		if !r.HeadUp || len(r.Nodes) != 1 || r.Nodes[0] != (wire.RayNode{Address: netip.MustParseAddr("100.64.0.2"), RayNode: workerNode, Alive: true}) {
			t.Errorf("report %+v", r)
		}
		w.ready()
		pass(time.Second)
		if status, body := w.get("/c/c-aaaaaaaaaa/api/version", alice); status != 200 || !strings.Contains(body, "2.60.0") {
			t.Errorf("once ready: %d %s", status, body)
		}
		if status, _ := w.get("/c/c-aaaaaaaaaa/api/version", "rl_access_mallory"); status != 403 {
			t.Errorf("somebody else got %d", status)
		}
		if status, _ := w.get("/c/c-bbbbbbbbbb/api/version", alice); status != 404 {
			t.Errorf("an unknown cluster: %d", status)
		}
	})
}

// minutes are the seconds confirmed of one lease; every signature is checked.
func (w *world) minutes(r wire.ClusterReport, lease raylink.LeaseID) []int {
	w.t.Helper()
	var seconds []int
	for _, m := range r.Minutes {
		if m.Lease != lease {
			continue
		}
		if m.Ordinal != int64(len(seconds)) && len(seconds) > 0 {
			w.t.Logf("minute %d stands at place %d", m.Ordinal, len(seconds))
		}
		if !identity.Verify(w.private.Public().(ed25519.PublicKey), identity.ConfirmBytes(string(lease), m.Ordinal, m.Seconds, m.RayNode), m.Signature) {
			w.t.Errorf("minute %d of %s is not signed", m.Ordinal, lease)
		}
		seconds = append(seconds, m.Seconds)
	}
	return seconds
}

func (w *world) want(r wire.ClusterReport, lease raylink.LeaseID, low, high int, count int) {
	w.t.Helper()
	got := w.minutes(r, lease)
	if len(got) != count {
		w.t.Fatalf("minutes of %s: %v, want %d", lease, got, count)
	}
	if last := got[count-1]; last < low || last > high {
		w.t.Errorf("the last minute of %s has %d seconds, want %d to %d", lease, last, low, high)
	}
}

func TestMinutes(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startRay()
		w.phase(raylink.PhaseWorkers)
		w.after(2 * time.Second)
		w.ready()
		r := w.after(66 * time.Second)
		w.want(r, headLease, 58, 60, 1)
		w.want(r, otherLease, 58, 60, 1)
		if r.Minutes[1].RayNode != workerNode {
			t.Errorf("node %s", r.Minutes[1].RayNode)
		}

		_ = w.agents["100.64.0.10"].Close() // the worker is silent for 20 s, in Ray's view it lives on
		w.after(20 * time.Second)
		w.startAgent("100.64.0.10")
		r = w.after(40 * time.Second)
		w.want(r, headLease, 58, 60, 2)
		w.want(r, otherLease, 35, 45, 2)

		w.head.SetNodes(raytest.Node{ID: headNode, IP: "100.64.0.2", State: "ALIVE"}, raytest.Node{ID: workerNode, IP: "100.64.0.10", State: "DEAD"})
		r = w.after(60 * time.Second)
		w.want(r, headLease, 58, 60, 3)
		w.want(r, otherLease, 0, 10, 3)

		w.assign(func(a *wire.GatewayAssignment) { a.Clusters[0].Nodes[0].SettledThrough = 3 })
		r = w.after(5 * time.Second)
		if got := w.minutes(r, headLease); len(got) != 0 {
			t.Errorf("settled minutes are told again: %v", got)
		}
		w.want(r, otherLease, 0, 10, 3)
	})
}

func TestCoordinatorsAway(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startRay()
		w.ready()
		w.after(time.Second)
		w.mu.Lock()
		w.silent = true
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
		pass(3 * time.Minute)
		if status, _ := w.get("/c/c-aaaaaaaaaa/api/version", alice); status != 200 {
			t.Errorf("without coordinators the endpoint answers %d", status)
		}
		w.mu.Lock()
		w.silent = false
		w.mu.Unlock()
		w.want(w.after(10*time.Second), headLease, 58, 60, 3)
	})
}

func TestARestartKeepsTheMinutes(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startRay()
		w.ready()
		before := w.after(90 * time.Second).PublicKey
		w.end()
		w.start()
		r := w.after(40 * time.Second)
		if r.PublicKey == before {
			t.Error("the overlay key outlived the process")
		}
		if got := w.minutes(r, otherLease); len(got) != 2 || got[0] < 58 || got[1] < 50 {
			t.Errorf("minutes %v", got)
		}
	})
}

func TestHeadRestart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startRay()
		w.ready()
		w.after(12 * time.Second)
		w.head.Kill()
		if r := w.after(6 * time.Second); r.HeadUp {
			t.Error("a dead head is up")
		}
		w.head.Start(w.listen("100.64.0.2", 8265))
		w.head.SetNodes(raytest.Node{ID: headNode, IP: "100.64.0.2", State: "DEAD"}, raytest.Node{ID: "cafe", IP: "100.64.0.2", State: "ALIVE"},
			raytest.Node{ID: workerNode, IP: "100.64.0.10", State: "ALIVE"})
		r := w.after(7 * time.Second)
		if !r.HeadUp || len(r.Nodes) != 2 || r.Nodes[0].RayNode != "cafe" || !r.Nodes[0].Alive {
			t.Errorf("report %+v", r)
		}
		if status, _ := w.get("/c/c-aaaaaaaaaa/api/version", alice); status != 200 {
			t.Errorf("after the head's return: %d", status)
		}
	})
}

func TestEndOfACluster(t *testing.T) {
	for _, announced := range []bool{true, false} {
		t.Run(map[bool]string{true: "announced", false: "left out"}[announced], func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.startRay()
				w.ready()
				w.after(time.Second)
				if announced {
					w.phase(raylink.PhaseEnding)
					w.after(time.Second)
					if status, body := w.get("/c/c-aaaaaaaaaa/api/version", alice); status != 503 || !strings.Contains(body, "ending") {
						t.Errorf("while it ends: %d %s", status, body)
					}
				}
				w.assign(func(a *wire.GatewayAssignment) { a.Clusters = nil })
				w.after(2 * time.Second)
				status, _ := w.get("/c/c-aaaaaaaaaa/api/version", alice)
				if want := map[bool]int{true: 404, false: 200}[announced]; status != want {
					t.Errorf("just left out: %d, want %d", status, want)
				}
				w.after(35 * time.Second)
				if status, _ := w.get("/c/c-aaaaaaaaaa/api/version", alice); status != 404 {
					t.Errorf("left out for long: %d", status)
				}
			})
		})
	}
}

func TestAddressOfTheGatewayChanges(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startRay()
		w.ready()
		before := w.after(time.Second).PublicKey
		w.assign(func(a *wire.GatewayAssignment) { a.Clusters[0].Mesh.Address = netip.MustParsePrefix("100.64.0.4/24") })
		if after := w.after(3 * time.Second).PublicKey; after == before || after == "" {
			t.Errorf("the key is %q, was %q", after, before)
		}
		if status, _ := w.get("/c/c-aaaaaaaaaa/api/version", alice); status != 200 {
			t.Errorf("from its new address: %d", status)
		}
	})
}

func TestConfig(t *testing.T) {
	for _, row := range []struct {
		c    Config
		want string // the URL, or a word of the refusal
	}{
		{Config{Listen: "127.0.0.1:8443", PlainHTTP: true}, "http://127.0.0.1:8443"},
		{Config{Listen: "127.0.0.1:8443", PublicURL: "http://localhost:8443/", PlainHTTP: true}, "http://localhost:8443"},
		{Config{Listen: ":8443", PublicURL: "https://g.example.org"}, "https://g.example.org"},
		{Config{Listen: "g.example.org:8443"}, "https://g.example.org:8443"},
		{Config{Listen: ":8443"}, "under which name"},
		{Config{Listen: "8443"}, "no address"},
		{Config{Listen: ":8443", PublicURL: "http://localhost:8443", PlainHTTP: true}, "plain text"},
		{Config{Listen: "127.0.0.1:8443", PublicURL: "http://g.example.org", PlainHTTP: true}, "plain text"},
		{Config{Listen: "127.0.0.1:8443", PublicURL: "http://localhost:8443"}, "contradict"},
		{Config{Listen: "127.0.0.1:8443", PublicURL: "https://localhost:8443", PlainHTTP: true}, "contradict"},
		{Config{Listen: ":8443", PublicURL: "https://g.example.org/path"}, "not of the form"},
	} {
		err := row.c.check()
		switch {
		case err != nil && !strings.Contains(err.Error()+" "+raylink.AsError(err).Hint, row.want):
			t.Errorf("%+v: %v", row.c, err)
		case err == nil && row.c.PublicURL != row.want:
			t.Errorf("%+v: want %s", row.c, row.want)
		}
	}
}
