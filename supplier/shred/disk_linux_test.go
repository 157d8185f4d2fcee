package shred

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"raylink/supplier/shred/shredtest"
)

// hold sets the flags with which the file system holds files fast, where it has them.
func hold(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		file, err := os.Open(path)
		must(t, err)
		if err := unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flagImmutable); err != nil {
			t.Logf("%s cannot be held fast here: %v", path, err)
		}
		file.Close()
	}
}

// tenant writes as one does: a large file, many small ones, and one that he removes himself.
func tenant(t *testing.T, dir string, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "session", "logs"), 0o755), os.WriteFile(filepath.Join(dir, "session", "weights"), bytes.Repeat([]byte(text), 500_000), 0o600))
	for i := range 300 {
		must(t, os.WriteFile(filepath.Join(dir, "session", "logs", string(rune('a'+i%26))+string(rune('a'+i/26))), []byte(text), 0o600))
	}
	unix.Sync()
}

const text = "what a tenant wrote and nobody else is to read"

// TestTheRawDisk: after a removal the raw disk has nothing of what a tenant wrote, with a key and without. That the disk would have it otherwise is seen too.
func TestTheRawDisk(t *testing.T) {
	for name, features := range map[string]string{"overwritten": "^encrypt", "sealed": "encrypt"} {
		t.Run(name, func(t *testing.T) {
			m := shredtest.New(t, features)
			lease := filepath.Join(m.Dir, "lease")
			must(t, os.Mkdir(lease, 0o755))
			sealed, err := Seal(lease)
			if err != nil || sealed != (name == "sealed") || Can(m.Dir) != sealed {
				t.Fatalf("sealing says %v (%v), and that it can %v", sealed, err, Can(m.Dir))
			}
			if again, err := Seal(lease); err != nil || again != sealed {
				t.Errorf("sealing again says %v (%v)", again, err)
			}
			tenant(t, lease, text)
			if m.Has(t, text) == sealed {
				t.Fatalf("while the lease lives, sealed %v, the raw disk has its text: %v", sealed, !sealed)
			}
			must(t, Remove(t.Context(), lease, nil))
			if m.Has(t, text) {
				t.Error("after the lease the raw disk has what its tenant wrote")
			}
		})
	}
}

// TestUnlinkingIsNotEnough shows that the look at the raw disk sees what it is to see.
func TestUnlinkingIsNotEnough(t *testing.T) {
	m := shredtest.New(t, "^encrypt")
	lease := filepath.Join(m.Dir, "lease")
	tenant(t, lease, text)
	must(t, os.RemoveAll(lease))
	if !m.Has(t, text) {
		t.Error("unlinked only, nothing is left on the raw disk: this test cannot see anything")
	}
}

// TestTheKeyGoes: what a sealed directory held is noise once its key is gone, even though the files are there: as an agent that was killed in the midst of a
// removal leaves them, or a machine that was started anew. The next removal finishes.
func TestTheKeyGoes(t *testing.T) {
	m := shredtest.New(t, "encrypt")
	lease := filepath.Join(m.Dir, "lease")
	must(t, os.Mkdir(lease, 0o755))
	if sealed, err := Seal(lease); err != nil || !sealed {
		t.Fatalf("sealing says %v (%v)", sealed, err)
	}
	tenant(t, lease, text)
	deep(t, lease, 50)
	parent, err := os.Open(m.Dir)
	must(t, err)
	key, _, err := sealedBy(int(parent.Fd()), "lease")
	must(t, err)
	must(t, discard(int(parent.Fd()), key), discard(int(parent.Fd()), key), parent.Close())
	if _, err := os.ReadFile(filepath.Join(lease, "session", "weights")); err == nil {
		t.Error("without its key a file can be read")
	}
	if sealed, err := Seal(lease); !sealed || !errors.Is(err, ErrKeyLost) {
		t.Errorf("sealing a directory whose key is gone says %v (%v)", sealed, err)
	}
	must(t, Remove(t.Context(), lease, nil))
	if _, err := os.Lstat(lease); !os.IsNotExist(err) || m.Has(t, text) {
		t.Errorf("it is there (%v), or the raw disk has its text", err)
	}
}

// TestAFileInUse: what somebody still has open keeps its key. The removal says so, and everything is gone all the same.
func TestAFileInUse(t *testing.T) {
	m := shredtest.New(t, "encrypt")
	lease := filepath.Join(m.Dir, "lease")
	must(t, os.Mkdir(lease, 0o755))
	if sealed, err := Seal(lease); err != nil || !sealed {
		t.Fatalf("sealing says %v (%v)", sealed, err)
	}
	file, err := os.Create(filepath.Join(lease, "open"))
	must(t, err)
	defer file.Close()
	var spared *Spared
	if err := Remove(t.Context(), lease, nil); !errors.As(err, &spared) {
		t.Errorf("the removal says %v", err)
	}
	if _, err := os.Lstat(lease); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
}

// TestMounts: what somebody mounted into a tree, on it, or on a file in it is not the tenant's, and stays; also on kernels that do not know openat2.
func TestMounts(t *testing.T) {
	old := func(int, string, *unix.OpenHow) (int, error) { return -1, unix.ENOSYS }
	for kernel, call := range map[string]func(int, string, *unix.OpenHow) (int, error){"this kernel": unix.Openat2, "an old kernel": old} {
		for where, at := range map[string]string{"inside": "mounted", "on the tree": "", "on a file": "file"} {
			t.Run(kernel+", "+where, func(t *testing.T) {
				m := shredtest.New(t, "^encrypt")
				openat2 = call
				defer func() { openat2 = unix.Openat2 }()
				// All is of one file system: a device's number does not tell them apart.
				owners, tree := filepath.Join(m.Dir, "owners"), filepath.Join(m.Dir, "tree")
				must(t, os.Mkdir(owners, 0o700), os.WriteFile(filepath.Join(owners, "file"), []byte("the owner's"), 0o600),
					os.MkdirAll(filepath.Join(tree, "mounted"), 0o700), os.WriteFile(filepath.Join(tree, "file"), []byte("a tenant's"), 0o600))
				what, on := owners, filepath.Join(tree, at)
				if at == "file" {
					what = filepath.Join(owners, "file")
				}
				must(t, unix.Mount(what, on, "", unix.MS_BIND, ""))
				err := Remove(t.Context(), tree, nil)
				must(t, unix.Unmount(on, 0))
				if err == nil {
					t.Error("the removal says nothing of it")
				}
				if text, err := os.ReadFile(filepath.Join(owners, "file")); err != nil || string(text) != "the owner's" {
					t.Errorf("what was mounted is %q (%v)", text, err)
				}
			})
		}
	}
}

// TestTheOwnersOwnKey: where the owner encrypts the agent's directory himself, all below is on his key. It is never thrown away: what leases wrote is overwritten.
func TestTheOwnersOwnKey(t *testing.T) {
	m := shredtest.New(t, "encrypt")
	owners := filepath.Join(m.Dir, "owners")
	must(t, os.Mkdir(owners, 0o700))
	if sealed, err := Seal(owners); err != nil || !sealed {
		t.Fatalf("sealing says %v (%v)", sealed, err)
	}
	lease := filepath.Join(owners, "leases", "lease")
	must(t, os.WriteFile(filepath.Join(owners, "file"), []byte("the owner's"), 0o600), os.MkdirAll(lease, 0o700))
	if sealed, err := Seal(lease); err != nil || sealed || Can(owners) {
		t.Errorf("below, sealing says %v (%v), and that it can %v", sealed, err, Can(owners))
	}
	must(t, os.WriteFile(filepath.Join(lease, "file"), []byte(text), 0o600))
	file, err := os.Open(filepath.Join(lease, "file"))
	must(t, err, Remove(t.Context(), lease, nil))
	wiped := make([]byte, len(text))
	if _, err := file.ReadAt(wiped, 0); err != nil || bytes.ContainsFunc(wiped, func(r rune) bool { return r != 0 }) {
		t.Errorf("the lease's file has %q (%v)", wiped, err)
	}
	must(t, file.Close())
	fd, err := os.Open(owners)
	must(t, err)
	defer fd.Close()
	if key, _ := keyOf(int(fd.Fd())); !present(int(fd.Fd()), key) {
		t.Error("the owner's key is gone")
	}
	if text, err := os.ReadFile(filepath.Join(owners, "file")); err != nil || string(text) != "the owner's" {
		t.Errorf("the owner's file is %q (%v)", text, err)
	}
}

// TestAKill: a removal that is killed in the midst, and another one that finishes it.
func TestAKill(t *testing.T) {
	for _, c := range []struct{ name, features, steps string }{{"overwritten", "^encrypt", "2000"}, {"sealed", "encrypt", "8"}} {
		t.Run(c.name, func(t *testing.T) {
			m := shredtest.New(t, c.features)
			lease := filepath.Join(m.Dir, "lease")
			must(t, os.Mkdir(lease, 0o755))
			_, err := Seal(lease)
			must(t, err)
			tenant(t, lease, text)
			for i := range 2_000 {
				must(t, os.WriteFile(filepath.Join(lease, "session", fmt.Sprintf("spilled-%d", i)), []byte(text), 0o600))
			}
			unix.Sync()
			all := count(lease)
			if err := exec.CommandContext(t.Context(), "/proc/self/exe", removeVerb, lease, c.steps).Run(); err == nil {
				t.Fatal("it was not killed")
			}
			if left := count(lease); left == 0 || left >= all {
				t.Fatalf("of %d files there are %d: it was not killed in the midst", all, left)
			}
			must(t, Remove(t.Context(), lease, nil))
			if _, err := os.Lstat(lease); !os.IsNotExist(err) || m.Has(t, text) {
				t.Errorf("it is there (%v), or the raw disk has its text", err)
			}
		})
	}
}

const removeVerb = "remove"

// TestMain lets this test binary be a remover that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == removeVerb {
		steps, err := strconv.Atoi(os.Args[3])
		if err == nil {
			err = Remove(fatal{context.Background(), &steps}, os.Args[2], nil)
		}
		fmt.Fprintln(os.Stderr, "not killed", err)
		return
	}
	os.Exit(m.Run())
}

// fatal kills the process when it has been asked so often.
type fatal struct {
	context.Context
	left *int
}

func (f fatal) Err() error {
	if *f.left--; *f.left == 0 {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
	return nil
}

// count is how many files are below a directory.
func count(dir string) (n int) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error { // they vanish meanwhile
		if err == nil && !e.IsDir() {
			n++
		}
		return nil
	})
	return n
}
