package wireguard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"

	"raylink/raylink/overlay"
)

const (
	uapiDir     = "/var/run/wireguard" // where `wg` looks
	uapiMax     = 1 << 20              // bytes of an answer
	uapiTimeout = 5 * time.Second
)

// uapiServer lets the stock `wg` tool read and change the device. wireguard-go's own listener is not used: its Close races with its
// reader for a file descriptor.
type uapiServer struct {
	listener net.Listener
	device   *device.Device
	wait     sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	conns   map[net.Conn]bool
}

func serveUAPI(name string, dev *device.Device, log *slog.Logger) (*uapiServer, error) {
	path := filepath.Join(uapiDir, name+".sock")
	if err := os.MkdirAll(uapiDir, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of WireGuard's sockets: %w", err)
	}
	if conn, err := net.DialTimeout("unix", path, uapiTimeout); err == nil {
		conn.Close()
		return nil, fmt.Errorf("serving %s for the wg tool: another process does: %w", path, unix.EADDRINUSE)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the socket a predecessor left: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("serving %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // the private key can be read from it
		listener.Close()
		return nil, fmt.Errorf("closing %s to others: %w", path, err)
	}
	s := &uapiServer{listener: listener, device: dev, conns: make(map[net.Conn]bool)}
	s.wait.Go(func() { s.serve(log) })
	return s, nil
}

func (s *uapiServer) serve(log *slog.Logger) {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			log.Warn("WireGuard's socket is no longer served", "error", err)
			return
		}
		if !s.hold(conn) {
			conn.Close()
			return
		}
		s.wait.Go(func() {
			s.device.IpcHandle(conn) // closes it
			s.drop(conn)
		})
	}
}

func (s *uapiServer) hold(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = true
	return !s.stopped
}

func (s *uapiServer) drop(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

func (s *uapiServer) stop() {
	s.listener.Close() // removes the socket's file
	s.mu.Lock()
	s.stopped = true
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}

// RemoveSocketDir removes the directory of the sockets if it is empty, for an uninstall: anybody's device makes it anew.
func RemoveSocketDir() {
	_ = os.Remove(uapiDir) // not empty is another's
}

// RemoveSocket removes the socket that a device of this name left behind when its process was killed. It is no error if there is none.
func RemoveSocket(name string) error {
	if err := os.Remove(filepath.Join(uapiDir, name+".sock")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the socket of the WireGuard device %s: %w", name, err)
	}
	return nil
}

// ReadState asks a running device by its name on the user-space API, as `wg show` does. The answer holds the private key: this is how
// an agent gets back the key of a lease which it adopts.
func ReadState(ctx context.Context, name string) (overlay.State, error) {
	ctx, cancel := context.WithTimeout(ctx, uapiTimeout)
	defer cancel()
	path := filepath.Join(uapiDir, name+".sock")
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return overlay.State{}, fmt.Errorf("asking the WireGuard device %s: %w", name, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := io.WriteString(conn, "get=1\n\n"); err != nil {
		return overlay.State{}, fmt.Errorf("asking the WireGuard device %s: %w", name, err)
	}
	var text strings.Builder
	buffer := make([]byte, 4096)
	for text.Len() < uapiMax && !strings.HasSuffix(text.String(), "\n\n") { // the answer ends with an empty line
		n, err := conn.Read(buffer)
		text.Write(buffer[:n])
		if err != nil {
			return overlay.State{}, fmt.Errorf("reading the state of the WireGuard device %s: %w", name, err)
		}
	}
	return overlay.ParseState(text.String())
}
