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
	log     journal

	mu      sync.Mutex
	order   wire.GatewayAssignment
	changed chan struct{}
	silent  bool // no coordinator answers
	last    wire.GatewayReport
}

// journal is what the gateway logs.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
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
		ID: "g-aaaaaaaaaa", Key: w.private, URL: "http://localhost:8443", Beside: "coordinator-a", Coordinators: w, Keep: w.keep, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
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
