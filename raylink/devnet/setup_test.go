package devnet

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// nobody has no rights: what the set-up says to him, it says to every newcomer who is not root.
const nobody = 65534

// newcomer is a user without rights, and his copy of the set-up scripts.
type newcomer struct {
	dir string
	as  *syscall.SysProcAttr
}

func newNewcomer(t *testing.T) newcomer {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the set-up is for Linux")
	}
	dir, err := os.MkdirTemp("", "raylink-setup") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	n := newcomer{dir: dir}
	if os.Getuid() == 0 {
		n.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if err := os.CopyFS(filepath.Join(dir, "raylink", "devnet", "setup"), os.DirFS("setup")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "home"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"debian": "ID=debian\n", "fedora": "ID=fedora\nID_LIKE=rhel\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		if filepath.Base(path) == "home" {
			return os.Chmod(path, 0o777)
		}
		return os.Chmod(path, 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// few is a folder of programs, for a machine that has little: those named, as links, and an `ip` that does nothing.
func (n newcomer) few(t *testing.T, programs ...string) string {
	t.Helper()
	dir := filepath.Join(n.dir, "few")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		path, err := exec.LookPath(p)
		if err == nil {
			err = os.Symlink(path, filepath.Join(dir, p))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ip"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run is a script's exit code and its words, on a machine that says of itself that it is such a system.
func (n newcomer) run(t *testing.T, system, path string, script ...string) (int, string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(n.dir, "raylink", "devnet", "setup", script[0]), script[1:]...)
	c.Dir, c.SysProcAttr = n.dir, n.as
	c.Env = []string{"PATH=" + path, "HOME=" + filepath.Join(n.dir, "home"), "OS_RELEASE=" + filepath.Join(n.dir, system), "RAYLINK_STATE=" + filepath.Join(n.dir, "home", "state")}
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// TestSetupSaysWhatIsNeeded: where it cannot install, the set-up ends at once, and says exactly what is to be done.
func TestSetupSaysWhatIsNeeded(t *testing.T) {
	n := newNewcomer(t)
	usual := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	bare := n.few(t, "bash", "id", "dirname", "sed", "cat", "mkdir", "flock")
	for _, c := range []struct {
		name, system, path string
		script             []string
		words              []string
	}{
		{"a package, not as root", "debian", usual, []string{"apt.sh", "no-such-package"},
			[]string{"raylink: no-such-package is missing, and installing it needs root\n", "as root: apt-get install -y --no-install-recommends no-such-package\n"}},
		{"a package, elsewhere", "fedora", usual, []string{"apt.sh", "no-such-package"},
			[]string{"raylink: no-such-package is missing, and this is not Debian, so it cannot be installed from here\n", "install what Debian calls: no-such-package; then run the same command again\n"}},
		{"of several packages, the one that is missing", "fedora", bare, []string{"apt.sh", "iproute2", "zbar-tools"},
			[]string{"raylink: zbar-tools is missing, and this is not Debian", "install what Debian calls: zbar-tools;"}},
		{"no engine, not as root", "debian", bare, []string{"engine.sh", "up"}, []string{"root"}},
		{"the demo, not as root", "debian", usual, []string{"with.sh", "demo"}, []string{"raylink: make demo needs root", "as root: make demo"}},
		{"the tests, not as root", "fedora", usual, []string{"with.sh", "test"}, []string{"raylink: make test needs root", "make fast"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, said := n.run(t, c.system, c.path, c.script...)
			if code != 1 {
				t.Errorf("it ends with %d", code)
			}
			for _, words := range c.words {
				if !strings.Contains(said, words) {
					t.Errorf("it does not say %q, but\n%s", words, said)
				}
			}
		})
	}
}

// TestSetupTakesWhatIsThere: on a system that is not Debian, what a package gives is enough, whatever it is called there; with dpkg, that is asked first.
func TestSetupTakesWhatIsThere(t *testing.T) {
	n := newNewcomer(t)
	bare := n.few(t, "bash", "dirname", "grep")
	if code, said := n.run(t, "fedora", bare, "apt.sh", "iproute2"); code != 0 || said != "" {
		t.Errorf("with a program ip: %d, %s", code, said)
	}
	dpkg := "#!/bin/sh\nfor last; do :; done\n[ $last != chromium ] || echo install ok installed\n"
	if err := os.WriteFile(filepath.Join(bare, "dpkg-query"), []byte(dpkg), 0o755); err != nil {
		t.Fatal(err)
	}
	if code, said := n.run(t, "fedora", bare, "apt.sh", "chromium"); code != 0 || said != "" {
		t.Errorf("with a dpkg that knows it: %d, %s", code, said)
	}
}
