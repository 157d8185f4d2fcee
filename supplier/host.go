package supplier

import (
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/supplier/device"
)

// hostOf is what is known of this machine without any driver: its processor, its memory and its system.
func hostOf(has device.Machine) *raylink.Host {
	h := &raylink.Host{
		OS: "Linux", Arch: has.Arch, Memory: has.Memory, Versions: map[string]string{}, Isolation: []raylink.Isolation{raylink.IsolationContainer},
		Devices: []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: has.Model, Threads: has.Cores}},
	}
	if text, err := os.ReadFile("/etc/os-release"); err == nil {
		if name := prettyName(string(text)); name != "" {
			h.OS = name
		}
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		h.Kernel = unix.ByteSliceToString(name.Release[:])
		h.Versions[raylink.VersionKernel] = h.Kernel
	}
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" && build.Main.Version != "(devel)" {
		h.Versions[raylink.VersionAgent] = build.Main.Version
	}
	return h
}

// prettyName reads PRETTY_NAME of os-release(5).
func prettyName(text string) string {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"'`)
		}
	}
	return ""
}
