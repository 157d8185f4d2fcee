package supplier

import (
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"

	"raylink/raylink"
)

// runtimesFile names the runtimes that agents of a directory ever ran leases with, the latest last. What they made is found by that, not by a flag that its
// owner must give again: without it processes of tenants would run on after an uninstall that asked only the engine.
const runtimesFile = "runtimes.json"

// The directories that the process runtime makes beside the agent's own.
const (
	processContainers = "containers"
	processImages     = "images"
)

// remember writes down, before the first lease, what the agent runs leases with.
func (f files) remember(with string) error {
	known := f.remembered()
	if len(known) > 0 && known[len(known)-1] == with {
		return nil
	}
	known = slices.DeleteFunc(known, func(one string) bool { return one == with })
	return save(filepath.Join(f.root, runtimesFile), append(known, with))
}

// remembered is empty where nothing was written down, or nothing that can be read.
func (f files) remembered() []string {
	var names []string
	if err := load(filepath.Join(f.root, runtimesFile), &names); err != nil {
		return nil
	}
	return slices.DeleteFunc(names, func(one string) bool { return one != RuntimeDocker && one != RuntimeProcess && one != RuntimeScripted })
}

// ranWith is every runtime that may have something here. Agents of before the file left a directory by which the process runtime is known; for the others
// the settings count.
func (f files) ranWith(settings string) []string {
	known := f.remembered()
	if !slices.Contains(known, RuntimeProcess) {
		if _, err := os.Stat(filepath.Join(f.root, processContainers)); err == nil {
			known = append(known, RuntimeProcess)
		}
	}
	if len(known) == 0 {
		known = []string{settings}
	}
	return known
}

// RunsWith is the runtime that a verb of this machine speaks of: what the settings say; where they say only what they say by default, what the agent last
// ran with.
func RunsWith(config Config) string {
	if known := (files{root: filepath.Clean(config.Data)}).ranWith(config.Runtime); config.Runtime == RuntimeDocker {
		return known[len(known)-1]
	}
	return config.Runtime
}

// system is what this program runs on; a test says another.
var system = goruntime.GOOS

// Refusal says why no agent runs leases here: their sandbox is the Linux kernel's. nil where one may.
func Refusal(config Config) error {
	if system == "linux" || config.Runtime == RuntimeScripted {
		return nil
	}
	return raylink.Errorf(raylink.CodeUnsupported, "the agent runs leases on Linux alone, and this is %s", system).
		WithHint("run it in a Linux VM: on a Mac, Docker's, with the container command that README.md shows; `raylink supplier doctor` and --dry-run work here")
}

// each does something with every runtime that may have made something here.
func (f files) each(config Config, log *slog.Logger, do func(Config) error) error {
	for _, with := range f.ranWith(config.Runtime) {
		one := config
		if one.Runtime = with; with != config.Runtime {
			log.Info("the agent here has run leases with another runtime than the settings name", "runtime", with)
			one.DataPlanes = PlanesAuto
		}
		if err := do(one); err != nil {
			return err
		}
	}
	return nil
}
