package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const dialWithin = 10 * time.Second // for one address

// System is a configuration with this machine's resolver, dialer and networks. Host gives an address under which the machine is known outside,
// such as its router's; it may be zero, and another each time.
func System(bytes, used int64, host func() netip.Addr) Config {
	// Go's own resolver: the C library's would load the owner's plugins, and knows names of his network that DNS does not.
	resolver := &net.Resolver{PreferGo: true}
	dialer := &net.Dialer{Timeout: dialWithin}
	return Config{
		Bytes: bytes, Used: used,
		Resolve: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return resolver.LookupNetIP(ctx, "ip", name+".") // with the dot no domain of the owner's is appended
		},
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", to.String())
		},
		Own: func() ([]netip.Prefix, error) { return networks(host()) },
	}
}

// networks are the prefixes of all interfaces, with their own addresses: they come and go.
func networks(host netip.Addr) ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("looking at this machine's networks: %w", err)
	}
	var out []netip.Prefix
	if host.IsValid() {
		out = append(out, netip.PrefixFrom(host.Unmap(), host.Unmap().BitLen()))
	}
	for _, address := range addresses {
		network, ok := address.(*net.IPNet)
		if !ok {
			continue
		}
		addr, valid := netip.AddrFromSlice(network.IP)
		if ones, bits := network.Mask.Size(); valid && bits > 0 {
			out = append(out, netip.PrefixFrom(addr.Unmap(), ones))
		}
	}
	return out, nil
}
