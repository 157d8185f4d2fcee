package wireguard

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const (
	nic        = 1
	stackQueue = 1024 // packets waiting to be encrypted; more are dropped, as by any link
	stackBatch = 64   // packets a read
)

// Net is a member without an interface: its TCP lives in the process. It needs no privilege, and no two of them share anything.
type Net struct {
	*member
	link  *stackLink
	close sync.Once
}

// Netstack joins an overlay from within the process.
func Netstack(config Config, log *slog.Logger) (*Net, error) {
	config, err := config.check()
	if err != nil {
		return nil, err
	}
	link, err := newStackLink(config.Address, config.MTU)
	if err != nil {
		return nil, err
	}
	member, err := start(config, link, conn.NewStdNetBind(), log)
	if err != nil {
		return nil, err
	}
	return &Net{member: member, link: link}, nil
}

// DialContext opens a TCP connection to an IP address and port inside the overlay; other addresses have no route.
func (n *Net) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp" && network != "tcp4") {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.AddrError{Err: "the overlay is dialled by TCP and IP address", Addr: address}}
	}
	if !n.config.Address.Contains(to.Addr()) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: syscall.ENETUNREACH}
	}
	// Not returned directly: a nil *gonet.TCPConn would be a net.Conn that is not nil.
	conn, err := gonet.DialContextTCP(ctx, n.link.stack, fullAddress(to), ipv4.ProtocolNumber)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Listen accepts TCP connections on a port of the member's own overlay address.
func (n *Net) Listen(port uint16) (net.Listener, error) {
	at := netip.AddrPortFrom(n.config.Address.Addr(), port)
	listener, err := gonet.ListenTCP(n.link.stack, fullAddress(at), ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("listening on %s inside the overlay: %w", at, err)
	}
	return listener, nil
}

// Close leaves the overlay and breaks all connections. It may be called more than once.
func (n *Net) Close() error {
	n.close.Do(n.device.Close)
	return nil
}

func fullAddress(at netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(at.Addr().As4()), Port: at.Port()}
}

// stackLink joins gVisor's TCP to wireguard-go. wireguard-go's own tun/netstack is not used: it sends into a channel which its Close
// closes, and a packet at that moment would bring down the gateway of all clusters; nor does it read more than a packet at a time.
type stackLink struct {
	stack  *stack.Stack
	queue  *channel.Endpoint
	mtu    int
	events chan tun.Event
	open   context.Context
	shut   context.CancelFunc
	once   sync.Once
}

func newStackLink(address netip.Prefix, mtu int) (*stackLink, error) {
	link := &stackLink{
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, icmp.NewProtocol4},
			HandleLocal:        true,
		}),
		queue:  channel.New(stackQueue, uint32(mtu), ""),
		mtu:    mtu,
		events: make(chan tun.Event),
	}
	link.open, link.shut = context.WithCancel(context.Background())
	sack := tcpip.TCPSACKEnabled(true)
	rack := tcpip.TCPRecovery(0) // gVisor's RACK collapses throughput on loss (google/gvisor#9778)
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &rack} {
		if err := link.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return nil, fmt.Errorf("setting up TCP in user space: %s", err)
		}
	}
	if err := link.stack.CreateNIC(nic, link.queue); err != nil {
		return nil, fmt.Errorf("setting up an interface in user space: %s", err)
	}
	own := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddrFrom4(address.Addr().As4()).WithPrefix(),
	}
	if err := link.stack.AddProtocolAddress(nic, own, stack.AddressProperties{}); err != nil {
		return nil, fmt.Errorf("giving the user-space interface the address %s: %s", address, err)
	}
	subnet := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(address.Masked().Addr().As4()), PrefixLen: address.Bits()}.Subnet()
	link.stack.AddRoute(tcpip.Route{Destination: subnet, NIC: nic})
	return link, nil
}

// Read takes the packets that wait to be encrypted.
func (l *stackLink) Read(buffers [][]byte, sizes []int, offset int) (int, error) {
	packet := l.queue.ReadContext(l.open)
	count := 0
	for packet != nil {
		view := packet.ToView()
		packet.DecRef()
		size, err := view.Read(buffers[count][offset:])
		view.Release()
		if err != nil {
			return count, fmt.Errorf("taking a packet from TCP in user space: %w", err)
		}
		sizes[count] = size
		count++
		if count == len(buffers) {
			break
		}
		packet = l.queue.Read()
	}
	if count == 0 {
		return 0, os.ErrClosed
	}
	return count, nil
}

// Write hands decrypted packets to TCP in user space.
func (l *stackLink) Write(buffers [][]byte, offset int) (int, error) {
	if l.open.Err() != nil {
		return 0, os.ErrClosed
	}
	for _, bytes := range buffers {
		packet := bytes[offset:]
		if len(packet) == 0 || packet[0]>>4 != 4 {
			continue
		}
		parcel := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
		l.queue.InjectInbound(header.IPv4ProtocolNumber, parcel)
		parcel.DecRef()
	}
	return len(buffers), nil
}

// Close breaks all connections; pending and later reads answer os.ErrClosed.
func (l *stackLink) Close() error {
	l.once.Do(func() {
		l.shut()
		l.stack.RemoveNIC(nic)
		l.stack.Close()
		l.queue.Close()
		close(l.events)
	})
	return nil
}

// File is nil: there is no file behind it.
func (l *stackLink) File() *os.File { return nil }

// MTU is the MTU in bytes.
func (l *stackLink) MTU() (int, error) { return l.mtu, nil }

// Name is only for wireguard-go's log.
func (l *stackLink) Name() (string, error) { return "netstack", nil }

// Events never says anything.
func (l *stackLink) Events() <-chan tun.Event { return l.events }

// BatchSize is how many packets a read takes at most.
func (l *stackLink) BatchSize() int { return stackBatch }
