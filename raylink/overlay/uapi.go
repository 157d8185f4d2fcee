package overlay

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// keepalive is WireGuard's persistent keepalive in seconds: shorter than the 30 s after which home routers forget a UDP mapping.
const keepalive = 25

// The texts below follow https://www.wireguard.com/xplatform/#configuration-protocol.

// UAPIDevice is the text that gives a device its private key (a secret) and its UDP port (0: any).
func UAPIDevice(private PrivateKey, port uint16) string {
	return fmt.Sprintf("private_key=%s\nlisten_port=%d\nreplace_peers=true\n", hex.EncodeToString(private[:]), port)
}

// UAPI is the text that replaces all peers of a device by those of the mesh.
func UAPI(mesh Mesh) string {
	return "replace_peers=true\n" + UAPIDiff(Mesh{}, mesh)
}

// UAPIDiff is the text that turns one mesh into another. Peers that stay as they are are not mentioned, so their sessions are not
// disturbed; it is empty when nothing changes. Removals come first, because an address may pass from one key to another.
func UAPIDiff(current, want Mesh) string {
	before := make(map[Key]Peer, len(current.Peers))
	for _, peer := range current.Peers {
		before[peer.PublicKey] = peer
	}
	stays := make(map[Key]bool, len(want.Peers))
	for _, peer := range want.Peers {
		stays[peer.PublicKey] = true
	}
	var text strings.Builder
	for _, peer := range current.Peers {
		if !stays[peer.PublicKey] {
			fmt.Fprintf(&text, "public_key=%s\nremove=true\n", peer.PublicKey.Hex())
		}
	}
	for _, peer := range want.Peers {
		old, known := before[peer.PublicKey]
		if known && old.Address == peer.Address && (old.Endpoint == peer.Endpoint || !peer.Endpoint.IsValid()) {
			continue
		}
		fmt.Fprintf(&text, "public_key=%s\n", peer.PublicKey.Hex())
		if peer.Endpoint.IsValid() {
			fmt.Fprintf(&text, "endpoint=%s\n", peer.Endpoint)
		}
		// Address before keepalive: turning keepalives on sends the first one at once.
		fmt.Fprintf(&text, "replace_allowed_ips=true\nallowed_ip=%s\npersistent_keepalive_interval=%d\n",
			netip.PrefixFrom(peer.Address, peer.Address.BitLen()), keepalive)
	}
	return text.String()
}

// State is what a device says of itself.
type State struct {
	PrivateKey PrivateKey `json:"-"`
	Port       uint16     `json:"port"`
	Peers      []PeerState
}

// PeerState is what a device says of one peer. LastHandshake is zero before the first; Received and Sent are bytes on the wire.
type PeerState struct {
	PublicKey     Key
	Address       netip.Addr
	Endpoint      netip.AddrPort
	LastHandshake time.Time
	Received      uint64
	Sent          uint64
}

// ParseState reads a device's answer to "get=1".
func ParseState(text string) (State, error) {
	var state State
	var peer *PeerState
	for line := range strings.SplitSeq(text, "\n") {
		key, value, found := strings.Cut(line, "=")
		if !found {
			continue
		}
		if key == "public_key" {
			state.Peers = append(state.Peers, PeerState{})
			peer = &state.Peers[len(state.Peers)-1]
		}
		var err error
		if peer == nil {
			err = state.field(key, value)
		} else {
			err = peer.field(key, value)
		}
		if err != nil {
			return State{}, fmt.Errorf("reading the field %q of a WireGuard device: %w", key, err)
		}
	}
	return state, nil
}

func (s *State) field(key, value string) error {
	switch key {
	case "private_key":
		return parseHex(s.PrivateKey[:], value)
	case "listen_port":
		port, err := strconv.ParseUint(value, 10, 16)
		s.Port = uint16(port)
		return err
	case "errno":
		if value != "0" {
			return fmt.Errorf("the device answered error %s", value)
		}
	}
	return nil
}

func (p *PeerState) field(key, value string) (err error) {
	switch key {
	case "public_key":
		return parseHex(p.PublicKey[:], value)
	case "endpoint":
		p.Endpoint, err = netip.ParseAddrPort(value)
	case "allowed_ip":
		var prefix netip.Prefix
		prefix, err = netip.ParsePrefix(value)
		p.Address = prefix.Addr()
	case "last_handshake_time_sec":
		var seconds int64
		if seconds, err = strconv.ParseInt(value, 10, 64); seconds > 0 {
			p.LastHandshake = time.Unix(seconds, 0).UTC()
		}
	case "last_handshake_time_nsec":
		var nanos int64
		if nanos, err = strconv.ParseInt(value, 10, 64); !p.LastHandshake.IsZero() {
			p.LastHandshake = p.LastHandshake.Add(time.Duration(nanos))
		}
	case "rx_bytes":
		p.Received, err = strconv.ParseUint(value, 10, 64)
	case "tx_bytes":
		p.Sent, err = strconv.ParseUint(value, 10, 64)
	case "errno":
		if value != "0" {
			return fmt.Errorf("the device answered error %s", value)
		}
	}
	return err
}

func parseHex(into []byte, text string) error {
	if len(text) != 2*len(into) {
		return fmt.Errorf("a key of %d characters is not one of %d", len(text), 2*len(into))
	}
	_, err := hex.Decode(into, []byte(text))
	return err
}
