package overlay_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raylink/raylink/overlay"
)

func TestKeysAreThoseOfWg(t *testing.T) {
	// Made with `wg genkey` and `wg pubkey`.
	const private, public = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
	key, err := overlay.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if got := key.Public().String(); got != public {
		t.Fatalf("the public key of %s is %s", public, got)
	}
	if key.Text() != private || overlay.PublicKey(key) != key.Public() {
		t.Fatal("a private key does not survive its text")
	}
}

func TestPrivateKeysDoNotLeak(t *testing.T) {
	key, err := overlay.NewPrivateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(key), fmt.Sprintf("%x|%s|%q|%#v|%+v", key, key, key, key, struct{ K overlay.PrivateKey }{key})} {
		if strings.Contains(text, "0707") || strings.Contains(text, "7 7") || strings.Contains(text, key.Text()) {
			t.Errorf("a private key prints as %s", text)
		}
	}
	if text, err := json.Marshal(key); err == nil {
		t.Errorf("a private key is marshalled as %s", text)
	}
	if _, err := overlay.ParsePrivateKey(key.Text()[:40]); err == nil || strings.Contains(err.Error(), key.Text()[:8]) {
		t.Errorf("a mangled private key: %v", err)
	}
}

func TestKeyTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := overlay.Key(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		again, err := overlay.ParseKey(key.String())
		if err != nil || again != key {
			t.Fatalf("%s: %v", again, err)
		}
	})
	for _, wrong := range []string{"", "AAAA", strings.Repeat("A", 44), strings.Repeat("A", 43) + "=\n", strings.Repeat("A", 42) + "B="} {
		if _, err := overlay.ParseKey(wrong); err == nil {
			t.Errorf("%q was taken for a key", wrong)
		}
	}
}

func TestAddressPlan(t *testing.T) {
	seen := make(map[netip.Prefix]bool)
	plan, reserved := netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("100.100.100.0/24")
	for n := range overlay.Subnets {
		subnet, err := overlay.Subnet(n)
		if err != nil || seen[subnet] || !plan.Overlaps(subnet) || subnet.Overlaps(reserved) || subnet != subnet.Masked() {
			t.Fatalf("subnet %d is %s, %v", n, subnet, err)
		}
		seen[subnet] = true
	}
	for _, n := range []int{-1, overlay.Subnets} {
		if subnet, err := overlay.Subnet(n); err == nil {
			t.Errorf("subnet %d is %s", n, subnet)
		}
	}
	if first, _ := overlay.Subnet(0); first.String() != "100.64.0.0/24" {
		t.Errorf("the first subnet is %s", first)
	}
	if last, _ := overlay.Subnet(overlay.Subnets - 1); last.String() != "100.127.255.0/24" {
		t.Errorf("the last subnet is %s", last)
	}
}

func TestRolesHaveAddressesOfTheirOwn(t *testing.T) {
	subnet, _ := overlay.Subnet(5)
	seen := make(map[netip.Addr]bool)
	claim := func(address netip.Addr, err error) {
		t.Helper()
		if err != nil || seen[address] || overlay.ValidateAddress(netip.PrefixFrom(address, 24)) != nil {
			t.Fatalf("%s: %v", address, err)
		}
		seen[address] = true
	}
	claim(overlay.HeadAddress(subnet))
	for i := range overlay.GatewaysMax {
		claim(overlay.GatewayAddress(subnet, i))
	}
	for i := range overlay.WorkersMax {
		claim(overlay.WorkerAddress(subnet, i))
	}
	if !seen[netip.MustParseAddr("100.64.5.2")] || !seen[netip.MustParseAddr("100.64.5.9")] || !seen[netip.MustParseAddr("100.64.5.254")] {
		t.Error("the plan is not .2, .3-.9, .10-.254")
	}
	for _, over := range []func() (netip.Addr, error){
		func() (netip.Addr, error) { return overlay.GatewayAddress(subnet, overlay.GatewaysMax) },
		func() (netip.Addr, error) { return overlay.WorkerAddress(subnet, overlay.WorkersMax) },
		func() (netip.Addr, error) { return overlay.WorkerAddress(subnet, -1) },
		func() (netip.Addr, error) { return overlay.HeadAddress(netip.MustParsePrefix("100.64.0.0/16")) },
	} {
		if address, err := over(); err == nil {
			t.Errorf("%s is in no plan", address)
		}
	}
}

func TestDeviceNames(t *testing.T) {
	for lease, want := range map[string]string{"a1b2": "rla1b2", "l-abcdefghijk": "rll-abcdefghijk"} {
		if got := overlay.DeviceName(lease); got != want {
			t.Errorf("%s: %s", lease, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		for _, lease := range []string{a, b} {
			name := overlay.DeviceName(lease)
			if len(name) > 15 || len(name) < 3 || strings.ContainsAny(name, "/. \x00\n") {
				t.Fatalf("the device of lease %q is called %q", lease, name)
			}
		}
		if a != b && overlay.DeviceName(a) == overlay.DeviceName(b) {
			t.Fatalf("%q and %q have one device", a, b)
		}
	})
}

func key(n int) overlay.Key { return overlay.Key{byte(n), byte(n >> 8), 1} }

func meshes() *rapid.Generator[overlay.Mesh] {
	return rapid.Custom(func(t *rapid.T) overlay.Mesh {
		keys := rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 0, 6, rapid.ID[int]).Draw(t, "keys")
		hosts := rapid.SliceOfNDistinct(rapid.IntRange(10, 19), len(keys), len(keys), rapid.ID[int]).Draw(t, "hosts")
		mesh := overlay.Mesh{Address: netip.MustParsePrefix("100.64.1.2/24")}
		for i, n := range keys {
			port := uint16(rapid.IntRange(0, 2).Draw(t, "port"))
			peer := overlay.Peer{PublicKey: key(n), Address: netip.AddrFrom4([4]byte{100, 64, 1, byte(hosts[i])})}
			if port > 0 {
				peer.Endpoint = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)
			}
			mesh.Peers = append(mesh.Peers, peer)
		}
		return mesh
	})
}

// twin is the dumbest thing that understands WireGuard's configuration: who owns which address, and where peers are.
type twin struct {
	owner    map[string]string
	endpoint map[string]string
	touched  map[string]bool
}

func (w *twin) apply(t *rapid.T, text string) {
	w.touched = make(map[string]bool)
	peer := ""
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "replace_peers":
			w.owner, w.endpoint = make(map[string]string), make(map[string]string)
		case "public_key":
			peer = value
			w.touched[peer] = true
			if _, known := w.endpoint[peer]; !known {
				w.endpoint[peer] = ""
			}
		case "remove", "replace_allowed_ips":
			for address, owner := range w.owner {
				if owner == peer {
					delete(w.owner, address)
				}
			}
			if name == "remove" {
				delete(w.endpoint, peer)
			}
		case "allowed_ip":
			w.owner[value] = peer
		case "endpoint":
			w.endpoint[peer] = value
		case "persistent_keepalive_interval":
			if value != "25" {
				t.Fatalf("keepalive %s", value)
			}
		default:
			t.Fatalf("unknown line %q", line)
		}
	}
}

func (w *twin) mustBe(t *rapid.T, mesh overlay.Mesh) {
	if len(w.owner) != len(mesh.Peers) || len(w.endpoint) != len(mesh.Peers) {
		t.Fatalf("%d addresses and %d peers for %d peers", len(w.owner), len(w.endpoint), len(mesh.Peers))
	}
	for _, peer := range mesh.Peers {
		if w.owner[peer.Address.String()+"/32"] != peer.PublicKey.Hex() {
			t.Fatalf("%s belongs to another", peer.Address)
		}
		if peer.Endpoint.IsValid() && w.endpoint[peer.PublicKey.Hex()] != peer.Endpoint.String() {
			t.Fatalf("%s is looked for at %q", peer.Endpoint, w.endpoint[peer.PublicKey.Hex()])
		}
	}
}

func TestDiffLeadsFromMeshToMeshAndDisturbsNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := meshes().Draw(t, "before"), meshes().Draw(t, "after")
		device := new(twin)
		device.apply(t, overlay.UAPI(before))
		device.mustBe(t, before)
		device.apply(t, overlay.UAPIDiff(before, after))
		device.mustBe(t, after)
		for _, old := range before.Peers {
			for _, peer := range after.Peers {
				if peer == old && device.touched[peer.PublicKey.Hex()] {
					t.Fatalf("peer %s stays and is disturbed", peer.Address)
				}
			}
		}
		if again := overlay.UAPIDiff(after, after); again != "" {
			t.Fatalf("a mesh differs from itself by %q", again)
		}
	})
}

func TestMeshesThatAreWrong(t *testing.T) {
	good := func() overlay.Mesh {
		return overlay.Mesh{Address: netip.MustParsePrefix("100.64.1.2/24"), MTU: 1420, Peers: []overlay.Peer{
			{PublicKey: key(1), Address: netip.MustParseAddr("100.64.1.10"), Endpoint: netip.MustParseAddrPort("192.0.2.1:1")},
			{PublicKey: key(2), Address: netip.MustParseAddr("100.64.1.11")},
		}}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*overlay.Mesh){
		"no address":        func(m *overlay.Mesh) { m.Address = netip.Prefix{} },
		"IPv6":              func(m *overlay.Mesh) { m.Address = netip.MustParsePrefix("fd00::2/64") },
		"a /32":             func(m *overlay.Mesh) { m.Address = netip.MustParsePrefix("100.64.1.2/32") },
		"a small MTU":       func(m *overlay.Mesh) { m.MTU = 100 },
		"a key twice":       func(m *overlay.Mesh) { m.Peers[1].PublicKey = key(1) },
		"no key":            func(m *overlay.Mesh) { m.Peers[1].PublicKey = overlay.Key{} },
		"an address twice":  func(m *overlay.Mesh) { m.Peers[1].Address = m.Peers[0].Address },
		"one's own address": func(m *overlay.Mesh) { m.Peers[1].Address = m.Address.Addr() },
		"a foreign address": func(m *overlay.Mesh) { m.Peers[1].Address = netip.MustParseAddr("100.64.2.11") },
		"the network":       func(m *overlay.Mesh) { m.Peers[1].Address = netip.MustParseAddr("100.64.1.0") },
		"the broadcast":     func(m *overlay.Mesh) { m.Peers[1].Address = netip.MustParseAddr("100.64.1.255") },
		"no port":           func(m *overlay.Mesh) { m.Peers[1].Endpoint = netip.MustParseAddrPort("192.0.2.1:0") },
		"too many": func(m *overlay.Mesh) {
			for len(m.Peers) < 300 {
				m.Peers = append(m.Peers, m.Peers[0])
			}
		},
	} {
		mesh := good()
		spoil(&mesh)
		if err := mesh.Validate(); err == nil {
			t.Errorf("a mesh with %s is taken for good", name)
		}
	}
}

func TestMeshAsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mesh := meshes().Draw(t, "mesh")
		text, err := json.Marshal(mesh)
		if err != nil {
			t.Fatal(err)
		}
		var again overlay.Mesh
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		if overlay.UAPI(mesh) != overlay.UAPI(again) || mesh.Address != again.Address {
			t.Fatalf("%s became another mesh", text)
		}
	})
}

func TestParseState(t *testing.T) {
	text := "private_key=" + strings.Repeat("08", 32) + "\nlisten_port=51820\n" +
		"public_key=" + key(1).Hex() + "\npreshared_key=" + strings.Repeat("0", 64) + "\nprotocol_version=1\nendpoint=192.0.2.1:7\n" +
		"last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\ntx_bytes=148\nrx_bytes=92\n" +
		"persistent_keepalive_interval=25\nallowed_ip=100.64.1.10/32\n" +
		"public_key=" + key(2).Hex() + "\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\nerrno=0\n\n"
	state, err := overlay.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	first := state.Peers[0]
	if state.Port != 51820 || state.PrivateKey.IsZero() || len(state.Peers) != 2 || first.PublicKey != key(1) ||
		first.Address.String() != "100.64.1.10" || first.Endpoint.String() != "192.0.2.1:7" || first.Received != 92 || first.Sent != 148 ||
		first.LastHandshake.UnixNano() != 1700000000_000000005 || !state.Peers[1].LastHandshake.IsZero() {
		t.Fatalf("%+v", state)
	}
	for _, wrong := range []string{"errno=-22\n", "public_key=00\n", "listen_port=99999\n", "public_key=" + key(1).Hex() + "\nendpoint=x\n"} {
		if state, err := overlay.ParseState(wrong); err == nil {
			t.Errorf("%q is read as %+v", wrong, state)
		}
	}
}
