//go:build linux

package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/process"
	"raylink/supplier/runtime/runtimetest"
)

const workerImage = "raylink/worker:2.60.0-py311"

// TestMain lets this test binary be a lease's keeper, first process and tenant, as the raylink binary is in earnest.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == process.Verb {
		code, err := process.Stage(context.Background(), os.Args[2], os.Args[3])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	if code, was := runtimetest.Plane(); was {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// store is a data directory with the worker image in it, as a machine without Docker would have it.
func store(t *testing.T) string {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") != "1" || os.Geteuid() != 0 {
		t.Skip("needs root, and a Docker engine with the worker image to take it from (make image): set RAYLINK_REAL=1")
	}
	root := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "../../worker/export.sh", workerImage, filepath.Join(root, "images")).CombinedOutput(); err != nil {
		t.Fatalf("exporting the image: %v: %s", err, out)
	}
	return root
}

func open(t *testing.T, root string, machine raylink.MachineID) *process.Runtime {
	t.Helper()
	r, err := process.Open(root, machine)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// prepare makes a lease's directory as the agent does.
func prepare(t *testing.T, lease raylink.LeaseID) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), string(lease))
	for _, d := range []string{dir, filepath.Join(dir, "session")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(dir, "session"), runtime.UserID, runtime.UserID); err != nil {
		t.Fatal(err)
	}
	return dir
}

// release writes the start script and lets the lease go.
func release(t *testing.T, dir, script string) {
	t.Helper()
	for _, f := range []struct{ name, text string }{{"start.sh", script}, {"go", ""}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

func find(t *testing.T, r runtime.Runtime, lease raylink.LeaseID) (out runtime.Instance, ok bool) {
	t.Helper()
	all, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.Lease == lease {
			return one, true
		}
	}
	return out, false
}

func awaitExit(t *testing.T, r runtime.Runtime, spec runtime.Spec) runtime.Instance {
	t.Helper()
	var last runtime.Instance
	within(t, 60*time.Second, string(spec.Lease)+" has ended", func() bool {
		last, _ = find(t, r, spec.Lease)
		return !last.Running
	})
	if err := os.Remove(filepath.Join(spec.Dir, "go")); err != nil {
		t.Fatal(err)
	}
	return last
}

// TestReal does everything that needs the real image, which is unpacked once.
func TestReal(t *testing.T) {
	root := store(t)
	t.Run("Conformance", func(t *testing.T) {
		runtimetest.Run(t, runtimetest.Subject{
			Runtime: func(machine raylink.MachineID) runtime.Runtime { return open(t, root, machine) },
			Image:   workerImage, Missing: "raylink/nothing:at-all",
			Prepare: prepare,
			Exit: func(t *testing.T, spec runtime.Spec, code int, words string) {
				release(t, spec.Dir, fmt.Sprintf("printf '\\033[31m%%s\\033[0m\\n' '%s' >&2\nexit %d\n", words, code))
				awaitExit(t, open(t, root, spec.Machine), spec)
			},
		})
	})
	t.Run("Sandbox", func(t *testing.T) { sandbox(t, root) })
	t.Run("HostileTenant", func(t *testing.T) { hostileTenant(t, root) })
	t.Run("ARestartedAgentFindsIt", func(t *testing.T) { adopted(t, root) })
	t.Run("TheKeeperDies", func(t *testing.T) { orphaned(t, root) })
	t.Run("MemoryRunsOut", func(t *testing.T) { starves(t, root) })
	left, err := os.ReadDir(filepath.Join(root, "containers"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func lease(t *testing.T, r *process.Runtime, id raylink.LeaseID, machine raylink.MachineID) runtime.Spec {
	t.Helper()
	spec := runtime.Spec{
		Lease: id, Machine: machine, Cluster: "c-sandboxaaa", Hostname: "first-headgroup-0", Image: workerImage, Dir: prepare(t, id),
		CPU: 15_000, Memory: 300 << 20, ShmBytes: 90 << 20, Env: map[string]string{"GREETING": "hello"}, Hosts: map[string]string{"head": "100.64.1.2"},
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
	return spec
}

// inquiry asks from inside what the tenant has, and tries what it must not be able to do.
const inquiry = `
{ id -u; id -g; hostname; echo $GREETING; ls /sys/class/net; df -B1 --output=size /dev/shm | tail -1 | tr -d ' '
grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\t '
grep head /etc/hosts; echo "home $HOME"; touch /tmp/ray/written /tmp/mine ~/mine && echo can write
touch /raylink/out2 /opt/ray/x /dev/x 2>&1 | sed 's/^/refused: /'
ls -A /proc | grep -c '^[0-9]'; ulimit -n; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | sed 's/^/memory /'
cat /proc/self/uid_map | tr -s ' ' | sed 's/^/map/'; cat /proc/self/cgroup | sed 's/^/group /'
wc -c < /proc/keys | sed 's/^/keys /'; tr '\0' ' ' < /proc/1/cmdline; awk '{print "mount", $5}' /proc/self/mountinfo; ls / | sed 's/^/root /'; } > /tmp/ray/out 2>&1
echo to-stdout > /dev/stdout
python3 - <<'P' >> /tmp/ray/out 2>&1
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, result):
    print(name, "refused" if result == -1 else "DONE", os.strerror(ctypes.get_errno()) if result == -1 else "")
for name, flags in (("unshare user", 0x10000000), ("unshare mount", 0x20000)):
    tried(name, libc.unshare(flags))
tried("mount", libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
tried("setuid", libc.setuid(0))
tried("mknod", libc.mknod(b"/tmp/sda", 0o60666, 0x800))
tried("kill first", libc.kill(1, 9))
tried("clone", libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0))
tried("chroot", libc.chroot(b"/tmp"))
for host in ("172.17.0.1", "169.254.169.254"):
    try:
        socket.create_connection((host, 80), 2); print("reached", host)
    except OSError as e: print(host, e.strerror)
server = socket.create_server(("127.0.0.1", 0)); socket.create_connection(server.getsockname(), 2); print("loopback works")
try:
    os.listdir("/proc/1/root"); print("first process open")
except OSError as e: print("first process shut")
P
`

func sandbox(t *testing.T, root string) {
	r := open(t, root, "m-sandboxaaa")
	spec := lease(t, r, "l-sandboxaaa", "m-sandboxaaa")
	if _, err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	release(t, spec.Dir, inquiry)
	last := awaitExit(t, r, spec)
	raw, err := os.ReadFile(filepath.Join(spec.Dir, "session", "out"))
	if err != nil {
		t.Fatalf("%v; it ended as %+v", err, last)
	}
	got := string(raw)
	t.Log(got)
	ids := "map 1000 1000 1\n"
	if exec.CommandContext(t.Context(), "unshare", "--user", "true").Run() != nil {
		ids = "map 0 0 4294967295\n" // the kernel makes no user namespaces here, as in a chroot: leases run without
	}
	for _, want := range []string{
		"1000\n1000\nfirst-headgroup-0\nhello\nlo\n94371840\n", "NoNewPrivs:1", "Seccomp:2", "CapInh:0000000000000000", "CapPrm:0000000000000000",
		"CapEff:0000000000000000", "CapBnd:0000000000000000", "CapAmb:0000000000000000", "100.64.1.2\thead", "home /home/ray\ncan write",
		"refused: touch: cannot touch '/opt/ray/x': Read-only file system",
		"refused: touch: cannot touch '/raylink/out2': Permission denied", "memory 314572800\n", ids, "keys 0\n",
		"unshare user refused", "unshare mount refused", "mount refused", "setuid refused", "mknod refused", "kill first refused", "clone refused", "chroot refused",
		"172.17.0.1 Network is unreachable", "169.254.169.254 Network is unreachable", "loopback works", "first process shut", fmt.Sprintf("\n%d\n", openFiles(t)),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("inside the sandbox %q is missing", want)
		}
	}
	if !slices.Contains(last.LastWords, "to-stdout") {
		t.Errorf("its last words are %q, wanted what it wrote to /dev/stdout", last.LastWords)
	}
	for _, no := range []string{"reached", "DONE", root, "m-sandboxaaa"} {
		if strings.Contains(got, no) {
			t.Errorf("inside the sandbox %q is seen", no)
		}
	}
}

// openFiles is how many files a tenant may open here: what Ray wants, unless the machine has less.
func openFiles(t *testing.T) uint64 {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	return min(own.Max, 65_536)
}

// adopted: what one agent started another one of the same machine finds, follows and stops.
func adopted(t *testing.T, root string) {
	before := open(t, root, "m-adoptedaaa")
	spec := lease(t, before, "l-adoptedaaa", "m-adoptedaaa")
	began := time.Now()
	first, err := before.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(began).Round(time.Millisecond))
	after := open(t, root, "m-adoptedaaa")
	if seen, ok := find(t, after, spec.Lease); !ok || !seen.Running || seen.Pid != first.Pid || !seen.StartedAt.Equal(first.StartedAt) {
		t.Fatalf("the next agent sees %+v (%v), wanted %+v", seen, ok, first)
	}
	namespaces(t, first.Pid)
	release(t, spec.Dir, "sleep 1000 & sleep 1000")
	began = time.Now()
	if err := after.Stop(t.Context(), spec.Lease); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %v", time.Since(began).Round(time.Millisecond))
	if err := unix.Kill(first.Pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("after Stop process %d is still there: %v", first.Pid, err)
	}
}

// namespaces: it shares none of the machine's.
func namespaces(t *testing.T, pid int) {
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts"} {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		its, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + kind)
		if err != nil || own == its {
			t.Errorf("its %s namespace is the machine's: %s (%v)", kind, its, err)
		}
	}
}

// orphaned: somebody kills the keeper; nothing goes on without it, and nothing is left of it.
func orphaned(t *testing.T, root string) {
	r := open(t, root, "m-orphanedaa")
	spec := lease(t, r, "l-orphanedaa", "m-orphanedaa")
	first, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", first.Pid))
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := strconv.Atoi(strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(keeper, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "the first process has ended", func() bool { return errors.Is(unix.Kill(first.Pid, 0), unix.ESRCH) })
	if seen, ok := find(t, r, spec.Lease); !ok || seen.Running || seen.ExitCode != 137 {
		t.Errorf("without its keeper it is seen as %+v (%v), wanted it ended with 137", seen, ok)
	}
	if again, err := r.Start(t.Context(), spec); err != nil || again.Restarts != 1 {
		t.Errorf("started again it is %+v (%v), wanted one restart", again, err)
	}
}

// starves: the kernel kills what takes more memory than the lease has, and the last words say so.
func starves(t *testing.T, root string) {
	r := open(t, root, "m-starvesaaa")
	spec := lease(t, r, "l-starvesaaa", "m-starvesaaa")
	spec.Memory, spec.Pids = 100<<20, 64
	if _, err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	release(t, spec.Dir, `python3 -c '
import threading, time
n = 0
try:
    while n < 500: threading.Thread(target=time.sleep, args=(30,), daemon=True).start(); n += 1
except RuntimeError: pass
print("threads", n, flush=True)'
exec python3 -c 'x = bytearray(400 << 20)'`)
	last := awaitExit(t, r, spec)
	words := strings.Join(last.LastWords, "\n")
	if last.ExitCode != 137 || !strings.Contains(words, "out of the memory that the lease has") {
		t.Errorf("it ended as %+v, wanted it killed for want of memory", last)
	}
	var threads int
	if _, err := fmt.Sscanf(words, "threads %d", &threads); err != nil || threads > 64 {
		t.Errorf("of 64 processes and threads it had %d (%v): %s", threads, err, words)
	}
}
