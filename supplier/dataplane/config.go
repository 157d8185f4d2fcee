// Package dataplane is the process that carries the overlay of one lease: the agent starts it, talks to it over a unix socket, and may
// die without it; it ends when it is told to, or when the container whose namespace it serves is gone.
package dataplane

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"raylink/raylink/overlay"
)

const (
	// ConfigFile is the name of the configuration in the lease's directory; Start writes it and hands its path to the process.
	ConfigFile = "dataplane.json"
	// LogFile is the name of the process's log in the lease's directory.
	LogFile = "dataplane.log"

	runDir     = "/run/raylink"
	socketMax  = 107 // Linux's limit of a unix socket's path in bytes, less the final zero
	configMax  = 64 << 10
	memoryMax  = 128 << 20 // bytes; wireguard-go under load takes what it is given, and this costs a few percent of speed
	deviceName = "rl0"
)

// Config is all that a data plane is told when it starts, but for the private key, which comes on its standard input.
type Config struct {
	Lease string `json:"lease"`
	// Dir is the directory of the configuration and the log. It must not be one that the tenant's container sees.
	Dir string `json:"dir"`
	// Socket is the path of the control socket; empty is SocketPath(Lease).
	Socket string `json:"socket,omitempty"`
	// Pid is the container's main process, as this machine's own pid namespace counts it. It says whose namespace to serve, and when
	// it is gone.
	Pid int `json:"pid,omitempty"`
	// Netns is the path of the network namespace where there is no such process; it is gone when the file is.
	Netns   string       `json:"netns,omitempty"`
	Address netip.Prefix `json:"address"`
	MTU     int          `json:"mtu,omitempty"`         // bytes; 0 is overlay.MTUDirect
	Port    uint16       `json:"listen_port,omitempty"` // UDP; 0 takes any free one
	// Egress makes this process the lease's way to the Internet; absent, there is none.
	Egress *Egress `json:"egress,omitempty"`
}

// SocketPath is where a lease's data plane listens unless told otherwise: short, whatever the lease's directory is called.
func SocketPath(lease string) string {
	return filepath.Join(runDir, overlay.DeviceName(lease)+".sock")
}

// ReadConfig reads the configuration that Start wrote.
func ReadConfig(path string) (Config, error) {
	var config Config
	file, err := os.Open(path)
	if err != nil {
		return config, fmt.Errorf("reading the data plane's configuration: %w", err)
	}
	defer file.Close()
	decoder := json.NewDecoder(io.LimitReader(file, configMax))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return config, fmt.Errorf("reading the data plane's configuration %s: %w", path, err)
	}
	return config, nil
}

// check fills in what is not said and refuses what cannot be.
func (c Config) check() (Config, error) {
	if c.Socket == "" {
		c.Socket = SocketPath(c.Lease)
	}
	if c.MTU == 0 {
		c.MTU = overlay.MTUDirect
	}
	switch {
	case c.Lease == "":
		return c, fmt.Errorf("the data plane's configuration names no lease")
	case len(c.Socket) > socketMax:
		return c, fmt.Errorf("the control socket's path %s is longer than %d bytes", c.Socket, socketMax)
	case (c.Pid > 0) == (c.Netns != ""):
		return c, fmt.Errorf("the data plane of lease %s needs either a container's pid or the path of a namespace", c.Lease)
	}
	if err := (overlay.Mesh{Address: c.Address, MTU: c.MTU}).Validate(); err != nil {
		return c, fmt.Errorf("the data plane of lease %s: %w", c.Lease, err)
	}
	return c, nil
}
