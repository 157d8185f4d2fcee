package memory

import (
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	backlog = 128       // connections waiting to be accepted
	window  = 256 << 10 // bytes under way in each direction

	sourcePort = 40000 // of every connection: nobody tells them apart by it
)

type listener struct {
	member *Member
	port   uint16
	accept chan *conn
	once   sync.Once
	done   chan struct{}
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accept:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close stops listening.
func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.member.network.mu.Lock()
		defer l.member.network.mu.Unlock()
		if l.member.listeners[l.port] == l {
			delete(l.member.listeners, l.port)
		}
	})
	return nil
}

// Addr is the overlay address that is listened on.
func (l *listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.member.address.Addr(), l.port))
}

// conn is one end of a connection: two buffered directions and a lock for both. Once cut it neither carries nor ends: as with TCP over
// a mesh that drops its packets, both ends wait for their own deadlines.
type conn struct {
	member, peer  *Member
	local, remote netip.AddrPort
	line          *line
	in, out       *half

	// Below is guarded by the line's lock.
	closed                      bool
	readDeadline, writeDeadline time.Time
}

// line is what both ends share.
type line struct {
	mu     sync.Mutex
	cut    bool
	change chan struct{} // closed and replaced whenever anything changes
}

// half is one direction.
type half struct {
	buffer []byte
	ended  bool // the writer has closed
	gone   bool // the reader has closed
}

func pair(from, to *Member, port uint16) (near, far *conn) {
	l := &line{change: make(chan struct{})}
	there, back := new(half), new(half)
	at := netip.AddrPortFrom(to.address.Addr(), port)
	source := netip.AddrPortFrom(from.address.Addr(), sourcePort)
	near = &conn{member: from, peer: to, local: source, remote: at, line: l, in: back, out: there}
	far = &conn{member: to, peer: from, local: at, remote: source, line: l, in: there, out: back}
	return near, far
}

func (l *line) changed() {
	close(l.change)
	l.change = make(chan struct{})
}

// wait tries until the try is over, the conn is closed or the deadline has passed. The try runs under the line's lock.
func (c *conn) wait(deadline *time.Time, try func() (done bool, err error)) error {
	for {
		c.line.mu.Lock()
		if c.closed {
			c.line.mu.Unlock()
			return net.ErrClosed
		}
		done, err := try()
		change, until := c.line.change, *deadline
		c.line.mu.Unlock()
		if done {
			return err
		}
		var alarm <-chan time.Time
		if !until.IsZero() {
			left := time.Until(until)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			alarm = time.After(left)
		}
		select {
		case <-change:
		case <-alarm:
		}
	}
}

// Read waits for bytes, for the peer's end, or for the deadline.
func (c *conn) Read(p []byte) (n int, err error) {
	err = c.wait(&c.readDeadline, func() (bool, error) {
		switch {
		case c.line.cut:
			return false, nil
		case len(c.in.buffer) > 0 || len(p) == 0:
			n = copy(p, c.in.buffer)
			c.in.buffer = c.in.buffer[n:]
			c.line.changed()
			return true, nil
		case c.in.ended:
			return true, io.EOF
		}
		return false, nil
	})
	if n > 0 {
		c.member.count(c.peer, 0, n)
	}
	return n, err
}

// Write waits until all bytes have found room in the window.
func (c *conn) Write(p []byte) (n int, err error) {
	err = c.wait(&c.writeDeadline, func() (bool, error) {
		if c.out.gone && !c.line.cut {
			return true, syscall.EPIPE
		}
		if room := min(window-len(c.out.buffer), len(p)-n); room > 0 {
			c.out.buffer = append(c.out.buffer, p[n:n+room]...)
			n += room
			c.line.changed()
		}
		return n == len(p), nil
	})
	c.member.count(c.peer, n, 0)
	return n, err
}

// CloseWrite ends this direction; the peer may go on sending.
func (c *conn) CloseWrite() error {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.out.ended = true
	c.line.changed()
	return nil
}

// Close ends both directions.
func (c *conn) Close() error {
	c.line.mu.Lock()
	if c.closed {
		c.line.mu.Unlock()
		return net.ErrClosed
	}
	c.closed, c.out.ended, c.in.gone = true, true, true
	c.line.changed()
	c.line.mu.Unlock()
	c.member.forget(c)
	return nil
}

func (c *conn) cut() {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.line.cut = true
	c.line.changed()
}

// SetDeadline bounds reads and writes.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline bounds reads.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline bounds writes.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *conn) setDeadlines(read, write *time.Time) error {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if read != nil {
		c.readDeadline = *read
	}
	if write != nil {
		c.writeDeadline = *write
	}
	c.line.changed()
	return nil
}

// LocalAddr is the overlay address of this end.
func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr is the overlay address of the other end.
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (m *Member) count(peer *Member, sent, received int) {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	m.sent[peer.public] += uint64(sent)
	m.received[peer.public] += uint64(received)
}

func (m *Member) forget(c *conn) {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	m.conns = slices.DeleteFunc(m.conns, func(other *conn) bool { return other == c })
}
