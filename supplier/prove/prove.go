// Package prove is the prover's side of package challenge: a prover for the processor, the port for others, and the loop that does what an
// assignment's proof orders say.
package prove

import (
	"context"

	"raylink/raylink"
	"raylink/raylink/challenge"
)

// Prover is one device at work on one proof. Begin, Walk and Open are called once each, in this order, by one goroutine; an error ends the proof. They
// come back soon after ctx ends. Close lets go of everything that the proof took, memory above all; it may be called at any point between two calls.
type Prover interface {
	// Begin computes all links from the seed, and fills the task's memory.
	Begin(ctx context.Context, task challenge.Task, seed challenge.Seed) (challenge.Commitment, error)
	// Walk goes through the memory from where entropy says; without a walk in the task it gives the zero Hash.
	Walk(ctx context.Context, entropy challenge.Seed) (challenge.Hash, error)
	// Open answers what entropy draws.
	Open(ctx context.Context, entropy challenge.Seed) (challenge.Answer, error)
	Close() error
}

// Makers has who makes a prover for a device of each kind, by the device's id. A kind that is missing is not proven here.
type Makers map[raylink.DeviceKind]func(device string) (Prover, error)

// kindOf says what an order's device is: there is one processor, and everything else is a GPU's UUID.
func kindOf(device string) raylink.DeviceKind {
	if device == raylink.CPUDevice {
		return raylink.DeviceCPU
	}
	return raylink.DeviceGPU
}
