// Package nvml reads NVIDIA's GPUs through the driver's own library, libnvidia-ml.so.1, which is loaded when it is first asked: no part of CUDA is
// needed to build or to run this.
//
// The library's Go binding needs cgo. A build without it (CGO_ENABLED=0, macOS) has the same functions, which say plainly that it cannot read NVIDIA
// devices (ErrBuild). A machine without NVIDIA's driver is ErrNoDriver. The binding loads the library with lazy symbols: a program that has it must
// not be linked with `-z now` (it would not start where the library lacks a symbol) nor statically (the library crashes in it).
//
// A driver may hang: each look is taken in a goroutine with a deadline, and while one has not come back, no other is begun (a call into the library
// cannot be ended from outside: so at most one goroutine of a Reader is ever left behind).
//
// Each look loads the driver's state anew and lets go of it, because what is held open outlives what is allowed: after a `systemctl daemon-reload` a
// container has lost its GPUs ("Failed to initialize NVML: Unknown Error"), while whoever had them open before sees nothing. That is noticed for the
// container (or host) in which this runs; a daemon-reload hits all containers of a machine alike.
//
// This has been tested on the binding's own mock servers. It has not been run on a real GPU yet.
package nvml

import (
	"context"
	"errors"
	"fmt"
	"time"

	"raylink/raylink"
)

// What stands against reading NVIDIA devices.
var (
	ErrBuild    = errors.New("this build cannot read NVIDIA devices (built without cgo)")
	ErrNoDriver = errors.New("no NVIDIA driver here: libnvidia-ml.so.1 is not found")
	ErrHangs    = errors.New("the NVIDIA driver does not answer")
)

// Limit is how long the driver is given for all questions of one look, together.
const Limit = 15 * time.Second

// Interval is how often Watch looks. Whoever loses a GPU in a container, as after a `systemctl daemon-reload`, is to be told within a minute.
const Interval = 20 * time.Second

// Status is what a GPU does at the moment.
type Status struct {
	Device      raylink.Device
	Temperature int    // degrees Celsius; 0 where the driver does not tell
	Power       int    // milliwatts drawn; 0 where the driver does not tell
	PowerLimit  int    // milliwatts; 0 where the driver does not tell
	Used        int64  // bytes of its memory in use
	Processes   []int  // ids of the processes that compute on it, as this namespace sees them; nil where the driver does not tell
	Xid         uint64 // the last critical Xid seen since watching began; 0 is none
}

// Computing are the processes that compute on the GPU with this UUID, this one too if it does, as this namespace numbers them. Some drivers do not tell (in
// WSL, say): then there are none. The error says why the GPU cannot be asked.
func (r *Reader) Computing(ctx context.Context, uuid string) ([]int, error) {
	_, statuses, err := r.Look(ctx)
	for _, s := range statuses {
		if s.Device.ID == uuid {
			return s.Processes, nil
		}
	}
	if err == nil {
		err = errors.New(gone)
	}
	return nil, fmt.Errorf("asking who computes on GPU %s: %w", uuid, err)
}

// Change is one device's fault that came or went: Fault is empty where the device is well again.
type Change struct {
	Device string // its UUID; empty where all are meant (the driver is gone)
	Fault  string
}

// String is the change in one line.
func (c Change) String() string {
	if c.Fault == "" {
		return c.Device + " is well again"
	}
	if c.Device == "" {
		return c.Fault
	}
	return c.Device + ": " + c.Fault
}

// XidFault says what a critical Xid means for a GPU (NVIDIA's "XID Errors" document), or "" for those that a program on it causes itself and that
// leave the GPU usable (13, 31, 43, 45 and the like).
func XidFault(xid uint64) string {
	what := ""
	switch xid {
	case 48, 63, 64, 94, 95:
		what = "its memory has errors"
	case 62:
		what = "its internal controller has stopped"
	case 74:
		what = "its NVLink has errors"
	case 79:
		what = "it has fallen off the bus"
	case 119, 120:
		what = "its system processor does not answer"
	case 92:
		what = "its memory has many corrected errors"
	default:
		return ""
	}
	return fmt.Sprintf("Xid %d: %s", xid, what)
}

// Changes compares two looks: what is faulty or gone now and was not, and what is well again. The order is that of before, then of now.
func Changes(before, now []raylink.Device) []Change {
	was, is := map[string]string{}, map[string]string{}
	for _, d := range before {
		was[d.ID] = d.Fault
	}
	for _, d := range now {
		is[d.ID] = d.Fault
	}
	var out []Change
	for _, d := range before {
		fault, there := is[d.ID]
		if !there {
			fault = gone
		}
		if fault != d.Fault {
			out = append(out, Change{d.ID, fault})
		}
	}
	for _, d := range now {
		if _, known := was[d.ID]; !known {
			out = append(out, Change{d.ID, d.Fault})
		}
	}
	return out
}

const gone = "it is gone: the driver does not list it any more"
