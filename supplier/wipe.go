package supplier

import (
	"context"
	"fmt"

	"raylink/raylink"
	"raylink/supplier/prove/cuda"
)

// Wiper overwrites all memory that nobody has of the GPU with this UUID.
type Wiper func(ctx context.Context, uuid string) (cuda.Wiped, error)

// wipe clears the GPUs that a container is to get, so that no tenant finds there what another, or the owner, left. It is done before a start and
// not after an end: however the end came about, and whoever used the GPU in between, nothing is handed out uncleared. What cannot be cleared is not
// handed out.
func (a *Agent) wipe(ctx context.Context, gpus []string) error {
	for _, gpu := range gpus {
		if a.parts.Wipe == nil {
			return raylink.Errorf(raylink.CodeUnsupported, "this agent cannot clear the memory of a GPU, so it hands out none").
				WithHint("the owner uses the agent of Raylink's image, or takes the GPUs out of the offer: --gpus none")
		}
		done, err := a.parts.Wipe(ctx, gpu)
		if err != nil {
			return fmt.Errorf("clearing the memory of a GPU before a lease gets it: %w", err)
		}
		a.log.Debug("cleared a GPU's memory", "gpu", gpu, "zeroed_bytes", done.Zeroed, "left_bytes", done.Left, "total_bytes", done.Total)
	}
	return nil
}
