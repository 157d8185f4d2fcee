package supplier

import (
	"log/slog"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/process"
)

// withoutEngine are the hands of an agent on a machine without a container engine: leases and data planes are all processes beside it.
// Images lie in images/ of the data directory, what runs in containers/.
func withoutEngine(config *Config, store files, machine raylink.MachineID, log *slog.Logger) (runtime.Runtime, runtime.Planes, func(), error) {
	if config.DataPlanes == PlanesContainer {
		return nil, nil, nil, invalid("--data-planes %s needs --runtime %s", PlanesContainer, RuntimeDocker).WithHint("leave --data-planes out")
	}
	config.DataPlanes = PlanesProcess
	run, err := process.Open(store.root, machine)
	if err != nil {
		return nil, nil, nil, err
	}
	return run, &processPlanes{files: store, log: log}, func() {}, nil
}
