package device

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// TestMain lets this program be a tool of a host, and an agent that looks for one.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("RAYLINK_TEST_TOOL") != "":
		_, err := os.Stat("/only-on-the-host")
		fmt.Printf("a tool, version 1.2.3\nhost %v\n", err == nil)
	case os.Getenv("RAYLINK_TEST_ROOT") != "":
		host := hostRoot(os.Getenv("RAYLINK_TEST_ROOT"))
		root, path := tool(host, "runsc")
		text, err := runIn(context.Background(), root, path, "--version")
		fmt.Printf("host seen: %v; at %q; version %q; %v\n", host != "", path, ParseToolVersion(text), err)
	default:
		os.Exit(m.Run())
	}
}

// static skips where this program could not run in another root directory.
func static(t *testing.T) string {
	t.Helper()
	if build, ok := debug.ReadBuildInfo(); !ok || slices.Contains(build.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"}) {
		t.Skip("this program needs a C library: it runs in no other root directory")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// TestToolsAreTheHosts: an agent in a container asks the host's programs, in the host's own root directory, and not what its image happens to have.
func TestToolsAreTheHosts(t *testing.T) {
	host := t.TempDir()
	if err := os.MkdirAll(filepath.Join(host, "usr/local/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/opt/tool", filepath.Join(host, "usr/local/bin/a-tool")); err != nil { // leads nowhere but there
		t.Fatal(err)
	}
	if got := hostRoot(host); got != host {
		t.Errorf("a host at %s is seen at %q", host, got)
	}
	for _, none := range []string{"/", "/proc/self/root", host + "/none"} {
		if got := hostRoot(none); got != "" {
			t.Errorf("%s is taken for a host: %q", none, got)
		}
	}
	if root, path := tool(host, "a-tool"); root != host || path != "/usr/local/bin/a-tool" {
		t.Errorf("the host's tool is %q in %q", path, root)
	}
	if root, path := tool(host, "sh"); root != "" || path != "" {
		t.Errorf("the host has no sh, and this machine's is taken: %q in %q", path, root)
	}
	if root, path := tool("", "sh"); root != "/" || filepath.Base(path) != "sh" {
		t.Errorf("on the host itself sh is %q in %q", path, root)
	}
	if _, err := runIn(t.Context(), "", ""); err == nil {
		t.Error("nothing runs")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root changes its root directory")
	}
	program, err := os.ReadFile(static(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"opt/tool": program, "only-on-the-host": nil} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(host, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(host, name), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RAYLINK_TEST_TOOL", "1")
	text, err := runIn(t.Context(), host, "/usr/local/bin/a-tool", "--version")
	if err != nil || ParseToolVersion(text) != "1.2.3" || !strings.Contains(text, "host true") {
		t.Errorf("it says %q, %v", text, err)
	}
}

// TestToolsFromAContainer: in a container as README.md starts it for NVIDIA GPUs the host's runsc tells its version; without SYS_PTRACE the host is not seen, and
// that is known. A process of this test's stands for the host's first, which some hosts let nobody look at.
func TestToolsFromAContainer(t *testing.T) {
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("needs root, Docker, runsc and the worker image: `make test` sets RAYLINK_REAL=1 and brings them")
	}
	want, err := run(t.Context(), "runsc", "--version")
	if err != nil {
		t.Fatal(err)
	}
	for flag, says := range map[string]string{
		"--cap-add=SYS_PTRACE": fmt.Sprintf("host seen: true; at %q; version %q; <nil>", "/usr/bin/runsc", ParseToolVersion(want)),
		"--cap-add=SYS_ADMIN":  `host seen: false; at ""; version ""`,
	} {
		out, err := exec.CommandContext(t.Context(), "docker", "run", "--rm", "--pid=host", "--network=none", "--cap-add=NET_ADMIN", "--cap-add=SYS_ADMIN", flag,
			"-v", static(t)+":/test:ro", "-e", fmt.Sprintf("RAYLINK_TEST_ROOT=/proc/%d/root", os.Getpid()), "--entrypoint", "/test", "raylink/worker").CombinedOutput()
		if err != nil || !strings.Contains(string(out), says) {
			t.Errorf("%s: %v\n%swanted %s", flag, err, out, says)
		}
	}
}
