package devnet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGVisor runs the real job on a cluster whose tenant asked for the tier gvisor: head and workers in gVisor's own kernel, over the same overlay. That they
// are is asked of the nodes themselves: gVisor's kernel calls itself so in its log. The network is `raylink dev`, as a person starts it, and a ^C under
// the running cluster ends it and leaves nothing.
func TestGVisor(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs root, Docker with runsc, the worker image and the Ray client: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	ctx := t.Context()
	before := leftovers(t)
	d := start(t, ".", setting(t, "RAYLINK_BIN", "../../bin/raylink"), "dev", "--coordinators", "1", "--suppliers", "3")
	s := &Story{Ray: setting(t, "RAYLINK_RAY", ""), Job: "../../examples/first-job"}
	if err := (&Network{}).until(ctx, "raylink dev", "", 2*time.Minute, d.ready); err != nil {
		t.Fatal(err)
	}
	s.Network = d.network(t)
	if err := s.signIn(ctx); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.Job, "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for tier, want := range map[string]string{"vm": "no machine offers virtual machines yet", "chroot": "is no tier of isolation"} {
		if out, err := s.raylink(ctx, "engineer", "quote", "-f", isolated(t, text, tier)); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", tier, err, out)
		}
	}
	if _, err := s.raylink(ctx, "engineer", "cluster", "create", "-f", isolated(t, text, "gvisor"), "--yes"); err != nil {
		t.Fatal(err)
	}
	c, err := s.Network.As("engineer")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s.cluster, err = c.Cluster(ctx, "first-job"); err != nil {
		t.Fatal(err)
	}
	j, err := s.submit(ctx, s.endpoint(), "│", "sh", "-c", "dmesg | head -n 1; python train.py --seconds 10")
	if err != nil {
		t.Fatal(err)
	}
	if err := j.wait(ctx, 4*time.Minute); err != nil {
		t.Fatalf("the job: %v\n%s", err, j)
	}
	for _, want := range []string{"Starting gVisor", "object of 200 MB made on left, read on right", "train.py: done, loss"} {
		if !strings.Contains(j.String(), want) {
			t.Errorf("the job does not say %q:\n%s", want, j)
		}
	}
	d.endByInterrupt(t)
	if after := leftovers(t); after != before {
		t.Errorf("^C left something behind:\n%s\nbefore:\n%s", after, before)
	}
}

// isolated is a manifest with the annotation for a tier.
func isolated(t *testing.T, text []byte, tier string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	annotated := strings.Replace(string(text), "metadata:\n", "metadata:\n  annotations: {raylink.io/isolation: "+tier+"}\n", 1)
	if err := os.WriteFile(path, []byte(annotated), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
