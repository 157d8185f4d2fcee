// Package shredtest has a disk whose raw bytes a test can read: a file system in a file.
package shredtest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

const diskBytes = 256 << 20

// Disk is a file system of its own, mounted on Dir. Image is the file that it lies in.
type Disk struct{ Image, Dir string }

// New makes and mounts one with the ext4 features given, for the length of the test. Where a file cannot be mounted the test is skipped.
func New(t *testing.T, features string) Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a file")
	}
	d := Disk{filepath.Join(t.TempDir(), "disk"), t.TempDir()}
	if err := errors.Join(os.WriteFile(d.Image, nil, 0o600), os.Truncate(d.Image, diskBytes)); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-O", features, d.Image}, {"mount", "-o", "loop", d.Image, d.Dir}} {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file can be mounted here: %v: %s", err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.Dir, 0); err != nil {
			t.Errorf("unmounting the disk: %v", err)
		}
	})
	return d
}

// Again mounts it anew, as a machine's next run does: no key of its directories is left.
func (d Disk) Again(t *testing.T) {
	t.Helper()
	if err := unix.Unmount(d.Dir, 0); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", d.Image, d.Dir).CombinedOutput(); err != nil {
		t.Fatalf("mounting it again: %v: %s", err, out)
	}
}

// Has says whether the raw disk has a text anywhere, after all is written that is on its way there.
func (d Disk) Has(t *testing.T, text string) bool {
	t.Helper()
	unix.Sync()
	disk, err := os.Open(d.Image)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	window := make([]byte, 4<<20)
	for kept := 0; ; {
		n, err := disk.Read(window[kept:])
		end := kept + n
		if bytes.Contains(window[:end], []byte(text)) {
			return true
		}
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		kept = copy(window, window[max(0, end-len(text)):end])
	}
}
