package shred

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAHostileTree: whatever a tenant builds goes, and nothing outside is touched.
func TestAHostileTree(t *testing.T) {
	top := t.TempDir()
	outside := filepath.Join(top, "outside")
	must(t, os.Mkdir(outside, 0o700), os.WriteFile(filepath.Join(outside, "file"), []byte("the owner's"), 0o600))
	tree := filepath.Join(top, "tree")
	in := func(name string) string { return filepath.Join(tree, name) }
	must(t, os.Mkdir(tree, 0o700),
		os.Symlink(outside, in("link to a directory")), os.Symlink(filepath.Join(outside, "file"), in("link to a file")), os.Symlink(".", in("loop")),
		unix.Mkfifo(in("pipe"), 0o600),
		os.WriteFile(in("first name"), []byte("twice"), 0o600), os.Link(in("first name"), in("second name")),
		os.WriteFile(in("sparse"), []byte("at the front"), 0o600), os.Truncate(in("sparse"), 1<<40),
		os.WriteFile(in("read-only"), []byte("x"), 0o400),
		os.Mkdir(in("closed"), 0o700), os.WriteFile(in("closed/file"), []byte("x"), 0), os.Chmod(in("closed"), 0),
		os.WriteFile(in("a\nname with \xff and\tall"), []byte("x"), 0o600),
		os.WriteFile(in(strings.Repeat("n", 255)), []byte("x"), 0o600),
		os.Mkdir(in("many"), 0o700))
	for i := range 10_000 {
		must(t, os.WriteFile(in(fmt.Sprintf("many/%d", i)), []byte("many"), 0o600))
	}
	deep(t, tree, 1_000) // 7,000 bytes of path
	if os.Geteuid() == 0 {
		must(t, unix.Mknod(in("device"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 250)))) // one that nobody has: to open it would fail
		must(t, os.Mkdir(in("held"), 0o700), os.WriteFile(in("held/file"), []byte("x"), 0o600))
		hold(t, in("held/file"), in("held"))
	}
	if err := Remove(t.Context(), tree, nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(tree); !os.IsNotExist(err) {
		t.Errorf("the tree: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(outside, "file")); err != nil || string(text) != "the owner's" {
		t.Errorf("outside is %q (%v)", text, err)
	}
	must(t, Remove(t.Context(), tree, nil)) // of nothing
}

// TestANameOutside: a file that is somebody else's too stays whole there, and the removal says so, once.
func TestANameOutside(t *testing.T) {
	top := t.TempDir()
	tree, kept := filepath.Join(top, "tree"), filepath.Join(top, "kept")
	must(t, os.Mkdir(tree, 0o700), os.WriteFile(kept, []byte("kept"), 0o600), os.Link(kept, filepath.Join(tree, "a")), os.Link(kept, filepath.Join(tree, "b")))
	err := Remove(t.Context(), tree, nil)
	var spared *Spared
	if !errors.As(err, &spared) || spared.Files != 1 {
		t.Errorf("the removal says %v", err)
	}
	if text, err := os.ReadFile(kept); err != nil || string(text) != "kept" {
		t.Errorf("outside is %q (%v)", text, err)
	}
	must(t, Remove(t.Context(), tree, nil))
}

// TestContentIsOverwritten looks at the very files through descriptors that outlive their names: holes, several names and large files among them.
func TestContentIsOverwritten(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	must(t, os.Mkdir(tree, 0o700))
	var open []*os.File
	for name, at := range map[string]int64{"small": 0, "two names": 0, "sparse": 1 << 30, "large": largeFile} {
		file, err := os.Create(filepath.Join(tree, name))
		must(t, err)
		defer file.Close()
		_, err = file.WriteAt([]byte("written by a tenant"), at)
		must(t, err)
		open = append(open, file)
	}
	must(t, os.Link(filepath.Join(tree, "two names"), filepath.Join(tree, "zz")))
	must(t, Remove(t.Context(), tree, nil))
	for _, file := range open {
		info, err := file.Stat()
		must(t, err)
		last := make([]byte, min(info.Size(), 1<<20))
		_, err = file.ReadAt(last, info.Size()-int64(len(last)))
		must(t, err)
		if len(last) == 0 || bytes.ContainsFunc(last, func(r rune) bool { return r != 0 }) {
			t.Errorf("%s still has %q", file.Name(), bytes.Trim(last, "\x00"))
		}
		if blocks(file) > largeFile/512 {
			t.Errorf("%s takes %d blocks: its hole was filled", file.Name(), blocks(file))
		}
	}
}

// TestARemovalThatIsCalledOff leaves a tree that the next one finishes.
func TestARemovalThatIsCalledOff(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	must(t, os.MkdirAll(filepath.Join(tree, "a", "b"), 0o700), os.WriteFile(filepath.Join(tree, "a", "b", "c"), []byte("x"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Remove(ctx, tree, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("called off it says %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(tree, "a", "b", "c")); err != nil || string(text) != "x" {
		t.Errorf("called off at once, the file is %q (%v)", text, err)
	}
	must(t, Remove(t.Context(), tree, nil))
	if _, err := os.Lstat(tree); !os.IsNotExist(err) {
		t.Errorf("the tree: %v", err)
	}
}

// TestRest: one other error among what was spared, and not all is done.
func TestRest(t *testing.T) {
	spared := fmt.Errorf("lease: %w", &Spared{Files: 1, Why: errors.New("disk")})
	other := errors.New("other")
	for _, c := range []struct {
		err  error
		rest bool
	}{
		{nil, true}, {spared, true}, {errors.Join(spared, spared), true}, {fmt.Errorf("all: %w", errors.Join(nil, spared)), true},
		{other, false}, {errors.Join(spared, other), false}, {fmt.Errorf("all: %w", errors.Join(other, spared)), false}, {fmt.Errorf("x: %w", other), false},
	} {
		if Rest(c.err) != c.rest {
			t.Errorf("of %v it says %v", c.err, !c.rest)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	must(t, os.WriteFile(path, []byte("said by a tenant"), 0o600))
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	must(t, File(t.Context(), path))
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("it is %+v (%v)", info, err)
	}
	must(t, File(t.Context(), path+".1")) // not there
	must(t, os.Symlink(path, path+".2"))
	if err := File(t.Context(), path+".2"); err == nil {
		t.Error("it was found through a link")
	}
}

// TestAFileOfTwoNames is another's too: a copy of a whole directory by links, as backups make them.
func TestAFileOfTwoNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	must(t, os.WriteFile(path, []byte("said by a tenant"), 0o600), os.Link(path, path+".backup"))
	if err := File(t.Context(), path); err == nil || !Rest(err) {
		t.Errorf("of a file with another name it says %v", err)
	}
	if text, err := os.ReadFile(path + ".backup"); err != nil || string(text) != "said by a tenant" {
		t.Errorf("under its other name it is %q (%v)", text, err)
	}
}

// deep nests directories far beyond what a path may be long.
func deep(t *testing.T, in string, depth int) {
	t.Helper()
	fd, err := unix.Open(in, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	for range depth {
		must(t, unix.Mkdirat(fd, "deeper", 0o700))
		next, err := unix.Openat(fd, "deeper", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err, unix.Close(fd))
		fd = next
	}
	file, err := unix.Openat(fd, "bottom", unix.O_CREAT|unix.O_WRONLY, 0o600)
	must(t, err, unix.Close(file), unix.Close(fd))
}

func blocks(file *os.File) int64 {
	var s unix.Stat_t
	if unix.Fstat(int(file.Fd()), &s) != nil {
		return -1
	}
	return int64(s.Blocks)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
