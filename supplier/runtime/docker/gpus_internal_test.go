package docker

import (
	"errors"
	"strings"
	"testing"

	"raylink/supplier/runtime"
)

const (
	listedGPU  = "GPU-11111111-2222-3333-4444-555555555555"
	listedTwo  = "GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-11111111-2222-3333-4444-555555555555)\nGPU 1: NVIDIA GeForce RTX 4090 (UUID: GPU-66666666-2222-3333-4444-555555555555)\n"
	unknownErr = "Failed to initialize NVML: Unknown Error\n"
)

// TestJudgeList reads what nvidia-smi says, in the words that NVIDIA documents; none of them was recorded by us.
func TestJudgeList(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		code int
		lost bool
		want string // part of the error; empty is none
	}{
		"both":                    {listedTwo, 0, false, ""},
		"another":                 {strings.ReplaceAll(listedTwo, listedGPU, "GPU-0"), 0, true, "is not listed"},
		"nothing":                 {"", 0, true, "is not listed"},
		"after a daemon-reload":   {unknownErr, 255, true, "Unknown Error"},
		"no devices":              {"No devices were found\n", 6, true, "No devices"},
		"off the bus":             {"Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot the system to recover this GPU\n", 15, true, "GPU is lost"},
		"no driver":               {"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 9, true, "communicate"},
		"no tool":                 {"OCI runtime exec failed: exec failed: unable to start container process: exec: \"nvidia-smi\": executable file not found in $PATH", 127, false, "ends with 127"},
		"killed":                  {"", 137, false, "ends with 137"},
		"its own ROM is corrupt":  {listedTwo, 14, false, "ends with 14"},
		"a tenant's long nothing": {"\x1b[31m" + strings.Repeat("é", 2_000), 255, true, "lost its GPUs"},
	} {
		t.Run(name, func(t *testing.T) {
			err := judgeList([]string{listedGPU}, c.text, c.code)
			if (err == nil) != (c.want == "") || errors.Is(err, runtime.ErrGPULost) != c.lost {
				t.Fatal(err)
			}
			if err != nil && (!strings.Contains(err.Error(), c.want) || len(err.Error()) > 600 || strings.ContainsRune(err.Error(), '\x1b')) {
				t.Error(err)
			}
		})
	}
}
