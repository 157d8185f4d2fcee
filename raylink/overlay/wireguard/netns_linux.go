package wireguard

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// InNetns calls f on a thread that stands in the network namespace at path (such as /proc/<pid>/ns/net): sockets that f makes itself,
// not in goroutines of its own, belong to that namespace for good. It needs CAP_SYS_ADMIN.
func InNetns(path string, f func() error) error {
	done := make(chan error, 1)
	// A goroutine of its own: should the way back be barred, its thread is thrown away with it instead of being handed to others.
	go func() {
		runtime.LockOSThread()
		back, err := inNetns(path, f)
		if back {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// inNetns reports whether the thread stands again where it stood before.
func inNetns(path string, f func() error) (back bool, err error) {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true, fmt.Errorf("opening this thread's network namespace: %w", err)
	}
	defer unix.Close(home)
	there, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true, fmt.Errorf("opening the network namespace %s: %w", path, err)
	}
	defer unix.Close(there)
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		return true, fmt.Errorf("entering the network namespace %s: %w", path, err)
	}
	err = f()
	if home := unix.Setns(home, unix.CLONE_NEWNET); home != nil {
		return false, errors.Join(err, fmt.Errorf("leaving the network namespace %s: %w", path, home))
	}
	return true, err
}
