package dataplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/wireguard"
)

// ErrUnknown says that a data plane of an earlier version, which another agent started, does not know what it is asked for.
var ErrUnknown = errors.New("the data plane is of an earlier version")

// Client talks to the data plane of one lease. An error that is no *raylink.Error means that it does not answer.
type Client struct {
	socket string
	http   *http.Client
}

// Connect makes a client of the data plane behind a control socket; the first call shows whether somebody is there.
func Connect(socket string) *Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true, // the data plane may be another process next time
	}
	return &Client{socket: socket, http: &http.Client{Transport: transport, Timeout: controlWait}}
}

// Socket is the path of the control socket.
func (c *Client) Socket() string { return c.socket }

// Status asks how it stands.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return c.call(ctx, http.MethodGet, "/status", nil)
}

// SetMesh tells it who else is in the overlay. A peer that is gone is dead when SetMesh returns.
func (c *Client) SetMesh(ctx context.Context, mesh overlay.Mesh) (Status, error) {
	return c.call(ctx, http.MethodPut, "/mesh", mesh)
}

// SetEgress tells it what may pass to the Internet from now on; nil is nothing. ErrUnknown comes of a data plane of an earlier version.
func (c *Client) SetEgress(ctx context.Context, e *Egress) (Status, error) {
	return c.call(ctx, http.MethodPut, "/egress", EgressOrder{Egress: e})
}

// Preflight begins to dial all these peers (timeout 0 is 20 s) and returns at once; Status has the verdict. Asking again while the same
// peers are being dialled changes nothing.
func (c *Client) Preflight(ctx context.Context, peers []netip.Addr, timeout time.Duration) (Status, error) {
	return c.call(ctx, http.MethodPost, "/preflight", PreflightRequest{Peers: peers, TimeoutMs: timeout.Milliseconds()})
}

// EndPreflight stops answering the others' dialling. The verdict stays.
func (c *Client) EndPreflight(ctx context.Context) (Status, error) {
	return c.call(ctx, http.MethodDelete, "/preflight", nil)
}

// Close tells it to end, and returns before it has.
func (c *Client) Close(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "/close", nil)
	return err
}

func (c *Client) call(ctx context.Context, method, path string, body any) (Status, error) {
	var status Status
	text, err := json.Marshal(body)
	if err != nil {
		return status, fmt.Errorf("asking the data plane %s %s: %w", method, path, err)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://dataplane"+path, bytes.NewReader(text))
	if err != nil {
		return status, fmt.Errorf("asking the data plane %s %s: %w", method, path, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return status, fmt.Errorf("asking the data plane at %s: %w", c.socket, err)
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(io.LimitReader(response.Body, bodyMax))
	if response.StatusCode != http.StatusOK {
		var failure raylink.Error
		if err := decoder.Decode(&failure); err != nil || failure.Message == "" {
			if response.StatusCode == http.StatusNotFound {
				return status, fmt.Errorf("%w: it does not know %s", ErrUnknown, path)
			}
			return status, fmt.Errorf("the data plane answered %s with %s", path, response.Status)
		}
		return status, &failure
	}
	if err := decoder.Decode(&status); err != nil {
		return status, fmt.Errorf("reading the data plane's answer to %s: %w", path, err)
	}
	return status, nil
}

// Adopt finds the running data plane of a lease, and reads its private key back from WireGuard: after its own restart the agent can then
// start another with the same key, should this one die.
func Adopt(ctx context.Context, lease, socket string) (*Client, overlay.PrivateKey, error) {
	client := Connect(socket)
	status, err := client.Status(ctx)
	if err != nil {
		return nil, overlay.PrivateKey{}, err
	}
	if status.Lease != lease {
		return nil, overlay.PrivateKey{}, fmt.Errorf("behind %s is the data plane of lease %s, not of %s", socket, status.Lease, lease)
	}
	state, err := wireguard.ReadState(ctx, overlay.DeviceName(lease))
	if err != nil {
		return nil, overlay.PrivateKey{}, err
	}
	if state.PrivateKey.IsZero() || state.PrivateKey.Public() != status.PublicKey {
		return nil, overlay.PrivateKey{}, fmt.Errorf("the WireGuard device %s does not belong to the data plane of lease %s",
			overlay.DeviceName(lease), lease)
	}
	return client, state.PrivateKey, nil
}
