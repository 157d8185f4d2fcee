package docker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/docker"
	"raylink/supplier/runtime/runtimetest"
)

const (
	tinyImage  = "raylink/tiny:test"
	mappedBase = 700_000 // on the machine, of the containers' root
)

// TestUserNamespaces: on an engine that maps user ids (dockerd --userns-remap) a lease's container is in a user namespace, its tenant is nobody of this machine,
// and it works as any other: it writes where it may, and the overlay is put in from outside.
func TestUserNamespaces(t *testing.T) {
	real(t)
	remapped(t)
	t.Run("Conformance", func(t *testing.T) {
		runtimetest.Run(t, runtimetest.Subject{
			Runtime: func(machine raylink.MachineID) runtime.Runtime { return open(t, machine) },
			Image:   tinyImage, Missing: "raylink/nothing:at-all", Prepare: prepareMapped,
			Exit: func(t *testing.T, spec runtime.Spec, code int, words string) {
				release(t, spec.Dir, fmt.Sprintf("printf '%%s\\n' '%s' >&2\nexit %d\n", words, code))
				waitExit(t, spec)
			},
		})
	})
	spec := runtime.Spec{Lease: "l-mappedaaaa", Machine: "m-mappedaaaa", Cluster: "c-mappedaaaa", Image: tinyImage, Dir: prepareMapped(t, "l-mappedaaaa"), CPU: 10_000, Memory: 128 << 20}
	said, pid := mappedLease(t, spec)
	if own, err := os.Readlink("/proc/self/ns/user"); err != nil || own == pid.namespace {
		t.Errorf("the lease is in the machine's own user namespace, %s (%v)", pid.namespace, err)
	}
	if pid.user != mappedBase+runtime.UserID {
		t.Errorf("its tenant is user %d of this machine", pid.user)
	}
	for _, want := range []string{"0 700000 65536\n", "Uid: 1000 1000 1000 1000\n", "CapBnd: 0000000000000000\n", "NoNewPrivs: 1\n", "session yes\n", "home yes\n", "raylink no\n", "rl0:"} {
		if !strings.Contains(said, want) {
			t.Errorf("inside %q is missing from:\n%s", want, said)
		}
	}
	// A directory that was made before the engine mapped ids: its lease goes on without.
	old := spec
	old.Lease, old.Dir = "l-mappedbbbb", prepare(t, "l-mappedbbbb")
	if said, pid := mappedLease(t, old); pid.user != runtime.UserID || !strings.Contains(said, "session yes\n") {
		t.Errorf("with a directory of user 1000 its tenant is user %d, and says:\n%s", pid.user, said)
	}
}

// process is a lease's first process as the machine sees it.
type process struct {
	user      int
	namespace string
}

// mappedLease runs one lease with its overlay: what it says of itself, and what the machine sees.
func mappedLease(t *testing.T, spec runtime.Spec) (string, process) {
	t.Helper()
	r := open(t, spec.Machine)
	t.Cleanup(func() {
		if err := r.Stop(context.Background(), spec.Lease); err != nil {
			t.Error(err)
		}
	})
	instance, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	runtimetest.Proxy(t, spec.Lease, instance.Pid)
	var seen process
	info, err := os.Stat(fmt.Sprintf("/proc/%d", instance.Pid))
	if err != nil {
		t.Fatal(err)
	}
	seen.user = int(info.Sys().(*syscall.Stat_t).Uid)
	if seen.namespace, err = os.Readlink(fmt.Sprintf("/proc/%d/ns/user", instance.Pid)); err != nil {
		t.Fatal(err)
	}
	release(t, spec.Dir, `{
read a b c </proc/self/uid_map; echo $a $b $c
while read name rest; do case $name in Uid:|CapBnd:|NoNewPrivs:) echo $name $rest;; esac; done </proc/self/status
for at in /tmp/ray:session /home/ray:home /raylink:raylink; do if touch ${at%:*}/x; then echo ${at#*:} yes; else echo ${at#*:} no; fi; done
cat /proc/net/dev; } >/tmp/ray/said 2>&1
`)
	waitExit(t, spec)
	said, err := os.ReadFile(filepath.Join(spec.Dir, "session", "said"))
	if err != nil {
		t.Fatal(err)
	}
	return string(said), seen
}

// prepareMapped makes a lease's directory as the agent does: below one that is root's alone, and for whom the engine maps the tenant to.
func prepareMapped(t *testing.T, lease raylink.LeaseID) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), string(lease), "node")
	tenant := runtime.Tenant(open(t, "m-mappedaaaa"), raylink.IsolationContainer)
	session := filepath.Join(dir, "session")
	if err := errors.Join(os.MkdirAll(session, 0o755), os.Chown(session, tenant.User, tenant.Group), os.Chmod(filepath.Dir(dir), 0o700)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// remapped starts a second engine, which maps user ids, for this test alone, and gives it a small image. It stands in a mount namespace with an /etc of its own, and in a network namespace, for it would take the first one's bridge away:
// nothing on the machine is changed, and nothing is left.
func remapped(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	dockerd, err := exec.LookPath("dockerd")
	if err != nil || exec.CommandContext(t.Context(), "mountpoint", "-q", "/").Run() != nil {
		t.Skip("a second engine cannot be started here: no dockerd, or a plain chroot")
	}
	if said, err := exec.CommandContext(t.Context(), "unshare", "--user", "true").CombinedOutput(); err != nil {
		t.Skipf("the kernel makes no user namespaces here, as in a chroot: %s", said)
	}
	driver, err := exec.CommandContext(t.Context(), "docker", "info", "-f", "{{.Driver}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "raylink-engine-") // short: sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil { // the mapped root has to get through
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/root:/bin/sh\ntenants:x:60001:60001::/:/bin/false\n", "group": "root:x:0:\ntenants:x:60001:\n",
		"subuid": fmt.Sprintf("tenants:%d:65536\n", mappedBase), "subgid": fmt.Sprintf("tenants:%d:65536\n", mappedBase),
	} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "etc"), 0o755), os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	socket := "unix://" + filepath.Join(dir, "sock")
	engine := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", `mount --bind "$0" /etc && exec "$@"`, filepath.Join(dir, "etc"),
		dockerd, "--userns-remap=tenants", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"-H", socket, "--bridge=none", "--iptables=false", "--storage-driver", strings.TrimSpace(string(driver)))
	log := &strings.Builder{}
	engine.Stdout, engine.Stderr = log, log
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = engine.Wait() }()
	t.Cleanup(func() {
		_ = engine.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("the engine said:\n%s", log)
		}
	})
	t.Setenv("DOCKER_HOST", socket)
	answers(t, ended)
	load(t, dir)
}

// answers waits until the engine that DOCKER_HOST names does.
func answers(t *testing.T, ended <-chan struct{}) {
	t.Helper()
	engine, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err := engine.Ping(ctx); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the second engine does not answer")
		case <-ended:
			t.Fatal("the second engine has ended at once")
		case <-ticker.C:
		}
	}
}

// load makes an image of this machine's own shell and what that needs: some MB.
func load(t *testing.T, dir string) {
	t.Helper()
	script := `set -e; root=$1/image; mkdir -p $root/bin $root/tmp $root/var/tmp $root/run $root/home/ray $root/raylink
for tool in sh sleep cat touch; do
	cp -L "$(command -v $tool)" $root/bin/$tool
	for lib in $(ldd $root/bin/$tool | grep -o '/[^ ]*'); do mkdir -p $root/${lib%/*}; cp -L $lib $root/$lib; done
done
tar -C $root -c . | docker import - ` + tinyImage
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("making a small image: %v: %s", err, out)
	}
}

var _ runtime.Mapper = (*docker.Runtime)(nil)
