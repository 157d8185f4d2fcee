package supplier

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"

	"raylink/raylink"
	"raylink/supplier/device"
)

// hostOf is what this machine is, as it is told to the coordinators: what it has, and how its leases run. What cannot be read is left out, with a word in the log.
func hostOf(ctx context.Context, with string, offer raylink.Offer, log *slog.Logger) *raylink.Host {
	h, notes := device.Probe(ctx, device.System())
	for _, note := range notes {
		log.Debug("a part of the machine is not known", "what", note.What, "why", note.Why)
	}
	h.Arch = offer.Arch // the machine's own, unless another is emulated
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" && build.Main.Version != "(devel)" {
		h.Versions[raylink.VersionAgent] = build.Main.Version
	}
	runsWith(&h, with)
	return &h
}

// runsWith says how leases run here. A machine whose leases run without the engine says so: the network then asks for no version of it.
func runsWith(h *raylink.Host, with string) {
	h.Isolation = tiers(with, h.Isolation)
	if with == RuntimeProcess {
		h.Runtime = raylink.RuntimeProcess
	}
}

// tiers are those of the machine's that a runtime has: without the engine there is no gVisor, though it may be there.
func tiers(with string, machine []raylink.Isolation) []raylink.Isolation {
	if with != RuntimeProcess {
		return machine
	}
	return slices.DeleteFunc(slices.Clone(machine), func(i raylink.Isolation) bool { return i != raylink.IsolationContainer })
}
