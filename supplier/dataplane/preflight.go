package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"raylink/raylink/overlay/wireguard"
)

const (
	// PreflightPort is the TCP port on which data planes answer one another inside the overlay before Ray starts.
	PreflightPort = 6399

	preflightTimeout = 20 * time.Second // unless the agent says otherwise
	preflightLinger  = 60 * time.Second // others may still be dialling
	dialTimeout      = 2 * time.Second
	dialPause        = 100 * time.Millisecond
	dialsMax         = 32 // at once: each keeps a thread in the container's namespace
	answersMax       = 256

	// greetingSize makes a greeting fill several packets: a path that passes small packets only is no path.
	greetingSize = 8 << 10
	greeting     = "raylink preflight\n"
)

// The states of a preflight.
const (
	PreflightIdle    = "idle"
	PreflightRunning = "running"
	PreflightOK      = "ok"
	PreflightBlocked = "blocked"
)

// PreflightStatus says how the dialling of all peers stands. Reasons has a few words for each blocked peer.
type PreflightStatus struct {
	State   string                `json:"state"`
	Blocked []netip.Addr          `json:"blocked,omitempty"`
	Reasons map[netip.Addr]string `json:"reasons,omitempty"`
	TookMs  int64                 `json:"took_ms,omitempty"`
}

// preflight proves, from within the container's namespace, that every peer can be reached with full-sized packets.
type preflight struct {
	netns  string
	own    netip.Addr
	shaken func(netip.Addr) bool // whether WireGuard has ever agreed on keys with a peer
	log    *slog.Logger

	begin  sync.Mutex // one begin or end at a time
	mu     sync.Mutex
	status PreflightStatus
	peers  []netip.Addr
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// start dials the peers in the background. While the same peers are being dialled it changes nothing.
func (p *preflight) start(ctx context.Context, peers []netip.Addr, timeout time.Duration) error {
	p.begin.Lock()
	defer p.begin.Unlock()
	if p.now().State == PreflightRunning && slices.Equal(p.peers, peers) {
		return nil
	}
	p.halt()
	var listener net.Listener
	err := wireguard.InNetns(p.netns, func() (err error) {
		listener, err = net.Listen("tcp4", netip.AddrPortFrom(p.own, PreflightPort).String())
		return err
	})
	if err != nil {
		return fmt.Errorf("listening for the other members' preflight: %w", err)
	}
	ctx, p.cancel = context.WithCancel(ctx)
	p.peers = slices.Clone(peers)
	p.set(PreflightStatus{State: PreflightRunning})
	p.wait.Go(func() { p.answer(listener) })
	p.wait.Go(func() {
		p.run(ctx, peers, timeout)
		select { // the listener stays for those who are later
		case <-ctx.Done():
		case <-time.After(preflightLinger):
		}
		listener.Close()
	})
	return nil
}

// stop ends dialling and answering; a verdict that was reached stays.
func (p *preflight) stop() {
	p.begin.Lock()
	defer p.begin.Unlock()
	p.halt()
	if p.now().State == PreflightRunning {
		p.set(PreflightStatus{State: PreflightIdle})
	}
}

func (p *preflight) halt() {
	if p.cancel != nil {
		p.cancel()
		p.wait.Wait()
		p.cancel = nil
	}
}

func (p *preflight) now() PreflightStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *preflight) set(status PreflightStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

func (p *preflight) run(ctx context.Context, peers []netip.Addr, timeout time.Duration) {
	began := time.Now()
	dialling, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	failures := make([]error, len(peers))
	turns := make(chan struct{}, dialsMax)
	var wait sync.WaitGroup
	for i, peer := range peers {
		wait.Go(func() { failures[i] = p.reach(dialling, turns, peer) })
	}
	wait.Wait()
	if ctx.Err() != nil {
		return
	}
	status := PreflightStatus{State: PreflightOK, TookMs: time.Since(began).Milliseconds()}
	for i, peer := range peers {
		if failures[i] == nil {
			continue
		}
		if status.Reasons == nil {
			status.State, status.Reasons = PreflightBlocked, make(map[netip.Addr]string)
		}
		status.Blocked = append(status.Blocked, peer)
		status.Reasons[peer] = p.reason(peer, failures[i])
	}
	p.log.Info("preflight", "state", status.State, "blocked", status.Blocked, "took_ms", status.TookMs)
	p.set(status)
}

func (p *preflight) reason(peer netip.Addr, err error) string {
	if !p.shaken(peer) {
		return "no WireGuard handshake: UDP between the two machines is blocked, or the peer's data plane is not up"
	}
	return "WireGuard is up, but " + err.Error()
}

// reach dials a peer until it answers once; the last failure is returned when time is up.
func (p *preflight) reach(ctx context.Context, turns chan struct{}, peer netip.Addr) error {
	last := errors.New("the time was up before it was dialled")
	for ctx.Err() == nil {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			return last
		}
		err := p.dial(ctx, peer)
		<-turns
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err // not the one that only says that the time is up
		}
		select {
		case <-ctx.Done():
		case <-time.After(dialPause):
		}
	}
	return last
}

func (p *preflight) dial(ctx context.Context, peer netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var conn net.Conn
	err := wireguard.InNetns(p.netns, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp4", netip.AddrPortFrom(peer, PreflightPort).String())
		return err
	})
	if err != nil {
		return fmt.Errorf("it does not accept connections: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	heard := make([]byte, greetingSize)
	if n, err := io.ReadFull(conn, heard); err != nil {
		return fmt.Errorf("of a greeting of %d bytes only %d arrive: large packets get lost on the way: %w", greetingSize, n, err)
	}
	if !strings.HasPrefix(string(heard), greeting) {
		return errors.New("something else answers on the preflight port")
	}
	return nil
}

// answer greets everybody who dials, until the listener is closed.
func (p *preflight) answer(listener net.Listener) {
	words := make([]byte, greetingSize)
	copy(words, greeting)
	turns := make(chan struct{}, answersMax)
	var wait sync.WaitGroup
	defer wait.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		turns <- struct{}{}
		wait.Go(func() {
			defer func() { <-turns }()
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(dialTimeout))
			conn.Write(words) // who does not hear it dials again
		})
	}
}
