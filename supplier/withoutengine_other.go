//go:build !linux

package supplier

import (
	"log/slog"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

// withoutEngine is refused outside Linux, which alone has the namespaces.
func withoutEngine(*Config, files, raylink.MachineID, *slog.Logger) (runtime.Runtime, runtime.Planes, func(), error) {
	return nil, nil, nil, raylink.Errorf(raylink.CodeUnsupported, "leases without a container engine run on Linux only").WithHint("on a Mac the agent runs in Docker's Linux VM")
}
