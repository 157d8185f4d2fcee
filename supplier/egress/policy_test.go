package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// own are the networks of the machine in these tests: a public IPv4 address, and a home's IPv6 network, whose addresses are all public.
func own() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("8.20.30.40/29"), netip.MustParsePrefix("2a02:1234:5678::7/64"), netip.MustParsePrefix("::ffff:9.9.0.1/112")}
}

// TestAllowed goes through the table.
func TestAllowed(t *testing.T) {
	table, err := os.ReadFile("testdata/addresses.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		target, why, _ := strings.Cut(strings.TrimSpace(line), " ")
		if target == "" || target == "#" {
			continue
		}
		port := uint16(443)
		addr, err := netip.ParseAddr(target)
		if err != nil {
			both := netip.MustParseAddrPort(target)
			addr, port = both.Addr(), both.Port()
		}
		check(t, addr, port, strings.TrimSpace(why))
	}
	check(t, netip.Addr{}, 443, "public Internet")
}

func check(t *testing.T, addr netip.Addr, port uint16, why string) {
	t.Helper()
	err := Allowed(addr, port, own())
	switch {
	case why == "" && err != nil:
		t.Errorf("%s port %d: %v", addr, port, err)
	case why != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), why)):
		t.Errorf("%s port %d: %v, want a refusal for %q", addr, port, err, why)
	}
}

// TestNobodyLearnsTheOwnersNetworks: a tenant who tries all private addresses hears the same of those that the owner has as of any other.
func TestNobodyLearnsTheOwnersNetworks(t *testing.T) {
	for _, home := range []string{"192.168.1.7/24", "10.0.0.1/8", "172.17.0.1/16", "100.64.3.2/24", "169.254.9.9/16", "127.0.0.1/8", "fd00::7/64", "fe80::1/64", "::1/128"} {
		prefix := netip.MustParsePrefix(home)
		theirs, nobodys := Allowed(prefix.Addr(), 80, []netip.Prefix{prefix}), Allowed(prefix.Addr(), 80, nil)
		if theirs == nil || nobodys == nil || theirs.Error() != nobodys.Error() {
			t.Errorf("%s: %v; of somebody else's network: %v", home, theirs, nobodys)
		}
	}
}

// twin judges an IPv4 address by its digits alone.
func twin(a, b, c, d byte) bool {
	switch {
	case a == 0, a == 10, a == 127, a >= 224:
		return false
	case a == 100 && b >= 64 && b < 128, a == 169 && b == 254, a == 172 && b >= 16 && b < 32, a == 192 && b == 168, a == 198 && b/2 == 9:
		return false
	}
	switch fmt.Sprintf("%d.%d.%d", a, b, c) {
	case "192.0.0", "192.0.2", "192.88.99", "198.51.100", "203.0.113":
		return false
	}
	return fmt.Sprintf("%d.%d.%d.%d", a, b, c, d) != "168.63.129.16"
}

// FuzzAllowed: an IPv4 address is judged as its twin says, and in all its disguises alike; whatever netip knows to be special is refused.
func FuzzAllowed(f *testing.F) {
	for _, seed := range []string{"0.0.0.0", "255.255.255.255", "169.254.169.254", "8.8.8.8", "100.64.0.0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::",
		"3fff:ffff::", "fd00:ec2::254", "64:ff9b::a00:1", "2001:0:7f00:1::1"} {
		b := netip.MustParseAddr(seed).AsSlice()
		for _, port := range []uint16{0, 1, 25, 443, 65535} {
			f.Add(b, port)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		err := Allowed(addr, port, nil)
		plain := addr.Unmap()
		special := plain.IsLoopback() || plain.IsPrivate() || plain.IsMulticast() || plain.IsLinkLocalUnicast() || plain.IsUnspecified() || !plain.IsGlobalUnicast()
		mail := port == 0 || port == 25 || port == 465 || port == 587 || port == 2525
		if (special || mail) && err == nil {
			t.Fatalf("%s port %d is allowed", addr, port)
		}
		if err == nil && Allowed(addr, port, []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}) == nil {
			t.Fatalf("%s is allowed though it is the machine's own", addr)
		}
		if !plain.Is4() {
			return
		}
		d := plain.As4()
		if want := twin(d[0], d[1], d[2], d[3]) && !mail; want != (err == nil) {
			t.Fatalf("%s port %d: %v; its digits say %t", addr, port, err, want)
		}
		teredo := netip.MustParseAddr("2001:0:808:808::").As16()
		for i := range d {
			teredo[12+i] = ^d[i]
		}
		for _, disguise := range []netip.Addr{
			netip.AddrFrom16(plain.As16()), netip.AddrFrom16(teredo), netip.MustParseAddr("64:ff9b::" + plain.String()),
			netip.MustParseAddr(fmt.Sprintf("2002:%02x%02x:%02x%02x::1", d[0], d[1], d[2], d[3])), netip.MustParseAddr("2606::5efe:" + plain.String()),
		} {
			if other := Allowed(disguise, port, nil); (other == nil) != (err == nil) {
				t.Fatalf("%s port %d: %v; as %s: %v", addr, port, err, disguise, other)
			}
		}
	})
}
