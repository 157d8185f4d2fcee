package devnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/manifest"
	"raylink/raylink/ray"
	"raylink/raylink/wire"
)

// Bench measures what an agent takes of its machine while nothing runs there, and then a cluster's way from create to ready beside a raw
// `ray start` of the same nodes in the same image with the same limits, in turn, in one run. The image is there, as in a cluster's second life
// on a machine.
type Bench struct {
	Network  *Network
	Manifest string
	Rounds   int
	Window   time.Duration // of one look at the idle agent
}

// Run prints each round and the medians.
func (b *Bench) Run(ctx context.Context) error {
	if err := b.idle(ctx); err != nil {
		return err
	}
	return b.clusters(ctx)
}

// idle prints what the first supplier's agent takes. It goes first, before any cluster was there.
func (b *Bench) idle(ctx context.Context) error {
	w := b.Network.cfg.Out
	fmt.Fprintf(w, "\n== A supplier's agent at idle: proven, ready, without a lease (%d rounds of %s)\n", b.Rounds, b.Window)
	middle, err := b.Network.idle(ctx, agentName(0), b.Window, b.Rounds, func(round int, r idleRound) { fmt.Fprintf(w, "  round %d  %s\n", round, r) })
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "  medians  %s\n", middle)
	return nil
}

func (b *Bench) clusters(ctx context.Context) error {
	text, err := os.ReadFile(b.Manifest)
	if err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	c, err := b.Network.As("engineer")
	if err != nil {
		return err
	}
	defer c.Close()
	var ours, raw []time.Duration
	w := b.Network.cfg.Out
	fmt.Fprintf(w, "\n== Cluster create to ready, beside a raw ray start of the same nodes (%d rounds)\n", b.Rounds)
	for round := range b.Rounds {
		took, stages, err := b.cluster(ctx, c, string(text))
		if err != nil {
			return err
		}
		ours = append(ours, took)
		plain, err := b.raw(ctx, text)
		if err != nil {
			return err
		}
		raw = append(raw, plain)
		fmt.Fprintf(w, "  round %d  raylink %5.1f s (%s)  raw %5.1f s  difference %+.1f s\n", round+1, took.Seconds(), stages, plain.Seconds(), (took - plain).Seconds())
	}
	fmt.Fprintf(w, "  medians  raylink %5.1f s  raw %5.1f s  difference %+.1f s\n", median(ours).Seconds(), median(raw).Seconds(), (median(ours) - median(raw)).Seconds())
	return nil
}

func median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// cluster creates one, waits until it is ready, ends it, and tells the time from accepting the quote to ready.
func (b *Bench) cluster(ctx context.Context, c *client.Client, text string) (time.Duration, string, error) {
	q, err := c.CreateQuote(ctx, wire.QuoteRequest{Manifest: text})
	if err != nil {
		return 0, "", err
	}
	start := time.Now()
	x, err := c.CreateCluster(ctx, wire.CreateRequest{Quote: q.ID})
	if err != nil {
		return 0, "", err
	}
	await := func(p raylink.Phase) error {
		return b.Network.until(ctx, "waiting for the cluster to be "+string(p), "", 3*time.Minute, func(ctx context.Context) error {
			if x, err = c.Cluster(ctx, string(x.ID)); err != nil {
				return err
			}
			if x.Phase != p {
				return fmt.Errorf("it is %s: %s", x.Phase, x.Detail)
			}
			return nil
		})
	}
	if err := await(raylink.PhaseReady); err != nil {
		return 0, "", err
	}
	took := min(time.Since(start), x.ReadyAt.Sub(x.CreatedAt))
	var stages []string
	for _, s := range x.Stages[1:] {
		stages = append(stages, fmt.Sprintf("%s %.1f", s.Phase, s.At.Sub(x.CreatedAt).Seconds()))
	}
	if _, err := c.DeleteCluster(ctx, string(x.ID)); err != nil {
		return 0, "", err
	}
	return took, strings.Join(stages, ", "), await(raylink.PhaseEnded)
}

const (
	rawNetwork = "raylink-bench"
	rawSubnet  = "100.127.250.0/24"
)

// raw starts the same containers by hand on a bridge network: the head, and once it answers, the workers; until Ray sees all alive.
func (b *Bench) raw(ctx context.Context, text []byte) (took time.Duration, err error) {
	spec, _, err := manifest.Parse(text)
	if err != nil {
		return 0, err
	}
	image, nodes, err := rawNodes(spec, runtime.GOARCH)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(b.Network.cfg.Dir, "raw-")
	if err != nil {
		return 0, fmt.Errorf("making a directory: %w", err)
	}
	if _, err := dockerRun(ctx, "network", "create", "--subnet", rawSubnet, rawNetwork); err != nil {
		return 0, err
	}
	var names []string
	defer func() {
		clean := context.WithoutCancel(ctx)
		_, rm := dockerRun(clean, append([]string{"rm", "-f"}, names...)...)
		_, net := dockerRun(clean, "network", "rm", rawNetwork)
		err = errors.Join(err, rm, net)
	}()
	start, head := time.Now(), nodes[0].Address
	launch := func(n ray.Node) error {
		names = append(names, string(n.Lease))
		return rawNode(ctx, dir, string(n.Lease), image, n)
	}
	if err := launch(nodes[0]); err != nil {
		return 0, err
	}
	if err := b.Network.until(ctx, "the raw head", "", time.Minute, func(ctx context.Context) error { _, err := get(ctx, ray.HeadHealthURL(head)); return err }); err != nil {
		return 0, err
	}
	for _, n := range nodes[1:] {
		if err := launch(n); err != nil {
			return 0, err
		}
	}
	err = b.Network.until(ctx, "the raw workers", "", 2*time.Minute, func(ctx context.Context) error { return rawAlive(ctx, head, len(nodes)) })
	return time.Since(start), err
}

// rawNodes are the nodes of a cluster on machines of one architecture, the head first, and the image that they run: as a lease there would have it.
func rawNodes(spec raylink.ClusterSpec, arch string) (image string, nodes []ray.Node, err error) {
	if image, _, err = manifest.Image(spec.Image, arch); err != nil {
		return "", nil, err
	}
	head := netip.MustParseAddr("100.127.250.2")
	add := func(role raylink.NodeRole, g raylink.NodeGroup, addr netip.Addr) {
		name := "raylink-bench-" + strings.ReplaceAll(addr.String(), ".", "-")
		nodes = append(nodes, ray.Node{Cluster: spec.Name, Lease: raylink.LeaseID(name), Machine: "m-aaaaaaaaaa", Role: role, Address: addr, Head: head, Group: g, Arch: arch})
	}
	add(raylink.NodeHead, spec.Head, head)
	addr := netip.MustParseAddr("100.127.250.10")
	for _, g := range spec.Workers {
		for range g.Replicas {
			add(raylink.NodeWorker, g, addr)
			addr = addr.Next()
		}
	}
	return image, nodes, nil
}

const rawToken = "a-token-of-the-benchmark-alone"

// rawNode runs one container with the limits that a lease would have.
func rawNode(ctx context.Context, dir, name, image string, n ray.Node) error {
	node := filepath.Join(dir, name)
	for _, d := range []string{node, filepath.Join(node, "session"), filepath.Join(node, "gcs")} {
		if err := errors.Join(os.MkdirAll(d, 0o755), os.Chown(d, 1000, 1000)); err != nil {
			return err
		}
	}
	script, err := ray.StartScript(ray.Command(n), ray.Environment(n))
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(filepath.Join(node, "start.sh"), []byte(script), 0o644), os.WriteFile(filepath.Join(node, "token"), []byte(rawToken), 0o644)); err != nil {
		return err
	}
	memory := n.Group.Resources.Memory
	_, err = dockerRun(ctx, "run", "-d", "--name", name, "--network", rawNetwork, "--ip", n.Address.String(), "--cap-drop", "ALL",
		"--security-opt", "no-new-privileges", "--user", "1000:1000", "--pids-limit", "4096", "--cpus", fmt.Sprint(float64(n.Group.Resources.CPU)/raylink.Unit),
		"--memory", fmt.Sprint(memory), "--shm-size", fmt.Sprint(ray.ShmBytes(memory)), "-v", node+":/raylink", "-v", filepath.Join(node, "session")+":/tmp/ray",
		"--entrypoint", "sh", image, "/raylink/start.sh")
	return err
}

func rawAlive(ctx context.Context, head netip.Addr, want int) error {
	body, err := get(ctx, ray.DashboardURL(head)+ray.NodesPath)
	if err != nil {
		return err
	}
	list, err := ray.Nodes(body)
	if err != nil {
		return err
	}
	alive := 0
	for _, n := range list {
		if n.Alive {
			alive++
		}
	}
	if alive < want {
		return fmt.Errorf("%d of %d nodes are alive", alive, want)
	}
	return nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+rawToken)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, 4<<20))
}

func dockerRun(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running docker %s: %w: %s", args[0], err, out)
	}
	return string(out), nil
}
