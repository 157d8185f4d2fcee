package dataplane

import (
	"errors"

	"golang.org/x/sys/unix"
)

// pidfdOpen gives a descriptor of a process that stays its own, whoever gets the number later.
func pidfdOpen(pid int) (int, error) { return unix.PidfdOpen(pid, 0) }

// fsUser makes the calling thread open files as that user and group.
func fsUser(uid, gid int) error { return errors.Join(unix.Setfsgid(gid), unix.Setfsuid(uid)) }

// fsUserBack gives the calling thread its user back.
func fsUserBack(uid, gid int) error { return errors.Join(unix.Setfsuid(uid), unix.Setfsgid(gid)) }
