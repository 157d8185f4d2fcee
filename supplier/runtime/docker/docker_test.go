package docker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/docker"
	"raylink/supplier/runtime/runtimetest"
)

const workerImage = "raylink/worker:2.60.0-py311"

// TestMain lets this test binary be a lease's data plane, as the raylink binary is in earnest.
func TestMain(m *testing.M) {
	if code, was := runtimetest.Plane(); was {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func real(t *testing.T) {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("needs root, a Docker engine and the worker image (make image): set RAYLINK_REAL=1")
	}
}

func open(t *testing.T, machine raylink.MachineID) *docker.Runtime {
	t.Helper()
	r, err := docker.Open(t.Context(), machine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func prepare(t *testing.T, lease raylink.LeaseID) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), string(lease))
	for _, d := range []string{dir, filepath.Join(dir, "session")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(d, runtime.UserID, runtime.UserID); err != nil {
			t.Fatal(err)
		}
	}
	for d := filepath.Dir(dir); d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// release writes the start script and lets the container go, as the agent does.
func release(t *testing.T, dir, script string) {
	t.Helper()
	for name, text := range map[string]string{"start.sh": script, "go": ""} {
		if err := os.WriteFile(filepath.Join(dir, name+".new"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"start.sh", "go"} {
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// waitExit waits on the engine until the container's process is over, and takes `go` away as the agent does before a restart.
func waitExit(t *testing.T, spec runtime.Spec) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "docker", "wait", docker.Name(spec.Lease)).CombinedOutput(); err != nil {
		t.Fatalf("docker wait: %v: %s", err, out)
	}
	if err := os.Remove(filepath.Join(spec.Dir, "go")); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	real(t)
	runtimetest.Run(t, runtimetest.Subject{
		Runtime: func(machine raylink.MachineID) runtime.Runtime { return open(t, machine) },
		Image:   workerImage, Missing: "raylink/nothing:at-all",
		Prepare: prepare,
		Exit: func(t *testing.T, spec runtime.Spec, code int, words string) {
			release(t, spec.Dir, fmt.Sprintf("printf '\\033[31m%%s\\033[0m\\n' '%s' >&2\nexit %d\n", words, code))
			waitExit(t, spec)
		},
	})
}

// TestSandbox asks from inside what the tenant has.
func TestSandbox(t *testing.T) {
	real(t)
	r := open(t, "m-sandboxaaa")
	spec := runtime.Spec{
		Lease: "l-sandboxaaa", Machine: "m-sandboxaaa", Cluster: "c-sandboxaaa", Hostname: "first-headgroup-0", Image: workerImage,
		Dir: prepare(t, "l-sandboxaaa"), CPU: 70_000, Memory: 300 << 20, ShmBytes: 90 << 20,
		Env: map[string]string{"GREETING": "hello"}, Hosts: map[string]string{"head": "100.64.1.2"},
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background(), spec.Lease); err != nil {
			t.Error(err)
		}
	})
	layTrap(t, spec)
	if _, err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	release(t, spec.Dir, trapped+`
{ id -u; id -g; hostname; echo $GREETING; ls /sys/class/net; df -B1 --output=size /dev/shm | tail -1 | tr -d ' '
grep -E 'CapEff|NoNewPrivs|CapBnd' /proc/self/status | tr -d '\t '
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"; echo "files $(ulimit -Hn) $(ulimit -n) core $(ulimit -Hc)"; env | grep -E '^(LD|NVIDIA)_'
grep head /etc/hosts; cat /proc/self/mountinfo | grep -c ' /tmp/ray '; touch /tmp/ray/written /raylink/out2; } > /raylink/out 2>&1
python3 - <<'P' >> /raylink/out 2>&1
import socket
for host in ("172.17.0.1", "169.254.169.254"):
    try:
        socket.create_connection((host, 80), 2); print("reached", host)
    except OSError as e: print(host, e.strerror)
P
`)
	waitExit(t, spec)
	raw, err := os.ReadFile(filepath.Join(spec.Dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	got := string(raw)
	for _, want := range []string{
		"1000\n1000\nfirst-headgroup-0\nhello\nlo\n94371840\n", "NoNewPrivs:1", "CapEff:0000000000000000", "CapBnd:0000000000000000",
		"core 0\n", "NVIDIA_VISIBLE_DEVICES=void\n", "LD_PRELOAD=\n",
		"100.64.1.2\thead", "172.17.0.1 Network is unreachable", "169.254.169.254 Network is unreachable",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("inside the sandbox %q is missing from:\n%s", want, got)
		}
	}
	// The start script's own line: 65,536 files, or what the engine has where that is less, and no way back up.
	var hard, soft int
	if i := strings.Index(got, "files "); i < 0 {
		t.Errorf("no limit of open files in:\n%s", got)
	} else if n, err := fmt.Sscanf(got[i:], "files %d %d", &hard, &soft); n != 2 || hard != soft || hard > 65_536 || hard < 1024 {
		t.Errorf("open files: %d and %d at most (%v)", soft, hard, err)
	}
	if strings.Contains(got, "reached") {
		t.Errorf("the sandbox reaches out:\n%s", got)
	}
	judgeTrap(t, spec)
	if _, err := os.Stat(filepath.Join(spec.Dir, "session", "written")); err != nil {
		t.Errorf("/tmp/ray is not the lease's session directory: %v", err)
	}
	limits, err := exec.CommandContext(t.Context(), "docker", "inspect", "-f",
		"{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuQuota}} {{.HostConfig.PidsLimit}} {{.HostConfig.NetworkMode}} {{.HostConfig.RestartPolicy.Name}}",
		docker.Name(spec.Lease)).Output()
	if want := "314572800 314572800 700000 4096 none no"; err != nil || strings.TrimSpace(string(limits)) != want {
		t.Errorf("the limits are %q (%v), wanted %q", limits, err, want)
	}
}

// layTrap puts into the lease's directory what the flags nosuid and nodev would stop. The engine cannot be told flags for what it binds into a container; that
// no privilege is gained and no device opened has to come from elsewhere.
func layTrap(t *testing.T, spec runtime.Spec) {
	t.Helper()
	const lay = `cp -L "$(command -v id)" "$0/root-id" && chmod 4755 "$0/root-id" && mknod -m 666 "$0/mem" c 1 1`
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", lay, filepath.Join(spec.Dir, "session")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// trapped is what the tenant does with it; judgeTrap looks at what came of that.
const trapped = `
for at in /tmp /var/tmp /run /home/ray /dev/shm; do
	awk -v at=$at '$5 == at { print "flags", at, $6 ~ /nosuid/ && $6 ~ /nodev/ }' /proc/self/mountinfo
done >/tmp/ray/flags
echo "root-id $(/tmp/ray/root-id -u)" >>/tmp/ray/flags; head -c1 /tmp/ray/mem >/dev/null 2>>/tmp/ray/flags && echo "the device opens" >>/tmp/ray/flags
`

func judgeTrap(t *testing.T, spec runtime.Spec) {
	t.Helper()
	const want = "flags /tmp 1\nflags /var/tmp 1\nflags /run 1\nflags /home/ray 1\nflags /dev/shm 1\nroot-id 1000\n"
	got, err := os.ReadFile(filepath.Join(spec.Dir, "session", "flags"))
	if err != nil || !strings.HasPrefix(string(got), want) || !strings.Contains(string(got), "Operation not permitted") || strings.Contains(string(got), "opens") {
		t.Errorf("what is mounted, a set-user-id program of root's and a device node give him: %v\n%s", err, got)
	}
}

// TestNotAnEngine needs no Docker: nobody listens at this address.
func TestNotAnEngine(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	closed.Close()
	t.Setenv("DOCKER_HOST", "tcp://"+address)
	_, err = docker.Open(t.Context(), "m-aaaaaaaaaa")
	if told := raylink.AsError(err); told == nil || told.Code != raylink.CodeUnavailable || told.Hint == "" {
		t.Errorf("without an engine Open gives %v, wanted a hint", err)
	}
}
