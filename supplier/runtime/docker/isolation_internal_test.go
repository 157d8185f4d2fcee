package docker

import (
	"os"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/system"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

// TestGVisorAsTheEngineHasIt: a lease in gVisor starts only where it gets its overlay, and never with a GPU; each refusal says what to do.
func TestGVisorAsTheEngineHasIt(t *testing.T) {
	runsc := func(args ...string) map[string]system.RuntimeWithStatus {
		return map[string]system.RuntimeWithStatus{"runsc": {Runtime: system.Runtime{Path: "/usr/bin/runsc", Args: args}}}
	}
	for name, c := range map[string]struct {
		known map[string]system.RuntimeWithStatus
		text  string
		err   error
		gpus  []string
		says  string // "" is that it starts
	}{
		"not known":                    {map[string]system.RuntimeWithStatus{"runc": {}}, "", nil, nil, "does not know gVisor"},
		"without the argument":         {runsc(), "\x7fELF", nil, nil, "without --network=host"},
		"with it":                      {runsc("--network=host"), "\x7fELF", nil, nil, ""},
		"by a script":                  {runsc(), "#!/bin/sh\nexec runsc --network=host \"$@\"", nil, nil, ""},
		"by a script that is far away": {runsc(), "", os.ErrNotExist, nil, ""},
		"with a GPU":                   {runsc("--network=host"), "", nil, []string{"GPU-1"}, "nvproxy"},
	} {
		err := gVisor(runtime.Spec{Isolation: raylink.IsolationGVisor, GPUs: c.gpus}, c.known, func(string) (string, error) { return c.text, c.err })
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || raylink.AsError(err).Hint == "" || raylink.AsError(err).Code != raylink.CodeUnsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
}
