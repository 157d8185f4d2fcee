package overlay

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"strings"
)

const (
	// Subnets is how many clusters can have a /24 of 100.64.0.0/10 at one time.
	Subnets = 1<<14 - 1
	// GatewaysMax is how many gateways the address plan of a /24 has room for (.3 to .9).
	GatewaysMax = 7
	// WorkersMax is how many workers the address plan of a /24 has room for (.10 to .254).
	WorkersMax = 245

	// reserved is the place of 100.100.100.0/24 among the /24s: Tailscale's DNS and Alibaba's metadata service live there.
	reserved = (100-64)<<8 | 100
	// nameMax is Linux's limit for an interface's name (IFNAMSIZ less the final zero).
	nameMax = 15
)

// Subnet is the n-th /24 of 100.64.0.0/10, counted from 0, without 100.100.100.0/24.
func Subnet(n int) (netip.Prefix, error) {
	if n < 0 || n >= Subnets {
		return netip.Prefix{}, fmt.Errorf("overlay subnet %d is not between 0 and %d", n, Subnets-1)
	}
	if n >= reserved {
		n++
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(64 + n>>8), byte(n), 0}), 24), nil
}

// HeadAddress is the address of a cluster's head: .2, whatever machine it runs on.
func HeadAddress(subnet netip.Prefix) (netip.Addr, error) { return host(subnet, "head", 0, 1, 2) }

// GatewayAddress is the address of the i-th gateway, counted from 0: .3 to .9.
func GatewayAddress(subnet netip.Prefix, i int) (netip.Addr, error) {
	return host(subnet, "gateway", i, GatewaysMax, 3)
}

// WorkerAddress is the address of the i-th worker, counted from 0: .10 to .254.
func WorkerAddress(subnet netip.Prefix, i int) (netip.Addr, error) {
	return host(subnet, "worker", i, WorkersMax, 10)
}

func host(subnet netip.Prefix, role string, i, count, first int) (netip.Addr, error) {
	if !subnet.IsValid() || !subnet.Addr().Is4() || subnet.Bits() != 24 {
		return netip.Addr{}, fmt.Errorf("overlay subnet %s is not an IPv4 /24", subnet)
	}
	if i < 0 || i >= count {
		return netip.Addr{}, fmt.Errorf("a cluster's /24 has addresses for %s 0 to %d, not for %d", role, count-1, i)
	}
	bytes := subnet.Masked().Addr().As4()
	bytes[3] = byte(first + i)
	return netip.AddrFrom4(bytes), nil
}

// DeviceName is the name by which `wg` knows a lease's device: "rl" and the lease where that fits 15 characters, else "rl" and 13
// characters of the lease's hash.
func DeviceName(lease string) string {
	fits := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	if lease != "" && len(lease) <= nameMax-2 && strings.IndexFunc(lease, func(r rune) bool { return !fits(r) }) < 0 {
		return "rl" + lease
	}
	sum := sha256.Sum256([]byte(lease))
	return "rl" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:nameMax-2])
}
