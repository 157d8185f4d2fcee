package wireguard

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"
)

// Device is a member whose packets come from a TUN inside another network namespace. Its UDP socket is in the caller's, so whoever
// lives in that namespace sees the loopback and the overlay, and nothing of the machine.
type Device struct {
	*member
	uapi  *uapiServer
	close sync.Once
}

// Attach makes the TUN in the namespace, gives it its address, and starts WireGuard on it. The error is unix.EBUSY or unix.EADDRINUSE
// (errors.Is) when the interface, the UDP port or the name is still held by a predecessor. It needs /dev/net/tun, CAP_NET_ADMIN, CAP_SYS_ADMIN.
//
// The TUN keeps the namespace alive: whoever attaches must close the device when the container ends.
func Attach(config Config, log *slog.Logger) (*Device, error) {
	config, err := config.check()
	if err != nil {
		return nil, err
	}
	var link tun.Device
	err = InNetns(config.Netns, func() (err error) {
		if link, err = tun.CreateTUN(config.Interface, config.MTU); err != nil {
			return fmt.Errorf("making the interface: %w", err)
		}
		if err := configure(config.Interface, config.Address); err != nil {
			return errors.Join(err, link.Close())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("attaching %s to the namespace %s: %w", config.Interface, config.Netns, err)
	}
	member, err := start(config, newSteady(link, config.MTU), conn.NewStdNetBind(), log)
	if err != nil {
		return nil, err
	}
	device := &Device{member: member}
	if config.Name != "" {
		if device.uapi, err = serveUAPI(config.Name, member.device, log); err != nil {
			device.Close()
			return nil, err
		}
	}
	return device, nil
}

// Close ends the device and removes its interface. It may be called more than once.
func (d *Device) Close() error {
	d.close.Do(func() {
		if d.uapi != nil {
			d.uapi.stop()
		}
		d.device.Close()
	})
	return nil
}

// configure brings up the loopback and the interface with its address, in the thread's namespace. The kernel adds the one on-link route.
func configure(name string, address netip.Prefix) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket to configure %s: %w", name, err)
	}
	defer unix.Close(socket)
	mask := netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), address.Bits()).Masked().Addr()
	if err := setAddress(socket, name, unix.SIOCSIFADDR, address.Addr()); err != nil {
		return fmt.Errorf("giving %s the address %s: %w", name, address, err)
	}
	if err := setAddress(socket, name, unix.SIOCSIFNETMASK, mask); err != nil {
		return fmt.Errorf("giving %s the mask of %s: %w", name, address, err)
	}
	if err := setUp(socket, "lo"); err != nil {
		return fmt.Errorf("bringing the loopback up: %w", err)
	}
	if err := setUp(socket, name); err != nil {
		return fmt.Errorf("bringing %s up: %w", name, err)
	}
	return nil
}

func setAddress(socket int, name string, request uint, address netip.Addr) error {
	ifreq, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := ifreq.SetInet4Addr(address.AsSlice()); err != nil {
		return err
	}
	return unix.IoctlIfreq(socket, request, ifreq)
}

func setUp(socket int, name string) error {
	ifreq, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, ifreq); err != nil {
		return err
	}
	ifreq.SetUint16(ifreq.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, ifreq)
}

// steady is a TUN as wireguard-go should see it from another namespace. Its MTU is told, not asked: the question would go by name to
// the caller's namespace. And its up and down events are swallowed: the device is brought up once, by us; a stale "down" from before
// the link came up would close and reopen the UDP socket under a running start.
type steady struct {
	tun.Device
	mtu    int
	events chan tun.Event
}

func newSteady(link tun.Device, mtu int) *steady {
	s := &steady{Device: link, mtu: mtu, events: make(chan tun.Event)}
	go func() { // ends when the link is closed, which closes its events
		defer close(s.events)
		for range link.Events() {
		}
	}()
	return s
}

// MTU is the configured MTU in bytes.
func (s *steady) MTU() (int, error) { return s.mtu, nil }

// Events never says anything, and is closed with the link.
func (s *steady) Events() <-chan tun.Event { return s.events }
