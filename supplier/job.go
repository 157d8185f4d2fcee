package supplier

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/ray"
	"raylink/raylink/wire"
	"raylink/supplier/converge"
	"raylink/supplier/runtime"
	"raylink/supplier/shred"
)

// again is the pause between two preflights of a lease some of whose peers did not answer.
const again = time.Second

// job is a row of steps under way for one lease.
type job struct {
	kinds  []converge.Kind
	cancel context.CancelFunc
}

// work is what a job works on: copies, so that the loop may go on.
type work struct {
	id    raylink.LeaseID
	order wire.LeaseOrder
	kinds []converge.Kind

	pid   int
	plane runtime.Plane
	key   overlay.PrivateKey
	port  uint16
	used  int64                       // bytes of egress
	trust func(wire.LeaseOrder) error // says why the order's image must not run
	unfit error                       // why its GPUs must not be used
}

// outcome is what a job has to say that the next look does not show by itself.
type outcome struct {
	work
	err    error
	step   converge.Kind // that the error is of
	called bool          // it was called off

	mesh    *string // what the data plane was told; "" after a fresh start
	reached string
	blocked []netip.Addr
}

// begin starts the steps of one lease in a goroutine that the loop awaits.
func (a *Agent) begin(ctx context.Context, l *lease, kinds []converge.Kind) {
	agent := ctx
	ctx, cancel := context.WithCancel(ctx)
	l.job = &job{kinds: kinds, cancel: cancel}
	w := work{id: l.id, order: l.order, kinds: kinds, pid: l.instance.Pid, plane: l.plane, key: l.key, port: l.port, used: l.tally.Egress, trust: a.trust(), unfit: a.gpus.unfit(l.order.Devices)}
	a.log.Debug("begins", "lease", l.id, "steps", kinds)
	a.jobs.Go(func() {
		defer cancel()
		out := outcome{work: w}
		for _, kind := range kinds {
			if err := a.do(ctx, kind, &out); err != nil {
				out.err, out.step, out.called = err, kind, isCancel(ctx, err)
				break
			}
		}
		select {
		case a.outcomes <- out:
		case <-agent.Done(): // not ctx: a job that was only called off still has its outcome taken
		}
	})
}

// do does one step.
func (a *Agent) do(ctx context.Context, kind converge.Kind, out *outcome) error {
	order := out.order
	switch kind {
	case converge.FetchImage:
		if err := out.trust(order); err != nil {
			return err
		}
		return a.images.Ensure(ctx, order.Image)
	case converge.Prepare:
		return a.files.prepare(ctx, order, a.environment(order), runtime.Tenant(a.parts.Runtime, order.Isolation))
	case converge.HoldBack:
		return a.files.clearGo(out.id)
	case converge.StartContainer:
		return a.startContainer(ctx, out)
	case converge.StartPlane:
		return a.startPlane(ctx, out)
	case converge.SetMesh:
		if err := out.plane.SetMesh(ctx, order.Mesh, a.egress(order, out.used)); err != nil {
			return fmt.Errorf("telling the data plane its mesh: %w", err)
		}
		digest := converge.PlaneDigest(order)
		out.mesh = &digest
		return nil
	case converge.Preflight:
		return preflight(ctx, out)
	case converge.Go:
		return a.files.setGo(out.id)
	case converge.StopContainer:
		return a.parts.Runtime.Stop(ctx, out.id)
	case converge.StopPlane:
		return a.stopPlane(ctx, out)
	case converge.RemoveDir:
		return a.files.remove(ctx, out.id, tells(a.log, out.id))
	}
	return fmt.Errorf("step %q is not known", kind)
}

func (a *Agent) startContainer(ctx context.Context, out *outcome) error {
	order := out.order
	if err := out.trust(order); err != nil { // again: an image that was here already was not fetched
		return err
	}
	id, err := a.imageID(ctx, order.Image)
	if err != nil {
		return err
	}
	if out.unfit != nil {
		return out.unfit
	}
	if err := a.wipe(ctx, order.Devices); err != nil {
		return err
	}
	spec := runtime.Spec{
		Lease: out.id, Machine: a.parts.Machine, Cluster: order.Cluster, Hostname: hostname(order.Node), Image: id,
		Dir: a.files.node(out.id), CPU: order.Limits.CPU, Memory: order.Limits.Memory, ShmBytes: ray.ShmBytes(order.Limits.Memory),
		Isolation: order.Isolation, GPUs: order.Devices,
	}
	if order.Mesh.Address.IsValid() && spec.Hostname != "" {
		spec.Hosts = map[string]string{spec.Hostname: order.Mesh.Address.Addr().String()} // without a network nobody else writes it there
	}
	instance, err := a.parts.Runtime.Start(ctx, spec)
	if err != nil {
		if raylink.AsError(err).Code == raylink.CodeNotFound {
			a.images.Forget(order.Image)
		}
		return err
	}
	out.pid = instance.Pid
	return nil
}

func (a *Agent) startPlane(ctx context.Context, out *outcome) error {
	if out.key.IsZero() {
		key, err := overlay.NewPrivateKey(rand.Reader)
		if err != nil {
			return err
		}
		out.key = key
	}
	mesh := out.order.Mesh
	plane, err := a.parts.Planes.Start(ctx, runtime.PlaneSpec{
		Lease: out.id, Machine: a.parts.Machine, Pid: out.pid, Dir: a.files.plane(out.id), Key: out.key, Port: out.port, Address: mesh.Address, MTU: mesh.MTU,
		Egress: a.egress(out.order, out.used),
	})
	if err != nil {
		return fmt.Errorf("putting the overlay into the container of %s: %w", out.order.Node, err)
	}
	fresh := ""
	out.plane, out.mesh = plane, &fresh
	return nil
}

func (a *Agent) stopPlane(ctx context.Context, out *outcome) error {
	if err := a.parts.Planes.Stop(ctx, out.id); err != nil {
		return fmt.Errorf("stopping the data plane: %w", err)
	}
	if out.plane != nil {
		if err := out.plane.Close(); err != nil {
			a.log.Debug("letting go of a data plane", "lease", out.id, "error", err)
		}
	}
	fresh := ""
	out.plane, out.mesh = nil, &fresh
	return nil
}

func preflight(ctx context.Context, out *outcome) error {
	var peers []netip.Addr
	for _, peer := range converge.Nodes(out.order.Mesh) {
		peers = append(peers, peer.Address)
	}
	if len(peers) > 0 { // a cluster of one has nobody to reach
		blocked, err := out.plane.Preflight(ctx, peers)
		if err != nil {
			return fmt.Errorf("dialling the other nodes: %w", err)
		}
		out.blocked = blocked
	}
	if len(out.blocked) == 0 {
		out.reached = converge.ReachDigest(out.order.Mesh)
	}
	return nil
}

// finish takes a job's outcome over.
func (a *Agent) finish(out outcome) {
	l := a.leases[out.id]
	now := time.Now()
	l.job = nil
	l.key, l.port = out.key, out.port
	if out.plane != l.plane {
		l.plane, l.silent, l.status = out.plane, time.Time{}, runtime.PlaneStatus{}
	}
	if out.mesh != nil {
		l.mesh = *out.mesh
		l.stray = false // it was stopped, before another was started or for good
	}
	if out.reached != "" {
		l.reached, l.blocked = out.reached, nil
	}
	if len(out.blocked) > 0 {
		l.blocked = nil
		for _, address := range out.blocked {
			l.blocked = append(l.blocked, address.String())
		}
		l.trouble.until = now.Add(again)
		a.log.Warn("the preflight does not reach every node", "lease", l.id, "node", l.order.Node, "blocked", strings.Join(l.blocked, " "))
	}
	switch {
	case out.called:
	case out.err == nil:
		l.trouble.step, l.trouble.tries = "", 0
	case shred.Rest(out.err): // it is gone all the same, and to try again is no use
		l.trouble.step, l.trouble.tries = "", 0
		a.unwiped = clip(fmt.Sprintf("%s: %v", l.id, out.err))
		a.log.Error("what a lease left is gone, but not all of it could be made unreadable", "lease", l.id, "step", out.step, "error", out.err)
	case errors.Is(out.err, runtime.ErrNoPlane): // it died under the job; the next look sees it and another is started
		a.log.Warn("a data plane died", "lease", l.id, "step", out.step)
	default:
		l.fail(out.step, out.err, now)
		a.log.Warn("a step did not succeed", "lease", l.id, "node", l.order.Node, "step", out.step, "tries", l.trouble.tries,
			"given_up", l.trouble.failure != nil, "error", out.err)
	}
}

// tells logs how far the removal of a lease's files has come: a large one takes minutes.
func tells(log *slog.Logger, id raylink.LeaseID) shred.Tell {
	return func(files, bytes int64) {
		log.Info("what a lease left is being overwritten and removed", "lease", id, "files", files, "overwritten_bytes", bytes)
	}
}

// hostname makes a node's name one that a kernel takes: at most 63 lower-case letters, digits and hyphens.
func hostname(node string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, node)
	return strings.Trim(name[:min(len(name), 63)], "-")
}
