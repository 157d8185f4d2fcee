package docker

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/docker/api/types/system"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

// RuntimeGVisor is the name under which an engine must know gVisor's runsc for leases of that tier. It must be registered with --network=host, which inside a
// lease's own empty namespace means the overlay and nothing else.
const RuntimeGVisor = raylink.GVisorRuntime

// offers refuses tiers of isolation that this engine does not have.
func (r *Runtime) offers(ctx context.Context, spec runtime.Spec) error {
	switch spec.Isolation {
	case "", raylink.IsolationContainer:
		return nil
	case raylink.IsolationGVisor:
		info, err := r.engine.Info(ctx)
		if err != nil {
			return fmt.Errorf("asking the engine for its runtimes: %w", err)
		}
		return gVisor(spec, info.Runtimes, script)
	case raylink.IsolationVM:
		return raylink.Errorf(raylink.CodeUnsupported, "no machine runs leases in virtual machines yet").WithHint("ask for %s or %s", raylink.IsolationGVisor, raylink.IsolationContainer)
	}
	return raylink.Errorf(raylink.CodeInvalid, "the tier of isolation %q is not known", spec.Isolation).WithHint("container and gvisor are")
}

// gVisor says why an engine with these runtimes cannot run a lease in gVisor, or nil. A script of the engine's that cannot be read from here, as in an agent's
// container, refuses nothing: whether it is the right one was seen before the tier was offered.
func gVisor(spec runtime.Spec, known map[string]system.RuntimeWithStatus, read func(path string) (string, error)) error {
	runsc, ok := known[RuntimeGVisor]
	if !ok {
		return raylink.Errorf(raylink.CodeUnsupported, "this machine's engine does not know gVisor").WithHint("install runsc, then %s", raylink.GVisorHint)
	}
	if len(spec.GPUs) > 0 {
		return raylink.Errorf(raylink.CodeUnsupported, "%s", raylink.WhyNoGVisorGPU).WithHint("ask for the isolation %s, or for no GPU", raylink.IsolationContainer)
	}
	text, err := read(runsc.Path)
	if err == nil && !raylink.GVisorJoins(runsc.Args, text) {
		return raylink.Errorf(raylink.CodeUnsupported, "this machine's engine calls runsc without --network=host: the lease would have no overlay").WithHint("%s", raylink.GVisorHint)
	}
	return nil
}

// scriptMax is how much is read of what the engine calls, in bytes: of a program nothing matters.
const scriptMax = 4 << 10

// script is the beginning of a file that the engine names, by its path on the host.
func script(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", nil // found along the engine's own PATH: no script of ours to read
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, scriptMax))
	return string(text), err
}
