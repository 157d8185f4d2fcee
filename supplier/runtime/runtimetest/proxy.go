package runtimetest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/supplier/dataplane"
)

const (
	planeVerb     = "dataplane"
	forbiddenList = "../../egress/testdata/forbidden.txt" // from the directory of a runtime
)

// Plane is for TestMain: where the test binary was started as a data plane by Proxy, it is one until that ends, and was is true.
func Plane() (code int, was bool) {
	if len(os.Args) != 3 || os.Args[1] != planeVerb {
		return 0, false
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	config, err := dataplane.ReadConfig(os.Args[2])
	if err == nil {
		err = dataplane.Run(context.Background(), config, os.Stdin, log)
	}
	if err != nil {
		log.Error("the data plane ended", "error", err)
	}
	return dataplane.ExitCode(err), true
}

// Proxy gives a lease its overlay and its way to the Internet, as the agent does: a data plane in a process of its own, in the namespace of the
// lease's first process. It ends with that, or with the test.
func Proxy(t *testing.T, lease raylink.LeaseID, pid int) {
	t.Helper()
	key, err := overlay.NewPrivateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := dataplane.Config{
		Lease: string(lease), Dir: dir, Socket: filepath.Join(dir, "s"), Pid: pid, Address: netip.MustParsePrefix("100.64.9.2/24"), Egress: &dataplane.Egress{},
	}
	plane, err := dataplane.Start(t.Context(), config, key, []string{os.Args[0], planeVerb}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = plane.Close(context.Background()) // it may have ended with the lease
		<-plane.Ended()
		if err := dataplane.Remove(config); err != nil {
			t.Error(err)
		}
	})
}

// Forbidden is the list of what a tenant must not reach through the proxy, with an address of this machine and a name that leads to one filled in.
func Forbidden(t *testing.T) string {
	t.Helper()
	list, err := os.ReadFile(forbiddenList)
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if found, err := net.DefaultResolver.LookupHost(t.Context(), name); err != nil || len(found) == 0 {
		name = "localhost"
	}
	return strings.NewReplacer("{host}", HostAddress(t), "{name}", name).Replace(string(list))
}

// Refused goes through what a tenant said who asked for all of the list: each must have been refused, and by the proxy itself. That nobody
// answered is no refusal.
func Refused(t *testing.T, said string) {
	t.Helper()
	tried := 0
	for line := range strings.Lines(said) {
		if attempt, ok := strings.CutPrefix(strings.TrimSpace(line), "through the proxy, "); ok {
			if tried++; !strings.Contains(attempt, ": refused 40") && !strings.HasSuffix(attempt, ": refused SOCKS 2") {
				t.Errorf("through the proxy, %s", attempt)
			}
		}
	}
	listed := 0
	for line := range strings.Lines(Forbidden(t)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			listed++
		}
	}
	if tried != listed {
		t.Errorf("%d of %d ways through the proxy were tried", tried, listed)
	}
}

// HostAddress is one of this machine's own, other than loopback where it has one.
func HostAddress(t *testing.T) string {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return "127.0.0.2"
}
