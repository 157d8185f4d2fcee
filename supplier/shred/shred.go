// Package shred makes what a tenant wrote unreadable before its place goes to somebody else: also for who reads the raw disk.
//
// Two ways, the better one where the file system has it:
//
//	Seal    gives a fresh directory an encryption key (fscrypt) that is in the kernel's memory alone. Remove throws it away first: what was ever written
//	        below, and what was removed there long before, is noise from then on.
//	Remove  of a directory that is on no key overwrites every file with zeros, waits until the disk has them, and only then removes it.
//
// Who wrote the tree is hostile, and dead: none of his processes may live any more. No link leads out of it, no device or pipe in it is opened, and it may be
// nested however deep. A removal that was broken off, by a kill as well, is done again from the start.
package shred

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	batch     = 128              // names that are dealt with together; those of directories on the way down stay in memory
	largeFile = 64 << 20         // bytes from which on a file is removed as soon as it is overwritten: a full disk waits for them
	tellEvery = 10 * time.Second // at most
)

// Tell is told now and then how far a removal has come: files that are gone, and bytes that were overwritten. It may be nil.
type Tell func(files, bytes int64)

// Spared is the error of a removal that did all it could: everything is gone from the tree, but not everything was made unreadable. Doing it again is no use.
type Spared struct {
	Files int64 // whose content was not overwritten; 0 where it is the key that could not be thrown away
	Why   error // of the first
}

func (s *Spared) Error() string {
	if s.Files == 0 {
		return fmt.Sprintf("removed, but not made unreadable: %v", s.Why)
	}
	return fmt.Sprintf("removed, but %d file(s) could not be overwritten, and who reads the raw disk may find them: the first: %v", s.Files, s.Why)
}

func (s *Spared) Unwrap() error { return s.Why }

// Remove removes a directory with all that is in it, so that nothing of it can be read any more. One that is not there is no error. Its error is a *Spared when
// everything is removed all the same.
func Remove(ctx context.Context, dir string, tell Tell) error {
	spared := Empty(ctx, dir, tell)
	if !Rest(spared) {
		return spared
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	return spared
}

// Empty does the same with what is in a directory, and leaves the directory.
func Empty(ctx context.Context, dir string, tell Tell) error {
	parent, name, err := above(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("shredding %s: %w", dir, err)
	}
	defer unix.Close(parent)
	key, sealed, err := sealedBy(parent, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("shredding %s: %w", dir, err)
	}
	w := walker{ctx: ctx, tell: tell, told: time.Now(), names: map[inode]bool{}}
	var discarded error
	if sealed {
		discarded = discard(parent, key) // while nothing below is open, here neither
		w.unreadable = discarded == nil
	}
	fd, err := openDir(parent, name)
	if err == nil {
		err = w.tree(fd)
	}
	if err != nil {
		return fmt.Errorf("shredding %s: %w", dir, err)
	}
	if discarded != nil { // a file was still in use: now none has a name, and what is left of the key goes
		discarded = discard(parent, key)
	}
	for range w.names {
		w.spare(errors.New("it has another name, outside"))
	}
	switch {
	case w.spared > 0:
		return fmt.Errorf("shredding %s: %w", dir, &Spared{Files: w.spared, Why: w.why})
	case discarded != nil:
		return fmt.Errorf("shredding %s: %w", dir, &Spared{Why: discarded})
	}
	return nil
}

// above opens the directory that a path is in: from there it can be seen whether something is mounted on the path.
func above(path string) (fd int, name string, err error) {
	path = filepath.Clean(path)
	fd, err = unix.Open(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return fd, filepath.Base(path), err
}

// sealedBy is the key that a directory is on for itself, if it is on one.
func sealedBy(parent int, name string) (keyID, bool, error) {
	fd, err := openDir(parent, name)
	if err != nil {
		return keyID{}, false, err
	}
	defer unix.Close(fd)
	key, sealed := ownKey(parent, fd)
	return key, sealed, nil
}

// File overwrites one file and leaves it there, empty. One that is not there is no error. What could not be overwritten is a *Spared; so is one that has another name.
func File(ctx context.Context, path string) error {
	fd := -1
	parent, name, err := above(path)
	if err == nil {
		fd, err = openFile(parent, name)
		unix.Close(parent)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		defer unix.Close(fd)
		w := walker{ctx: ctx, told: time.Now()}
		if err = w.zero(fd); err == nil {
			err = errors.Join(flush(fd), unix.Ftruncate(fd, 0))
		}
	}
	if err != nil && ctx.Err() == nil {
		err = &Spared{Files: 1, Why: err}
	}
	if err != nil {
		return fmt.Errorf("overwriting %s: %w", path, err)
	}
	return nil
}

// Rest says whether an error, however wrapped and joined, is of nothing but what was spared: then all is done that can be. No error is none of something else either.
func Rest(err error) bool {
	if _, ok := err.(*Spared); ok || err == nil {
		return true
	}
	switch above := err.(type) {
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(above.Unwrap(), func(one error) bool { return !Rest(one) })
	case interface{ Unwrap() error }:
		return above.Unwrap() != nil && Rest(above.Unwrap())
	}
	return false
}

type inode struct{ dev, ino uint64 }

func inodeOf(s *unix.Stat_t) inode { return inode{uint64(s.Dev), uint64(s.Ino)} }

// walker empties one tree. It has a single directory open at a time, whatever the depth, and goes back up by "..": nobody moves anything any more.
type walker struct {
	ctx        context.Context
	unreadable bool           // by its key: nothing need be overwritten
	names      map[inode]bool // files of several names, of which not the last was met
	files      int64
	bytes      int64
	spared     int64
	why        error
	tell       Tell
	told       time.Time
}

// level is a directory on the way down.
type level struct {
	name    string // in the one above
	id      inode
	pending []string // directories in it that are still to be emptied
}

// tree empties the directory fd, which it takes over.
func (w *walker) tree(fd int) (err error) {
	defer func() { unix.Close(fd) }()
	id, err := identify(fd)
	if err != nil {
		return err
	}
	path := []level{{id: id}}
	for {
		here := &path[len(path)-1]
		if len(here.pending) == 0 {
			var any bool
			if any, here.pending, err = w.batch(fd); err != nil {
				return err
			}
			if !any && len(path) == 1 {
				return nil
			}
			if !any {
				if fd, err = w.leave(fd, path[len(path)-2].id, here.name); err != nil {
					return err
				}
				path = path[:len(path)-1]
			}
			continue
		}
		name := here.pending[len(here.pending)-1]
		here.pending = here.pending[:len(here.pending)-1]
		sub, err := openDir(fd, name)
		if err != nil {
			return fmt.Errorf("opening %q: %w", name, err)
		}
		unix.Close(fd)
		fd = sub
		if id, err = identify(fd); err != nil {
			return err
		}
		path = append(path, level{name: name, id: id})
	}
}

// leave goes up from an empty directory to the one that it came from, and removes it there. It takes over fd.
func (w *walker) leave(fd int, to inode, name string) (int, error) {
	up, err := unix.Openat(fd, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fd, fmt.Errorf("going up from %q: %w", name, err)
	}
	unix.Close(fd)
	if id, err := identify(up); err != nil || id != to {
		return up, errors.Join(fmt.Errorf("going up from %q leads elsewhere: somebody moves it", name), err)
	}
	return up, w.unlink(up, name, unix.AT_REMOVEDIR)
}

func identify(fd int) (inode, error) {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return inode{}, err
	}
	return inodeOf(&s), nil
}

// batch removes the first files of a directory, and names the first directories; any is false when it is empty. It reads from the beginning each time: what it
// dealt with is gone by then.
func (w *walker) batch(fd int) (any bool, dirs []string, err error) {
	if err := w.ctx.Err(); err != nil {
		return false, nil, err
	}
	again, err := openDir(fd, ".")
	if err != nil {
		return false, nil, err
	}
	here := os.NewFile(uintptr(again), "")
	names, _ := here.Readdirnames(batch) // its error is the end, or shows when the directory is to be removed
	here.Close()
	files := names[:0:0]
	var open []int
	written := w.bytes
	settle := func() {
		w.settle(open)
		closeAll(open)
		open, written = nil, w.bytes
	}
	defer func() { closeAll(open) }()
	for _, name := range names {
		var s unix.Stat_t
		if err := unix.Fstatat(fd, name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return false, nil, fmt.Errorf("looking at %q: %w", name, err)
		}
		kind := s.Mode & unix.S_IFMT
		switch {
		case kind == unix.S_IFDIR:
			dirs = append(dirs, name)
			continue
		case kind != unix.S_IFREG || w.unreadable:
		case s.Nlink == 1 && s.Size < largeFile:
			delete(w.names, inodeOf(&s))
			if content, ok := w.overwrite(fd, name); ok {
				open = append(open, content)
			}
			if w.bytes-written >= flushEvery {
				settle()
			}
			if err := w.ctx.Err(); err != nil {
				return false, nil, err
			}
		default:
			if err := w.alone(fd, name, &s); err != nil {
				return false, nil, err
			}
			continue
		}
		files = append(files, name)
	}
	settle()
	for _, name := range files {
		if err := w.unlink(fd, name, 0); err != nil {
			return false, nil, err
		}
	}
	return len(names) > 0, dirs, nil
}

func closeAll(open []int) {
	for _, fd := range open {
		unix.Close(fd)
	}
}

// alone removes a large file, or one of several names of a file: with the last one its content goes. A file that keeps a name outside is not the tenant's alone
// and stays as it is.
func (w *walker) alone(fd int, name string, s *unix.Stat_t) error {
	if s.Nlink > 1 {
		w.names[inodeOf(s)] = true
		return w.unlink(fd, name, 0)
	}
	delete(w.names, inodeOf(s))
	if content, ok := w.overwrite(fd, name); ok {
		w.settle([]int{content})
		unix.Close(content)
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.unlink(fd, name, 0)
}

// overwrite writes zeros over all that a file has on the disk; the descriptor is for settle.
func (w *walker) overwrite(dir int, name string) (fd int, ok bool) {
	fd, err := openFile(dir, name)
	if err == nil {
		if err = w.zero(fd); err == nil {
			return fd, true
		}
		unix.Close(fd)
	}
	if w.ctx.Err() == nil && !errors.Is(err, errNoKey) {
		w.spare(fmt.Errorf("%q: %w", name, err))
	}
	return -1, false
}

// settle waits until the disk has what was written: first all are sent on their way, then waited for.
func (w *walker) settle(open []int) {
	for _, fd := range open {
		send(fd)
	}
	for i, fd := range open {
		err := arrive(fd)
		if i == len(open)-1 && err == nil {
			err = flush(fd) // the disk's own cache, for all of them
		}
		if err != nil {
			w.spare(err)
		}
	}
}

func (w *walker) spare(why error) {
	if w.spared++; w.why == nil {
		w.why = why
	}
}

// unlink removes a name. What a flag of the file system holds fast is freed of it first.
func (w *walker) unlink(dir int, name string, flags int) error {
	err := unix.Unlinkat(dir, name, flags)
	if errors.Is(err, unix.EPERM) {
		unflag(dir, ".")
		unflag(dir, name)
		err = unix.Unlinkat(dir, name, flags)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %q: %w", name, err)
	}
	w.files++
	w.report()
	return nil
}

func (w *walker) report() {
	if w.tell != nil && time.Since(w.told) >= tellEvery {
		w.told = time.Now()
		w.tell(w.files, w.bytes)
	}
}
