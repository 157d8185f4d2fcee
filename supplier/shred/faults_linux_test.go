package shred

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"raylink/supplier/shred/shredtest"
)

// TestAFullDisk: overwriting needs no room, neither of what is written, nor of what is only reserved, nor of what has not reached the disk yet.
func TestAFullDisk(t *testing.T) {
	m := shredtest.New(t, "^encrypt")
	lease := filepath.Join(m.Dir, "lease")
	must(t, os.Mkdir(lease, 0o755))
	tenant(t, lease, text)
	reserved, err := os.Create(filepath.Join(lease, "reserved"))
	must(t, err)
	must(t, unix.Fallocate(int(reserved.Fd()), 0, 0, 32<<20))
	_, err = reserved.WriteAt([]byte(text), 16<<20)
	must(t, err, reserved.Close())
	for i := 0; ; i++ {
		file, err := os.Create(filepath.Join(lease, fmt.Sprintf("filler-%d", i)))
		if err == nil {
			_, err = file.WriteString(text)
			for err == nil {
				_, err = file.Write(make([]byte, 1<<16))
			}
			file.Close()
		}
		if errors.Is(err, unix.ENOSPC) && i > 2 {
			break
		}
		if err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	must(t, Remove(t.Context(), lease, nil))
	if _, err := os.Lstat(lease); !os.IsNotExist(err) || m.Has(t, text) {
		t.Errorf("it is there (%v), or the raw disk has its text", err)
	}
}

// TestADiskThatFails takes no writes where the files lie: they cannot be overwritten, are removed all the same, and the removal says so.
func TestADiskThatFails(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	small, err := os.MkdirTemp("", "small")
	must(t, err)
	t.Cleanup(func() { must(t, os.Remove(small)) })
	must(t, unix.Mount("small", small, "tmpfs", 0, "size=300m"))
	t.Cleanup(func() { must(t, unix.Unmount(small, unix.MNT_DETACH)) })
	t.Setenv("TMPDIR", small)
	m := shredtest.New(t, "^encrypt,^has_journal")
	lease := filepath.Join(m.Dir, "lease")
	must(t, os.Mkdir(lease, 0o755))
	for i := range 40 {
		must(t, os.WriteFile(filepath.Join(lease, fmt.Sprint(i)), bytes.Repeat([]byte("x"), 4<<20), 0o600))
	}
	unix.Sync()
	// The disk's second half is taken away, and what it lies on is filled: there every write fails.
	disk, err := os.OpenFile(m.Image, os.O_RDWR, 0)
	must(t, err, unix.Fallocate(int(disk.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 128<<20, 128<<20), disk.Close())
	filler, err := os.Create(filepath.Join(small, "filler"))
	must(t, err)
	for err == nil {
		_, err = filler.Write(zeros)
	}
	must(t, filler.Close())
	err = Remove(t.Context(), lease, nil)
	if err == nil || !Rest(err) {
		t.Errorf("the removal says %v", err)
	}
	if _, err := os.Lstat(lease); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
	must(t, os.Remove(filler.Name()))
}

// TestAReadOnlyDisk: while nothing can be written nothing is done, and that is not the end of it.
func TestAReadOnlyDisk(t *testing.T) {
	m := shredtest.New(t, "^encrypt")
	lease := filepath.Join(m.Dir, "lease")
	must(t, os.Mkdir(lease, 0o755))
	tenant(t, lease, text)
	must(t, exec.Command("mount", "-o", "remount,ro", m.Dir).Run())
	if err := Remove(t.Context(), lease, nil); err == nil || Rest(err) {
		t.Errorf("the removal says %v", err)
	}
	must(t, exec.Command("mount", "-o", "remount,rw", m.Dir).Run(), Remove(t.Context(), lease, nil))
	if m.Has(t, text) {
		t.Error("the raw disk has its text")
	}
}

// TestWhatIsOnItsWay to the disk is bounded over many files too: an agent that ends waits for no more. Each of them is open until it has arrived.
func TestWhatIsOnItsWay(t *testing.T) {
	before := flushEvery
	flushEvery = 3 << 20
	defer func() { flushEvery = before }()
	tree := filepath.Join(t.TempDir(), "tree")
	must(t, os.Mkdir(tree, 0o700))
	for i := range 50 {
		must(t, os.WriteFile(filepath.Join(tree, fmt.Sprint(i)), bytes.Repeat([]byte("x"), 1<<20), 0o600))
	}
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(all)
	}
	idle, most := open(), 0
	must(t, Remove(asked{t.Context(), func() { most = max(most, open()-idle) }}, tree, nil))
	if most > 8 || open() > idle {
		t.Errorf("%d files were open at a time, and %d are left so", most, open()-idle)
	}
}

// asked is a context that tells when somebody asks whether it is over.
type asked struct {
	context.Context
	tell func()
}

func (a asked) Err() error {
	a.tell()
	return a.Context.Err()
}
