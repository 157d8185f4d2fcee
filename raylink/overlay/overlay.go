// Package overlay is the private network of one cluster as data: keys, peers, the address plan, and the text of WireGuard's
// user-space API. It is pure; the sub-packages carry packets.
package overlay

import (
	"errors"
	"fmt"
	"net/netip"
)

const (
	// MTUDirect is the MTU in bytes of an overlay whose paths are direct UDP over Ethernet: WireGuard adds 60 bytes (IPv4) or 80 (IPv6).
	MTUDirect = 1420
	// MTUSafe is the MTU in bytes that passes nearly every path: relayed, PPPoE, mobile, or unknown.
	MTUSafe = 1280

	mtuMin = 576
	mtuMax = 65535 - 80

	peersMax = 253 // one /24 without its network, its broadcast and oneself
)

// Peer is another member of a mesh. Only its one address is accepted from it and sent to it.
type Peer struct {
	Name      string         `json:"name,omitempty"`
	PublicKey Key            `json:"public_key"`
	Address   netip.Addr     `json:"address"`
	Endpoint  netip.AddrPort `json:"endpoint"` // UDP address outside the overlay; zero when not known yet
}

// Mesh is what one member must know: its own address with the cluster's prefix, the MTU in bytes (0: keep), and everybody else.
type Mesh struct {
	Address netip.Prefix `json:"address"`
	MTU     int          `json:"mtu,omitempty"`
	Peers   []Peer       `json:"peers"`
}

// Validate says what is wrong with a mesh: each peer has a key and an address of its own inside the prefix, and is not the member itself.
func (m Mesh) Validate() error {
	if err := ValidateAddress(m.Address); err != nil {
		return err
	}
	if m.MTU != 0 && (m.MTU < mtuMin || m.MTU > mtuMax) {
		return fmt.Errorf("MTU %d is not between %d and %d", m.MTU, mtuMin, mtuMax)
	}
	if len(m.Peers) > peersMax {
		return fmt.Errorf("%d peers do not fit into one mesh of at most %d", len(m.Peers), peersMax)
	}
	keys := make(map[Key]bool, len(m.Peers))
	addresses := map[netip.Addr]bool{m.Address.Addr(): true}
	for _, peer := range m.Peers {
		if err := peer.validate(m.Address); err != nil {
			return fmt.Errorf("peer %q at %s: %w", peer.Name, peer.Address, err)
		}
		if keys[peer.PublicKey] {
			return fmt.Errorf("peer %q at %s: its key %s is used twice", peer.Name, peer.Address, peer.PublicKey)
		}
		if addresses[peer.Address] {
			return fmt.Errorf("peer %q at %s: its address is used twice or is the member's own", peer.Name, peer.Address)
		}
		keys[peer.PublicKey], addresses[peer.Address] = true, true
	}
	return nil
}

func (p Peer) validate(prefix netip.Prefix) error {
	switch {
	case p.PublicKey.IsZero():
		return errors.New("it has no public key")
	case !isHost(prefix, p.Address):
		return fmt.Errorf("its address is not a host of %s", prefix.Masked())
	case p.Endpoint != netip.AddrPort{} && (!p.Endpoint.IsValid() || p.Endpoint.Port() == 0 || p.Endpoint.Addr().IsUnspecified()):
		return fmt.Errorf("its endpoint %s is no UDP address that can be sent to", p.Endpoint)
	}
	return nil
}

// ValidateAddress says whether an address with its prefix can be a member's: IPv4, a host of the prefix, the prefix not longer than /30.
func ValidateAddress(address netip.Prefix) error {
	if !address.IsValid() || !address.Addr().Is4() || address.Bits() > 30 || address.Bits() < 8 {
		return fmt.Errorf("overlay address %s is not an IPv4 address with a prefix of /8 to /30", address)
	}
	if !isHost(address, address.Addr()) {
		return fmt.Errorf("overlay address %s is the network or the broadcast address of its prefix", address)
	}
	return nil
}

// isHost reports whether an address is in the prefix and neither its first nor its last one.
func isHost(prefix netip.Prefix, address netip.Addr) bool {
	if !address.Is4() || !prefix.Contains(address) || address == prefix.Masked().Addr() {
		return false
	}
	return prefix.Contains(address.Next())
}
