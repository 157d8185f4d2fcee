package wireguard_test

import (
	"errors"
	"log/slog"
	"net/netip"
	"syscall"
	"testing"

	"raylink/raylink/overlay"
	"raylink/raylink/overlay/overlaytest"
	"raylink/raylink/overlay/wireguard"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// userspace joins members that need no privilege, over UDP on the loopback.
type userspace struct{}

func (userspace) Join(t *testing.T, private overlay.PrivateKey, address netip.Prefix) overlaytest.Node {
	t.Helper()
	member, err := wireguard.Netstack(wireguard.Config{PrivateKey: private, Address: address}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return overlaytest.Node{Member: member, Sockets: member, Endpoint: loopback(member.Port())}
}

func TestNetstackConformance(t *testing.T) { overlaytest.Run(t, userspace{}) }

func TestNetstackHasNoWayOut(t *testing.T) {
	member, err := wireguard.Netstack(wireguard.Config{
		PrivateKey: overlay.PrivateKey{8}, Address: netip.MustParsePrefix("100.64.1.3/24"),
	}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	for _, address := range []string{"127.0.0.1:80", "169.254.169.254:80", "100.64.2.2:80"} {
		if _, err := member.DialContext(t.Context(), "tcp", address); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("dialling %s: %v", address, err)
		}
	}
}

func TestNetstackClosesItsConnections(t *testing.T) {
	network := userspace{}
	a := network.Join(t, overlay.PrivateKey{8}, netip.MustParsePrefix("100.64.1.2/24"))
	listener, err := a.Sockets.Listen(1)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := listener.Accept()
		ended <- err
	}()
	a.Member.Close()
	a.Member.Close()
	<-a.Member.(*wireguard.Net).Wait()
	if err := <-ended; err == nil {
		t.Fatal("a connection was accepted after the end")
	}
}
