//go:build !linux

package supplier

import "errors"

// errLinux: an agent works on Linux alone so far. On other systems the program still builds, for its other roles.
var errLinux = errors.New("data planes run on Linux alone; on a Mac the agent runs in Docker's Linux VM")

func peer(int) (int, error) { return -1, errLinux }

func kill(int) error { return errLinux }
