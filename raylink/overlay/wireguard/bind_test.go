package wireguard

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"

	"raylink/raylink/overlay"
)

// wire is an underlay in memory whose packets take a while. What a sleeper is sent, he reads when he wakes, all at once.
type wire struct {
	delay   time.Duration
	sleeper string
	wakes   time.Time
	ports   map[string]*port
}

// arrival is how long a packet takes that is sent now.
func (w *wire) arrival(to string) time.Duration {
	if to == w.sleeper {
		return max(w.delay, time.Until(w.wakes))
	}
	return w.delay
}

// port is a conn.Bind on a wire.
type port struct {
	wire   *wire
	at     endpoint
	in     chan letter
	closed chan struct{}
}

type letter struct {
	bytes []byte
	from  endpoint
}

type endpoint string

func (e endpoint) ClearSrc()           {}
func (e endpoint) SrcToString() string { return "" }
func (e endpoint) DstToString() string { return string(e) }
func (e endpoint) DstToBytes() []byte  { return []byte(e) }
func (e endpoint) DstIP() netip.Addr   { return netip.MustParseAddrPort(string(e)).Addr() }
func (e endpoint) SrcIP() netip.Addr   { return netip.Addr{} }

func (w *wire) plug(at string) *port {
	p := &port{wire: w, at: endpoint(at), in: make(chan letter, 100)}
	w.ports[at] = p
	return p
}

func (p *port) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	closed := make(chan struct{})
	p.closed = closed
	return []conn.ReceiveFunc{func(packets [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
		select {
		case letter := <-p.in:
			sizes[0], from[0] = copy(packets[0], letter.bytes), letter.from
			return 1, nil
		case <-closed:
			return 0, net.ErrClosed
		}
	}}, netip.MustParseAddrPort(string(p.at)).Port(), nil
}

func (p *port) Close() error {
	if p.closed != nil {
		close(p.closed)
		p.closed = nil
	}
	return nil
}

func (p *port) Send(packets [][]byte, to conn.Endpoint) error {
	far := p.wire.ports[to.DstToString()]
	for _, packet := range packets {
		letter := letter{append([]byte(nil), packet...), p.at}
		time.AfterFunc(p.wire.arrival(to.DstToString()), func() { far.in <- letter })
	}
	return nil
}

func (p *port) SetMark(uint32) error                             { return nil }
func (p *port) ParseEndpoint(text string) (conn.Endpoint, error) { return endpoint(text), nil }
func (p *port) BatchSize() int                                   { return 1 }

// silent is a link on which nobody speaks before its owner does.
type silent struct {
	events chan tun.Event
	out    chan []byte // packets to send
	in     chan []byte // packets that came
}

func newSilent() silent {
	return silent{make(chan tun.Event), make(chan []byte, 10), make(chan []byte, 10)}
}

func (s silent) File() *os.File           { return nil }
func (s silent) MTU() (int, error)        { return overlay.MTUDirect, nil }
func (s silent) Name() (string, error)    { return "silent", nil }
func (s silent) Events() <-chan tun.Event { return s.events }
func (s silent) BatchSize() int           { return 1 }
func (s silent) Close() error             { close(s.events); return nil }

func (s silent) Write(packets [][]byte, offset int) (int, error) {
	for _, packet := range packets {
		s.in <- append([]byte(nil), packet[offset:]...)
	}
	return len(packets), nil
}

func (s silent) Read(packets [][]byte, sizes []int, offset int) (int, error) {
	select {
	case packet := <-s.out:
		sizes[0] = copy(packets[0][offset:], packet)
		return 1, nil
	case <-s.events: // closed
		return 0, os.ErrClosed
	}
}

func startSilent(t *testing.T, w *wire, n byte, link silent) *member {
	t.Helper()
	at := fmt.Sprintf("192.0.2.%d:1", n)
	m, err := start(Config{
		PrivateKey: overlay.PrivateKey{8 * n, 31: 64}, MTU: overlay.MTUDirect,
		Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 1, n}), 24),
	}, link, w.plug(at), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPairsShakeHandsAtOnce: two members learn of each other at nearly the same time, over near and far wires. Whoever is first, and
// wherever their initiations cross, a session stands well before WireGuard's retry after 5 s.
func TestPairsShakeHandsAtOnce(t *testing.T) {
	ms := time.Millisecond
	for _, delay := range []time.Duration{0, ms, 20 * ms, 100 * ms, 190 * ms} {
		for _, skew := range []time.Duration{-300 * ms, -110 * ms, -20 * ms, -ms, 0, ms, 20 * ms, 110 * ms, 300 * ms} {
			t.Run(fmt.Sprintf("delay %s skew %s", delay, skew), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { shake(t, delay, skew) })
			})
		}
	}
}

func shake(t *testing.T, delay, skew time.Duration) {
	w := &wire{delay: delay, ports: make(map[string]*port)}
	a, b := startSilent(t, w, 2, newSilent()), startSilent(t, w, 10, newSilent())
	defer a.device.Close()
	defer b.device.Close()
	began := time.Now()
	for i, m := range []*member{a, b} {
		other := []*member{b, a}[i]
		time.AfterFunc(max(0, skew), func() { meet(t, m, other) })
		skew = -skew
	}
	<-time.After(1100 * time.Millisecond)
	synctest.Wait()
	for _, m := range []*member{a, b} {
		status, err := m.Status()
		if err != nil || len(status) != 1 || status[0].LastHandshake.IsZero() {
			t.Fatalf("%s has no session after %s: %+v, %v", m.Address(), time.Since(began), status, err)
		}
	}
}

// meet tells a member of the other.
func meet(t *testing.T, m, other *member) {
	mesh := overlay.Mesh{Address: m.Address(), Peers: []overlay.Peer{{
		PublicKey: other.PublicKey(), Address: other.Address().Addr(),
		Endpoint: netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:1", other.Address().Addr().As4()[3])),
	}}}
	if err := m.SetMesh(mesh); err != nil {
		t.Error(err)
	}
}

// TestWhoSleepsThroughAHandshake: a member's process is not scheduled for a while, perhaps for as long as the other waits for its answer; then it reads
// both the other's initiation and the other's answer to its own. The session carries packets both ways all the same.
func TestWhoSleepsThroughAHandshake(t *testing.T) {
	for round := range 90 { // what it guards against is a race between wireguard-go's workers
		sleep := []time.Duration{500 * time.Millisecond, answerTime - time.Millisecond, answerTime + 2*time.Millisecond}[round%3]
		synctest.Test(t, func(t *testing.T) {
			w := &wire{delay: time.Millisecond, ports: make(map[string]*port)}
			links := []silent{newSilent(), newSilent()}
			members := []*member{startSilent(t, w, 2, links[0]), startSilent(t, w, 10, links[1])}
			defer members[0].device.Close()
			defer members[1].device.Close()
			follower := 0
			if string(members[0].public[:]) < string(members[1].public[:]) {
				follower = 1
			}
			w.sleeper = fmt.Sprintf("192.0.2.%d:1", members[follower].Address().Addr().As4()[3])
			w.wakes = time.Now().Add(sleep)
			meet(t, members[1-follower], members[follower])
			meet(t, members[follower], members[1-follower])
			<-time.After(sleep + time.Second)
			for i := range members {
				links[i].out <- ping(members[i], members[1-i])
			}
			<-time.After(time.Second)
			for i := range members {
				select {
				case <-links[i].in:
				default:
					t.Fatalf("round %d, asleep for %s: %s is not heard", round, sleep, members[1-i].Address())
				}
			}
		})
	}
}

// ping is the shortest packet from one member to another: an IPv4 header (RFC 791, 3.1) without a checksum, which nobody here looks at.
func ping(from, to *member) []byte {
	source, destination := from.Address().Addr().As4(), to.Address().Addr().As4()
	packet := make([]byte, 20)
	packet[0], packet[3] = 0x45, byte(len(packet))
	copy(packet[12:], source[:])
	copy(packet[16:], destination[:])
	return packet
}
