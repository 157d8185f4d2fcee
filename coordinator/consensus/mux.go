package consensus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// The first byte on a connection to the Raft port says what it carries.
const (
	forRaft  = 'R'
	forCalls = 'C'
)

const (
	handshakeWait = 5 * time.Second
	newcomers     = 64 // connections that have not yet shown who they are
)

// tcp is the ordinary stream layer below the mux.
type tcp struct{ net.Listener }

// Dial opens a TCP connection.
func (tcp) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(address), timeout)
}

// mux shares one port between raft's transport, whose StreamLayer it is, and calls. It owns every connection of both: Close ends them all.
type mux struct {
	under     raft.StreamLayer
	tls       *tls.Config
	advertise string
	log       *slog.Logger
	serve     func(net.Conn) // of a call connection; returns when the connection ends

	toRaft chan net.Conn
	done   chan struct{}
	once   sync.Once
	wait   sync.WaitGroup

	mu     sync.Mutex
	conns  map[*tracked]struct{}
	closed bool
}

func newMux(c *Config, serve func(net.Conn)) (*mux, error) {
	under := c.Stream
	if under == nil {
		listener, err := net.Listen("tcp", c.Listen)
		if err != nil {
			return nil, fmt.Errorf("listening on the Raft port: %w", err)
		}
		under = tcp{listener}
	}
	m := &mux{under: under, tls: c.TLS, advertise: c.Advertise, log: c.Log, serve: serve,
		toRaft: make(chan net.Conn), done: make(chan struct{}), conns: map[*tracked]struct{}{}}
	if m.advertise == "" {
		m.advertise = under.Addr().String()
	}
	m.wait.Go(m.accept)
	return m, nil
}

func (m *mux) accept() {
	slots := make(chan struct{}, newcomers)
	for {
		conn, err := m.under.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			m.log.Warn("the Raft port accepts no connection", "error", err)
			if !m.pause(100 * time.Millisecond) {
				return
			}
			continue
		}
		t := m.track(conn)
		select {
		case slots <- struct{}{}:
		case <-m.done:
			return
		}
		m.wait.Go(func() { m.welcome(t, func() { <-slots }) })
	}
}

func (m *mux) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-m.done:
		return false
	}
}

// welcome finds out who came and for what. Whoever shows no peer's certificate in time is dropped.
func (m *mux) welcome(conn net.Conn, known func()) {
	kind, conn, err := m.greet(conn)
	known()
	switch {
	case err != nil:
		m.log.Debug("a connection to the Raft port was refused", "from", conn.RemoteAddr(), "error", err)
	case kind == forCalls:
		m.serve(conn)
	case kind == forRaft:
		select {
		case m.toRaft <- conn:
			return // raft's transport closes it
		case <-m.done:
		}
	}
	if err := conn.Close(); err != nil {
		m.log.Debug("closing a connection", "error", err)
	}
}

func (m *mux) greet(conn net.Conn) (byte, net.Conn, error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeWait)); err != nil {
		return 0, conn, err
	}
	if m.tls != nil {
		conn = tls.Server(conn, m.tls)
	}
	var kind [1]byte
	if _, err := io.ReadFull(conn, kind[:]); err != nil { // the first read shakes hands
		return 0, conn, err
	}
	return kind[0], conn, conn.SetDeadline(time.Time{})
}

func (m *mux) dial(address string, timeout time.Duration, kind byte) (net.Conn, error) {
	if timeout <= 0 || timeout > handshakeWait {
		timeout = handshakeWait
	}
	raw, err := m.under.Dial(raft.ServerAddress(address), timeout)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", address, err)
	}
	var conn net.Conn = m.track(raw)
	if m.tls != nil {
		client := tls.Client(conn, m.tls)
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := client.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("shaking hands with %s: %w", address, errors.Join(err, conn.Close()))
		}
		conn = client
	}
	err = conn.SetWriteDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = conn.Write([]byte{kind})
	}
	if err = errors.Join(err, conn.SetWriteDeadline(time.Time{})); err != nil {
		return nil, fmt.Errorf("greeting %s: %w", address, errors.Join(err, conn.Close()))
	}
	return conn, nil
}

// Dial is raft's way to a peer.
func (m *mux) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return m.dial(string(address), timeout, forRaft)
}

// Accept gives raft the connections that are for it.
func (m *mux) Accept() (net.Conn, error) {
	select {
	case conn := <-m.toRaft:
		return conn, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

// Addr is the address that peers are told.
func (m *mux) Addr() net.Addr { return address(m.advertise) }

// Close ends every connection and waits for whatever served them.
func (m *mux) Close() (err error) {
	m.once.Do(func() {
		close(m.done)
		err = m.under.Close()
		m.mu.Lock()
		m.closed = true
		conns := m.conns
		m.conns = nil
		m.mu.Unlock()
		for c := range conns {
			if e := c.Conn.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
				m.log.Debug("closing a connection", "error", e)
			}
		}
		m.wait.Wait()
	})
	return err
}

// tracked is a connection that the mux can end.
type tracked struct {
	net.Conn
	mux *mux
}

func (m *mux) track(conn net.Conn) *tracked {
	t := &tracked{Conn: conn, mux: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		conn.Close() // whoever uses it finds out by its first read or write
		return t
	}
	m.conns[t] = struct{}{}
	return t
}

// Close forgets the connection too.
func (t *tracked) Close() error {
	t.mux.mu.Lock()
	delete(t.mux.conns, t)
	t.mux.mu.Unlock()
	return t.Conn.Close()
}

// address is a host:port, or a name in a network in memory.
type address string

// Network is "raft".
func (address) Network() string { return "raft" }

// String is the address.
func (a address) String() string { return string(a) }
