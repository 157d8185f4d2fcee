package testbed

import (
	"context"
	"crypto/rand"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"raylink/raylink/overlay"
	"raylink/raylink/overlay/memory"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/scripted"
)

// TestWiring: a gateway reaches a lease while each names the other's key, and not with another key, without a place in the lease's mesh, or once
// the lease's data plane is gone.
func TestWiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const machine, lease = "m-aaaaaaaaaa", "l-aaaaaaaaaa"
		host, wiring := scripted.NewHost().AnyImage(), &Wiring{}
		wiring.Started = func(_ runtime.PlaneSpec, member *memory.Member) {
			_, err := member.Listen(8265)
			must(t, err)
		}
		box, err := host.For(machine).Start(t.Context(), runtime.Spec{Machine: machine, Lease: lease})
		must(t, err)
		planes := wiring.Planes(host.Planes(machine))
		own, gateways, other := newKey(t), newKey(t), newKey(t)
		address, from := netip.MustParsePrefix("100.64.0.2/24"), netip.MustParsePrefix("100.64.0.3/24")
		_, err = planes.Start(t.Context(), runtime.PlaneSpec{Lease: lease, Machine: machine, Pid: box.Pid, Key: own, Address: address})
		must(t, err)
		plane, err := planes.Adopt(t.Context(), lease)
		must(t, err)
		knows := func(key overlay.PrivateKey) {
			must(t, plane.SetMesh(t.Context(), overlay.Mesh{Address: address, Peers: []overlay.Peer{{PublicKey: key.Public(), Address: from.Addr()}}}, nil))
		}
		gateway, err := wiring.Join(gateways, from)
		must(t, err)
		must(t, gateway.SetMesh(overlay.Mesh{Address: from, Peers: []overlay.Peer{{PublicKey: own.Public(), Address: address.Addr()}}}))
		reaches := func(why string, want bool) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn, err := gateway.DialContext(ctx, "tcp", "100.64.0.2:8265")
			if (err == nil) != want {
				t.Errorf("%s: dialling gives %v", why, err)
			}
			if err == nil {
				must(t, conn.Close())
			}
		}
		reaches("the lease was told of nobody", false)
		knows(gateways)
		reaches("both know each other", true)
		knows(other)
		reaches("the lease was told another key", false)
		knows(gateways)
		must(t, planes.Stop(t.Context(), lease))
		reaches("the data plane is gone", false)
		must(t, gateway.Close())
	})
}

func newKey(t *testing.T) overlay.PrivateKey {
	key, err := overlay.NewPrivateKey(rand.Reader)
	must(t, err)
	return key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
