package gateway

import (
	"crypto/ed25519"
	"net/netip"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/gateway/raytest"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/wire"
)

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

// A gateway says beside whom it stands, and warns in its log, once of each, of coordinators whose dashboard has its host name.
func TestWhereAGatewayStands(t *testing.T) {
	inWorld(t, func(w *world) {
		w.after(time.Second)
		w.mu.Lock()
		beside := w.last.Beside
		w.mu.Unlock()
		if beside != "coordinator-a" {
			t.Errorf("it says that it stands beside %q", beside)
		}
		if text := w.log.String(); strings.Contains(text, "host name") {
			t.Errorf("localhost is not 127.0.0.1, and yet: %s", text)
		}
		for range 2 {
			w.assign(func(a *wire.GatewayAssignment) {
				a.Coordinators = []string{"https://127.0.0.1:7443", "https://localhost:7443"}
			})
			w.after(time.Second)
		}
		text := w.log.String()
		if strings.Count(text, "host name of a coordinator's dashboard") != 1 || !strings.Contains(text, "dashboard=https://localhost:7443") || !strings.Contains(text, "--public-url") {
			t.Errorf("logged %s", text)
		}
	})
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

func TestTheMinuteBeforeTheEndIsTold(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startRay()
		w.phase(raylink.PhaseWorkers)
		w.after(2 * time.Second)
		w.ready()
		w.after(60*time.Second + 100*time.Millisecond) // the minute is over, and nobody has looked since
		w.phase(raylink.PhaseEnding)
		w.want(w.after(10*time.Second), headLease, 50, 60, 1)
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
		{Config{Listen: "127.0.0.1:8443", PlainHTTP: true}, "http://localhost:8443"}, // a dashboard there stands under 127.0.0.1
		{Config{Listen: "127.0.0.1:8443"}, "https://localhost:8443"},
		{Config{Listen: "127.0.0.2:8443"}, "https://127.0.0.2:8443"}, // localhost is another address
		{Config{Listen: "127.0.0.1:8443", Beside: "coordinator-a"}, "https://localhost:8443"},
		{Config{Listen: "127.0.0.1:8443", Beside: "https://a:7443"}, "no coordinator's id"},
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
