package supplier

import (
	"context"
	"fmt"
	"os"

	"raylink/raylink"
	"raylink/supplier/prove/cuda"
)

// Wiper overwrites all memory that nobody has of the GPU with this UUID.
type Wiper func(ctx context.Context, uuid string) (cuda.Wiped, error)

// GPUUsers are the processes that compute on the GPU with this UUID, as this process's namespace numbers them; nvml's Reader.Computing is one.
type GPUUsers func(ctx context.Context, uuid string) ([]int, error)

// leastCleared is how much of a GPU's memory must have been overwritten before a lease gets it, in percent. The driver and the wipe's own context have up to
// some hundred MB; whoever else has some could be the last tenant.
const leastCleared = 95

// wipe clears the GPUs that a container is to get, so that no tenant finds there what another, or the owner, left. It is done before a start and
// not after an end: however the end came about, and whoever used the GPU in between, nothing is handed out uncleared. What cannot be cleared is not
// handed out: neither a GPU on which somebody else computes, nor one of which too much is somebody's.
func (a *Agent) wipe(ctx context.Context, gpus []string) error {
	for _, gpu := range gpus {
		if a.parts.Wipe == nil || a.parts.GPUUsers == nil {
			return raylink.Errorf(raylink.CodeUnsupported, "this agent cannot clear the memory of a GPU, so it hands out none").
				WithHint("the owner uses the agent of Raylink's image, or takes the GPUs out of the offer: --gpus none")
		}
		users, err := a.parts.GPUUsers(ctx, gpu)
		if err != nil {
			return fmt.Errorf("looking who uses a GPU before a lease gets it: %w", err)
		}
		for _, pid := range users {
			if pid != os.Getpid() { // this process's own context holds nothing, or the wipe shows that it does
				return raylink.Errorf(raylink.CodeUnavailable, "process %d computes on GPU %s: it is not handed out", pid, gpu).WithHint("%s", hintGPUInUse)
			}
		}
		done, err := a.parts.Wipe(ctx, gpu)
		if err != nil {
			return fmt.Errorf("clearing the memory of a GPU before a lease gets it: %w", err)
		}
		a.log.Debug("cleared a GPU's memory", "gpu", gpu, "zeroed_bytes", done.Zeroed, "left_bytes", done.Left, "total_bytes", done.Total)
		if done.Total <= 0 || done.Zeroed < done.Total/100*leastCleared {
			return raylink.Errorf(raylink.CodeUnavailable, "%d of %d MiB of GPU %s could be cleared, and %d %% are wanted: it is not handed out",
				done.Zeroed>>20, done.Total>>20, gpu, leastCleared).WithHint("%s", hintGPUInUse)
		}
	}
	return nil
}

const hintGPUInUse = "create the cluster again: it may be placed elsewhere; the owner ends what uses the GPU (`nvidia-smi` lists it, a desktop among it), or takes it out of the offer"
