package wireguard_test

import (
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"raylink/raylink/overlay"
	"raylink/raylink/overlay/wireguard"
)

// farApart carries UDP between two ports of the loopback with a delay each way, and returns where each finds the other.
func farApart(t *testing.T, a, b uint16, delay time.Duration) (toB, toA netip.AddrPort) {
	t.Helper()
	near, far := socket(t), socket(t) // a talks to near, b talks to far
	carry := func(from, to *net.UDPConn, port uint16) {
		buffer := make([]byte, 2048)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			packet := append([]byte(nil), buffer[:n]...)
			time.AfterFunc(delay, func() { to.WriteToUDPAddrPort(packet, loopback(port)) })
		}
	}
	go carry(near, far, b)
	go carry(far, near, a)
	return near.LocalAddr().(*net.UDPAddr).AddrPort(), far.LocalAddr().(*net.UDPAddr).AddrPort()
}

func socket(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback(0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestPairsShakeHandsOnce: both of a pair learn of the other in the same instant, and their initiations cross on the way. WireGuard
// alone would try again after 5 s.
func TestPairsShakeHandsOnce(t *testing.T) {
	const pairs = 5
	var members [2 * pairs]*wireguard.Net
	for i := range members {
		private, err := overlay.NewPrivateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		address := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(i / 2), byte(10 + i%2)}), 24)
		if members[i], err = wireguard.Netstack(wireguard.Config{PrivateKey: private, Address: address}, quiet()); err != nil {
			t.Fatal(err)
		}
		defer members[i].Close()
	}
	var wait sync.WaitGroup
	for i := 0; i < len(members); i += 2 {
		a, b := members[i], members[i+1]
		toB, toA := farApart(t, a.Port(), b.Port(), 50*time.Millisecond)
		wait.Go(func() { meet(t, a, b, toB) })
		wait.Go(func() { meet(t, b, a, toA) })
	}
	began := time.Now()
	wait.Wait()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for _, member := range members {
		for !shaken(t, member) {
			<-ticker.C
			if time.Since(began) > 4*time.Second {
				t.Fatalf("%s has no session after %s", member.Address(), time.Since(began))
			}
		}
	}
}

func meet(t *testing.T, member, other *wireguard.Net, at netip.AddrPort) {
	err := member.SetMesh(overlay.Mesh{Address: member.Address(), Peers: []overlay.Peer{
		{PublicKey: other.PublicKey(), Address: other.Address().Addr(), Endpoint: at},
	}})
	if err != nil {
		t.Error(err)
	}
}

func shaken(t *testing.T, member *wireguard.Net) bool {
	t.Helper()
	status, err := member.Status()
	if err != nil || len(status) != 1 {
		t.Fatalf("%+v, %v", status, err)
	}
	return !status[0].LastHandshake.IsZero()
}
