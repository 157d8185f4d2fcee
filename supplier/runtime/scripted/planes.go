package scripted

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/supplier/runtime"
)

// errSilent is what a frozen plane's callers get.
var errSilent = errors.New("the scripted data plane does not answer")

// plane is a data plane in the host's table. A fresh start makes a fresh row, so that old hands notice.
type plane struct {
	host    *Host
	key     key
	status  runtime.PlaneStatus
	address netip.Addr
	mesh    overlay.Mesh
	egress  *runtime.Egress
	dead    bool
	frozen  bool
}

// Planes are the host's data planes as one machine sees them.
func (h *Host) Planes(machine raylink.MachineID) runtime.Planes {
	return planes{host: h, machine: machine}
}

// KillPlane ends a lease's data plane as SIGKILL would; it reports whether there was one.
func (h *Host) KillPlane(lease raylink.LeaseID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.planeOf(lease)
	if p == nil {
		return false
	}
	p.dead = true
	delete(h.planes, p.key)
	return true
}

// FreezePlane makes a lease's data plane stand still, or go on; it reports whether there was one.
func (h *Host) FreezePlane(lease raylink.LeaseID, frozen bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.planeOf(lease)
	if p != nil {
		p.frozen = frozen
	}
	return p != nil
}

// SetEgressTrouble makes a lease's data plane say why there is no way to the Internet; it reports whether there was one.
func (h *Host) SetEgressTrouble(lease raylink.LeaseID, trouble string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.planeOf(lease)
	if p != nil {
		p.status.EgressTrouble = trouble
	}
	return p != nil
}

// Block keeps packets to and from an overlay address away from every preflight, or lets them through again.
func (h *Host) Block(address netip.Addr, blocked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blocked[address] = blocked
}

// Mesh is what a lease's data plane was told last.
func (h *Host) Mesh(lease raylink.LeaseID) (overlay.Mesh, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.planeOf(lease)
	if p == nil {
		return overlay.Mesh{}, false
	}
	return p.mesh, true
}

// Egress is what a lease's data plane was told last of the Internet.
func (h *Host) Egress(lease raylink.LeaseID) (*runtime.Egress, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.planeOf(lease)
	if p == nil {
		return nil, false
	}
	return p.egress, true
}

// PlaneStatus is what a lease's data plane would say of itself.
func (h *Host) PlaneStatus(lease raylink.LeaseID) (runtime.PlaneStatus, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.planeOf(lease)
	if p == nil {
		return runtime.PlaneStatus{}, false
	}
	return p.status, true
}

// planeOf finds a lease's plane whoever's it is. The caller holds the lock.
func (h *Host) planeOf(lease raylink.LeaseID) *plane {
	for k, p := range h.planes {
		if k.lease == lease {
			return p
		}
	}
	return nil
}

type planes struct {
	host    *Host
	machine raylink.MachineID
}

func (p planes) Start(ctx context.Context, spec runtime.PlaneSpec) (runtime.Plane, error) {
	if err := p.Stop(ctx, spec.Lease); err != nil {
		return nil, err
	}
	h := p.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.fault("start-plane"); err != nil {
		return nil, err
	}
	k := key{p.machine, spec.Lease}
	if row := h.rows[k]; row == nil || !row.instance.Running || row.instance.Pid != spec.Pid {
		return nil, fmt.Errorf("attaching %s: no container of it has pid %d", spec.Lease, spec.Pid)
	}
	if spec.Port == 0 {
		h.port++
		spec.Port = h.port
	}
	fresh := &plane{host: h, key: k, address: spec.Address.Addr(), mesh: overlay.Mesh{Address: spec.Address, MTU: spec.MTU}, egress: spec.Egress,
		status: runtime.PlaneStatus{Key: spec.Key, Port: spec.Port, Attached: spec.Pid}}
	h.planes[k] = fresh
	return fresh, nil
}

func (p planes) Adopt(_ context.Context, lease raylink.LeaseID) (runtime.Plane, error) {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	found := p.host.planes[key{p.machine, lease}]
	if found == nil {
		return nil, runtime.ErrNoPlane
	}
	return found, nil
}

func (p planes) Stop(_ context.Context, lease raylink.LeaseID) error {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	k := key{p.machine, lease}
	if old := p.host.planes[k]; old != nil {
		old.dead = true
	}
	delete(p.host.planes, k)
	return nil
}

func (p planes) List(context.Context) ([]raylink.LeaseID, error) {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	var out []raylink.LeaseID
	for k := range p.host.planes {
		if k.machine == p.machine {
			out = append(out, k.lease)
		}
	}
	slices.Sort(out)
	return out, nil
}

// answers says why the plane does not answer. The caller holds the lock.
func (p *plane) answers() error {
	switch {
	case p.dead:
		return runtime.ErrNoPlane
	case p.frozen:
		return errSilent
	}
	return nil
}

func (p *plane) Status(context.Context) (runtime.PlaneStatus, error) {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	return p.status, p.answers()
}

func (p *plane) SetMesh(_ context.Context, mesh overlay.Mesh, egress *runtime.Egress) error {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	if err := p.answers(); err != nil {
		return err
	}
	if err := mesh.Validate(); err != nil {
		return err
	}
	p.mesh, p.egress = mesh, egress
	return nil
}

// Preflight reaches a peer on this host whose key it has and which has this plane's, unless a script stands between.
func (p *plane) Preflight(_ context.Context, peers []netip.Addr) ([]netip.Addr, error) {
	h := p.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := p.answers(); err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, address := range peers {
		i := slices.IndexFunc(p.mesh.Peers, func(peer overlay.Peer) bool { return peer.Address == address })
		if i < 0 {
			return nil, fmt.Errorf("%s is not in the mesh", address)
		}
		if h.blocked[address] || h.blocked[p.address] || !h.meets(p, p.mesh.Peers[i]) {
			out = append(out, address)
		}
	}
	return out, nil
}

// meets says whether a living plane with the peer's key knows this one too. The caller holds the lock.
func (h *Host) meets(p *plane, peer overlay.Peer) bool {
	for _, other := range h.planes {
		if other.status.Key.Public() == peer.PublicKey {
			return other.answers() == nil && knows(other.mesh, p.status.Key.Public())
		}
	}
	return false
}

func knows(mesh overlay.Mesh, public overlay.Key) bool {
	return slices.ContainsFunc(mesh.Peers, func(peer overlay.Peer) bool { return peer.PublicKey == public })
}

func (p *plane) Close() error { return nil }
