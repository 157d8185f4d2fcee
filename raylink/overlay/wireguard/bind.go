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

const (
	// answerTime is how long the other's answer to our initiation is waited for before its own is answered. Longer round trips fall back to
	// WireGuard's retry.
	answerTime = 2 * time.Second
	// thinkTime is how long our own device may take over a message: its workers overtake one another. After that we conclude, of an
	// initiation, that it came from a peer not known yet.
	thinkTime = 150 * time.Millisecond
	// lateTime is how long the one that follows holds the other's initiation back when its own is under way: a process that was not
	// scheduled for a while finds the initiation and the answer that overtook it in the same instant.
	lateTime = 25 * time.Millisecond

	strangersMax = 256
)

// crossing is a bind that lets a pair shake hands once. All members of a cluster learn of one another in the same
// instant, so both of a pair initiate; each then forgets its own initiation over the other's, finds the answer to it invalid, and
// tries again 5 s later, perhaps to cross again. Here the one with the smaller key leads. It holds the other's initiation back while
// its own is under way, and drops it when the answer comes. It sends its own once more then: the other knows it by now, perhaps did not when
// the first came; who has taken the first finds the second too old. And it holds its own back while it thinks over the other's, and drops it
// when it answers. The other follows: it answers an initiation, unless the answer to its own comes right behind it.
//
// Neither's device ever has an initiation and an answer of the same peer at once: wireguard-go's workers take them side by side, and may
// agree on a key under an index that they have just forgotten. Such a session carries bytes one way only, for 15 s and more.
type crossing struct {
	conn.Bind

	mu        sync.Mutex
	pairs     map[string]*pair     // by endpoint
	strangers map[string]time.Time // when initiations came from endpoints that we do not know yet
	due       chan parked          // initiations of others whose time has come
	closed    chan struct{}        // nil while the bind is closed
}

// pair is what is remembered of the handshakes with one other.
type pair struct {
	leads    bool      // we do
	sent     time.Time // our initiation, without an answer so far
	answered time.Time // their answer to it
	heard    time.Time // their initiation, not answered by us so far
	in, out  *parked   // initiations held back
	ours     []byte    // our initiation, to be sent once more; nil when it was
}

// parked is a packet that waits for its timer.
type parked struct {
	bytes    []byte
	endpoint conn.Endpoint
	timer    *time.Timer
}

func park(packet []byte, endpoint conn.Endpoint) *parked {
	return &parked{bytes: append([]byte(nil), packet...), endpoint: endpoint}
}

// drop forgets a packet that waits.
func drop(at **parked) {
	if *at != nil {
		(*at).timer.Stop()
		*at = nil
	}
}

func newCrossing(bind conn.Bind) *crossing {
	return &crossing{Bind: bind, strangers: make(map[string]time.Time)}
}

// setPeers says at which endpoints peers are expected. Those with greater keys follow us.
func (b *crossing) setPeers(own overlay.Key, peers []overlay.Peer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.pairs
	b.pairs = make(map[string]*pair, len(peers))
	for _, peer := range peers {
		if !peer.Endpoint.IsValid() {
			continue
		}
		at := netip.AddrPortFrom(peer.Endpoint.Addr().Unmap(), peer.Endpoint.Port()).String()
		if b.pairs[at] = before[at]; b.pairs[at] == nil {
			b.pairs[at] = &pair{heard: b.strangers[at]} // our device may still be busy with it
		}
		b.pairs[at].leads = string(own[:]) < string(peer.PublicKey[:])
	}
}

// Open opens the sockets, and one more source of packets: those that were held back.
func (b *crossing) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	sources, port, err := b.Bind.Open(port)
	if err != nil {
		return nil, 0, err
	}
	due, closed := make(chan parked), make(chan struct{})
	b.mu.Lock()
	b.due, b.closed = due, closed
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
		close(b.closed)
		b.closed = nil
	}
	for _, pair := range b.pairs {
		drop(&pair.in)
		drop(&pair.out)
	}
	b.mu.Unlock()
	return b.Bind.Close()
}

// Send lets pass what may be sent now.
func (b *crossing) Send(packets [][]byte, endpoint conn.Endpoint) error {
	if len(packets) == 1 { // handshakes come alone
		switch messageType(packets[0]) {
		case device.MessageInitiationType:
			if b.holdOut(packets[0], endpoint) {
				return nil
			}
		case device.MessageResponseType:
			b.answering(endpoint.DstToString())
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
				if b.holdIn(packet, endpoints[i]) {
					sizes[i] = 0
				}
			case device.MessageResponseType:
				if !b.answered(endpoints[i].DstToString()) {
					sizes[i] = 0
				}
			}
		}
		return n, err
	}
}

// wait is how long the other's initiation is held back, from now on.
func (p *pair) wait() time.Duration {
	under := answerTime - time.Since(p.sent)
	if !p.leads && time.Since(p.sent) < device.RekeyTimeout {
		under = lateTime
	}
	return max(under, thinkTime-time.Since(p.answered))
}

// holdIn parks the other's initiation while ours is under way.
func (b *crossing) holdIn(packet []byte, endpoint conn.Endpoint) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := endpoint.DstToString()
	pair := b.pairs[at]
	if pair == nil || b.closed == nil {
		if len(b.strangers) >= strangersMax {
			clear(b.strangers)
		}
		b.strangers[at] = time.Now()
		return false
	}
	left := pair.wait()
	if left <= 0 {
		pair.heard = time.Now()
		return false
	}
	drop(&pair.in)
	if ours := pair.ours; pair.leads && ours != nil && time.Since(pair.sent) < answerTime {
		pair.ours = nil
		b.Bind.Send([][]byte{ours}, endpoint) // lost packets are WireGuard's daily bread
	}
	held, due, closed := park(packet, endpoint), b.due, b.closed
	pair.in = held
	held.timer = time.AfterFunc(left, func() {
		b.mu.Lock()
		still := pair.in == held
		if still {
			pair.in, pair.sent, pair.heard = nil, time.Time{}, time.Now()
		}
		b.mu.Unlock()
		if still {
			select {
			case due <- *held:
			case <-closed:
			}
		}
	})
	return true
}

// holdOut parks our initiation while our device thinks over the other's.
func (b *crossing) holdOut(packet []byte, endpoint conn.Endpoint) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	pair := b.pairs[endpoint.DstToString()]
	if pair == nil || b.closed == nil {
		return false
	}
	if !pair.leads || time.Since(pair.heard) > thinkTime {
		pair.sent, pair.ours = time.Now(), append([]byte(nil), packet...)
		return false
	}
	drop(&pair.out)
	held := park(packet, endpoint)
	pair.out = held
	held.timer = time.AfterFunc(thinkTime, func() {
		b.mu.Lock()
		still := pair.out == held
		if still {
			pair.out, pair.sent, pair.ours = nil, time.Now(), held.bytes
		}
		b.mu.Unlock()
		if still {
			b.Bind.Send([][]byte{held.bytes}, endpoint) // as above
		}
	})
	return true
}

// answered: the other has answered our initiation, its own is moot. It reports false when our device is busy with the other's: then the
// answer came too late, and must not reach it.
func (b *crossing) answered(at string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	pair := b.pairs[at]
	if pair == nil {
		return true
	}
	if time.Since(pair.heard) <= thinkTime {
		return false
	}
	pair.sent, pair.answered, pair.ours = time.Time{}, time.Now(), nil
	drop(&pair.in)
	return true
}

// answering: we answer the other's initiation, ours is moot.
func (b *crossing) answering(at string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pair := b.pairs[at]; pair != nil {
		pair.sent, pair.heard, pair.ours = time.Time{}, time.Time{}, nil
		drop(&pair.out)
	}
}

// messageType is the type of a handshake message, or 0.
func messageType(packet []byte) uint32 {
	if len(packet) != device.MessageInitiationSize && len(packet) != device.MessageResponseSize {
		return 0
	}
	return binary.LittleEndian.Uint32(packet)
}
