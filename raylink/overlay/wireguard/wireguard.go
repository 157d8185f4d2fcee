// Package wireguard carries an overlay's packets with upstream wireguard-go: Attach puts a TUN into a container's network namespace,
// Netstack joins without any interface. In both, the UDP socket stays in the caller's namespace.
package wireguard

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"raylink/raylink/overlay"
)

// Config is what a member is from birth to death; who else is there comes with SetMesh.
type Config struct {
	PrivateKey overlay.PrivateKey
	Port       uint16       // UDP port; 0 takes any free one
	Address    netip.Prefix // own address with the cluster's prefix
	MTU        int          // bytes; 0 is overlay.MTUDirect

	// Netns is the path of the network namespace the TUN goes into, Interface its name there (default "rl0"), and Name the device's
	// name on the user-space API socket ("" serves none). Attach alone looks at them.
	Netns     string
	Interface string
	Name      string
}

func (c Config) check() (Config, error) {
	if c.MTU == 0 {
		c.MTU = overlay.MTUDirect
	}
	if c.Interface == "" {
		c.Interface = "rl0"
	}
	if c.PrivateKey.IsZero() {
		return c, fmt.Errorf("joining the overlay as %s: there is no private key", c.Address)
	}
	if err := (overlay.Mesh{Address: c.Address, MTU: c.MTU}).Validate(); err != nil {
		return c, fmt.Errorf("joining the overlay: %w", err)
	}
	return c, nil
}

// member is a running WireGuard device, whatever its packets come from.
type member struct {
	config Config
	public overlay.Key
	device *device.Device
	bind   *crossing
	port   uint16

	mu   sync.Mutex
	mesh overlay.Mesh
}

func start(config Config, link tun.Device, bind conn.Bind, log *slog.Logger) (*member, error) {
	m := &member{config: config, public: config.PrivateKey.Public(), bind: newCrossing(bind)}
	m.device = device.NewDevice(link, m.bind, deviceLog(log))
	if err := m.open(); err != nil {
		m.device.Close() // closes the link too
		return nil, err
	}
	return m, nil
}

func (m *member) open() error {
	if err := m.device.IpcSet(overlay.UAPIDevice(m.config.PrivateKey, m.config.Port)); err != nil {
		return fmt.Errorf("giving the WireGuard device its key: %w", err)
	}
	if err := m.device.Up(); err != nil {
		return fmt.Errorf("opening UDP port %d for WireGuard: %w", m.config.Port, err)
	}
	state, err := m.state()
	if err != nil {
		return err
	}
	m.port = state.Port
	return nil
}

func (m *member) state() (overlay.State, error) {
	text, err := m.device.IpcGet()
	if err != nil {
		return overlay.State{}, fmt.Errorf("asking the WireGuard device for its state: %w", err)
	}
	return overlay.ParseState(text)
}

// Port is the UDP port the device listens on, outside the overlay.
func (m *member) Port() uint16 { return m.port }

// PublicKey is the device's public key.
func (m *member) PublicKey() overlay.Key { return m.public }

// Address is the device's own overlay address with the cluster's prefix.
func (m *member) Address() netip.Prefix { return m.config.Address }

// MTU is the device's MTU in bytes.
func (m *member) MTU() int { return m.config.MTU }

// SetMesh makes the peers those of the mesh. Setting the same mesh again changes nothing; peers that stay keep their sessions; a peer
// that is gone is dead when SetMesh returns. Address and MTU are fixed at birth: a mesh with others is refused.
func (m *member) SetMesh(mesh overlay.Mesh) error {
	if err := mesh.Validate(); err != nil {
		return fmt.Errorf("setting the mesh: %w", err)
	}
	if mesh.Address != m.config.Address || mesh.MTU != 0 && mesh.MTU != m.config.MTU {
		return fmt.Errorf("setting the mesh: it is for %s with MTU %d, this member is %s with MTU %d",
			mesh.Address, mesh.MTU, m.config.Address, m.config.MTU)
	}
	for _, peer := range mesh.Peers {
		if peer.PublicKey == m.public {
			return fmt.Errorf("setting the mesh: peer %q has this member's own key", peer.Name)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bind.setPeers(m.public, mesh.Peers)
	if change := overlay.UAPIDiff(m.mesh, mesh); change != "" {
		if m.device.IpcSet(change) != nil {
			// Half of it may be set, or somebody changed peers with `wg`: say everything anew.
			if err := m.device.IpcSet(overlay.UAPI(mesh)); err != nil {
				m.mesh = overlay.Mesh{}
				return fmt.Errorf("setting the mesh: %w", err)
			}
		}
	}
	mesh.Peers = slices.Clone(mesh.Peers)
	m.mesh = mesh
	return nil
}

// Mesh is the mesh that was set last.
func (m *member) Mesh() overlay.Mesh {
	m.mu.Lock()
	defer m.mu.Unlock()
	mesh := m.mesh
	mesh.Peers = slices.Clone(mesh.Peers)
	return mesh
}

// Status says for each peer where it was last heard from, when keys were last agreed, and how many bytes went each way.
func (m *member) Status() ([]overlay.PeerState, error) {
	state, err := m.state()
	return state.Peers, err
}

// Wait returns a channel that is closed when the device is closed, by Close or because its interface has gone.
func (m *member) Wait() <-chan struct{} { return m.device.Wait() }
