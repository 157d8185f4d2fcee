package supplier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/supplier/device/nvml"
	"raylink/supplier/runtime"
)

// How GPUs are watched while containers have them. A container that loses its GPUs, as all of a machine do after a `systemctl daemon-reload`, is noticed
// at the first look after that and ended at the second: within a minute.
const (
	insideEvery   = 20 * time.Second // between two looks into one container
	insideTimeout = 10 * time.Second // for one look; a driver that hangs takes longer
	insideLooks   = 2                // that must find the GPUs lost before the container is ended
)

// GPUWatcher tells of GPUs that become unfit or well again until ctx ends; nvml's Reader.Watch is one.
type GPUWatcher func(ctx context.Context, tell func([]nvml.Change)) error

// gpuHealth is what the loop knows of its GPUs beyond what the machine's inventory said at the start.
type gpuHealth struct {
	faults map[string]string // by UUID
	driver string            // what stands against all of them
	host   *raylink.Host     // the inventory with both; nil until something was told
}

// verdict is what a look into a container found. err is nil where all is well, runtime.ErrGPULost where it is not, else why that could not be told.
type verdict struct {
	lease   raylink.LeaseID
	started time.Time // of the container
	err     error
}

// watchGPUs hands what the driver tells to the loop. Where there is no driver there is nothing to watch.
func (a *Agent) watchGPUs(ctx context.Context) {
	if a.parts.WatchGPUs == nil || !a.hasGPUs() {
		return
	}
	err := a.parts.WatchGPUs(ctx, func(changes []nvml.Change) {
		select {
		case a.gpuChanges <- changes:
		case <-ctx.Done():
		}
	})
	if err != nil && ctx.Err() == nil {
		a.log.Warn("the GPUs are not watched; what becomes of them shows only in the containers that have them", "error", err)
	}
}

func (a *Agent) hasGPUs() bool {
	return a.parts.Host != nil && slices.ContainsFunc(a.parts.Host.Devices, func(d raylink.Device) bool { return d.Kind == raylink.DeviceGPU })
}

// learnGPUs takes over what the driver told, and has the containers looked into at once.
func (a *Agent) learnGPUs(changes []nvml.Change) {
	for _, c := range changes {
		switch {
		case c.Device == "":
			a.gpus.driver = faultWords(c.Fault)
		case c.Fault == "":
			delete(a.gpus.faults, c.Device)
		default:
			if a.gpus.faults == nil {
				a.gpus.faults = map[string]string{}
			}
			a.gpus.faults[c.Device] = faultWords(c.Fault)
		}
		a.log.Warn("a GPU's state has changed", "gpu", c.Device, "fault", c.Fault)
	}
	host := *a.parts.Host
	host.Devices = slices.Clone(host.Devices)
	for i := range host.Devices {
		if d := &host.Devices[i]; d.Kind == raylink.DeviceGPU && d.Fault == "" {
			d.Fault = a.gpus.fault(d.ID)
		}
	}
	a.gpus.host = &host
	for _, l := range a.leases {
		l.inside.next = time.Time{}
	}
}

// faultMax is how many bytes of a fault the coordinators take.
const faultMax = 256

// faultWords makes a fault that the coordinators take: printable and short.
func faultWords(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, text)
	return text[:min(len(text), faultMax)]
}

// fault is what stands against one GPU, or "".
func (g *gpuHealth) fault(uuid string) string {
	if f := g.faults[uuid]; f != "" {
		return f
	}
	return g.driver
}

// host is what the machine is now.
func (a *Agent) host() *raylink.Host {
	if a.gpus.host != nil {
		return a.gpus.host
	}
	return a.parts.Host
}

// usable lowers an offer to the GPUs that can be used, so that the machine stays in the market with the others. Where none can, it is left as it is:
// then the coordinators keep the machine apart, and say why.
func (a *Agent) usable(offer raylink.Offer) raylink.Offer {
	if a.gpus.host == nil || offer.Resources.GPU == 0 {
		return offer
	}
	var well int64
	for _, d := range a.gpus.host.Devices {
		if d.Kind == raylink.DeviceGPU && d.Fault == "" {
			well += raylink.Unit
		}
	}
	if well > 0 {
		offer.Resources.GPU = min(offer.Resources.GPU, well)
	}
	return offer
}

// unfit says why a container must not be started with these GPUs, or nil.
func (g *gpuHealth) unfit(uuids []string) error {
	for _, uuid := range uuids {
		if f := g.fault(uuid); f != "" {
			return raylink.Errorf(raylink.CodeUnsupported, "GPU %s cannot be used: %s", uuid, f).WithHint("create the cluster again: it is placed on GPUs that work")
		}
	}
	return nil
}

// inside is how a lease's container stands towards its GPUs.
type inside struct {
	next  time.Time // when it is looked into again
	looks bool      // a look is under way
	lost  int       // looks in a row that found them lost
	why   string    // what the last of those said
}

// lookInside begins a look into the container of a lease that has GPUs, when one is due.
func (a *Agent) lookInside(ctx context.Context, l *lease, now time.Time) {
	checker, ok := a.parts.Runtime.(runtime.GPUChecker)
	if !ok || len(l.order.Devices) == 0 || !l.named || !l.instance.Running || !l.goes || l.inside.looks || now.Before(l.inside.next) {
		return
	}
	l.inside.looks = true
	started, uuids := l.instance.StartedAt, slices.Clone(l.order.Devices)
	a.jobs.Go(func() {
		looking, cancel := context.WithTimeout(ctx, insideTimeout)
		defer cancel()
		err := checker.CheckGPUs(looking, l.id, uuids)
		select {
		case a.verdicts <- verdict{l.id, started, err}:
		case <-ctx.Done():
		}
	})
}

// judge takes a look's verdict. A container that has lost its GPUs is ended, and so started anew with them: what computes on a GPU in it may go on, but
// nothing that starts there finds one. Where a look cannot tell, the driver's word counts.
func (a *Agent) judge(ctx context.Context, v verdict) {
	l := a.leases[v.lease]
	if l == nil {
		return
	}
	l.inside.looks, l.inside.next = false, time.Now().Add(insideEvery)
	if !l.instance.StartedAt.Equal(v.started) {
		return // it was of another container
	}
	unfit := a.gpus.unfit(l.order.Devices)
	switch {
	case v.err == nil:
		l.inside.lost, l.inside.why = 0, ""
		return
	case errors.Is(v.err, runtime.ErrGPULost):
		l.inside.why = v.err.Error()
	case unfit != nil:
		l.inside.why = unfit.Error()
	default:
		a.log.Debug("whether a container still has its GPUs cannot be told", "lease", l.id, "error", v.err)
		return
	}
	l.inside.lost++
	a.log.Warn("a container has lost its GPUs", "lease", l.id, "node", l.order.Node, "looks", l.inside.lost, "why", l.inside.why)
	if l.inside.lost < insideLooks {
		return
	}
	l.inside.lost = 0
	checker := a.parts.Runtime.(runtime.GPUChecker) // it has just looked
	a.jobs.Go(func() {
		ending, cancel := context.WithTimeout(ctx, insideTimeout)
		defer cancel()
		if err := checker.Kill(ending, v.lease); err != nil && ctx.Err() == nil {
			a.log.Error("a container that has lost its GPUs is not to be ended", "lease", v.lease, "error", err)
		}
	})
}

// because adds to the reason of a container's exits that it had lost its GPUs.
func (i *inside) because(reason string) string {
	if i.why == "" {
		return reason
	}
	return fmt.Sprintf("%s; it had lost its GPUs: %s", reason, i.why)
}
