package supplier

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/wire"
	"raylink/supplier/dataplane"
	"raylink/supplier/egress"
	"raylink/supplier/runtime"
)

func TestEgress(t *testing.T) {
	nowhere := func() (netip.Addr, error) { return netip.Addr{}, errors.New("not known") }
	for _, c := range []struct {
		no           bool
		owner, asked int64
		allow, want  bool
		limit        int64
	}{
		{false, 0, 0, true, true, 0}, {false, 7, 0, true, true, 7}, {false, 0, 5, true, true, 5}, {false, 7, 5, true, true, 5}, {false, 5, 7, true, true, 5},
		{true, 7, 5, true, true, 0}, {true, 7, 5, false, false, 0}, {false, 7, 5, false, false, 0},
	} {
		a := &Agent{parts: Parts{NoEgress: c.no, EgressBytes: c.owner, Address: nowhere}}
		order := wire.LeaseOrder{Node: "w-1", Env: map[string]string{"A": "b"}, Egress: wire.Egress{Allow: c.allow, Bytes: c.asked}}
		order.Mesh.Address = netip.MustParsePrefix("100.64.3.7/24")
		e, env := a.egress(order, 3), a.environment(order)
		if (e != nil) != c.want || e != nil && (e.Bytes != c.limit || e.Used != 3 || (e.Closed != "") != c.no) {
			t.Errorf("%+v: %+v", c, e)
		}
		if _, ok := env["https_proxy"]; ok != c.want || env["A"] != "b" {
			t.Errorf("%+v: %v", c, env)
		}
		if c.want {
			without := "," + env["NO_PROXY"] + ","
			for _, name := range []string{"localhost", "127.0.0.1", "w-1", "100.64.0.0/10", "100.64.3.0/24", "100.64.3.0", "100.64.3.8", "100.64.3.255"} {
				if !strings.Contains(without, ","+name+",") {
					t.Errorf("%s is not in %s", name, without)
				}
			}
			if strings.Contains(without, ",100.64.4.0,") {
				t.Error(without)
			}
		}
	}
}

// TestAPlaneIsToldAllOfIt: what bounds a lease reaches its data plane's configuration, the reason too.
func TestAPlaneIsToldAllOfIt(t *testing.T) {
	e := runtime.Egress{Bytes: 7, Used: 3, Host: netip.MustParseAddr("9.8.7.6"), Closed: closedByOwner}
	told := (&processPlanes{}).config(runtime.PlaneSpec{Lease: head, Egress: &e}).Egress
	if told == nil || *told != (dataplane.Egress{Bytes: 7, Used: 3, Host: e.Host, Closed: closedByOwner}) {
		t.Errorf("%+v", told)
	}
}

// TestTenantsOwnProxy: who sets http_proxy means HTTP_PROXY as well.
func TestTenantsOwnProxy(t *testing.T) {
	a := &Agent{parts: Parts{Address: func() (netip.Addr, error) { return netip.MustParseAddr("9.8.7.6"), nil }}}
	env := a.environment(wire.LeaseOrder{Env: map[string]string{"http_proxy": ""}, Egress: wire.Egress{Allow: true}})
	if _, ok := env["HTTP_PROXY"]; ok || env["http_proxy"] != "" || env["https_proxy"] == "" {
		t.Error(env)
	}
	env = a.environment(wire.LeaseOrder{Env: map[string]string{"no_proxy": "example.org"}, Egress: wire.Egress{Allow: true}})
	if _, ok := env["NO_PROXY"]; ok || !strings.HasPrefix(env["no_proxy"], "example.org,localhost,") {
		t.Error(env)
	}
}

// viewOf is what the agent's view says of a lease.
func (w *world) viewOf(id raylink.LeaseID) ViewLease {
	w.t.Helper()
	v, _, _, err := ReadView(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range v.Leases {
		if l.Lease == id {
			return l
		}
	}
	return ViewLease{}
}

// TestAProxyThatCannotListenIsTold: in the owner's view and once in the log, and again when it is over.
func TestAProxyThatCannotListenIsTold(t *testing.T) {
	bubble(t, func(w *world) {
		w.stop()
		var log bytes.Buffer
		w.log = &log
		w.start()
		w.bringUp()
		if v := w.viewOf(head); v.Lease != head || v.EgressTrouble != "" {
			t.Errorf("%+v", v)
		}
		w.host.SetEgressTrouble(head, "address already in use")
		w.until("the view tells", 5*time.Second, func() bool { return w.viewOf(head).EgressTrouble == "address already in use" })
		w.pass(10 * time.Second)
		w.host.SetEgressTrouble(head, "")
		w.until("it is over", 5*time.Second, func() bool { return w.viewOf(head).EgressTrouble == "" })
		w.stop()
		for text, times := range map[string]int{"address already in use": 1, "is not as ordered": 1, "as ordered again": 1} {
			if strings.Count(log.String(), text) != times {
				t.Errorf("the log has %q not %d times: %s", text, times, log.String())
			}
		}
	})
}

// TestANewAgentPassesItsOwnersWillOn: what an adopted data plane may let pass is what the agent that adopts it says, not what its predecessor said.
func TestANewAgentPassesItsOwnersWillOn(t *testing.T) {
	bubble(t, func(w *world) {
		orders := w.bringUp()
		for i := range orders {
			orders[i].Egress = wire.Egress{Allow: true, Bytes: 7}
		}
		closed := func() bool {
			e, ok := w.host.Egress(head)
			return ok && e != nil && e.Closed == closedByOwner
		}
		w.coordinator.order(orders...)
		w.until("an order's new bounds are passed on", 10*time.Second, func() bool {
			e, ok := w.host.Egress(head)
			return ok && e != nil && e.Bytes == 7 && e.Closed == ""
		})
		before, _ := w.host.PlaneStatus(head)
		w.stop()
		w.noEgress = true
		w.start()
		w.until("the owner's new word is passed on", 10*time.Second, closed)
		if after, _ := w.host.PlaneStatus(head); after != before {
			t.Errorf("the data plane went from %+v to %+v", before, after)
		}
	})
}

// TestADataPlaneOfAnEarlierVersionSaysWhatItKeeps: it takes the mesh, knows nothing of the rest, and the owner is told.
func TestADataPlaneOfAnEarlierVersionSaysWhatItKeeps(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	earlier := http.NewServeMux()
	for _, route := range []string{"GET /status", "PUT /mesh"} { // all that matters of its surface
		earlier.HandleFunc(route, func(out http.ResponseWriter, _ *http.Request) {
			json.NewEncoder(out).Encode(dataplane.Status{PublicKey: overlay.PrivateKey{8}.Public(), Egress: &egress.Count{Bytes: 3}})
		})
	}
	server := &http.Server{Handler: earlier}
	go server.Serve(listener)
	defer server.Close()
	hand := &plane{client: dataplane.Connect(socket), key: overlay.PrivateKey{8}}
	for _, step := range []struct {
		told *runtime.Egress
		want string
	}{{&runtime.Egress{Closed: closedByOwner}, keptEgress}, {nil, ""}} { // where nothing was ordered there is nothing to keep
		if err := hand.SetMesh(t.Context(), overlay.Mesh{}, step.told); err != nil {
			t.Fatal(err)
		}
		if status, err := hand.Status(t.Context()); err != nil || status.EgressTrouble != step.want || status.Egress != 3 {
			t.Errorf("%+v, %v", status, err)
		}
	}
}
