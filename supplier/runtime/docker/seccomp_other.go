//go:build !linux

package docker

import "raylink/raylink"

// profile is Linux's.
func profile() (string, error) {
	return "", raylink.Errorf(raylink.CodeUnsupported, "leases run on Linux only").WithHint("on a Mac, run the agent in a Linux VM")
}
