// Package runtime is the port to whatever runs a lease's container. docker/ is the real one, scripted/ the one for tests, and
// runtimetest/ holds what both must pass.
package runtime

import (
	"context"
	"time"

	"raylink/raylink"
)

// Runtime runs at most one container per lease of one machine, and sees no container that it did not make for that machine.
type Runtime interface {
	// Start makes sure that the lease's container runs. One that runs is left as it is; one that has exited is replaced by a fresh one
	// with the same directory, which counts as a restart. The container's first process waits for the file `go` in the lease's directory.
	Start(ctx context.Context, spec Spec) (Instance, error)
	// Stop removes the lease's container. One that is not there is no error.
	Stop(ctx context.Context, lease raylink.LeaseID) error
	// List gives every container of this machine, running or exited, ordered by lease.
	List(ctx context.Context) ([]Instance, error)
	// Images is what this runtime knows of images.
	Images() Images
}

// Images are what a runtime's containers are made from. A reference that is pinned, name:tag@sha256:…, means exactly what has that digest: of the
// manifest as a registry gave it, or the image's id where none did; its tag counts for nothing. Another reference means what the name means here.
type Images interface {
	// Look gives the id that Spec.Image may be, for an image that is here. Of one that is not, the error is a *raylink.Error of CodeNotFound.
	Look(ctx context.Context, ref string) (id string, err error)
	// Fetch makes sure that the image is here, and gives its id. While it fetches it tells from time to time, in one goroutine, how many bytes have
	// come, and how many there are as far as that is known. The error is a *raylink.Error.
	Fetch(ctx context.Context, ref string, tell func(done, total int64)) (id string, err error)
}

// Spec is one lease's container.
type Spec struct {
	Lease    raylink.LeaseID
	Machine  raylink.MachineID
	Cluster  raylink.ClusterID
	Hostname string
	Image    string // an id that Images gave, or a reference
	Dir      string // host path, seen as /raylink; its sub-directory session is seen as /tmp/ray too

	CPU      int64 // in 1/10,000 of a core; 0 is without limit
	Memory   int64 // bytes, swap included; 0 is without limit
	ShmBytes int64 // of /dev/shm; 0 leaves the runtime's own
	Pids     int64 // processes and threads; 0 is PidsLimit

	Env        map[string]string
	Entrypoint []string          // empty is Entrypoint()
	Hosts      map[string]string // name → address, for /etc/hosts

	Isolation raylink.Isolation // empty is raylink.IsolationContainer
	GPUs      []string          // UUIDs that the container sees; none sees none
}

// Instance is a container as it is found.
type Instance struct {
	Lease     raylink.LeaseID
	Pid       int // of its first process, as the host counts; 0 when it does not run
	Running   bool
	ExitCode  int
	StartedAt time.Time
	Restarts  int      // how often Start replaced an exited one
	LastWords []string // the end of its output, only when it does not run
}

// Limits that every container has.
const (
	PidsLimit      = 4096 // Ray's own threads on a node of 64 cores stay below 3,000
	LastWordsLines = 20
	UserID         = 1000 // of the tenant's processes; owns what they write
)

// Entrypoint is what a container's first process does: wait until the agent lets it go, then become the lease's start script.
func Entrypoint() []string {
	return []string{"sh", "-c", "until [ -e /raylink/go ]; do sleep 0.05; done; exec sh /raylink/start.sh"}
}
