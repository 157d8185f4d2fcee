package devnet

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/manifest"
)

// TestMixedArchitectures has an arm64 worker join an amd64 head in one cluster and run a task that says so. The arm64 machine's agent runs here and
// says that it emulates; its containers run the arm64 image through qemu-user. What is shown is that images, labels, placement and Ray agree across
// architectures, not how an arm64 machine performs.
func TestMixedArchitectures(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs root, Docker, the worker images of both architectures and the Ray client: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the emulated machine is the arm64 one, and this machine is one itself")
	}
	ctx := t.Context()
	n, err := Start(ctx, Config{Dir: filepath.Join(t.TempDir(), "net"), Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"), Coordinators: 1, Suppliers: 2, Cores: 2,
		Memory: "6Gi", Emulated: map[int]string{1: "arm64"}, Out: os.Stdout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &Story{Network: n, Ray: setting(t, "RAYLINK_RAY", ""), Job: setting(t, "RAYLINK_MIXED", "../../examples/mixed")}
	if err := s.signIn(ctx); err != nil {
		t.Fatal(err)
	}
	// Both agents want signatures. Without one nothing runs; TestUnsignedImagesAreRefused shows that.
	if out, err := s.raylink(ctx, "admin", "image", "list"); err != nil || strings.Count(out, "key ") != 2 {
		t.Fatalf("the images are not pinned: %v\n%s", err, out)
	}
	if _, err := s.raylink(ctx, "engineer", "cluster", "create", "-f", filepath.Join(s.Job, "cluster.yaml"), "--yes"); err != nil {
		t.Fatal(err)
	}
	c, err := n.As("engineer")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s.cluster, err = c.Cluster(ctx, "mixed"); err != nil {
		t.Fatal(err)
	}
	archs := map[raylink.MachineID]string{}
	machines, err := n.machines(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		archs[m.ID] = m.Offer.Arch
	}
	for _, node := range s.cluster.Nodes {
		want := map[raylink.NodeRole]string{raylink.NodeHead: "amd64", raylink.NodeWorker: "arm64"}[node.Role]
		if archs[node.Machine] != want {
			t.Errorf("%s stands on a machine that is %s, wanted %s", node.Node, archs[node.Machine], want)
		}
	}
	// The program in the image is of its architecture, and runs.
	told, err := dockerRun(ctx, "run", "--rm", "--network", "none", "--platform", "linux/arm64", "raylink/worker:2.60.0-py311-arm64", "version", "-o", "json")
	if err != nil || !strings.Contains(told, `"platform": "linux/arm64"`) {
		t.Errorf("the arm64 image's program says %v:\n%s", err, told)
	}
	j, err := s.submit(ctx, s.endpoint(), "│", "python", "where.py")
	if err != nil {
		t.Fatal(err)
	}
	if err := j.wait(ctx, 4*time.Minute); err != nil {
		t.Fatalf("the job: %v\n%s", err, j)
	}
	for _, want := range []string{"the driver runs on x86_64", "the task runs on aarch64"} {
		if !strings.Contains(j.String(), want) {
			t.Errorf("the job does not say %q:\n%s", want, j)
		}
	}
}

// TestUnsignedImagesAreRefused: a machine that wants signatures runs nothing once the network's admin has taken the signed pin away, and the tenant
// is told why, at the stage of the image.
func TestUnsignedImagesAreRefused(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs root, Docker, the worker image: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	ctx := t.Context()
	n, err := Start(ctx, Config{Dir: filepath.Join(t.TempDir(), "net"), Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"), Coordinators: 1, Suppliers: 1, Cores: 4,
		Memory: "10Gi", Out: os.Stdout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &Story{Network: n}
	if err := s.signIn(ctx); err != nil {
		t.Fatal(err)
	}
	image, _, err := manifest.Image("rayproject/ray:2.60.0-py311", runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.raylink(ctx, "admin", "image", "unpin", image); err != nil {
		t.Fatal(err)
	}
	out, err := s.raylink(ctx, "engineer", "cluster", "create", "-f", "../../examples/first-job/cluster.yaml", "--yes")
	if err == nil || !strings.Contains(out, "failed at stage image") || !strings.Contains(out, "is not signed") {
		t.Errorf("it ends with %v:\n%s", err, out)
	}
}
