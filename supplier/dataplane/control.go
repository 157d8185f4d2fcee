package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/wireguard"
	"raylink/supplier/egress"
)

const (
	bodyMax     = 1 << 20 // bytes
	controlWait = 10 * time.Second
)

// Status is what a data plane says of itself.
type Status struct {
	Lease        string          `json:"lease"`
	Pid          int             `json:"pid"` // of the data plane
	Started      time.Time       `json:"started"`
	PublicKey    overlay.Key     `json:"public_key"`
	Port         uint16          `json:"port"` // UDP, outside the overlay
	Address      netip.Prefix    `json:"address"`
	MTU          int             `json:"mtu"`
	Peers        []PeerStatus    `json:"peers"`
	Preflight    PreflightStatus `json:"preflight"`
	Netns        uint64          `json:"netns"` // inode of the namespace that is served
	ContainerPid int             `json:"container_pid,omitempty"`
	Egress       *egress.Count   `json:"egress,omitempty"` // absent without, and where the proxy never listened
	// EgressTrouble is why the lease has no way to the Internet although it was to have one.
	EgressTrouble string `json:"egress_trouble,omitempty"`
}

// PeerStatus is one peer as WireGuard sees it. LastHandshake is absent before the first; bytes are counted on the wire.
type PeerStatus struct {
	Name          string         `json:"name,omitempty"`
	PublicKey     overlay.Key    `json:"public_key"`
	Address       netip.Addr     `json:"address"`
	Endpoint      netip.AddrPort `json:"endpoint"`
	LastHandshake time.Time      `json:"last_handshake,omitzero"`
	ReceivedBytes uint64         `json:"rx"`
	SentBytes     uint64         `json:"tx"`
}

// PreflightRequest asks for all these peers to be dialled; TimeoutMs 0 is 20 s.
type PreflightRequest struct {
	Peers     []netip.Addr `json:"peers"`
	TimeoutMs int64        `json:"timeout_ms,omitempty"`
}

// EgressOrder says what may pass from now on; none is nothing.
type EgressOrder struct {
	Egress *Egress `json:"egress"`
}

// control serves the agent on the unix socket.
type control struct {
	config  Config
	space   *namespace
	device  *wireguard.Device
	checks  *preflight
	outlet  *outlet
	log     *slog.Logger
	started time.Time

	server *http.Server
	wait   sync.WaitGroup
	once   sync.Once
	told   chan struct{} // closed when the agent said close
	broken chan error
	life   context.Context
}

func newControl(config Config, space *namespace, device *wireguard.Device, log *slog.Logger) *control {
	c := &control{
		config: config, space: space, device: device, outlet: newOutlet(space, log), log: log, started: time.Now().UTC().Round(time.Millisecond),
		told: make(chan struct{}), broken: make(chan error, 1),
	}
	c.checks = &preflight{
		netns: space.path, own: config.Address.Addr(), shaken: c.shaken, log: log,
		status: PreflightStatus{State: PreflightIdle},
	}
	return c
}

// open listens; the lock on the socket is held, so whatever file is there belonged to a dead one.
func (c *control) open(life context.Context) error {
	c.life = life
	if err := os.Remove(c.config.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the socket a predecessor left: %w", err)
	}
	listener, err := net.Listen("unix", c.config.Socket)
	if err != nil {
		return fmt.Errorf("listening for the agent: %w", err)
	}
	if err := os.Chmod(c.config.Socket, 0o600); err != nil {
		listener.Close()
		return fmt.Errorf("closing the control socket to others: %w", err)
	}
	c.server = &http.Server{
		Handler: c.routes(), ReadHeaderTimeout: controlWait, ReadTimeout: controlWait, WriteTimeout: controlWait,
		ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelWarn),
	}
	c.wait.Go(func() {
		if err := c.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.broken <- fmt.Errorf("serving the agent: %w", err)
		}
	})
	return nil
}

func (c *control) close() {
	ctx, cancel := context.WithTimeout(context.Background(), controlWait)
	defer cancel()
	if c.server.Shutdown(ctx) != nil { // lets the answer to close go out first
		c.server.Close()
	}
	c.wait.Wait()
	c.checks.stop()
}

// routes is the whole control surface.
func (c *control) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, serve func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
			answer, err := serve(r)
			c.answer(w, answer, err)
		})
	}
	handle("GET /status", func(*http.Request) (any, error) { return c.status() })
	handle("PUT /mesh", c.setMesh)
	handle("PUT /egress", c.setEgress)
	handle("POST /preflight", c.startPreflight)
	handle("DELETE /preflight", func(*http.Request) (any, error) { c.checks.stop(); return c.status() })
	handle("POST /close", func(*http.Request) (any, error) {
		c.once.Do(func() { close(c.told) })
		return struct{}{}, nil
	})
	return mux
}

func (c *control) answer(w http.ResponseWriter, answer any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		failure := raylink.AsError(err)
		w.WriteHeader(failure.Code.HTTPStatus())
		answer = failure
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		c.log.Debug("the agent did not hear the answer", "error", err)
	}
}

func (c *control) setMesh(r *http.Request) (any, error) {
	var mesh overlay.Mesh
	if err := decode(r, &mesh); err != nil {
		return nil, err
	}
	before := c.device.Mesh()
	if err := c.device.SetMesh(mesh); err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%s", err)
	}
	if !slices.Equal(before.Peers, mesh.Peers) {
		c.log.Info("the mesh changed", "peers", len(mesh.Peers), "before", len(before.Peers))
	}
	return c.status()
}

func (c *control) setEgress(r *http.Request) (any, error) {
	var order EgressOrder
	if err := decode(r, &order); err != nil {
		return nil, err
	}
	c.outlet.set(order.Egress)
	return c.status()
}

func (c *control) startPreflight(r *http.Request) (any, error) {
	var request PreflightRequest
	if err := decode(r, &request); err != nil {
		return nil, err
	}
	timeout := time.Duration(request.TimeoutMs) * time.Millisecond
	if timeout <= 0 {
		timeout = preflightTimeout
	}
	known := make(map[netip.Addr]bool)
	for _, peer := range c.device.Mesh().Peers {
		known[peer.Address] = true
	}
	for _, peer := range request.Peers {
		if !known[peer] {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%s is not in the mesh of lease %s", peer, c.config.Lease).
				WithHint("set the mesh before its preflight")
		}
	}
	if err := c.checks.start(c.life, request.Peers, timeout); err != nil {
		return nil, err
	}
	return c.status()
}

func decode(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "reading the request: %s", err)
	}
	return nil
}

func (c *control) status() (Status, error) {
	peers, err := c.device.Status()
	if err != nil {
		return Status{}, err
	}
	names := make(map[overlay.Key]string)
	for _, peer := range c.device.Mesh().Peers {
		names[peer.PublicKey] = peer.Name
	}
	status := Status{
		Lease: c.config.Lease, Pid: os.Getpid(), Started: c.started,
		PublicKey: c.device.PublicKey(), Port: c.device.Port(), Address: c.config.Address, MTU: c.config.MTU,
		Peers: make([]PeerStatus, 0, len(peers)), Preflight: c.checks.now(),
		Netns: c.space.inode, ContainerPid: c.config.Pid,
	}
	c.outlet.tell(&status)
	for _, peer := range peers {
		status.Peers = append(status.Peers, PeerStatus{
			Name: names[peer.PublicKey], PublicKey: peer.PublicKey, Address: peer.Address, Endpoint: peer.Endpoint,
			LastHandshake: peer.LastHandshake, ReceivedBytes: peer.Received, SentBytes: peer.Sent,
		})
	}
	slices.SortFunc(status.Peers, func(a, b PeerStatus) int { return strings.Compare(a.Address.String(), b.Address.String()) })
	return status, nil
}

func (c *control) shaken(address netip.Addr) bool {
	peers, err := c.device.Status()
	return err == nil && slices.ContainsFunc(peers, func(p overlay.PeerState) bool {
		return p.Address == address && !p.LastHandshake.IsZero()
	})
}
