package dataplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	watchPause = 250 * time.Millisecond
	lockSuffix = ".lock"
)

// namespace is the container's network namespace, held open so that another process which gets the same pid cannot be mistaken for it.
type namespace struct {
	file   *os.File
	path   string // of the held file
	inode  uint64
	origin string // where it was opened
	pidfd  int    // of the container's main process; -1 without
}

func openNamespace(config Config) (*namespace, error) {
	n := &namespace{origin: config.Netns, pidfd: -1}
	if config.Pid > 0 {
		fd, err := pidfdOpen(config.Pid)
		if errors.Is(err, unix.ESRCH) {
			return nil, fmt.Errorf("%w: there is no process %d", ErrGone, config.Pid)
		}
		if err != nil {
			return nil, fmt.Errorf("watching the container's process %d: %w", config.Pid, err)
		}
		n.pidfd = fd
		n.origin = fmt.Sprintf("/proc/%d/ns/net", config.Pid)
	}
	if err := n.open(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *namespace) open() error {
	file, err := os.Open(n.origin)
	if errors.Is(err, os.ErrPermission) && n.pidfd >= 0 {
		file, err = openAsOwner(n.origin)
	}
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || n.ended() {
			return fmt.Errorf("%w: %w", ErrGone, err)
		}
		return fmt.Errorf("opening the container's network namespace: %w", err)
	}
	n.file, n.path = file, fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	if n.ended() { // only now is it sure whose namespace was opened
		return ErrGone
	}
	var own, its unix.Stat_t
	if err := errors.Join(unix.Stat("/proc/self/ns/net", &own), unix.Fstat(int(file.Fd()), &its)); err != nil {
		return fmt.Errorf("looking at the container's network namespace: %w", err)
	}
	if own.Dev == its.Dev && own.Ino == its.Ino {
		return fmt.Errorf("%s is this process's own network namespace: the container would see the machine's network", n.origin)
	}
	n.inode = its.Ino
	return nil
}

// openAsOwner opens a namespace file of a process that runs under another user: without CAP_SYS_PTRACE, which an agent in a container
// does not have, only the same user may. The thread takes on the user for this one file.
func openAsOwner(path string) (*os.File, error) {
	var owner unix.Stat_t
	if err := unix.Stat(filepath.Dir(path), &owner); err != nil {
		return nil, fmt.Errorf("finding the owner of %s: %w", path, err)
	}
	type opened struct {
		file *os.File
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its borrowed user with it
		if err := fsUser(int(owner.Uid), int(owner.Gid)); err != nil {
			done <- opened{err: fmt.Errorf("taking on the user of %s: %w", path, err)}
			return
		}
		file, err := os.Open(path)
		// Should this be the main thread, it is parked instead of ended: give it back its user.
		done <- opened{file, errors.Join(err, fsUserBack(os.Geteuid(), os.Getegid()))}
	}()
	o := <-done
	return o.file, o.err
}

// ended reports whether the container's main process has ended, or the namespace's file is another or none.
func (n *namespace) ended() bool {
	if n.pidfd >= 0 {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(n.pidfd), Events: unix.POLLIN}}, 0)
		return err == nil && ready > 0
	}
	var now unix.Stat_t
	err := unix.Stat(n.origin, &now)
	return errors.Is(err, unix.ENOENT) || err == nil && n.inode != 0 && now.Ino != n.inode
}

// watch waits until the container has ended (ErrGone) or the context has (nil).
func (n *namespace) watch(ctx context.Context) error {
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if n.ended() {
			return ErrGone
		}
	}
}

func (n *namespace) close() {
	if n.file != nil {
		n.file.Close()
	}
	if n.pidfd >= 0 {
		unix.Close(n.pidfd)
	}
}

// lock lets one process at a time serve a control socket.
type lock struct{ file *os.File }

// takeLock waits a while for a predecessor that is on its way out.
func takeLock(ctx context.Context, socket string) (*lock, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the control socket: %w", err)
	}
	path := socket + lockSuffix
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the control socket: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, attachWithin)
	defer cancel()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &lock{file}, nil
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("another data plane serves %s: %w", socket, err)
		case <-time.After(attachPause):
		}
	}
}

// release leaves the file: removing it would let two processes hold locks on two files of the same name.
func (l *lock) release() { l.file.Close() }
