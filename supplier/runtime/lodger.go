package runtime

import (
	"context"

	"raylink/raylink"
)

// Lodger is what a Runtime is that keeps things of a lease on the machine's disk outside the lease's own directory.
type Lodger interface {
	// Places are the directories where the lease can have written on the disk beside Spec.Dir, as the host names them; one may be missing. Of a lease
	// that has no container there are none. The error says that they are not known.
	Places(ctx context.Context, lease raylink.LeaseID) ([]string, error)
}
