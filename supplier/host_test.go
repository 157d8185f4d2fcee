package supplier

import (
	"slices"
	"testing"

	"raylink/raylink"
)

// TestTiersAreTheRuntimes: with --runtime process leases run without the engine, so what the engine has is not offered: the lease would be refused here.
func TestTiersAreTheRuntimes(t *testing.T) {
	machine := []raylink.Isolation{raylink.IsolationContainer, raylink.IsolationGVisor}
	if got := tiers(RuntimeProcess, machine); !slices.Equal(got, machine[:1]) {
		t.Errorf("without an engine it offers %v", got)
	}
	if got := tiers(RuntimeDocker, machine); !slices.Equal(got, machine) {
		t.Errorf("with the engine it offers %v", got)
	}
	if got := tiers(RuntimeProcess, nil); len(got) != 0 {
		t.Errorf("a machine that runs no leases offers %v", got)
	}
}

// TestTheHostTellsItsRuntime: by that a network knows of which machines it asks a version of the engine.
func TestTheHostTellsItsRuntime(t *testing.T) {
	for with, want := range map[string]string{RuntimeProcess: raylink.RuntimeProcess, RuntimeDocker: "", RuntimeScripted: ""} {
		h := raylink.Host{Isolation: []raylink.Isolation{raylink.IsolationContainer, raylink.IsolationGVisor}}
		runsWith(&h, with)
		if h.Runtime != want || (len(h.Isolation) == 1) != (with == RuntimeProcess) {
			t.Errorf("with %s it tells %q and %v", with, h.Runtime, h.Isolation)
		}
	}
}
