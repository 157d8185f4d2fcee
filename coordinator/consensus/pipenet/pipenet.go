// Package pipenet is a network in memory for nodes of package consensus: connections are net.Pipes, so that a whole group lives in one synctest bubble, and
// pairs of nodes can be cut from one another and healed.
package pipenet

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Network connects nodes by their ids, which are their addresses too.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*Layer
	cut       map[pair]bool
	conns     map[*conn]struct{}
	healed    chan struct{} // closed when a cut is healed
}

type pair struct{ low, high string }

func pairOf(a, b string) pair {
	if a > b {
		a, b = b, a
	}
	return pair{a, b}
}

// New is a network without nodes.
func New() *Network {
	return &Network{listeners: map[string]*Layer{}, cut: map[pair]bool{}, conns: map[*conn]struct{}{}, healed: make(chan struct{})}
}

// Layer is one node's access to the network: a raft.StreamLayer, for consensus.Config.Stream.
type Layer struct {
	net    *Network
	id     string
	accept chan net.Conn
	done   chan struct{}
	once   sync.Once
}

// Listen gives the node its access. A node that starts again listens again; its earlier layer must be closed.
func (n *Network) Listen(id string) (*Layer, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[id] != nil {
		return nil, fmt.Errorf("listening as %s: somebody does already", id)
	}
	l := &Layer{net: n, id: id, accept: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[id] = l
	return l, nil
}

// Cut ends all connections between a and b and lets none begin: a dial waits, as if its packets were lost.
func (n *Network) Cut(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[pairOf(a, b)] = true
	for c := range n.conns {
		if c.pair == pairOf(a, b) {
			delete(n.conns, c)
			c.Conn.Close() // of a pipe: never an error
		}
	}
}

// Heal lets a and b connect again.
func (n *Network) Heal(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cut, pairOf(a, b))
	close(n.healed)
	n.healed = make(chan struct{})
}

// Isolate cuts id from every other of ids.
func (n *Network) Isolate(id string, ids ...string) {
	for _, other := range ids {
		if other != id {
			n.Cut(id, other)
		}
	}
}

// HealAll undoes every cut.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	close(n.healed)
	n.healed = make(chan struct{})
}

// reach finds the way from a to b, or the channel that is closed when a cut is healed.
func (n *Network) reach(a, b string) (l *Layer, wait <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[pairOf(a, b)] {
		return nil, n.healed
	}
	return n.listeners[b], nil
}

// Dial connects to the node that listens as address.
func (l *Layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		to, wait := l.net.reach(l.id, string(address))
		if wait == nil && to == nil {
			return nil, fmt.Errorf("dialling %s: nobody listens", address)
		}
		if to != nil {
			near, far := l.net.pipe(l.id, to.id)
			select {
			case to.accept <- far:
				return near, nil
			case <-to.done:
			case <-l.done:
			case <-timer.C:
			}
			near.Close()
			far.Close()
			return nil, fmt.Errorf("dialling %s: nobody answers", address)
		}
		select {
		case <-wait:
		case <-l.done:
			return nil, net.ErrClosed
		case <-timer.C:
			return nil, fmt.Errorf("dialling %s: no answer in %v", address, timeout)
		}
	}
}

func (n *Network) pipe(a, b string) (near, far *conn) {
	p, q := net.Pipe()
	near, far = &conn{Conn: p, net: n, pair: pairOf(a, b), to: b}, &conn{Conn: q, net: n, pair: pairOf(a, b), to: a}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[near.pair] {
		p.Close()
		q.Close()
		return near, far
	}
	n.conns[near], n.conns[far] = struct{}{}, struct{}{}
	return near, far
}

// Accept waits for the next connection.
func (l *Layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends listening and dialling; connections live on.
func (l *Layer) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		delete(l.net.listeners, l.id)
	})
	return nil
}

// Addr is the node's id.
func (l *Layer) Addr() net.Addr { return address(l.id) }

type conn struct {
	net.Conn
	net  *Network
	pair pair
	to   string
}

// Close forgets the connection too.
func (c *conn) Close() error {
	c.net.mu.Lock()
	delete(c.net.conns, c)
	c.net.mu.Unlock()
	return c.Conn.Close()
}

// RemoteAddr is the id of the node at the other end.
func (c *conn) RemoteAddr() net.Addr { return address(c.to) }

type address string

func (address) Network() string  { return "pipe" }
func (a address) String() string { return string(a) }
