package supplier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Disk is how the agent sees what its leases take of the machine's disk. realDisk is the machine's own.
type Disk interface {
	// Free is what is left of the file system that path lies in, in bytes.
	Free(path string) (int64, error)
	// Measure is what a lease holds. A place that is not there holds nothing.
	Measure(ctx context.Context, l Lodging) (Held, error)
}

// Lodging is where a lease can have something on the disk.
type Lodging struct {
	Places []string // directories; the first is in the file system that the others are compared with
	Pid    int      // of its first process; 0 when it does not run
}

// Held is what a lease holds of the disk.
type Held struct {
	Bytes int64 // as the file system counts them: blocks, so a hole in a file is nothing
	Files int64 // and directories
}

// errMaze says that a tree cannot be measured, and so is not suffered.
var errMaze = errors.New("its directories are nested deeper than can be measured")

const (
	depthMax  = 200    // directories below one another; a file descriptor each while they are walked
	batch     = 512    // names read at once, however many there are
	blockSize = 512    // of Stat_t.Blocks, whatever the file system's own
	mapsMax   = 64_000 // lines of one process's maps that are looked at
)

type realDisk struct{}

func (realDisk) Free(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("asking how full the disk of %s is: %w", path, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

func (realDisk) Measure(ctx context.Context, l Lodging) (Held, error) {
	w := walker{ctx: ctx, seen: map[inode]bool{}}
	for _, place := range l.Places {
		fd, err := unix.Open(place, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return w.held, fmt.Errorf("measuring %s: %w", place, err)
		}
		if w.dev == 0 {
			var s unix.Stat_t
			if err := unix.Fstat(fd, &s); err == nil {
				w.dev = uint64(s.Dev)
			}
		}
		if err := w.dir(fd, place, 0); err != nil {
			return w.held, err
		}
	}
	w.unlinked(l.Pid)
	return w.held, nil
}

type inode struct{ dev, ino uint64 }

// walker goes through directories by their descriptors, never by paths: a tenant may rename and link under it, and no link leads it out. It stops
// soon after filesMax: what a lease may make the agent do is bounded.
type walker struct {
	ctx  context.Context
	held Held
	dev  uint64         // of the first place
	seen map[inode]bool // files with several names
}

func (w *walker) add(s *unix.Stat_t) {
	id := inode{uint64(s.Dev), uint64(s.Ino)}
	if s.Nlink != 1 && s.Mode&unix.S_IFMT != unix.S_IFDIR {
		if w.seen[id] {
			return
		}
		w.seen[id] = true
	}
	w.held.Bytes += int64(s.Blocks) * blockSize
	w.held.Files++
}

// dir takes over fd.
func (w *walker) dir(fd int, name string, depth int) error {
	here := os.NewFile(uintptr(fd), name)
	defer here.Close()
	if depth > depthMax {
		return errMaze
	}
	for w.held.Files <= filesMax {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		names, err := here.Readdirnames(batch)
		for _, name := range names {
			if err := w.entry(fd, name, depth); err != nil {
				return err
			}
		}
		if err != nil { // the end; or the directory was removed meanwhile
			return nil
		}
	}
	return nil
}

func (w *walker) entry(fd int, name string, depth int) error {
	var s unix.Stat_t
	if unix.Fstatat(fd, name, &s, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return nil // gone meanwhile
	}
	w.add(&s)
	if s.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("measuring %s: %w", name, err)
	case err != nil:
		return nil // gone meanwhile, or not a directory any more
	}
	return w.dir(sub, name, depth+1)
}

// unlinked adds files that have no name any more and are still open or mapped in the lease's processes: they hold the disk all the same. Processes are those
// of the first one's pid namespace. A file that is only on its way through a socket is not seen: then the floor is what protects the disk.
func (w *walker) unlinked(first int) {
	if first <= 0 {
		return
	}
	inside, err := os.Readlink(procPath(first, "ns/pid"))
	if err != nil {
		return
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if its, err := os.Readlink(procPath(pid, "ns/pid")); err != nil || its != inside {
			continue
		}
		fds, _ := os.ReadDir(procPath(pid, "fd")) // it may have ended
		for _, fd := range fds {
			w.nameless(procPath(pid, "fd/"+fd.Name()))
		}
		for _, span := range deletedMaps(procPath(pid, "maps")) {
			w.nameless(procPath(pid, "map_files/"+span))
		}
	}
}

func (w *walker) nameless(path string) {
	var s unix.Stat_t
	if unix.Stat(path, &s) == nil && s.Nlink == 0 && uint64(s.Dev) == w.dev && s.Mode&unix.S_IFMT == unix.S_IFREG {
		w.add(&s)
	}
}

// deletedMaps names the parts of a process's memory that are files without a name.
func deletedMaps(path string) (spans []string) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	lines := 0
	for line := range strings.Lines(string(raw)) {
		if lines++; lines > mapsMax {
			break
		}
		if span, _, ok := strings.Cut(line, " "); ok && strings.HasSuffix(line, " (deleted)\n") {
			spans = append(spans, span)
		}
	}
	return spans
}

func procPath(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }
