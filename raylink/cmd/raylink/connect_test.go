package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConnectNeedsNoToken: what reaches the loopback is the user, and ^C is no error.
func TestConnectNeedsNoToken(t *testing.T) {
	network, err := startFake()
	if err != nil {
		t.Fatal(err)
	}
	defer network.close()
	dir := t.TempDir()
	manifest := filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(manifest, []byte("kind: RayCluster\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": dir, "RAYLINK_TOKEN": fakeToken}
	var errs bytes.Buffer
	out, in := io.Pipe()
	a := func(out io.Writer) *app {
		return &app{in: strings.NewReader(""), out: out, err: &errs, getenv: func(name string) string { return env[name] }}
	}
	for _, args := range [][]string{{"login", network.coordinator.URL}, {"cluster", "create", "-f", manifest, "--yes"}} {
		if code := a(io.Discard).run(t.Context(), args); code != 0 {
			t.Fatalf("%v: %s", args, &errs)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		code := a(in).run(ctx, []string{"connect", "first-job", "--port", "0"})
		in.Close()
		done <- code
	}()
	said := bufio.NewReader(out)
	line, err := said.ReadString('\n')
	base := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	if err != nil || base == "" {
		t.Fatalf("it said %q, %v: %s", line, err, &errs)
	}
	go io.Copy(io.Discard, said) // ends with the pipe
	answer, err := http.Get(base + "/api/jobs/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), "raysubmit_new") {
		t.Errorf("got %s %q, %v", answer.Status, text, err)
	}
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("it ended with %d: %s", code, &errs)
	}
}
