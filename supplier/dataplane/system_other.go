//go:build !linux

package dataplane

import "errors"

// errLinux: a data plane puts its interface into a Linux container's namespace. On other systems the program still builds, for its other roles.
var errLinux = errors.New("data planes run on Linux alone; on a Mac the agent runs in Docker's Linux VM")

func pidfdOpen(int) (int, error) { return -1, errLinux }

func fsUser(int, int) error { return errLinux }

func fsUserBack(int, int) error { return errLinux }
