package shred

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const blockBytes = 1 << 20

var flushEvery int64 = 256 << 20 // bytes: more is never on its way to the disk, so that an end is not waited for long; a test's are fewer

var zeros = make([]byte, blockBytes)

// openFile opens a regular file to be overwritten, and nothing else: no link is followed, no pipe waits, no device is touched, no file that is mounted there, and
// none that has another name: under that one it may be somebody else's.
func openFile(dir int, name string) (int, error) {
	const how = unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
	fd, err := openInside(dir, name, how)
	if errors.Is(err, unix.EPERM) {
		unflag(dir, name)
		fd, err = openInside(dir, name, how)
	}
	if err != nil {
		return -1, err
	}
	var s unix.Stat_t
	switch err := unix.Fstat(fd, &s); {
	case err != nil || s.Mode&unix.S_IFMT != unix.S_IFREG:
		unix.Close(fd)
		return -1, errors.Join(errors.New("it is no regular file"), err)
	case s.Nlink > 1:
		unix.Close(fd)
		return -1, errors.New("it has another name")
	}
	return fd, nil
}

// zero overwrites a file's content. Holes stay holes: nothing is there to be read.
func (w *walker) zero(fd int) error {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return err
	}
	for at := int64(0); at < s.Size; {
		from, to := extent(fd, at, s.Size)
		if from >= s.Size {
			return nil
		}
		if err := w.zeroPart(fd, from, to); err != nil {
			return err
		}
		at = to
	}
	return nil
}

func (w *walker) zeroPart(fd int, from, to int64) error {
	unflushed := int64(0)
	for from < to {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Pwrite(fd, zeros[:min(blockBytes, to-from)], from)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("writing zeros: %w", err)
		}
		from, w.bytes, unflushed = from+int64(n), w.bytes+int64(n), unflushed+int64(n)
		if unflushed >= flushEvery {
			if err := flush(fd); err != nil {
				return err
			}
			unflushed = 0
		}
		w.report()
	}
	return nil
}
