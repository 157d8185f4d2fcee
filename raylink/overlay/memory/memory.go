// Package memory is an overlay inside one process, for tests of everything above the packets: members, meshes and TCP-like
// connections, with no sockets and no keys at work. It passes overlaytest, and runs in a testing/synctest bubble.
package memory

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"raylink/raylink/overlay"
)

// Network holds all members of all meshes. Its zero value is ready.
type Network struct {
	mu      sync.Mutex
	members []*Member
	ports   uint16
}

// Member is one member of one mesh.
type Member struct {
	network  *Network
	public   overlay.Key
	address  netip.Prefix
	endpoint netip.AddrPort

	// Below is guarded by the network's lock.
	mesh      overlay.Mesh
	closed    bool
	listeners map[uint16]*listener
	conns     []*conn
	sent      map[overlay.Key]uint64
	received  map[overlay.Key]uint64
}

// Join adds a member; it sees nobody until SetMesh.
func (n *Network) Join(private overlay.PrivateKey, address netip.Prefix) (*Member, error) {
	if err := overlay.ValidateAddress(address); err != nil {
		return nil, fmt.Errorf("joining the overlay: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports++
	member := &Member{
		network: n, public: private.Public(), address: address,
		endpoint:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), n.ports),
		listeners: make(map[uint16]*listener),
		sent:      make(map[overlay.Key]uint64), received: make(map[overlay.Key]uint64),
	}
	n.members = append(n.members, member)
	return member, nil
}

// Endpoint is the member's made-up UDP address outside the overlay.
func (m *Member) Endpoint() netip.AddrPort { return m.endpoint }

// Port is the member's made-up UDP port.
func (m *Member) Port() uint16 { return m.endpoint.Port() }

// PublicKey is the member's public key.
func (m *Member) PublicKey() overlay.Key { return m.public }

// SetMesh makes the peers those of the mesh. Connections of peers that are gone never carry a byte again.
func (m *Member) SetMesh(mesh overlay.Mesh) error {
	if err := mesh.Validate(); err != nil {
		return fmt.Errorf("setting the mesh: %w", err)
	}
	if mesh.Address != m.address {
		return fmt.Errorf("setting the mesh: it is for %s, this member is %s", mesh.Address, m.address)
	}
	for _, peer := range mesh.Peers {
		if peer.PublicKey == m.public {
			return fmt.Errorf("setting the mesh: peer %q has this member's own key", peer.Name)
		}
	}
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	mesh.Peers = slices.Clone(mesh.Peers)
	m.mesh = mesh
	for _, conn := range m.conns {
		if conn.peer != m && !joined(m, conn.peer) {
			conn.cut()
		}
	}
	return nil
}

// Status says how many bytes went to and came from each peer. There are no handshakes.
func (m *Member) Status() ([]overlay.PeerState, error) {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	states := []overlay.PeerState{}
	for _, peer := range m.mesh.Peers {
		states = append(states, overlay.PeerState{
			PublicKey: peer.PublicKey, Address: peer.Address, Endpoint: peer.Endpoint,
			Sent: m.sent[peer.PublicKey], Received: m.received[peer.PublicKey],
		})
	}
	return states, nil
}

// Close leaves the mesh: the member's connections break, its peers' ends fall silent.
func (m *Member) Close() error {
	m.network.mu.Lock()
	members := m.network.members
	m.network.members = slices.DeleteFunc(members, func(other *Member) bool { return other == m })
	m.closed = true
	listeners, conns := m.listeners, slices.Clone(m.conns)
	m.listeners = make(map[uint16]*listener)
	for _, conn := range conns {
		conn.cut()
	}
	m.network.mu.Unlock()
	for _, listener := range listeners {
		listener.Close()
	}
	for _, conn := range conns {
		conn.Close()
	}
	return nil
}

// joined reports whether two members accept each other's packets: each names the other's key with the other's address.
func joined(a, b *Member) bool {
	knows := func(a, b *Member) bool {
		return slices.ContainsFunc(a.mesh.Peers, func(p overlay.Peer) bool {
			return p.PublicKey == b.public && p.Address == b.address.Addr()
		})
	}
	return !a.closed && !b.closed && knows(a, b) && knows(b, a)
}

// DialContext opens a connection to an IP address and port inside the overlay. Where nobody answers it waits for the context's end.
func (m *Member) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	refuse := func(err error) (net.Conn, error) {
		return nil, fmt.Errorf("dialling %s from %s: %w", address, m.address.Addr(), err)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return refuse(err)
	}
	if !m.address.Contains(to.Addr()) {
		return refuse(syscall.ENETUNREACH)
	}
	listener, near, far, err := m.connect(to)
	if err != nil {
		return refuse(err)
	}
	if listener == nil {
		<-ctx.Done()
		return refuse(ctx.Err())
	}
	select {
	case listener.accept <- far:
		return near, nil
	case <-listener.done:
		err = syscall.ECONNREFUSED
	case <-ctx.Done():
		err = ctx.Err()
	}
	near.Close()
	far.Close()
	return refuse(err)
}

// connect makes both ends of a connection; there is no listener where nobody would answer.
func (m *Member) connect(to netip.AddrPort) (*listener, *conn, *conn, error) {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	if m.closed {
		return nil, nil, nil, net.ErrClosed
	}
	at := slices.IndexFunc(m.network.members, func(b *Member) bool {
		return b.address.Addr() == to.Addr() && (b == m || joined(m, b))
	})
	if at < 0 {
		return nil, nil, nil, nil
	}
	peer := m.network.members[at]
	listener := peer.listeners[to.Port()]
	if listener == nil {
		return nil, nil, nil, syscall.ECONNREFUSED
	}
	near, far := pair(m, peer, to.Port())
	m.conns, peer.conns = append(m.conns, near), append(peer.conns, far)
	return listener, near, far, nil
}

// Listen accepts connections on a port of the member's own overlay address; port 0 takes a free one.
func (m *Member) Listen(port uint16) (net.Listener, error) {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("listening on port %d: %w", port, net.ErrClosed)
	}
	for port == 0 || m.listeners[port] != nil {
		if port != 0 {
			return nil, fmt.Errorf("listening on port %s: %w", strconv.Itoa(int(port)), syscall.EADDRINUSE)
		}
		for port = 32768; m.listeners[port] != nil; port++ {
		}
	}
	l := &listener{member: m, port: port, accept: make(chan *conn, backlog), done: make(chan struct{})}
	m.listeners[port] = l
	return l, nil
}
