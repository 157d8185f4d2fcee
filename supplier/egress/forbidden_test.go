package egress

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// said is what a tenant sends when he asks in some way for some target.
func said(t *testing.T, way, target string) string {
	t.Helper()
	switch way {
	case "connect":
		return "CONNECT " + target + " HTTP/1.1\r\n\r\n"
	case "get":
		return "GET " + target + " HTTP/1.1\r\nHost: example.com\r\n\r\n"
	case "host":
		return "GET /latest/meta-data/ HTTP/1.1\r\nHost: " + target + "\r\n\r\n"
	}
	host, digits, _ := strings.Cut(target, "]:")
	if !strings.HasPrefix(target, "[") {
		host, digits, _ = strings.Cut(target, ":")
	}
	host = strings.TrimPrefix(host, "[")
	var port uint16
	if _, err := fmt.Sscan(digits, &port); err != nil {
		t.Fatalf("%s %s: %v", way, target, err)
	}
	kind, rest := "\x03"+string(rune(len(host))), host
	if way == "address" {
		address := netip.MustParseAddr(host)
		kind, rest = "\x01", string(address.AsSlice())
		if address.Is6() {
			kind = "\x04"
		}
	} else if way != "socks" {
		t.Fatalf("nobody asks in the way %q", way)
	}
	return "\x05\x01\x00\x05\x01\x00" + kind + rest + string(binary.BigEndian.AppendUint16(nil, port))
}

// TestForbidden goes through the list that a hostile tenant has: all is refused by the policy, in words where there are any, and nothing is dialled.
func TestForbidden(t *testing.T) {
	list, err := os.ReadFile("testdata/forbidden.txt")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 0, 0)
	w.names["box.lan"], w.names["localhost"] = []string{"8.20.30.41"}, []string{"127.0.0.1", "::1"}
	asked := strings.NewReplacer("{host}", "8.20.30.41", "{name}", "box.lan")
	tried := 0
	for line := range strings.Lines(string(list)) {
		way, target, _ := strings.Cut(strings.TrimSpace(line), " ")
		if way == "" || way == "#" {
			continue
		}
		tried++
		target = asked.Replace(target)
		heard := w.raw(t, said(t, way, target))
		switch way {
		case "socks", "address":
			if heard != "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00" {
				t.Errorf("%s %s: %q", way, target, heard)
			}
		default:
			if !strings.HasPrefix(heard, "HTTP/1.1 400 ") && !strings.HasPrefix(heard, "HTTP/1.1 403 ") || !strings.Contains(heard, "\r\n\r\nraylink: ") {
				t.Errorf("%s %s: %q", way, target, heard)
			}
		}
	}
	if count := w.Count(); len(w.dialled) > 0 || count.Opened > 0 || count.Failed > 0 || tried < 80 {
		t.Errorf("of %d attempts: dialled %v, %+v", tried, w.dialled, count)
	}
}
