//go:build linux

package wireguard_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink/overlay"
	"raylink/raylink/overlay/overlaytest"
	"raylink/raylink/overlay/wireguard"
)

func needsReal(t *testing.T) {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs root, /dev/net/tun, iproute2 and wireguard-tools: set RAYLINK_REAL=1")
	}
}

// sandboxes numbers the test's namespaces.
type sandboxes struct{ count atomic.Int64 }

// make adds a network namespace with nothing in it and returns its path.
func (s *sandboxes) make(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("rltest-%d-%d", os.Getpid(), s.count.Add(1))
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", name).Run() })
	return "/run/netns/" + name
}

func run(t *testing.T, command ...string) string {
	t.Helper()
	output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, output)
	}
	return string(output)
}

// inside opens sockets as a program in the namespace does.
type inside struct {
	netns   string
	address netip.Addr
}

func (s inside) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = wireguard.InNetns(s.netns, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

func (s inside) Listen(port uint16) (listener net.Listener, err error) {
	err = wireguard.InNetns(s.netns, func() (err error) {
		listener, err = net.Listen("tcp4", netip.AddrPortFrom(s.address, port).String())
		return err
	})
	return listener, err
}

func (s *sandboxes) attach(t *testing.T, name string, private overlay.PrivateKey, address string) (*wireguard.Device, inside) {
	t.Helper()
	netns, prefix := s.make(t), netip.MustParsePrefix(address)
	device, err := wireguard.Attach(wireguard.Config{Netns: netns, Name: name, PrivateKey: private, Address: prefix}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	return device, inside{netns, prefix.Addr()}
}

func peer(device *wireguard.Device) overlay.Peer {
	return overlay.Peer{PublicKey: device.PublicKey(), Address: device.Address().Addr(), Endpoint: loopback(device.Port())}
}

func setMesh(t *testing.T, device *wireguard.Device, others ...*wireguard.Device) {
	t.Helper()
	mesh := overlay.Mesh{Address: device.Address(), MTU: device.MTU()}
	for _, other := range others {
		mesh.Peers = append(mesh.Peers, peer(other))
	}
	if err := device.SetMesh(mesh); err != nil {
		t.Fatal(err)
	}
}

// Join makes the conformance suite run over real interfaces in real namespaces.
func (s *sandboxes) Join(t *testing.T, private overlay.PrivateKey, address netip.Prefix) overlaytest.Node {
	device, sockets := s.attach(t, "", private, address.String())
	return overlaytest.Node{Member: device, Sockets: sockets, Endpoint: loopback(device.Port())}
}

func TestRealConformance(t *testing.T) {
	needsReal(t)
	overlaytest.Run(t, new(sandboxes))
}

// TestRealSandboxSeesOnlyItsOverlay: the machine, its bridges, its networks and the metadata address are unreachable, not filtered.
func TestRealSandboxSeesOnlyItsOverlay(t *testing.T) {
	needsReal(t)
	var s sandboxes
	device, sockets := s.attach(t, "", overlay.PrivateKey{8}, "100.64.1.2/24")
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	outside := []string{"169.254.169.254", "172.17.0.1", "192.168.1.1", "10.0.0.1", "8.8.8.8", "100.64.2.2", "100.100.100.200"}
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			outside = append(outside, prefix.Addr().String())
		}
	}
	for _, address := range outside {
		conn, err := sockets.DialContext(t.Context(), "tcp", net.JoinHostPort(address, "80"))
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("dialling %s from the sandbox: %v", address, err)
		}
	}
	// What listens on the machine's loopback does not listen on the sandbox's.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, err := sockets.DialContext(t.Context(), "tcp", listener.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling the machine's loopback from the sandbox: %v", err)
	}
	routes := run(t, "ip", "-n", strings.TrimPrefix(sockets.netns, "/run/netns/"), "-o", "-4", "route", "show", "table", "main")
	if strings.Count(routes, "\n") != 1 || !strings.HasPrefix(routes, "100.64.1.0/24 dev rl0") {
		t.Errorf("the sandbox's routes are\n%s", routes)
	}
	links := run(t, "ip", "-n", strings.TrimPrefix(sockets.netns, "/run/netns/"), "-o", "link", "show")
	if strings.Count(links, "\n") != 2 || !strings.Contains(links, "mtu 1420") {
		t.Errorf("the sandbox's links are\n%s", links)
	}
	if own, err := os.ReadFile("/proc/net/dev"); err != nil || strings.Contains(string(own), "rl0") {
		t.Errorf("the interface stands in the machine's namespace: %v", err)
	}
	if device.Port() == 0 {
		t.Error("the device has no UDP port")
	}
}

// TestRealForeignSourceIsDropped: packets that claim another's address, or a free one of the same subnet, do not arrive.
func TestRealForeignSourceIsDropped(t *testing.T) {
	needsReal(t)
	var s sandboxes
	a, inA := s.attach(t, "", overlay.PrivateKey{8, 1}, "100.64.1.2/24")
	b, inB := s.attach(t, "", overlay.PrivateKey{8, 2}, "100.64.1.10/24")
	c, _ := s.attach(t, "", overlay.PrivateKey{8, 3}, "100.64.1.11/24")
	setMesh(t, a, b, c)
	setMesh(t, b, a, c)
	setMesh(t, c, a, b)
	var receiver *net.UDPConn
	err := wireguard.InNetns(inB.netns, func() (err error) {
		receiver, err = net.ListenUDP("udp4", &net.UDPAddr{IP: inB.address.AsSlice(), Port: 9})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	spoofed := []string{"100.64.1.77", c.Address().Addr().String()}
	for _, foreign := range spoofed {
		run(t, "ip", "-n", strings.TrimPrefix(inA.netns, "/run/netns/"), "address", "add", foreign+"/32", "dev", "lo")
	}
	send := func(from string) {
		t.Helper()
		err := wireguard.InNetns(inA.netns, func() error {
			conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: inB.address.AsSlice(), Port: 9})
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write([]byte(from))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	own := a.Address().Addr().String()
	heard := make([]byte, 100)
	receiver.SetDeadline(time.Now().Add(15 * time.Second))
	send(own) // shakes hands, so that nothing after it waits in a queue
	if n, _, err := receiver.ReadFromUDP(heard); err != nil || string(heard[:n]) != own {
		t.Fatalf("heard %q, %v", heard[:n], err)
	}
	for range 20 {
		for _, foreign := range spoofed {
			send(foreign)
		}
	}
	send(own)
	if n, from, err := receiver.ReadFromUDP(heard); err != nil || string(heard[:n]) != own {
		t.Fatalf("after spoofed packets heard %q from %s, %v", heard[:n], from, err)
	}
	status, err := a.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range status {
		if state.PublicKey == b.PublicKey() && state.Sent < 40*60 {
			t.Fatalf("only %d bytes left the sandbox: the spoofed packets were not even sent", state.Sent)
		}
	}
}

// TestRealWgTool: the stock tool reads the device, and its changes are taken.
func TestRealWgTool(t *testing.T) {
	needsReal(t)
	var s sandboxes
	name := overlay.DeviceName(fmt.Sprintf("wg-%d", os.Getpid()))
	a, inA := s.attach(t, name, overlay.PrivateKey{8, 4}, "100.64.1.2/24")
	b, inB := s.attach(t, "", overlay.PrivateKey{8, 5}, "100.64.1.10/24")
	setMesh(t, a, b)
	setMesh(t, b, a)
	listener, err := inB.Listen(80)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	conn, err := inA.DialContext(ctx, "tcp", "100.64.1.10:80")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	shown := run(t, "wg", "show", name)
	for _, want := range []string{
		"interface: " + name, a.PublicKey().String(), fmt.Sprint("listening port: ", a.Port()), "peer: " + b.PublicKey().String(),
		"allowed ips: 100.64.1.10/32", "endpoint: " + loopback(b.Port()).String(), "latest handshake", "persistent keepalive: every 25 seconds",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("wg does not show %q:\n%s", want, shown)
		}
	}
	if all := run(t, "wg", "show", "interfaces"); !strings.Contains(all, name) {
		t.Errorf("wg does not list the device among %s", all)
	}
	state, err := wireguard.ReadState(t.Context(), name)
	if err != nil || state.PrivateKey.Public() != a.PublicKey() || state.Port != a.Port() || len(state.Peers) != 1 {
		t.Errorf("the state over the socket: %+v, %v", state, err)
	}
	if info, err := os.Stat("/var/run/wireguard/" + name + ".sock"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	a.Close()
	if _, err := os.Stat("/var/run/wireguard/" + name + ".sock"); err == nil {
		t.Error("the socket outlives the device")
	}
}

// TestRealGatewayReachesSandbox: a netstack member and a TUN member are of one mesh.
func TestRealGatewayReachesSandbox(t *testing.T) {
	needsReal(t)
	var s sandboxes
	head, inHead := s.attach(t, "", overlay.PrivateKey{8, 6}, "100.64.1.2/24")
	gateway, err := wireguard.Netstack(wireguard.Config{
		PrivateKey: overlay.PrivateKey{8, 7}, Address: netip.MustParsePrefix("100.64.1.3/24"),
	}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.Close()
	listener, err := inHead.Listen(8265)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := head.SetMesh(overlay.Mesh{Address: head.Address(), Peers: []overlay.Peer{
		{PublicKey: gateway.PublicKey(), Address: netip.MustParseAddr("100.64.1.3"), Endpoint: loopback(gateway.Port())},
	}}); err != nil {
		t.Fatal(err)
	}
	if err := gateway.SetMesh(overlay.Mesh{Address: gateway.Address(), Peers: []overlay.Peer{peer(head)}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	conn, err := gateway.DialContext(ctx, "tcp", "100.64.1.2:8265")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	moved := bulk(t, listener, conn, 64<<20)
	t.Logf("netstack received 64 MiB in %s", moved)
}

// bulk sends bytes from whoever accepts to the connection, and says how long it took.
func bulk(t *testing.T, listener net.Listener, conn net.Conn, size int) time.Duration {
	t.Helper()
	began := time.Now()
	sent := make(chan error, 1)
	go func() {
		far, err := listener.Accept()
		if err == nil {
			defer far.Close()
			_, err = far.Write(make([]byte, size))
		}
		sent <- err
	}()
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	buffer, received := make([]byte, 256<<10), 0
	for received < size {
		n, err := conn.Read(buffer)
		received += n
		if err != nil {
			t.Fatalf("after %d of %d bytes: %v", received, size, err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// TestRealAttachAgain: a device that was closed frees its interface, and one that lives keeps it.
func TestRealAttachAgain(t *testing.T) {
	needsReal(t)
	var s sandboxes
	config := wireguard.Config{Netns: s.make(t), PrivateKey: overlay.PrivateKey{8}, Address: netip.MustParsePrefix("100.64.1.2/24")}
	first, err := wireguard.Attach(config, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := wireguard.Attach(config, quiet()); !errors.Is(err, unix.EBUSY) {
		t.Fatalf("attaching twice: %v", err)
	}
	config.Port = first.Port()
	first.Close()
	second, err := wireguard.Attach(config, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.Port() != first.Port() || second.PublicKey() != first.PublicKey() {
		t.Fatal("the second is another")
	}
	config.Netns, config.Interface = s.make(t), "rl1"
	if _, err := wireguard.Attach(config, quiet()); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("attaching with a port that is taken: %v", err)
	}
}
