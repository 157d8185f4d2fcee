package devnet

import (
	"testing"

	"raylink/raylink"
	"raylink/raylink/wire"
)

// TestAMachineThatStillProvesIsNotReady: on a slow machine the proofs end after the agents are heard, and what is created in between finds no room.
func TestAMachineThatStillProvesIsNotReady(t *testing.T) {
	proving := raylink.Standing{State: raylink.MachineProving, Reason: raylink.ReasonProofRunning}
	proven := raylink.Standing{State: raylink.MachineReady}
	ready, waiting := standing([]wire.Machine{
		{Name: "box-of-ada", State: "up", Standing: proven},
		{Name: "box-of-bo", State: "up", Standing: proving},
		{Name: "box-of-cleo", State: "down", Standing: proven},
	})
	if ready != 1 {
		t.Errorf("%d machines are ready, wanted the one that is up and proven", ready)
	}
	if want := "; box-of-bo is up, proving proof-running; box-of-cleo is down, ready"; waiting != want {
		t.Errorf("the others stand as %q, wanted %q", waiting, want)
	}
}
