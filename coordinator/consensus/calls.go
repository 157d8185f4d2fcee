package consensus

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"raylink/raylink"
)

// Handler answers one call from a peer. Its error reaches the caller as a *raylink.Error. It ends soon after ctx does.
type Handler func(ctx context.Context, body []byte) ([]byte, error)

const (
	callsAtOnce = 256 // from one peer
	writeWait   = 10 * time.Second
)

// later is a refusal after which nothing has happened: it is safe to ask again, or elsewhere.
type later struct{ reason *raylink.Error }

func (l later) Error() string { return l.reason.Error() }
func (l later) Unwrap() error { return l.reason }

func notYet(format string, args ...any) error {
	return later{raylink.Errorf(raylink.CodeUnavailable, format, args...).WithHint("try again in a few seconds; 'raylink admin status' shows the group")}
}

// uncertain is the answer when the leader may or may not have done it.
func uncertain(format string, args ...any) error {
	return raylink.Errorf(raylink.CodeUnavailable, format, args...).
		WithHint("it may have been done all the same: retry with the same idempotency key")
}

// serveCalls answers one peer's calls until its connection ends.
func (n *Node) serveCalls(conn net.Conn) {
	var writing sync.Mutex
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	slots := make(chan struct{}, callsAtOnce)
	r := bufio.NewReader(conn)
	for {
		q, err := readQuestion(r)
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wait.Go(func() {
			defer func() { <-slots }()
			frame := n.answer(ctx, q).encode()
			writing.Lock()
			defer writing.Unlock()
			err := conn.SetWriteDeadline(time.Now().Add(writeWait))
			if err == nil {
				_, err = conn.Write(frame)
			}
			if err != nil {
				n.log.Debug("a call's answer was not delivered", "method", q.method, "error", errors.Join(err, conn.Close()))
			}
		})
	}
}

func (n *Node) answer(ctx context.Context, q question) answer {
	ctx, cancel := context.WithTimeout(ctx, q.time)
	defer cancel()
	body, err := n.handle(ctx, q.method, q.flags&flagLeader != 0, q.body)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = uncertain("coordinator %s did not finish %s in time", n.cfg.ID, q.method)
	}
	status := byte(statusOK)
	if err == nil && len(body) > frameLimit {
		err = raylink.Errorf(raylink.CodeTooLarge, "the answer to %s has %d bytes", q.method, len(body))
	}
	if err != nil {
		status = statusError
		reason := raylink.AsError(err)
		if l, ok := errors.AsType[later](err); ok {
			status, reason = statusLater, l.reason
		}
		body, err = json.Marshal(reason)
		if err != nil {
			body = []byte(`{}`)
		}
	}
	return answer{id: q.id, status: status, body: body}
}

func (n *Node) handle(ctx context.Context, method string, forLeader bool, body []byte) ([]byte, error) {
	n.mu.Lock()
	handler := n.handlers[method]
	n.mu.Unlock()
	if handler == nil {
		return nil, raylink.Errorf(raylink.CodeUnsupported, "coordinator %s knows no call %q", n.cfg.ID, method).
			WithHint("run the same version on every coordinator")
	}
	if forLeader {
		if err := n.mayLead(); err != nil {
			return nil, err
		}
	}
	return handler(ctx, body)
}

// callers keeps one connection to each peer.
type callers struct {
	dial func(address string, timeout time.Duration) (net.Conn, error)

	mu     sync.Mutex
	peers  map[string]*peer
	closed bool
	wait   sync.WaitGroup
}

type peer struct {
	dialling chan struct{} // holds one token: one caller dials, the others wait for it
	link     *link         // guarded by dialling
}

// link is one live connection; its reader ends it.
type link struct {
	conn    net.Conn
	writing sync.Mutex

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan answer
	heard   time.Time
	over    bool
}

func (c *callers) link(ctx context.Context, address string) (*link, error) {
	c.mu.Lock()
	p := c.peers[address]
	if p == nil {
		p = &peer{dialling: make(chan struct{}, 1)}
		c.peers[address] = p
	}
	c.mu.Unlock()
	select {
	case p.dialling <- struct{}{}:
		defer func() { <-p.dialling }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.link != nil && p.link.alive() {
		return p.link, nil
	}
	timeout := handshakeWait
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), time.Millisecond)
	}
	conn, err := c.dial(address, timeout)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, pending: map[uint64]chan answer{}, heard: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	p.link = l
	c.wait.Go(l.read)
	return l, nil
}

// close waits for the readers, whose connections the mux has ended.
func (c *callers) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wait.Wait()
}

func (l *link) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over
}

// read hands out answers until the connection ends; then every call that waits learns so.
func (l *link) read() {
	r := bufio.NewReader(l.conn)
	for {
		a, err := readAnswer(r)
		l.mu.Lock()
		if err != nil {
			l.over = true
			for _, waiting := range l.pending {
				close(waiting)
			}
			l.pending = nil
			l.mu.Unlock()
			l.conn.Close() // nobody is left who could mind
			return
		}
		l.heard = time.Now()
		if waiting, ok := l.pending[a.id]; ok {
			delete(l.pending, a.id)
			waiting <- a
		}
		l.mu.Unlock()
	}
}

func (l *link) send(q question) (chan answer, uint64, error) {
	waiting := make(chan answer, 1)
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return nil, 0, net.ErrClosed
	}
	l.next++
	q.id = l.next
	l.pending[q.id] = waiting
	l.mu.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	err := l.conn.SetWriteDeadline(time.Now().Add(writeWait))
	if err == nil {
		_, err = l.conn.Write(q.encode())
	}
	if err != nil { // a part of a question is none: the peer cannot have acted on it
		return nil, 0, errors.Join(err, l.conn.Close())
	}
	return waiting, q.id, nil
}

// call asks one peer. An error of type later means that it did nothing.
func (c *callers) call(ctx context.Context, address, method string, flags byte, body []byte) ([]byte, error) {
	if len(body) > frameLimit || len(method) > methodLength {
		return nil, raylink.Errorf(raylink.CodeTooLarge, "a call of %s with %d bytes is too large", method, len(body))
	}
	ctx, cancel := context.WithTimeout(ctx, maxCallTime+writeWait)
	defer cancel()
	l, err := c.link(ctx, address)
	if err != nil {
		return nil, notYet("coordinator at %s cannot be reached: %v", address, err)
	}
	asked := time.Now()
	timeout := maxCallTime
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(max(time.Until(deadline), time.Millisecond), maxCallTime)
	}
	waiting, id, err := l.send(question{time: timeout, flags: flags, method: method, body: body})
	if err != nil {
		return nil, notYet("coordinator at %s cannot be reached: %v", address, err)
	}
	select {
	case a, ok := <-waiting:
		if !ok {
			return nil, uncertain("the connection to the coordinator at %s was lost before it answered", address)
		}
		return a.open()
	case <-ctx.Done():
		l.forget(id, asked, ctx.Err())
		return nil, uncertain("the coordinator at %s has not answered: %v", address, ctx.Err())
	}
}

// forget drops a call whose caller has gone. A connection that has been silent ever since is taken for dead.
func (l *link) forget(id uint64, asked time.Time, why error) {
	l.mu.Lock()
	delete(l.pending, id)
	silent := errors.Is(why, context.DeadlineExceeded) && l.heard.Before(asked)
	l.mu.Unlock()
	if silent {
		l.conn.Close() // its reader does the rest
	}
}

func (a answer) open() ([]byte, error) {
	if a.status == statusOK {
		return a.body, nil
	}
	reason := &raylink.Error{}
	if err := json.Unmarshal(a.body, reason); err != nil || reason.Code == "" {
		return nil, fmt.Errorf("a coordinator answered with an error that cannot be read: %.80q", a.body)
	}
	if a.status == statusLater {
		return nil, later{reason}
	}
	return nil, reason
}
