//go:build cgo && linux

package nvml

import (
	"context"
	"errors"
	"time"

	driver "github.com/NVIDIA/go-nvml/pkg/nvml"

	"raylink/raylink"
)

// eventWait is how long one wait for an Xid stays in the library, in milliseconds. Other questions wait for it; a longer one would save calls that are cheap
// while the GPU is awake, as it is while somebody watches.
const eventWait = 2000

// Watch looks at the GPUs every Interval and waits for Xids in between, until ctx ends. tell is given what has changed since the look before, from this
// goroutine; the first look finds nothing changed but tells of what is faulty from the beginning. A driver that is gone or hangs is told as one Change
// without a device, and once. The error is ErrNoDriver where there was no driver from the beginning, else ctx's.
func (r *Reader) Watch(ctx context.Context, tell func([]Change)) error {
	var before []raylink.Device
	trouble, first := "", true
	for ctx.Err() == nil {
		now, err := r.devices(ctx)
		if ctx.Err() != nil {
			break
		}
		if first && errors.Is(err, ErrNoDriver) {
			return err
		}
		changes := r.compare(before, now, err, &trouble, first)
		if len(changes) > 0 {
			tell(changes)
		}
		if err == nil {
			before, first = now, false
		}
		r.events(ctx, time.Now().Add(r.interval))
	}
	return ctx.Err()
}

func (r *Reader) devices(ctx context.Context) ([]raylink.Device, error) {
	_, devices, err := r.Devices(ctx)
	return devices, err
}

// compare makes the changes of one look. trouble is what was said of the driver as a whole.
func (r *Reader) compare(before, now []raylink.Device, err error, trouble *string, first bool) []Change {
	var out []Change
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != *trouble {
		out = append(out, Change{"", said})
		*trouble = said
	}
	if err != nil {
		return out
	}
	if !first {
		return append(out, Changes(before, now)...)
	}
	for _, d := range now {
		if d.Fault != "" {
			out = append(out, Change{d.ID, d.Fault})
		}
	}
	return out
}

// events waits for critical Xids until then, and keeps those that make a GPU unfit. A bad one ends the waiting, so that the next look tells it at
// once. Where the driver has no events, this is a pause.
func (r *Reader) events(ctx context.Context, then time.Time) {
	for time.Now().Before(then) && ctx.Err() == nil {
		bad, supported := false, false
		_, err := r.ask(ctx, func() answer {
			bad, supported = r.waitXid(eventWait)
			return answer{}
		})
		if err != nil || !supported {
			pause(ctx, time.Until(then))
			return
		}
		if bad {
			return
		}
	}
}

// waitXid waits once, for so many milliseconds.
func (r *Reader) waitXid(millis uint32) (bad, supported bool) {
	if r.begin() != nil {
		return false, false
	}
	defer r.api.Shutdown()
	set, ret := r.api.EventSetCreate()
	if ret != driver.SUCCESS {
		return false, false
	}
	defer set.Free()
	count, _ := r.api.DeviceGetCount()
	for i := range min(count, gpuLimit) {
		if d, ret := r.api.DeviceGetHandleByIndex(i); ret == driver.SUCCESS && d.RegisterEvents(driver.EventTypeXidCriticalError, set) == driver.SUCCESS {
			supported = true
		}
	}
	if !supported {
		return false, false
	}
	event, ret := set.Wait(millis)
	if ret != driver.SUCCESS || event.EventType != driver.EventTypeXidCriticalError || event.Device == nil || XidFault(event.EventData) == "" {
		return false, ret == driver.SUCCESS || ret == driver.ERROR_TIMEOUT
	}
	uuid, ret := event.Device.GetUUID()
	if ret != driver.SUCCESS {
		return true, true // which one it is, the next look will show
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh := r.xids[uuid] != event.EventData
	r.xids[uuid] = event.EventData
	return fresh, true
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
