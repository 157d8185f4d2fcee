// Package egress is a lease's way to the public Internet: a proxy that resolves names itself, judges every address after that, dials the very
// address that it judged, and counts. What a tenant must never reach is refused whatever its order says: the supplier's network, the
// machine itself, clouds' metadata, other tenants, mail servers.
package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// ErrRefused is in every error that says that the policy, not the network, is the reason.
var ErrRefused = errors.New("refused")

// span is a range of addresses that is refused, with what it is.
type span struct{ prefix, why string }

// refusedV4 are the IPv4 ranges that are not the public Internet: IANA's special-purpose registry (RFC 6890 and its successors), multicast
// (RFC 5771), and what clouds serve their virtual machines at public-looking addresses.
func refusedV4() []span {
	return []span{
		{"0.0.0.0/8", "unspecified"}, // Linux takes 0.0.0.0 for the machine itself
		{"10.0.0.0/8", "private"},
		{"100.64.0.0/10", "shared by carriers and by overlays"}, // our own clusters' and a cloud's metadata (100.100.100.200) too
		{"127.0.0.0/8", "loopback"},
		{"168.63.129.16/32", "a cloud's metadata"}, // Azure's wire server
		{"169.254.0.0/16", "link-local, or a cloud's metadata"},
		{"172.16.0.0/12", "private"},
		{"192.0.0.0/24", "reserved for protocols"}, // with a cloud's metadata, 192.0.0.192
		{"192.0.2.0/24", "documentation"},
		{"192.88.99.0/24", "a relay of 6to4"},
		{"192.168.0.0/16", "private"},
		{"198.18.0.0/15", "for benchmarks"},
		{"198.51.100.0/24", "documentation"},
		{"203.0.113.0/24", "documentation"},
		{"224.0.0.0/4", "multicast"},
		{"240.0.0.0/4", "reserved, or broadcast"},
	}
}

// refusedV6 are the ranges inside 2000::/3, the only one that IANA gives to the public Internet, that are something else.
func refusedV6() []span {
	return []span{
		{"2001::/23", "reserved for protocols"}, // Teredo in it is judged before
		{"2001:db8::/32", "documentation"},
		{"3fff::/20", "documentation"},
	}
}

// Allowed says why nothing in a lease may connect to a TCP port of an address, or nil when it may; own are the prefixes of the networks that
// the machine itself is in, which are its owner's even where their addresses are public, as IPv6's are. An IPv6 address that carries an IPv4
// one (mapped, NAT64, 6to4, Teredo, ISATAP) goes where that leads and is judged by it. A NAT64 prefix that a network chose for itself cannot be told from any other.
func Allowed(addr netip.Addr, port uint16, own []netip.Prefix) error {
	if !addr.IsValid() || addr.Zone() != "" {
		return fmt.Errorf("%w: it is no address of the public Internet", ErrRefused)
	}
	switch port {
	case 0:
		return fmt.Errorf("%w: there is no port 0", ErrRefused)
	case 25, 465, 587, 2525:
		return fmt.Errorf("%w: port %d is for sending mail", ErrRefused, port)
	}
	addr = addr.Unmap()
	if err := leads(addr, port, own); err != nil {
		return err
	}
	// Last, so that nothing tells which of the private networks is this owner's.
	if slices.ContainsFunc(own, func(p netip.Prefix) bool { return holds(p, addr) }) {
		return fmt.Errorf("%w: it is in a network of the machine's owner", ErrRefused)
	}
	return nil
}

// leads says why an address is none of the public Internet, and nil where it is one or leads to one; own counts for where it leads.
func leads(addr netip.Addr, port uint16, own []netip.Prefix) error {
	if addr.Is4() {
		return within(refusedV4(), addr)
	}
	inner, embeds := embedded(addr)
	for _, v4 := range inner {
		if err := Allowed(v4, port, own); err != nil {
			return err
		}
	}
	if embeds {
		return nil
	}
	if !netip.MustParsePrefix("2000::/3").Contains(addr) {
		return fmt.Errorf("%w: it is no address of the public Internet", ErrRefused)
	}
	if err := within(refusedV6(), addr); err != nil {
		return err
	}
	if v4, ok := isatap(addr); ok {
		return Allowed(v4, port, own)
	}
	return nil
}

// holds is prefix.Contains for prefixes in the form ::ffff:a.b.c.d/n as well, which no address would be in otherwise.
func holds(prefix netip.Prefix, addr netip.Addr) bool {
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked().Contains(addr)
}

func within(spans []span, addr netip.Addr) error {
	for _, s := range spans {
		if netip.MustParsePrefix(s.prefix).Contains(addr) {
			return fmt.Errorf("%w: it is in %s (%s)", ErrRefused, s.prefix, s.why)
		}
	}
	return nil
}

// embedded are the IPv4 addresses where a packet to an IPv6 address of a translation or tunnel comes out: NAT64's well-known prefix (RFC
// 6052), 6to4 (RFC 3056), Teredo (RFC 4380: the server, and the client with its bits inverted).
func embedded(addr netip.Addr) ([]netip.Addr, bool) {
	b := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr):
		return []netip.Addr{v4(b[12:16])}, true
	case b[0] == 0x20 && b[1] == 0x02:
		return []netip.Addr{v4(b[2:6])}, true
	case netip.MustParsePrefix("2001::/32").Contains(addr):
		client := binary.BigEndian.AppendUint32(nil, ^binary.BigEndian.Uint32(b[12:16]))
		return []netip.Addr{v4(b[4:8]), v4(client)}, true
	}
	return nil, false
}

// isatap is the IPv4 address in an interface identifier of RFC 5214, under whatever prefix.
func isatap(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	if b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		return v4(b[12:16]), true
	}
	return netip.Addr{}, false
}

func v4(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }
