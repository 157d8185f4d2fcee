package devnet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink/ray"
	"raylink/raylink/wire"
)

// TestDemo is the end-to-end run on real parts: three coordinators, three suppliers, real Ray in real containers over the real overlay, the
// unmodified Ray client; the agents are killed in mid-job, then the leader, then the head's container; the bill is verified. Every chapter of the story
// checks what it shows. It is `make demo KEEP=1` itself: what it leaves answers, and goes by the command that was printed. Then nothing may be left on
// the machine.
func TestDemo(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs root, Docker, the worker image and the Ray client: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	t.Parallel() // beside TestMoney, which has no containers
	before := leftovers(t)
	d := start(t, "../..", "make", "-s", "demo", "KEEP=1")
	if err := d.wait(t.Context(), 20*time.Minute); err != nil {
		t.Fatalf("make demo KEEP=1: %v\n%s", err, d)
	}
	told := d.String()
	for _, want := range []string{
		"3 suppliers' machines are ready", "a local Solana chain with USDC and IO serves", "Paid 5.00 USDC", "all of it, the fee falls at use",
		"paid to ada by transaction", "paid to bo by transaction", "USDC on the chain: what the books say", "IO on the chain: what the books say",
		"verified: chain and journal agree", "first-job is ready", "object of 200 MB made on left, read on right", "train.py: done, loss", "the new leader bills on",
		"they have adopted what they found", "began at a snapshot", "ask.py: the keeper on left", "raylink: the job FAILED", "verified: the signatures of machines, gateways and group", "fee 2 %", "which are burnt: the supply fell", "sum of all balances: 0.00 USD", "verified: the hash chain, the signatures and the sums hold",
		"every charged minute is signed by its machine, a gateway and a coordinator",
		"dashboard     https://", "engineer      access token in", "machine list\n", "topup 5 --asset usdc\n",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("the demo does not tell %q", want)
		}
	}
	if found := onChain.FindStringSubmatch(told); found == nil || found[1] == "0" {
		t.Error("the demo finds no checkpoint of the journal on the chain")
	}
	d.answers(t)
	d.takeDown(t)
	if after := leftovers(t); after != before {
		t.Errorf("the demo left something behind:\n%s\nbefore:\n%s", after, before)
	}
}

func setting(t *testing.T, name, usual string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		value = usual
	}
	if value == "" {
		t.Fatalf("%s is not set; `make test` sets it", name)
	}
	path, err := filepath.Abs(value)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// leftovers is what a network could leave on a machine: containers, sockets, network devices.
func leftovers(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, args := range [][]string{{"docker", "ps", "-aq", "--filter", "label=raylink.machine"}, {"ip", "-o", "link"}, {"sh", "-c", "find /run/raylink /var/run/wireguard -mindepth 1 2>/dev/null | sort"}} {
		out, err := exec.CommandContext(context.Background(), args[0], args[1:]...).Output()
		if err != nil && args[0] != "sh" {
			t.Fatalf("running %v: %v", args, err)
		}
		all.Write(out)
	}
	return all.String()
}

// TestSuppliersCommand is the form that a supplier is given: the agent in a container of the worker image, with the engine's socket. Coordinators and
// gateways are reached by an address of the host, so the endpoint speaks TLS, and `raylink connect` spares the user both token and CA.
// Its owner watches in a browser how the cluster becomes ready, at the coordinator's own pages, and opens Ray's own dashboard at the endpoint.
// The agents' containers are killed under the running job, which does not notice. A second cluster on the same machines reaches nothing of the first.
func TestSuppliersCommand(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs root, Docker, the worker image and the Ray client: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	ctx := t.Context()
	// The image that suppliers run reads NVIDIA GPUs: it was built with a C compiler, whatever the program beside these tests is.
	if told, err := dockerRun(ctx, "run", "--rm", "--network", "none", "raylink/worker", "version", "-o", "json"); err != nil || !strings.Contains(told, `"nvml": true`) {
		t.Errorf("the worker image's raylink says %v: %s", err, told)
	}
	host := bridgeAddress(t)
	n, err := Start(ctx, Config{Dir: filepath.Join(t.TempDir(), "net"), Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"), Coordinators: 1, Suppliers: 3, Cores: 2,
		Memory: "8Gi", Host: host, Secure: true, Contained: true, Out: os.Stdout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &Story{Network: n, Ray: setting(t, "RAYLINK_RAY", ""), Job: setting(t, "RAYLINK_EXAMPLE", "../../examples/first-job")}
	for _, chapter := range []func(context.Context) error{s.signIn, s.createBrowsed, s.browsersTLS, s.agentsDie, s.raysDashboard, s.throughConnect, s.twoClusters} {
		if err := chapter(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// bridgeAddress is the host's address on Docker's default network: containers reach the host by it.
func bridgeAddress(t *testing.T) string {
	t.Helper()
	link, err := net.InterfaceByName("docker0")
	if err != nil {
		t.Fatalf("Docker's default network: %v", err)
	}
	addresses, err := link.Addrs()
	if err != nil || len(addresses) == 0 {
		t.Fatalf("Docker's default network has no address: %v", err)
	}
	return addresses[0].(*net.IPNet).IP.String()
}

// browsersTLS sees that the endpoint's certificate is one that browsers can check: ECDSA, signed by the group's CA, good for the endpoint's host.
func (s *Story) browsersTLS(ctx context.Context) error {
	u, err := url.Parse(s.endpoint())
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Network.ca)
	return s.soon(ctx, "a certificate for browsers", 20*time.Second, func(context.Context) error {
		conn, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: roots})
		if err != nil {
			return err
		}
		defer conn.Close()
		if got := conn.ConnectionState().PeerCertificates[0].PublicKeyAlgorithm; got != x509.ECDSA {
			return fmt.Errorf("its key is %s", got)
		}
		return nil
	})
}

// agentsDie kills every agent's container with SIGKILL under a job, and starts them again.
func (s *Story) agentsDie(ctx context.Context) error {
	j, err := s.submit(ctx, s.endpoint(), "│", "python", "train.py", "--seconds", "30")
	if err != nil {
		return err
	}
	if err := s.soon(ctx, "the job runs", time.Minute, func(context.Context) error {
		if !strings.Contains(j.String(), "epoch ") {
			return fmt.Errorf("it says: %s", j)
		}
		return nil
	}); err != nil {
		return err
	}
	if _, err := dockerRun(ctx, append([]string{"kill", "--signal", "KILL"}, s.Network.contained...)...); err != nil {
		return err
	}
	if _, err := dockerRun(ctx, append([]string{"start"}, s.Network.contained...)...); err != nil {
		return err
	}
	back := time.Now()
	if err := j.wait(ctx, 3*time.Minute); err != nil {
		return fmt.Errorf("the job noticed that the agents died: %w\n%s", err, j)
	}
	return s.adopted(ctx, back)
}

// throughConnect runs a job with neither token nor CA in the environment.
func (s *Story) throughConnect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	connect := exec.CommandContext(ctx, s.Network.cfg.Binary, "connect", "first-job", "--port", "18265")
	connect.Env = s.env("engineer")
	var said job // only its buffer
	connect.Stdout, connect.Stderr = &said, &said
	connect.Cancel = func() error { return connect.Process.Signal(os.Interrupt) }
	if err := connect.Start(); err != nil {
		return err
	}
	defer connect.Wait()
	defer cancel()
	if err := s.soon(ctx, "raylink connect listens", 20*time.Second, func(ctx context.Context) error {
		_, err := get(ctx, "http://127.0.0.1:18265/api/version")
		return err
	}); err != nil {
		return fmt.Errorf("%w: %s", err, said.String())
	}
	out, err := exec.CommandContext(ctx, s.Ray, "job", "submit", "--address", "http://127.0.0.1:18265", "--working-dir", s.Job, "--", "python", "ask.py").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ask.py: the keeper on left") {
		return fmt.Errorf("a job through raylink connect: %w\n%s", err, out)
	}
	return nil
}

// dial tries to reach each address and port, and prints those that answered.
const dial = `
import socket, sys, urllib.error, urllib.request
try:
    urllib.request.urlopen("http://" + sys.argv[1] + "/api/jobs/", timeout=10)
    print("served without a token")
except urllib.error.HTTPError as e:
    print("refused without a token:", e.code)
for target in sys.argv[2:]:
    host, port = target.split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
        print("reached", target)
    except OSError:
        pass`

// twoClusters creates a second cluster on the same machines; neither reaches the other, and each reaches itself, its Ray only with its token.
func (s *Story) twoClusters(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(s.Job, "cluster.yaml"))
	if err != nil {
		return err
	}
	manifest := filepath.Join(s.Network.cfg.Dir, "second.yaml")
	if err := os.WriteFile(manifest, bytes.Replace(text, []byte("name: first-job"), []byte("name: second-job"), 1), 0o600); err != nil {
		return err
	}
	if _, err := s.raylink(ctx, "engineer", "cluster", "create", "-f", manifest, "--yes"); err != nil {
		return err
	}
	c, err := s.Network.As("engineer")
	if err != nil {
		return err
	}
	defer c.Close()
	second, err := c.Cluster(ctx, "second-job")
	if err != nil {
		return err
	}
	for _, pair := range [][2]wire.Cluster{{s.cluster, second}, {second, s.cluster}} {
		for _, node := range pair[0].Nodes {
			own, foreign := targets(pair[0]), targets(pair[1])
			pid, err := dockerRun(ctx, "inspect", "-f", "{{.State.Pid}}", "raylink-"+string(node.Lease))
			if err != nil {
				return err
			}
			// From inside the node's namespace, by the host's own Python: `docker exec` does not work under an engine that could not pivot.
			dashboard := fmt.Sprintf("%s:%d", pair[0].Nodes[0].Address, ray.DashboardPort)
			inside := append([]string{"-t", strings.TrimSpace(pid), "-n", "python3", "-c", dial, dashboard}, append(own[:1], foreign...)...)
			out, err := exec.CommandContext(ctx, "nsenter", inside...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("dialling from inside %s: %w: %s", node.Node, err, out)
			}
			if strings.TrimSpace(string(out)) != "refused without a token: 401\nreached "+own[0] {
				return fmt.Errorf("%s of %s should be refused without its cluster's token, reach %s, and nothing of %s: %s", node.Node, pair[0].Name, own[0], pair[1].Name, out)
			}
		}
	}
	return nil
}

// targets are Ray's ports on a cluster's nodes, the head's first.
func targets(c wire.Cluster) []string {
	var list []string
	for _, node := range c.Nodes {
		for _, port := range []int{ray.GCSPort, ray.DashboardPort, ray.NodeManagerPort, ray.AgentPort} {
			list = append(list, fmt.Sprintf("%s:%d", node.Address, port))
		}
	}
	return list
}
