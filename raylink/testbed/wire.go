package testbed

import (
	"context"
	"fmt"
	"sync"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/memory"
	"raylink/supplier/runtime"
)

// Wiring is the overlays' network in memory of scripted data planes: each is a member with the key and address that it was started with and the
// peers that it was told. So whoever joins the network in its Join, as gateways do, reaches a lease only where each names the other's key.
type Wiring struct {
	memory.Network
	Started func(spec runtime.PlaneSpec, member *memory.Member) // a data plane has come up; what listens on it ends with it

	mu      sync.Mutex
	members map[raylink.LeaseID]*memory.Member
}

// Planes are a machine's scripted data planes as members of the network.
func (w *Wiring) Planes(scripted runtime.Planes) runtime.Planes { return wiredPlanes{scripted, w} }

// take makes member a lease's, or nobody if it is nil; the one before leaves the network.
func (w *Wiring) take(lease raylink.LeaseID, member *memory.Member) error {
	w.mu.Lock()
	before := w.members[lease]
	delete(w.members, lease)
	if member != nil {
		if w.members == nil {
			w.members = map[raylink.LeaseID]*memory.Member{}
		}
		w.members[lease] = member
	}
	w.mu.Unlock()
	if before == nil {
		return nil
	}
	return before.Close()
}

type wiredPlanes struct {
	runtime.Planes
	wiring *Wiring
}

func (p wiredPlanes) Start(ctx context.Context, spec runtime.PlaneSpec) (runtime.Plane, error) {
	plane, err := p.Planes.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	member, err := p.wiring.Join(spec.Key, spec.Address)
	if err != nil {
		return nil, err
	}
	if err := p.wiring.take(spec.Lease, member); err != nil {
		return nil, err
	}
	p.wiring.Started(spec, member)
	return wiredPlane{plane, p.wiring, spec.Lease}, nil
}

func (p wiredPlanes) Adopt(ctx context.Context, lease raylink.LeaseID) (runtime.Plane, error) {
	plane, err := p.Planes.Adopt(ctx, lease)
	if err != nil {
		return nil, err
	}
	return wiredPlane{plane, p.wiring, lease}, nil
}

func (p wiredPlanes) Stop(ctx context.Context, lease raylink.LeaseID) error {
	if err := p.Planes.Stop(ctx, lease); err != nil {
		return err
	}
	return p.wiring.take(lease, nil)
}

type wiredPlane struct {
	runtime.Plane
	wiring *Wiring
	lease  raylink.LeaseID
}

func (p wiredPlane) SetMesh(ctx context.Context, mesh overlay.Mesh, egress *runtime.Egress) error {
	if err := p.Plane.SetMesh(ctx, mesh, egress); err != nil {
		return err
	}
	p.wiring.mu.Lock()
	member := p.wiring.members[p.lease]
	p.wiring.mu.Unlock()
	if member == nil {
		return fmt.Errorf("telling %s its peers: %w", p.lease, runtime.ErrNoPlane)
	}
	return member.SetMesh(mesh)
}
