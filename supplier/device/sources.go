package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/supplier/device/nvml"
)

// Sources is where a probe reads from. Read and Glob are there always; the others may be nil, and then nothing is asked there.
type Sources struct {
	Read    func(name string) (string, error)                                      // one file's text
	Glob    func(pattern string) []string                                          // files' names, sorted
	Sysctl  func(name string) (string, bool)                                       // on macOS, and only there
	Docker  func(ctx context.Context, path string) (string, error)                 // the engine's answer to GET path
	Run     func(ctx context.Context, name string, args ...string) (string, error) // what a program says
	Host    func(name string) (string, error)                                      // a file of the host's, where this runs in a container; nil is Read
	NVIDIA  func(ctx context.Context) (driver string, _ []raylink.Device, _ error) // NVIDIA's library
	Missing func(error) bool                                                       // NVIDIA's error says that the machine has no driver, or the build no library
	Arch    string                                                                 // as Go names it
	Threads int                                                                    // where no file tells
	Version string                                                                 // of this program; empty where it was not built from one
}

const (
	fileLimit   = 4 << 20         // bytes read of one file; 1,024 threads have 1.6 MB of cpuinfo
	answerLimit = 1 << 20         // bytes of the engine's answer, and of what a program says
	askLimit    = 3 * time.Second // for one answer of an engine or a program
)

// host reads a file of the machine itself.
func (s Sources) host(name string) (string, error) {
	if s.Host == nil {
		return s.Read(name)
	}
	return s.Host(name)
}

// System are this machine's own sources.
func System() Sources {
	s := Sources{
		Read: readFile, Glob: glob, Sysctl: sysctl(), Docker: askDocker, Run: run, Host: ReadHost, NVIDIA: nvml.Open().Devices,
		Missing: func(err error) bool { return errors.Is(err, nvml.ErrNoDriver) || errors.Is(err, nvml.ErrBuild) },
		Arch:    runtime.GOARCH, Threads: runtime.NumCPU(),
	}
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "(devel)" {
		s.Version = build.Main.Version
	}
	return s
}

func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, fileLimit))
	return string(text), err
}

func glob(pattern string) []string {
	names, err := filepath.Glob(pattern) // sorted; the only error is a bad pattern, and ours are constants
	if err != nil {
		return nil
	}
	return names
}

// askDocker asks the engine on its socket, where DOCKER_HOST or the default says that it is.
func askDocker(ctx context.Context, path string) (string, error) {
	socket := "/var/run/docker.sock"
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		var ok bool
		if socket, ok = strings.CutPrefix(host, "unix://"); !ok {
			return "", fmt.Errorf("asking the engine at %s: only a local one is asked", clip(host))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("asking the engine at %s: %w", socket, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("asking the engine at %s: %s", socket, answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	return string(text), err
}
