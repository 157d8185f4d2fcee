package egress

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

var errSpent = errors.New("the lease has used up the bytes that it may exchange with the Internet")

// meter counts bytes. What passes when the limit is reached is cut off.
type meter struct {
	used  atomic.Int64
	limit atomic.Int64 // 0: none
}

// room is how many of n bytes may still pass.
func (m *meter) room(n int) int {
	limit := m.limit.Load()
	if limit <= 0 {
		return n
	}
	return int(max(0, min(int64(n), limit-m.used.Load())))
}

// take claims up to n bytes for good: two that write at once never claim the same.
func (m *meter) take(n int) int {
	for {
		used := m.used.Load()
		granted := n
		if limit := m.limit.Load(); limit > 0 {
			granted = int(max(0, min(int64(n), limit-used)))
		}
		if m.used.CompareAndSwap(used, used+int64(granted)) {
			return granted
		}
	}
}

// line is a connection with patience: a read or a write that nothing comes of ends after idleMax, or at a fixed time. With a meter it counts.
type line struct {
	net.Conn
	until time.Time // zero: idleMax from each read or write
	meter *meter
}

func (l *line) deadline() time.Time {
	if l.until.IsZero() {
		return time.Now().Add(idleMax)
	}
	return l.until
}

// Read reads no more than may pass.
func (l *line) Read(b []byte) (int, error) {
	if err := l.SetReadDeadline(l.deadline()); err != nil {
		return 0, err
	}
	if l.meter == nil {
		return l.Conn.Read(b)
	}
	if room := l.meter.room(len(b)); room < len(b) {
		if b = b[:room]; room == 0 {
			return 0, errSpent
		}
	}
	n, err := l.Conn.Read(b)
	l.meter.used.Add(int64(n))
	return n, err
}

// Write writes what may pass, and says when that is not all.
func (l *line) Write(b []byte) (int, error) {
	if err := l.SetWriteDeadline(l.deadline()); err != nil {
		return 0, err
	}
	if l.meter == nil {
		return l.Conn.Write(b)
	}
	granted := l.meter.take(len(b))
	n, err := l.Conn.Write(b[:granted])
	if err == nil && granted < len(b) {
		err = errSpent
	}
	return n, err
}

// finish says to the other end that no more is coming.
func (l *line) finish() error {
	if half, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return l.Close()
}
