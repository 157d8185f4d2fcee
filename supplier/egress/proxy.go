package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	connectionsMax = 256      // of a lease at once; who comes then waits
	headerMax      = 64 << 10 // bytes of a request's head, and of an answer's
	bufferSize     = 32 << 10 // bytes, for each direction of a tunnel
	helloWithin    = 10 * time.Second
	reachWithin    = 30 * time.Second // to resolve a name and to try its addresses
	answerWithin   = 5 * time.Minute  // for the head of an answer to a plain request
	idleMax        = 10 * time.Minute // without a byte either way
	acceptPause    = 100 * time.Millisecond
	sayPause       = time.Minute // between two lines of the log about refusals: a tenant must not fill the owner's disk
)

// Config is what a proxy works with. Resolve, Dial and Own must be set; System fills in the machine's own.
type Config struct {
	// Bytes is how much may pass, both ways together, with what passed before (Used); 0 is no limit. What comes in at the same moment on
	// several connections may exceed it by what they had asked for, 32 KiB each.
	Bytes, Used int64
	// Closed is why nothing may pass at all, in words for the tenant: a proxy that answers so tells him more than one that is not there.
	Closed string
	// Resolve gives all addresses of a name that has no final dot. A name that does not exist is a *net.DNSError with IsNotFound.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	// Dial connects to this very address, within 10 s or so.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Own are the networks that the machine is in: not one of their addresses is reached.
	Own func() ([]netip.Prefix, error)
}

// Count is what a proxy has done. Bytes are those of the connections to the outside, both ways, from the lease's beginning.
type Count struct {
	Bytes   int64 `json:"bytes"`
	Limit   int64 `json:"limit,omitempty"` // of Bytes; 0 is none
	Open    int64 `json:"open"`            // connections to the outside now
	Opened  int64 `json:"opened"`          // by this process
	Refused int64 `json:"refused"`         // by the policy
	Failed  int64 `json:"failed"`          // by the network
}

// Proxy speaks HTTP (CONNECT and plain requests) and SOCKS5 (CONNECT without authentication) on one port, and is the only way out.
type Proxy struct {
	config Config
	log    *slog.Logger
	meter  meter
	turns  chan struct{}

	open, opened, refused, failed atomic.Int64

	mu     sync.Mutex
	closed string             // why nothing may pass
	lines  map[*line]struct{} // to the outside, open now
	said   time.Time          // when a refusal was logged last
	unsaid int                // since
}

// New makes a proxy; Serve runs it.
func New(config Config, log *slog.Logger) *Proxy {
	p := &Proxy{config: config, log: log, lines: map[*line]struct{}{}, turns: make(chan struct{}, connectionsMax)}
	p.Set(config.Bytes, config.Used, config.Closed)
	return p
}

// Set changes Bytes and Closed of the configuration while the proxy runs, and what is under way is bound by it at once: where nothing may
// pass any more, it is cut off. Used only ever raises what is counted.
func (p *Proxy) Set(bytes, used int64, closed string) {
	p.meter.limit.Store(bytes)
	for now := p.meter.used.Load(); now < used && !p.meter.used.CompareAndSwap(now, used); now = p.meter.used.Load() {
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = closed
	if closed != "" {
		for l := range p.lines {
			l.Close()
		}
	}
}

// shut is why nothing may pass at all, or nil.
func (p *Proxy) shut() *failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed == "" {
		return nil
	}
	return refusal(nil, "%s", p.closed)
}

// keep takes a connection among those that Set cuts off, unless nothing may pass since it was dialled.
func (p *Proxy) keep(l *line) *failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != "" {
		return refusal(nil, "%s", p.closed)
	}
	p.lines[l] = struct{}{}
	return nil
}

// Count is how it stands.
func (p *Proxy) Count() Count {
	return Count{
		Bytes: p.meter.used.Load(), Limit: p.meter.limit.Load(), Open: p.open.Load(), Opened: p.opened.Load(), Refused: p.refused.Load(), Failed: p.failed.Load(),
	}
}

// Serve answers on the listener until the context ends (nil) or the listener breaks. When it returns, the listener and all connections
// are closed.
func (p *Proxy) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		select {
		case p.turns <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := listener.Accept()
		if err == nil {
			wait.Go(func() {
				defer func() { <-p.turns }()
				p.serve(ctx, conn)
			})
			continue
		}
		<-p.turns
		switch {
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, syscall.ECONNABORTED) && !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE):
			return fmt.Errorf("waiting for a lease's connections: %w", err)
		}
		select { // others' files are closed in time
		case <-ctx.Done():
			return nil
		case <-time.After(acceptPause):
		}
	}
}

// serve answers one connection. The first byte tells SOCKS from HTTP.
func (p *Proxy) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client := &line{Conn: conn, until: time.Now().Add(helloWithin)}
	bounded := &io.LimitedReader{R: client, N: headerMax}
	reader := bufio.NewReader(bounded)
	first, err := reader.Peek(1)
	if err != nil {
		return // who says nothing gets no answer
	}
	t := &tenant{line: client, reader: reader, bounded: bounded}
	if first[0] == socksVersion {
		p.serveSocks(ctx, t)
		return
	}
	p.serveHTTP(ctx, t)
}

// tenant is the lease's end of a connection.
type tenant struct {
	*line
	reader  *bufio.Reader
	bounded *io.LimitedReader
}

// greeted ends the bounds of the greeting: from now on the tenant may take its time, and send what it likes.
func (t *tenant) greeted() {
	t.until = time.Time{}
	t.bounded.N = 1<<63 - 1
}

// refuse counts what did not come about, and logs some of it: the target and the reason, never what was asked of it.
func (p *Proxy) refuse(host string, port uint16, why *failure) {
	if !why.policy {
		p.failed.Add(1)
		return
	}
	p.refused.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.said) < sayPause {
		p.unsaid++
		return
	}
	p.log.Info("a lease may not go there", "host", fmt.Sprintf("%.100s", host), "port", port, "reason", why.detail(), "others_since", p.unsaid)
	p.said, p.unsaid = time.Now(), 0
}

// tunnel carries bytes both ways until both ends have ended, one breaks, nothing moves any more, or no more may pass.
func (p *Proxy) tunnel(t *tenant, far *line) {
	t.greeted()
	var active atomic.Int64
	active.Store(time.Now().UnixNano())
	var wait sync.WaitGroup
	carry := func(to *line, from io.Reader) {
		if err := pump(to, from, &active); err != nil || to.finish() != nil {
			t.Close()
			far.Close()
		}
	}
	wait.Go(func() { carry(far, t.reader) })
	carry(t.line, far)
	wait.Wait()
}

// pump copies until the end. A side that is silent is waited for as long as the other speaks.
func pump(to io.Writer, from io.Reader, active *atomic.Int64) error {
	buffer := make([]byte, bufferSize)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			active.Store(time.Now().UnixNano())
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
			active.Store(time.Now().UnixNano())
		}
		var late net.Error
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &late) && late.Timeout() && time.Since(time.Unix(0, active.Load())) < idleMax:
		default:
			return err
		}
	}
}
