package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/gateway/raytest"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/wireguard"
	"raylink/raylink/wire"
)

// told is a group of coordinators with one assignment; reports go to a function.
type told struct {
	order  wire.GatewayAssignment
	report func(wire.GatewayReport)
}

func (c told) GatewayAssignment(ctx context.Context, revision string) (wire.GatewayAssignment, string, error) {
	if revision == c.order.Revision {
		<-ctx.Done()
		return c.order, "", ctx.Err()
	}
	return c.order, c.order.Revision, nil
}

func (c told) GatewayReport(_ context.Context, r wire.GatewayReport) error {
	c.report(r)
	return nil
}

// TestOverRealWireGuard lets the gateway reach a head through wireguard-go, in user space on both sides.
func TestOverRealWireGuard(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	key, err := overlay.NewPrivateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	far, err := wireguard.Netstack(wireguard.Config{PrivateKey: key, Address: netip.MustParsePrefix("100.64.0.2/24")}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	listener, err := far.Listen(8265)
	if err != nil {
		t.Fatal(err)
	}
	head := raytest.New("cluster-secret")
	head.Start(listener)
	defer head.Kill()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	peer := overlay.Peer{PublicKey: key.Public(), Address: netip.MustParseAddr("100.64.0.2"), Endpoint: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), far.Port())}
	order := wire.GatewayAssignment{Revision: "1", Clusters: []wire.ClusterRoute{{
		Cluster: clusterID, Phase: raylink.PhaseReady, Head: peer.Address, RayToken: "cluster-secret", Access: []string{identity.HashToken(alice)},
		Mesh:  overlay.Mesh{Address: netip.MustParsePrefix("100.64.0.3/24"), Peers: []overlay.Peer{peer}},
		Nodes: []wire.RouteNode{{Lease: headLease, Address: peer.Address, ReadyAt: &now}},
	}}}
	up := make(chan bool, 1)
	report := func(r wire.GatewayReport) { introduce(t, far, r, up) }
	g, err := New(Options{ID: "g-aaaaaaaaaa", Key: private, URL: "http://localhost:1", Coordinators: told{order, report}, Log: log,
		Join: wireguardNet(log), Source: source(netip.MustParseAddr("127.0.0.1"))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	select {
	case <-up:
	case <-time.After(30 * time.Second):
		t.Fatal("the head is not seen up")
	}
	r := httptest.NewRequestWithContext(ctx, "GET", "/c/"+string(clusterID)+"/api/version", nil)
	r.Header.Set("Authorization", "Bearer "+alice)
	answer := httptest.NewRecorder()
	g.Handler().ServeHTTP(answer, r)
	if answer.Code != 200 || !strings.Contains(answer.Body.String(), "2.60.0") {
		t.Errorf("answered %d %s", answer.Code, answer.Body)
	}
	stop()
	<-ended
}

// introduce does the coordinators' part: the head learns the gateway's key and endpoint from the report.
func introduce(t *testing.T, far *wireguard.Net, r wire.GatewayReport, up chan<- bool) {
	if len(r.Clusters) == 0 || !r.Clusters[0].Endpoint.IsValid() {
		return
	}
	public, err := overlay.ParseKey(r.Clusters[0].PublicKey)
	if err != nil {
		t.Error(err)
	}
	own := overlay.Peer{PublicKey: public, Address: netip.MustParseAddr("100.64.0.3"), Endpoint: r.Clusters[0].Endpoint}
	if err := far.SetMesh(overlay.Mesh{Address: netip.MustParsePrefix("100.64.0.2/24"), Peers: []overlay.Peer{own}}); err != nil {
		t.Error(err)
	}
	if r.Clusters[0].HeadUp {
		select {
		case up <- true:
		default:
		}
	}
}

func TestSource(t *testing.T) {
	if got := source(netip.Addr{})(t.Context(), []string{"nonsense", "https://127.0.0.1:7443"}); got != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("towards a coordinator on the loopback: %v", got)
	}
	if got := source(netip.Addr{})(t.Context(), nil); got.IsValid() {
		t.Errorf("towards nobody: %v", got)
	}
	if got := source(netip.MustParseAddr("192.0.2.1"))(t.Context(), []string{"https://127.0.0.1:7443"}); got != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("given: %v", got)
	}
}
