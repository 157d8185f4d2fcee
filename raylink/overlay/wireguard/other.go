//go:build !linux

package wireguard

import (
	"context"
	"errors"
	"log/slog"

	"raylink/raylink/overlay"
)

// Device exists only on Linux: elsewhere there are no network namespaces.
type Device struct{ *member }

// Attach is refused outside Linux.
func Attach(Config, *slog.Logger) (*Device, error) {
	return nil, errors.New("attaching an overlay to a container needs Linux")
}

// Close does nothing.
func (d *Device) Close() error { return nil }

// InNetns is refused outside Linux.
func InNetns(string, func() error) error {
	return errors.New("network namespaces need Linux")
}

// ReadState is refused outside Linux.
func ReadState(context.Context, string) (overlay.State, error) {
	return overlay.State{}, errors.New("reading a WireGuard device needs Linux")
}

// RemoveSocket does nothing outside Linux.
func RemoveSocket(string) error { return nil }

// RemoveSocketDir does nothing outside Linux.
func RemoveSocketDir() {}
