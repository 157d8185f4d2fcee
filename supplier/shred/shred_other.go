//go:build !linux

package shred

import (
	"errors"

	"golang.org/x/sys/unix"
)

// No lease really runs on such a system; this is for those that are only pretended.

// ErrKeyLost is Linux's.
var ErrKeyLost = errors.New("its key went with the machine's last run")

var errNoKey = errors.New("no key")

type keyID struct{}

func openDir(dir int, name string) (int, error) {
	return openInside(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC)
}

func openInside(dir int, name string, flags int) (int, error) {
	return unix.Openat(dir, name, flags, 0)
}

func extent(_ int, at, size int64) (from, to int64) { return at, size }

func send(int) {}

func arrive(fd int) error { return flush(fd) }

func flush(fd int) error { return unix.Fsync(fd) }

func unflag(int, string) {}

// Can says that nothing is sealed here.
func Can(string) bool { return false }

// Seal seals nothing.
func Seal(string) (bool, error) { return false, nil }

func ownKey(int, int) (keyID, bool) { return keyID{}, false }

func discard(int, keyID) error { return nil }
