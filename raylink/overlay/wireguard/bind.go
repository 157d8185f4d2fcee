package wireguard

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"raylink/raylink/overlay"
)

// holdTime is how long an answer to one's own initiation is waited for. Longer round trips fall back to WireGuard's retry after 5 s.
const holdTime = 400 * time.Millisecond

// crossing is the standard UDP bind that lets a pair shake hands once. All members of a cluster learn of one another in the same
// instant, so both of a pair initiate; WireGuard then drops both answers as invalid and tries again 5 s later, and may cross again.
// Here the one with the smaller key holds the other's initiation back while its own is under way, and drops it when the answer comes.
type crossing struct {
	conn.Bind

	mu      sync.Mutex
	leads   map[string]bool // by endpoint: our key is the smaller one
	started map[string]time.Time
	held    map[string]*heldPacket
	due     chan heldPacket
	closed  chan struct{}
	once    *sync.Once
}

type heldPacket struct {
	bytes    []byte
	endpoint conn.Endpoint
	timer    *time.Timer
}

func newCrossing() *crossing {
	return &crossing{
		Bind:    conn.NewStdNetBind(),
		started: make(map[string]time.Time),
		held:    make(map[string]*heldPacket),
		once:    new(sync.Once),
	}
}

// setPeers says at which endpoints peers with greater keys are expected.
func (b *crossing) setPeers(own overlay.Key, peers []overlay.Peer) {
	leads := make(map[string]bool, len(peers))
	for _, peer := range peers {
		if peer.Endpoint.IsValid() && string(own[:]) < string(peer.PublicKey[:]) {
			leads[netip.AddrPortFrom(peer.Endpoint.Addr().Unmap(), peer.Endpoint.Port()).String()] = true
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leads = leads
	for at := range b.started {
		if !leads[at] {
			delete(b.started, at)
		}
	}
}

// Open opens the sockets, and one more source of packets: those that were held.
func (b *crossing) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	sources, port, err := b.Bind.Open(port)
	if err != nil {
		return nil, 0, err
	}
	due, closed := make(chan heldPacket), make(chan struct{})
	b.mu.Lock()
	b.due, b.closed, b.once = due, closed, new(sync.Once)
	b.mu.Unlock()
	for i, source := range sources {
		sources[i] = b.filter(source)
	}
	return append(sources, func(packets [][]byte, sizes []int, endpoints []conn.Endpoint) (int, error) {
		select {
		case packet := <-due:
			sizes[0], endpoints[0] = copy(packets[0], packet.bytes), packet.endpoint
			return 1, nil
		case <-closed:
			return 0, net.ErrClosed
		}
	}), port, nil
}

// Close closes the sockets; the bind may be opened again.
func (b *crossing) Close() error {
	b.mu.Lock()
	if b.closed != nil {
		closed := b.closed
		b.once.Do(func() { close(closed) })
	}
	for at, packet := range b.held {
		packet.timer.Stop()
		delete(b.held, at)
	}
	b.mu.Unlock()
	return b.Bind.Close()
}

// Send notes when an initiation starts.
func (b *crossing) Send(packets [][]byte, endpoint conn.Endpoint) error {
	for _, packet := range packets {
		if messageType(packet) == device.MessageInitiationType {
			at := endpoint.DstToString()
			b.mu.Lock()
			if b.leads[at] {
				b.started[at] = time.Now()
			}
			b.mu.Unlock()
		}
	}
	return b.Bind.Send(packets, endpoint)
}

// filter takes initiations that have to wait out of what a socket received: WireGuard skips packets of no size.
func (b *crossing) filter(source conn.ReceiveFunc) conn.ReceiveFunc {
	return func(packets [][]byte, sizes []int, endpoints []conn.Endpoint) (int, error) {
		n, err := source(packets, sizes, endpoints)
		for i := range n {
			packet := packets[i][:sizes[i]]
			switch messageType(packet) {
			case device.MessageInitiationType:
				if b.hold(packet, endpoints[i]) {
					sizes[i] = 0
				}
			case device.MessageResponseType:
				b.answered(endpoints[i].DstToString())
			}
		}
		return n, err
	}
}

func (b *crossing) hold(packet []byte, endpoint conn.Endpoint) bool {
	at := endpoint.DstToString()
	b.mu.Lock()
	defer b.mu.Unlock()
	started, ok := b.started[at]
	left := holdTime - time.Since(started)
	if !ok || left <= 0 {
		return false
	}
	if old := b.held[at]; old != nil {
		old.timer.Stop()
	}
	held := &heldPacket{bytes: append([]byte(nil), packet...), endpoint: endpoint}
	due, closed := b.due, b.closed
	held.timer = time.AfterFunc(left, func() {
		b.mu.Lock()
		still := b.held[at] == held
		if still {
			delete(b.held, at)
			delete(b.started, at)
		}
		b.mu.Unlock()
		if still {
			select {
			case due <- *held:
			case <-closed:
			}
		}
	})
	b.held[at] = held
	return true
}

func (b *crossing) answered(at string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.started, at)
	if held := b.held[at]; held != nil {
		held.timer.Stop()
		delete(b.held, at)
	}
}

// messageType is the type of a handshake message, or 0.
func messageType(packet []byte) uint32 {
	if len(packet) != device.MessageInitiationSize && len(packet) != device.MessageResponseSize {
		return 0
	}
	return binary.LittleEndian.Uint32(packet)
}
