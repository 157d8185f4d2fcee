package dataplane

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/raylink/overlay"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func someConfig(t *testing.T) Config {
	dir := t.TempDir()
	return Config{
		Lease: "l1", Dir: dir, Socket: filepath.Join(dir, "s.sock"), Pid: os.Getpid(), Address: netip.MustParsePrefix("100.64.1.2/24"),
	}
}

func TestConfigsThatAreWrong(t *testing.T) {
	if _, err := someConfig(t).check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no lease":              func(c *Config) { c.Lease = "" },
		"a long socket":         func(c *Config) { c.Socket = "/" + strings.Repeat("x", 107) },
		"neither pid nor netns": func(c *Config) { c.Pid = 0 },
		"both pid and netns":    func(c *Config) { c.Netns = "/run/netns/x" },
		"no address":            func(c *Config) { c.Address = netip.Prefix{} },
		"a tiny MTU":            func(c *Config) { c.MTU = 10 },
	} {
		config := someConfig(t)
		spoil(&config)
		if _, err := config.check(); err == nil {
			t.Errorf("a configuration with %s is taken", name)
		}
	}
}

func TestSocketPathIsShort(t *testing.T) {
	if path := SocketPath(strings.Repeat("lease", 100)); len(path) > socketMax {
		t.Errorf("%s has %d bytes", path, len(path))
	}
}

func TestConfigSurvivesItsFileAndHoldsNoSecret(t *testing.T) {
	config := someConfig(t)
	config.Port, config.MTU = 51820, 1280
	path, err := writeConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadConfig(path)
	if err != nil || again != config {
		t.Fatalf("%+v, %v", again, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte(`{"lease":"l1","private_key":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(path); err == nil {
		t.Error("an unknown field is taken")
	}
}

func TestRunRefusesTheMachinesOwnNamespace(t *testing.T) {
	key := strings.NewReader(overlay.PrivateKey{8}.Text() + "\n")
	err := Run(t.Context(), someConfig(t), key, quiet())
	if err == nil || !strings.Contains(err.Error(), "own network namespace") {
		t.Fatal(err)
	}
}

func TestRunWantsItsKeyAndItsContainer(t *testing.T) {
	for _, stdin := range []string{"", "AAAA\n", overlay.PrivateKey{8}.Text(), strings.Repeat("A", 1000)} {
		err := Run(t.Context(), someConfig(t), strings.NewReader(stdin), quiet())
		if err == nil || !strings.Contains(err.Error(), "private key") || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("with %q on stdin: %v", stdin, err)
		}
	}
	config := someConfig(t)
	config.Pid, config.Netns = 0, filepath.Join(t.TempDir(), "none")
	err := Run(t.Context(), config, strings.NewReader(overlay.PrivateKey{8}.Text()+"\n"), quiet())
	if !errors.Is(err, ErrGone) || ExitCode(err) != ExitGone {
		t.Errorf("without a namespace: %v", err)
	}
}

func TestOneDataPlaneASocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s.sock")
	first, err := takeLock(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := takeLock(ctx, socket); err == nil {
		t.Fatal("two hold one lock")
	}
	first.release()
	second, err := takeLock(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	second.release()
}

func TestStartShowsWhyItEnded(t *testing.T) {
	command := []string{"/bin/sh", "-c", `read key; echo "it has ${#key} characters"; exit 7`}
	_, err := Start(t.Context(), someConfig(t), overlay.PrivateKey{8}, command, quiet())
	if err == nil || !strings.Contains(err.Error(), "code 7") || !strings.Contains(err.Error(), "it has 44 characters") {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), someConfig(t), overlay.PrivateKey{8}, []string{"/bin/sh", "-c", "exit 3"}, quiet())
	if !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
}

func TestStartDoesNotFollowLinks(t *testing.T) {
	config := someConfig(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.Symlink(victim, filepath.Join(config.Dir, LogFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), config, overlay.PrivateKey{8}, []string{"/bin/echo"}, quiet()); err == nil {
		t.Fatal("the log was written through a symbolic link")
	}
	if _, err := os.Stat(victim); err == nil {
		t.Fatal("the link's target was made")
	}
}

func TestNobodyAnswers(t *testing.T) {
	client := Connect(filepath.Join(t.TempDir(), "none.sock"))
	if _, err := client.Status(t.Context()); err == nil {
		t.Fatal("a status without a data plane")
	}
	if _, _, err := Adopt(t.Context(), "l1", client.Socket()); err == nil {
		t.Fatal("nothing was adopted")
	}
}

// TestMain is also the processes that the tests need: the program runs itself again under these names.
func TestMain(m *testing.M) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "dataplane":
		os.Exit(runDataplane(os.Args[2], log))
	case "agent": // starts a data plane, says so, and waits to be killed
		config, err := ReadConfig(os.Args[2])
		key, wrong := overlay.ParsePrivateKey(os.Args[3])
		if err = errors.Join(err, wrong); err == nil {
			_, err = Start(context.Background(), config, key, []string{os.Args[0], "dataplane"}, log)
		}
		if err != nil {
			log.Error("agent", "error", err)
			os.Exit(1)
		}
		io.WriteString(os.Stdout, "started\n")
		io.Copy(io.Discard, os.Stdin)
	default:
		os.Exit(m.Run())
	}
}

func runDataplane(path string, log *slog.Logger) int {
	config, err := ReadConfig(path)
	if err == nil {
		err = Run(context.Background(), config, os.Stdin, log)
	}
	if err != nil {
		log.Error("the data plane ended", "error", err)
	}
	return ExitCode(err)
}
