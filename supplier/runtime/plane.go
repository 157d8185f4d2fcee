package runtime

import (
	"context"
	"errors"
	"net/netip"

	"raylink/raylink"
	"raylink/raylink/overlay"
)

// ErrNoPlane says that a lease has no data plane here, or has none any more.
var ErrNoPlane = errors.New("the lease has no data plane on this machine")

// Planes is the port to the data planes of one machine: each carries one lease's overlay, in a process that outlives the agent.
type Planes interface {
	// Start puts a TUN into the namespace of spec.Pid and opens a UDP socket outside it. An older plane of the lease is stopped first.
	Start(ctx context.Context, spec PlaneSpec) (Plane, error)
	// Adopt finds a plane that an earlier agent started; ErrNoPlane when there is none.
	Adopt(ctx context.Context, lease raylink.LeaseID) (Plane, error)
	// Stop ends the lease's plane. One that is not there is no error.
	Stop(ctx context.Context, lease raylink.LeaseID) error
	// List names the leases of this machine that have, or seem to have, a plane.
	List(ctx context.Context) ([]raylink.LeaseID, error)
}

// Plane is a hand on one running data plane.
type Plane interface {
	// Status answers quickly or not at all. ErrNoPlane says that the process is gone; any other error, that it did not answer in time.
	Status(ctx context.Context) (PlaneStatus, error)
	// SetMesh tells the plane its address and all its peers, and what it may exchange with the Internet (nil is nothing). Peers that are not
	// named are dropped at once, and what may not pass any more is cut off. A plane that cannot change the latter says so in its status.
	SetMesh(ctx context.Context, mesh overlay.Mesh, egress *Egress) error
	// Preflight dials these members of the mesh from inside the overlay and gives those that did not answer.
	Preflight(ctx context.Context, peers []netip.Addr) (blocked []netip.Addr, err error)
	// Close lets go. The plane runs on.
	Close() error
}

// PlaneSpec is what a data plane is started with.
type PlaneSpec struct {
	Lease   raylink.LeaseID
	Machine raylink.MachineID
	Pid     int    // of the container's first process, as the host counts
	Dir     string // for the plane's own files; the container does not see it
	Key     overlay.PrivateKey
	Port    uint16       // UDP; 0 takes a free one
	Address netip.Prefix // own overlay address with the cluster's prefix
	MTU     int          // bytes; 0 is the overlay's own choice
	Egress  *Egress      // nil is no way to the Internet
}

// Egress bounds what a lease exchanges with the Internet, both ways together, over its life.
type Egress struct {
	Bytes  int64      // 0 is no limit
	Used   int64      // of Bytes, before this data plane
	Host   netip.Addr // under which the machine is known outside, and which is not reached; may be zero
	Closed string     // why nothing passes, as the tenant is told; empty where something does
}

// PlaneStatus is what a running data plane says of itself.
type PlaneStatus struct {
	Key      overlay.PrivateKey // kept in memory only, here as there
	Port     uint16             // UDP, outside the overlay
	Attached int                // the pid whose namespace the TUN is in
	Egress   int64              // bytes exchanged with the Internet since the lease began
	// EgressTrouble is why the lease's way to the Internet is not what was ordered; empty where it is.
	EgressTrouble string
}
