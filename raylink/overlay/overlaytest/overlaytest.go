// Package overlaytest says what every carrier of an overlay must do: a suite which the real ones and the one in memory pass alike.
package overlaytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"raylink/raylink/overlay"
)

// Member is one member of a mesh, as the agent and the gateway handle it.
type Member interface {
	io.Closer
	// SetMesh makes the peers those of the mesh; it is idempotent, and a peer that is gone is dead when it returns.
	SetMesh(overlay.Mesh) error
}

// Sockets opens TCP connections as the programs inside the mesh do.
type Sockets interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	// Listen accepts on a port of the member's own overlay address.
	Listen(port uint16) (net.Listener, error)
}

// Node is a member together with its sockets and its UDP address outside the overlay.
type Node struct {
	Member   Member
	Sockets  Sockets
	Endpoint netip.AddrPort
}

// Network joins members that could reach each other as far as the underlay is concerned.
type Network interface {
	Join(t *testing.T, private overlay.PrivateKey, address netip.Prefix) Node
}

const (
	reachable   = 15 * time.Second       // a first handshake may need a second try, 5 s later
	unreachable = 700 * time.Millisecond // how long silence is listened to
	port        = 7000
)

type node struct {
	Node
	key     overlay.PrivateKey
	address netip.Prefix
}

func (n node) peer() overlay.Peer {
	return overlay.Peer{PublicKey: n.key.Public(), Address: n.address.Addr(), Endpoint: n.Endpoint}
}

func join(t *testing.T, network Network, address string) node {
	t.Helper()
	key, err := overlay.NewPrivateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	prefix := netip.MustParsePrefix(address)
	n := node{Node: network.Join(t, key, prefix), key: key, address: prefix}
	t.Cleanup(func() { n.Member.Close() })
	return n
}

// mesh tells every node about all the others.
func mesh(t *testing.T, nodes ...node) {
	t.Helper()
	for i, n := range nodes {
		peers := []overlay.Peer{}
		for j, other := range nodes {
			if i != j {
				peers = append(peers, other.peer())
			}
		}
		n.set(t, peers...)
	}
}

func (n node) set(t *testing.T, peers ...overlay.Peer) {
	t.Helper()
	if err := n.Member.SetMesh(overlay.Mesh{Address: n.address, Peers: peers}); err != nil {
		t.Fatal(err)
	}
}

// echo answers every connection with what it sends, until the test ends.
func (n node) echo(t *testing.T) {
	t.Helper()
	listener, err := n.Sockets.Listen(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
}

func (n node) dial(timeout time.Duration, to node) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return n.Sockets.DialContext(ctx, "tcp", net.JoinHostPort(to.address.Addr().String(), strconv.Itoa(port)))
}

func (n node) mustReach(t *testing.T, to node) net.Conn {
	t.Helper()
	conn, err := n.dial(reachable, to)
	if err != nil {
		t.Fatalf("%s does not reach %s: %v", n.address, to.address, err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := talk(conn, reachable); err != nil {
		t.Fatalf("%s reaches %s, but hears no echo: %v", n.address, to.address, err)
	}
	return conn
}

func (n node) mustNotReach(t *testing.T, to node) {
	t.Helper()
	if conn, err := n.dial(unreachable, to); err == nil {
		conn.Close()
		t.Fatalf("%s reaches %s", n.address, to.address)
	}
}

// talk sends a few full packets and waits for their echo.
func talk(conn net.Conn, timeout time.Duration) error {
	conn.SetDeadline(time.Now().Add(timeout))
	sent := bytes.Repeat([]byte("raylink "), 1000)
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		written <- err
	}()
	heard := make([]byte, len(sent))
	_, err := io.ReadFull(conn, heard)
	if err == nil && !bytes.Equal(sent, heard) {
		err = errors.New("the echo differs from what was sent")
	}
	return errors.Join(err, <-written)
}

// Run is the suite.
func Run(t *testing.T, network Network) {
	for name, test := range map[string]func(*testing.T, Network){
		"members reach each other":                  reach,
		"a stranger reaches nobody":                 stranger,
		"a removed peer is dead at once":            removal,
		"others are not disturbed by a removal":     undisturbed,
		"an address belongs to one key":             impostor,
		"two meshes over the same machines are two": twoMeshes,
		"a mesh that is wrong is refused":           refused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of a test's time is listening to silence
			test(t, network)
		})
	}
}

func reach(t *testing.T, network Network) {
	a, b, c := join(t, network, "100.64.1.2/24"), join(t, network, "100.64.1.10/24"), join(t, network, "100.64.1.11/24")
	mesh(t, a, b, c)
	nodes := []node{a, b, c}
	for _, n := range nodes {
		n.echo(t)
	}
	for _, from := range nodes {
		for _, to := range nodes {
			if from.address != to.address {
				from.mustReach(t, to)
			}
		}
	}
}

func stranger(t *testing.T, network Network) {
	a, b, c := join(t, network, "100.64.1.2/24"), join(t, network, "100.64.1.10/24"), join(t, network, "100.64.1.11/24")
	mesh(t, a, b)
	c.set(t, a.peer(), b.peer()) // it knows them; they do not know it
	a.echo(t)
	b.echo(t)
	c.mustNotReach(t, a)
	c.mustNotReach(t, b)
	b.mustReach(t, a)
}

func removal(t *testing.T, network Network) {
	a, b := join(t, network, "100.64.1.2/24"), join(t, network, "100.64.1.10/24")
	mesh(t, a, b)
	a.echo(t)
	conn := b.mustReach(t, a)
	a.set(t) // the receiver's side alone is enough
	if err := talk(conn, unreachable); err == nil {
		t.Fatal("a connection to a mesh which the peer was removed from still carries bytes")
	}
	b.mustNotReach(t, a)
	a.set(t, b.peer())
	b.mustReach(t, a)
}

func undisturbed(t *testing.T, network Network) {
	a, b, c := join(t, network, "100.64.1.2/24"), join(t, network, "100.64.1.10/24"), join(t, network, "100.64.1.11/24")
	mesh(t, a, b, c)
	a.echo(t)
	stays, goes := b.mustReach(t, a), c.mustReach(t, a)
	a.set(t, b.peer())
	a.set(t, b.peer())
	if err := talk(stays, reachable); err != nil {
		t.Fatalf("the connection of a peer that stays broke: %v", err)
	}
	if err := talk(goes, unreachable); err == nil {
		t.Fatal("the connection of a peer that was removed still carries bytes")
	}
}

func impostor(t *testing.T, network Network) {
	a, b, c := join(t, network, "100.64.1.2/24"), join(t, network, "100.64.1.10/24"), join(t, network, "100.64.1.10/24")
	mesh(t, a, b)
	c.set(t, a.peer()) // c has b's address, but not b's key
	a.echo(t)
	c.mustNotReach(t, a)
	b.mustReach(t, a)
}

func twoMeshes(t *testing.T, network Network) {
	a1, b1 := join(t, network, "100.64.1.2/24"), join(t, network, "100.64.1.10/24")
	a2, b2 := join(t, network, "100.64.2.2/24"), join(t, network, "100.64.2.10/24")
	mesh(t, a1, b1)
	mesh(t, a2, b2)
	for _, n := range []node{a1, b1, a2, b2} {
		n.echo(t)
	}
	b1.mustNotReach(t, a2)
	b2.mustNotReach(t, a1)
	b1.mustReach(t, a1)
	b2.mustReach(t, a2)
}

func refused(t *testing.T, network Network) {
	a, b := join(t, network, "100.64.1.2/24"), join(t, network, "100.64.1.10/24")
	foreign := b.peer()
	foreign.Address = netip.MustParseAddr("100.64.2.10")
	self := b.peer()
	self.PublicKey = a.key.Public()
	for name, wrong := range map[string]overlay.Mesh{
		"another address":      {Address: b.address},
		"a foreign peer":       {Address: a.address, Peers: []overlay.Peer{foreign}},
		"the same peer twice":  {Address: a.address, Peers: []overlay.Peer{b.peer(), b.peer()}},
		"oneself as the peer":  {Address: a.address, Peers: []overlay.Peer{self}},
		"a peer without a key": {Address: a.address, Peers: []overlay.Peer{{Address: b.address.Addr()}}},
	} {
		if err := a.Member.SetMesh(wrong); err == nil {
			t.Errorf("a mesh with %s was accepted", name)
		}
	}
}
