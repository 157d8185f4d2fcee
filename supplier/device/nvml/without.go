//go:build !(cgo && linux)

package nvml

import (
	"context"
	"time"

	"raylink/raylink"
)

// Built says whether this build can read NVIDIA devices.
const Built = false

// Reader has no way to the driver in this build.
type Reader struct{}

// Open gives a reader that says so.
func Open() *Reader { return &Reader{} }

// Devices is ErrBuild.
func (*Reader) Devices(context.Context) (driver string, devices []raylink.Device, err error) {
	return "", nil, ErrBuild
}

// Look is ErrBuild.
func (*Reader) Look(context.Context) (driver string, statuses []Status, err error) {
	return "", nil, ErrBuild
}

// Watch is ErrBuild, at once.
func (*Reader) Watch(context.Context, func([]Change)) error { return ErrBuild }

// Last is nothing.
func (*Reader) Last() ([]Status, time.Time) { return nil, time.Time{} }
