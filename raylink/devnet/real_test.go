package devnet

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemo is the end-to-end run on real parts: three coordinators, three suppliers, real Ray in real containers over the real overlay, the
// unmodified Ray client; the leader is killed in mid-job, then the head's container; the bill is verified. Every chapter of the story
// checks what it shows. Nothing may be left on the machine.
func TestDemo(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") == "" {
		t.Skip("needs root, Docker, the worker image and the Ray client: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	before := leftovers(t)
	var told bytes.Buffer
	err := Run(t.Context(), Options{
		Coordinators: 3, Suppliers: 3, Cores: 2, Memory: "6Gi", Demo: true, Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"),
		Dir: filepath.Join(t.TempDir(), "net"), Ray: setting(t, "RAYLINK_RAY", ""), Example: "../../examples/first-job",
	}, io.MultiWriter(&told, os.Stdout), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"3 suppliers' machines are up", "first-job is ready", "object of 200 MB made on left, read on right", "train.py: done, loss", "the new leader bills on",
		"began at a snapshot", "ask.py: the keeper on left", "raylink: the job FAILED", "fee 2 %", "sums to zero",
	} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("the demo does not tell %q", want)
		}
	}
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
	for _, args := range [][]string{{"docker", "ps", "-aq", "--filter", "label=raylink.machine"}, {"ip", "-o", "link"}, {"sh", "-c", "ls /run/raylink /var/run/wireguard 2>/dev/null | sort"}} {
		out, err := exec.CommandContext(context.Background(), args[0], args[1:]...).Output()
		if err != nil && args[0] != "sh" {
			t.Fatalf("running %v: %v", args, err)
		}
		all.Write(out)
	}
	return all.String()
}
