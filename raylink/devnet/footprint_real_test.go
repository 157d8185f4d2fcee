package devnet

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestIdleAgent: an agent without a lease leaves its machine's memory to others. What it takes of processors, `make bench` measures, for longer.
func TestIdleAgent(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs the raylink binary and Docker: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	var out strings.Builder
	n, err := Start(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "net"), Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"), Coordinators: 1, Suppliers: 1, Cores: 1, Memory: "1Gi", Out: &out})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	r, err := n.idle(t.Context(), agentName(0), 5*time.Second, 1, func(_ int, r idleRound) { t.Log(r) })
	if err != nil {
		t.Fatal(err)
	}
	if r.rss > 100<<20 || r.threads > 40 {
		t.Errorf("the idle agent takes too much: %s", r)
	}
	if r.rss < r.pss || r.rss < r.own || r.peak < r.rss || r.pss == 0 || r.own == 0 || r.threads == 0 {
		t.Errorf("what an idle agent takes cannot be so: %s", r)
	}
}
