package endpoint_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"raylink/coordinator/gateway/endpoint"
)

// real is a Ray cluster of two containers on a bridge of its own, an endpoint before it, and the unmodified client.
type real struct {
	t                *testing.T
	ray, dir, image  string
	address          string
	handler          http.Handler // of the gateway that stands there
	net, head, other string       // names
}

const (
	realHead   = "100.64.77.2"
	realWorker = "100.64.77.10"
	realPorts  = "--node-manager-port=6380 --object-manager-port=6381 --dashboard-agent-listen-port=52365 --dashboard-agent-grpc-port=52366 " +
		"--runtime-env-agent-port=52367 --metrics-export-port=8080 --min-worker-port=10002 --max-worker-port=19999 --disable-usage-stats --num-gpus=0"
)

func newReal(t *testing.T) *real {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("RAYLINK_REAL=1 runs this with a real Ray in containers")
	}
	r := &real{t: t, image: "raylink/worker:2.60.0-py311", net: "rl-endpoint-test", head: "rl-endpoint-head", other: "rl-endpoint-worker"}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	r.ray = filepath.Join(home, ".cache/raylink/venv/bin/ray")
	if given := os.Getenv("RAYLINK_RAY"); given != "" {
		r.ray = given
	}
	if _, err := os.Stat(r.ray); err != nil {
		t.Fatalf("no Ray client: %v", err)
	}
	r.dir = t.TempDir()
	for _, name := range []string{"gcs", "tmp", "token", "job"} {
		if err := os.MkdirAll(filepath.Join(r.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(r.dir, name), 1000, 1000); err != nil {
			t.Fatalf("this needs root: %v", err)
		}
	}
	r.write("token/auth_token", "cluster-secret-of-the-real-test")
	r.docker("network", "create", "--subnet", "100.64.77.0/24", r.net)
	t.Cleanup(func() {
		for _, args := range [][]string{{"rm", "-f", r.head, r.other}, {"network", "rm", r.net}} {
			if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
				t.Logf("docker %v: %v %s", args, err, out)
			}
		}
	})
	r.startHead()
	r.docker(r.run(r.other, realWorker, "1g", "start --block --address="+realHead+":6379 --node-ip-address="+realWorker+" --num-cpus=1")...)
	r.serve()
	r.until("both nodes are alive", time.Minute, func() bool { return strings.Count(r.out("list", "nodes", "--address", r.address), "ALIVE") == 2 })
	return r
}

func (r *real) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) run(name, ip, memory, command string) []string {
	args := []string{"run", "-d", "--name", name, "--network", r.net, "--ip", ip, "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--user", "1000:1000", "--memory", memory, "--shm-size", "400m", "--entrypoint", "ray", "-v", r.dir + "/token:/run/raylink:ro"}
	env := []string{"RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN_PATH=/run/raylink/auth_token", "RAY_gcs_rpc_server_reconnect_timeout_s=120"}
	if name == r.head {
		args = append(args, "-v", r.dir+"/gcs:/gcs", "-v", r.dir+"/tmp:/tmp/ray")
		env = append(env, "RAY_gcs_storage=rocksdb", "RAY_gcs_storage_path=/gcs")
	}
	for _, e := range env {
		args = append(args, "-e", e)
	}
	return append(append(args, r.image), strings.Fields(command+" --memory=1000000000 --object-store-memory=300000000 "+realPorts)...)
}

func (r *real) startHead() {
	r.t.Helper()
	r.docker(r.run(r.head, realHead, "3g", "start --head --block --node-ip-address="+realHead+" --port=6379 --dashboard-host="+realHead+
		" --dashboard-port=8265 --num-cpus=0")...)
	r.until("the head is up", time.Minute, func() bool {
		answer, err := http.Get("http://" + realHead + ":8265/api/gcs_healthz")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == 200
	})
}

func (r *real) docker(args ...string) {
	r.t.Helper()
	if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
		r.t.Fatalf("docker %v: %v\n%s", args, err, out)
	}
}

func (r *real) serve() {
	routes := &routes{}
	transport := endpoint.NewTransport(new(net.Dialer).DialContext, nil)
	r.t.Cleanup(transport.CloseIdleConnections)
	routes.set(clusterA, func(to *endpoint.Route) {
		*to = endpoint.Route{Base: &url.URL{Scheme: "http", Host: realHead + ":8265"}, Transport: transport,
			Token: "cluster-secret-of-the-real-test", Access: only(alice)}
	})
	log := slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.handler = endpoint.Handler(endpoint.Options{Upstream: routes, Log: log})
	r.address = "http://" + serve(r.t, r.handler) + "/c/" + clusterA
}

// until polls: what is waited for happens in other processes.
func (r *real) until(what string, limit time.Duration, done func() bool) {
	r.t.Helper()
	deadline := time.After(limit)
	for !done() {
		select {
		case <-deadline:
			r.t.Fatalf("not within %v: %s", limit, what)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// client runs the unmodified client.
func (r *real) client(token string, args ...string) (*exec.Cmd, *output) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 4*time.Minute)
	r.t.Cleanup(cancel)
	c := exec.CommandContext(ctx, r.ray, args...)
	c.Env = append(os.Environ(), "RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN="+token, "RAY_COLOR_PREFIX=0", "PYTHONUNBUFFERED=1")
	out := &output{}
	c.Stdout, c.Stderr = out, out
	return c, out
}

type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (r *real) out(args ...string) string {
	c, out := r.client(alice, args...)
	if err := c.Run(); err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return out.String()
}

const counting = `import time
for i in range(%d):
    print("line", i, "größer", flush=True)
    time.sleep(%s)
print("done")
`

func TestRealRay(t *testing.T) {
	r := newReal(t)
	t.Run("submit", func(t *testing.T) {
		r.write("job/count.py", fmt.Sprintf(counting, 30, "0.05"))
		c, out := r.client(alice, "job", "submit", "--address", r.address, "--working-dir", r.dir+"/job", "--submission-id", "first", "--", "python", "count.py")
		if err := c.Run(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		whole(t, out.String(), 30)
		for what, args := range map[string][]string{
			"'first' succeeded": {"job", "status", "--address", r.address, "first"}, "first": {"job", "list", "--address", r.address},
			"line 29 größer": {"job", "logs", "--address", r.address, "first"},
		} {
			if got := r.out(args...); !strings.Contains(got, what) {
				t.Errorf("ray %v: %s", args, got)
			}
		}
	})
	t.Run("without a token through the loopback", func(t *testing.T) {
		up := &routes{}
		up.set("", func(to *endpoint.Route) {
			base, err := url.Parse(r.address)
			if err != nil {
				t.Fatal(err)
			}
			*to = endpoint.Route{Base: base, Transport: endpoint.NewTransport(new(net.Dialer).DialContext, nil), Token: alice}
		})
		local := "http://" + serve(t, endpoint.Local(endpoint.Options{Upstream: up, Log: slog.New(slog.DiscardHandler)}))
		c, out := r.client("", "job", "submit", "--address", local, "--working-dir", r.dir+"/job", "--", "python", "count.py")
		c.Env = append(os.Environ(), "PYTHONUNBUFFERED=1")
		if err := c.Run(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		whole(t, out.String(), 30)
	})
	t.Run("wrong token", func(t *testing.T) {
		for token, want := range map[string]string{"rl_access_mallory": "may not use the cluster", "not-ours": "not an access token of Raylink"} {
			c, out := r.client(token, "job", "list", "--address", r.address)
			if err := c.Run(); err == nil || !strings.Contains(out.String(), want) {
				t.Errorf("%v\n%s", err, out)
			}
		}
	})
	t.Run("too large", func(t *testing.T) {
		big := filepath.Join(r.dir, "big")
		if err := os.MkdirAll(big, 0o755); err != nil {
			t.Fatal(err)
		}
		noise := make([]byte, 130<<20)
		for i, x := 0, uint64(1); i < len(noise); i++ {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			noise[i] = byte(x)
		}
		if err := os.WriteFile(filepath.Join(big, "data.bin"), noise, 0o644); err != nil {
			t.Fatal(err)
		}
		c, out := r.client(alice, "job", "submit", "--address", r.address, "--working-dir", big, "--", "true")
		if err := c.Run(); err == nil || !strings.Contains(out.String(), "100 MiB") || !strings.Contains(out.String(), "https://") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("gateway killed under a follow", r.loseGateway)
	t.Run("head killed under its driver", func(t *testing.T) { r.killHead(t, "doomed", false) })
	t.Run("head killed under a driver on a worker", func(t *testing.T) { r.killHead(t, "survivor", true) })
}

// killHead kills the head while a client follows a job.
func (r *real) killHead(t *testing.T, id string, onWorker bool) {
	r.write("job/count.py", fmt.Sprintf(counting, 60, "0.5"))
	args := []string{"job", "submit", "--address", r.address, "--working-dir", r.dir + "/job", "--submission-id", id}
	if onWorker {
		args = append(args, "--entrypoint-num-cpus", "1")
	}
	c, out := r.client(alice, append(args, "--", "python", "count.py")...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r.until("ten lines", time.Minute, func() bool { return strings.Contains(out.String(), "line 10 ") })
	killed := time.Now()
	r.docker("rm", "-f", r.head)
	r.startHead()
	t.Logf("head back after %v", time.Since(killed).Round(time.Second))
	err := c.Wait()
	t.Logf("the client ended %v after the kill: %v\n%s", time.Since(killed).Round(time.Second), err, out)
	if status := r.out("job", "status", "--address", r.address, id); strings.Contains(status, "succeeded") {
		whole(t, out.String(), 60)
		if err != nil {
			t.Errorf("the job succeeded and the client exits with %v", err)
		}
		return
	}
	if !onWorker && !strings.Contains(out.String(), "raylink: the job FAILED") {
		t.Error("the stream ends without a reason")
	}
	if c.ProcessState.ExitCode() != 1 {
		t.Errorf("the client exits with %d", c.ProcessState.ExitCode())
	}
}

// whole checks that each line came once and in order.
func whole(t *testing.T, out string, count int) {
	t.Helper()
	at := 0
	for i := range count {
		line := fmt.Sprintf("line %d größer\n", i)
		if strings.Count(out, line) != 1 || strings.Index(out, line) < at {
			t.Errorf("line %d came %d times", i, strings.Count(out, line))
		}
		at = strings.Index(out, line)
	}
	if !strings.Contains(out, "done\n") {
		t.Error("the end is missing")
	}
}
