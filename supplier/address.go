package supplier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// addressFor is how long a found address is believed: a machine that moves is reached at its new place after that.
const addressFor = 30 * time.Second

// locator finds the address under which the other machines reach this one: that from which it speaks to the coordinators.
type locator struct {
	fixed        netip.Addr // set by its owner; else found
	coordinators func() []string
	foreign      bool // the agent is in a container: the host's routes count, not its own

	mu    sync.Mutex
	found netip.Addr
	at    time.Time
}

// Address is the address now.
func (l *locator) Address() (netip.Addr, error) {
	if l.fixed.IsValid() {
		return l.fixed, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found.IsValid() && time.Since(l.at) < addressFor {
		return l.found, nil
	}
	var last error
	for _, base := range l.coordinators() {
		address, err := l.towards(base)
		if err == nil {
			l.found, l.at = address, time.Now()
			return address, nil
		}
		last = err
	}
	if l.found.IsValid() {
		return l.found, nil // better than none
	}
	return netip.Addr{}, errors.Join(errors.New("finding this machine's own address: no coordinator can be looked up"), last)
}

func (l *locator) towards(base string) (netip.Addr, error) {
	u, err := url.Parse(base)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("reading the URL of a coordinator: %w", err)
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	// Connecting a UDP socket sends nothing: it asks the kernel which way the packets would go.
	dialer := net.Dialer{Timeout: 2 * time.Second}
	conn, err := dialer.Dial("udp4", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("looking for the way to %s: %w", u.Host, err)
	}
	defer conn.Close()
	if l.foreign {
		return hostSource(conn.RemoteAddr().(*net.UDPAddr).AddrPort().Addr())
	}
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// hostSource is the address from which the host itself, whose first process this one sees, sends to a destination.
func hostSource(destination netip.Addr) (netip.Addr, error) {
	routes, err := os.ReadFile("/proc/1/net/route")
	if err != nil {
		return netip.Addr{}, fmt.Errorf("reading the host's routes (does the agent's container have --pid=host?): %w", err)
	}
	trie, err := os.ReadFile("/proc/1/net/fib_trie")
	if err != nil {
		return netip.Addr{}, fmt.Errorf("reading the host's addresses: %w", err)
	}
	return sourceAddress(string(routes), string(trie), destination)
}

// sourceAddress does what the kernel's lookup does, from the text of /proc/net/route and /proc/net/fib_trie: the interface of the
// narrowest route to the destination, then the local address that lies in a subnet of that interface.
func sourceAddress(routes, trie string, destination netip.Addr) (netip.Addr, error) {
	destination = destination.Unmap()
	locals := localAddresses(trie)
	best, device, direct := -1, "", map[string][]netip.Prefix{}
	for line := range strings.Lines(routes) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		prefix, ok := routePrefix(fields[1], fields[7])
		if !ok {
			continue
		}
		if fields[2] == "00000000" && prefix.Bits() > 0 {
			direct[fields[0]] = append(direct[fields[0]], prefix)
		}
		if prefix.Contains(destination) && prefix.Bits() > best {
			best, device = prefix.Bits(), fields[0]
		}
	}
	for _, local := range locals {
		if local == destination {
			return local, nil // a coordinator on this very host
		}
	}
	for _, prefix := range direct[device] {
		for _, local := range locals {
			if prefix.Contains(local) {
				return local, nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("the host's routes show no address of its own on the way to %s: give it with --address", destination)
}

// routePrefix reads destination and mask as /proc/net/route writes them: hexadecimal, least significant byte first.
func routePrefix(destination, mask string) (netip.Prefix, bool) {
	d, errD := strconv.ParseUint(destination, 16, 32)
	m, errM := strconv.ParseUint(mask, 16, 32)
	if errD != nil || errM != nil {
		return netip.Prefix{}, false
	}
	var address, bits [4]byte
	binary.LittleEndian.PutUint32(address[:], uint32(d))
	binary.LittleEndian.PutUint32(bits[:], uint32(m))
	ones, _ := net.IPMask(bits[:]).Size()
	return netip.PrefixFrom(netip.AddrFrom4(address), ones), true
}

// localAddresses are the addresses that /proc/net/fib_trie marks as the host's own: a line with the address, then "/32 host LOCAL".
func localAddresses(trie string) []netip.Addr {
	var out []netip.Addr
	var last netip.Addr
	for line := range strings.Lines(trie) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "|-- "); ok {
			last, _ = netip.ParseAddr(text)
			continue
		}
		if line == "/32 host LOCAL" && last.IsValid() && !last.IsLoopback() {
			out = append(out, last)
		}
	}
	return out
}
