package runtime

import (
	"context"
	"errors"

	"raylink/raylink"
)

// ErrGPULost says that a container was given GPUs and cannot use them any more.
var ErrGPULost = errors.New("the container has lost its GPUs")

// GPUChecker is what a Runtime is that hands out GPUs.
type GPUChecker interface {
	// CheckGPUs asks from inside the lease's running container for the GPUs with these UUIDs. The error is ErrGPULost where one of them cannot be used
	// there; any other only says that it could not be told.
	CheckGPUs(ctx context.Context, lease raylink.LeaseID, uuids []string) error
	// Kill ends the lease's container as if its first process had died: it is found exited, and Start replaces it. Without one it does nothing.
	Kill(ctx context.Context, lease raylink.LeaseID) error
}
