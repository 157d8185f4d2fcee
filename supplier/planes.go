package supplier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/wireguard"
	"raylink/supplier/dataplane"
	"raylink/supplier/runtime"
)

const (
	preflightFor  = 20 * time.Second
	preflightPoll = 100 * time.Millisecond
	closeWithin   = 2 * time.Second
	killWithin    = 5 * time.Second
)

// processPlanes are data planes that are processes of this machine, beside the agent and longer-lived than it.
type processPlanes struct {
	files   files
	sockets string   // directory of the control sockets; empty is dataplane's own
	command []string // what to run; nil is this very program
	log     *slog.Logger
}

func (p *processPlanes) socket(lease raylink.LeaseID) string {
	own := dataplane.SocketPath(string(lease))
	if p.sockets == "" {
		return own
	}
	return filepath.Join(p.sockets, filepath.Base(own))
}

func (p *processPlanes) config(spec runtime.PlaneSpec) dataplane.Config {
	config := dataplane.Config{
		Lease: string(spec.Lease), Dir: spec.Dir, Socket: p.socket(spec.Lease), Pid: spec.Pid, Address: spec.Address, MTU: spec.MTU, Port: spec.Port,
	}
	config.Egress = bounds(spec.Egress)
	return config
}

func bounds(e *runtime.Egress) *dataplane.Egress {
	if e == nil {
		return nil
	}
	return &dataplane.Egress{Bytes: e.Bytes, Used: e.Used, Host: e.Host, Closed: e.Closed}
}

// Start runs `raylink dataplane` in a session of its own.
func (p *processPlanes) Start(ctx context.Context, spec runtime.PlaneSpec) (runtime.Plane, error) {
	if err := p.Stop(ctx, spec.Lease); err != nil {
		return nil, err
	}
	process, err := dataplane.Start(ctx, p.config(spec), spec.Key, p.command, p.log)
	if err != nil {
		return nil, err
	}
	return &plane{client: process.Client, key: spec.Key}, nil
}

// Adopt connects to one that answers.
func (p *processPlanes) Adopt(ctx context.Context, lease raylink.LeaseID) (runtime.Plane, error) {
	client, key, err := dataplane.Adopt(ctx, string(lease), p.socket(lease))
	if err != nil {
		return nil, gone(err)
	}
	return &plane{client: client, key: key}, nil
}

// List names the leases for which a data plane was ever configured; whether it lives shows when it is adopted.
func (p *processPlanes) List(context.Context) ([]raylink.LeaseID, error) {
	all, err := p.files.list()
	if err != nil {
		return nil, err
	}
	var out []raylink.LeaseID
	for _, lease := range all {
		if _, err := os.Stat(filepath.Join(p.files.plane(lease), dataplane.ConfigFile)); err == nil {
			out = append(out, lease)
		}
	}
	return out, nil
}

// Stop asks the data plane to end, and kills it when it does not. Who it is, the kernel says: whoever listens on its socket.
func (p *processPlanes) Stop(ctx context.Context, lease raylink.LeaseID) error {
	process, err := listener(ctx, p.socket(lease))
	if errors.Is(gone(err), runtime.ErrNoPlane) {
		return p.tidy(lease)
	}
	if err != nil {
		return err
	}
	defer unix.Close(process)
	closing, cancel := context.WithTimeout(ctx, closeWithin)
	defer cancel()
	if err := dataplane.Connect(p.socket(lease)).Close(closing); err == nil && ended(process, closeWithin) {
		return p.tidy(lease)
	}
	p.log.Warn("a data plane does not end when told to; killing it", "lease", lease)
	if err := kill(process); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing the data plane of %s: %w", lease, err)
	}
	if !ended(process, killWithin) {
		return fmt.Errorf("the data plane of %s outlives SIGKILL", lease)
	}
	return p.tidy(lease)
}

// tidy removes the sockets that a data plane leaves behind when it is killed. Nobody but this agent starts another of the lease.
func (p *processPlanes) tidy(lease raylink.LeaseID) error {
	return errors.Join(removeFile(p.socket(lease)), removeFile(p.socket(lease)+".lock"), wireguard.RemoveSocket(overlay.DeviceName(string(lease))))
}

// listener is a handle (pidfd) on the process that listens on a unix socket.
func listener(ctx context.Context, socket string) (int, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return -1, fmt.Errorf("looking for a data plane at %s: %w", socket, err)
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("looking for a data plane at %s: %w", socket, err)
	}
	var process int
	var inner error
	err = raw.Control(func(fd uintptr) {
		process, inner = peer(int(fd))
	})
	if err := errors.Join(err, inner); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return -1, runtime.ErrNoPlane
		}
		return -1, fmt.Errorf("finding who listens at %s: %w", socket, err)
	}
	return process, nil
}

// ended waits until a process has ended, and says whether it has.
func ended(process int, within time.Duration) bool {
	deadline := time.Now().Add(within)
	for {
		left := time.Until(deadline)
		if left < 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err == nil && n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
	}
}

// gone turns the ways in which a socket says that nobody listens into ErrNoPlane.
func gone(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %v", runtime.ErrNoPlane, err)
	}
	return err
}

// plane is a hand on a data plane of any kind: what matters is its socket.
type plane struct {
	client *dataplane.Client
	key    overlay.PrivateKey
	keeps  atomic.Bool // what it was started with of the Internet: it is of a version that cannot change it
}

// keptEgress is what is said of such a plane.
const keptEgress = "its data plane is of an earlier version, and keeps the bounds that it was started with until it is replaced"

func (p *plane) Status(ctx context.Context) (runtime.PlaneStatus, error) {
	status, err := p.client.Status(ctx)
	if err != nil {
		return runtime.PlaneStatus{}, gone(err)
	}
	if status.PublicKey != p.key.Public() {
		return runtime.PlaneStatus{}, fmt.Errorf("%w: another one took its place", runtime.ErrNoPlane)
	}
	if p.keeps.Load() && status.EgressTrouble == "" {
		status.EgressTrouble = keptEgress
	}
	now := runtime.PlaneStatus{Key: p.key, Port: status.Port, Attached: status.ContainerPid, EgressTrouble: status.EgressTrouble}
	if status.Egress != nil {
		now.Egress = status.Egress.Bytes
	}
	return now, nil
}

func (p *plane) SetMesh(ctx context.Context, mesh overlay.Mesh, egress *runtime.Egress) error {
	if _, err := p.client.SetMesh(ctx, mesh); err != nil {
		return gone(err)
	}
	_, err := p.client.SetEgress(ctx, bounds(egress))
	if errors.Is(err, dataplane.ErrUnknown) {
		p.keeps.Store(egress != nil)
		return nil
	}
	return gone(err)
}

// Preflight begins the dialling and asks until there is a verdict.
func (p *plane) Preflight(ctx context.Context, peers []netip.Addr) ([]netip.Addr, error) {
	status, err := p.client.Preflight(ctx, peers, preflightFor)
	ticker := time.NewTicker(preflightPoll)
	defer ticker.Stop()
	for {
		if err != nil {
			return nil, gone(err)
		}
		switch status.Preflight.State {
		case dataplane.PreflightOK:
			return nil, nil
		case dataplane.PreflightBlocked:
			return status.Preflight.Blocked, nil
		case dataplane.PreflightIdle:
			return nil, errors.New("the preflight was called off")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
			status, err = p.client.Status(ctx)
		}
	}
}

func (p *plane) Close() error { return nil }
