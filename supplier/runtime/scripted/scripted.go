// Package scripted is a runtime in memory for tests: containers and data planes are rows in a table, pids are made up, and faults are
// scripted.
package scripted

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

// Host is what several agents of one test share: the tables of all containers and data planes, whoever made them.
type Host struct {
	mu     sync.Mutex
	pid    int
	images map[string]bool
	any    bool // every image is there
	rows   map[key]*row
	faults map[string][]error
	delay  time.Duration
	starts int

	planes  map[key]*plane
	port    uint16
	blocked map[netip.Addr]bool
}

type key struct {
	machine raylink.MachineID
	lease   raylink.LeaseID
}

type row struct {
	spec     runtime.Spec
	instance runtime.Instance
}

// NewHost makes a host that has these images.
func NewHost(images ...string) *Host {
	h := &Host{pid: 1000, images: map[string]bool{}, rows: map[key]*row{}, faults: map[string][]error{},
		planes: map[key]*plane{}, port: 40_000, blocked: map[netip.Addr]bool{}}
	for _, ref := range images {
		h.images[ref] = true
	}
	return h
}

// For is the host's runtime as one machine sees it.
func (h *Host) For(machine raylink.MachineID) runtime.Runtime {
	return &Runtime{host: h, machine: machine}
}

// Fail makes the next calls of a verb (start, stop, list, image, start-plane, check-gpus) answer these errors, one each; a nil lets one pass.
func (h *Host) Fail(verb string, errs ...error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults[verb] = append(h.faults[verb], errs...)
}

// Delay makes Start and Fetch take this long.
func (h *Host) Delay(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delay = d
}

// AnyImage makes the host have every image, and returns it.
func (h *Host) AnyImage() *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.any = true
	return h
}

// AddImage puts an image on the host.
func (h *Host) AddImage(ref string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.images[ref] = true
}

// Exit ends a lease's container as if its first process had; it reports whether one ran.
func (h *Host) Exit(lease raylink.LeaseID, code int, lastWords ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, r := range h.rows {
		if k.lease == lease && r.instance.Running {
			r.instance.Running, r.instance.Pid, r.instance.ExitCode, r.instance.LastWords = false, 0, code, lastWords
			return true
		}
	}
	return false
}

// Spec is what a lease's container was started with.
func (h *Host) Spec(lease raylink.LeaseID) (runtime.Spec, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, r := range h.rows {
		if k.lease == lease {
			return r.spec, true
		}
	}
	return runtime.Spec{}, false
}

// Count is how many containers there are, and how many were ever started.
func (h *Host) Count() (present, started int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rows), h.starts
}

// fault takes the next scripted error of a verb. The caller holds the lock.
func (h *Host) fault(verb string) error {
	queue := h.faults[verb]
	if len(queue) == 0 {
		return nil
	}
	h.faults[verb] = queue[1:]
	return queue[0]
}

// Runtime is a Host as one machine sees it.
type Runtime struct {
	host    *Host
	machine raylink.MachineID
}

// Start puts a running row into the table.
func (r *Runtime) Start(ctx context.Context, spec runtime.Spec) (runtime.Instance, error) {
	if err := r.host.wait(ctx); err != nil {
		return runtime.Instance{}, err
	}
	h := r.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.fault("start"); err != nil {
		return runtime.Instance{}, err
	}
	if spec.Machine != r.machine {
		return runtime.Instance{}, fmt.Errorf("starting %s: it is for machine %s, this is %s", spec.Lease, spec.Machine, r.machine)
	}
	k := key{r.machine, spec.Lease}
	old := h.rows[k]
	if old != nil && old.instance.Running {
		return old.instance, nil
	}
	if !h.any && !h.images[spec.Image] {
		return runtime.Instance{}, missing(spec.Image)
	}
	h.pid++
	h.starts++
	fresh := runtime.Instance{Lease: spec.Lease, Pid: h.pid, Running: true, StartedAt: time.Now().UTC()}
	if old != nil {
		fresh.Restarts = old.instance.Restarts + 1
	}
	h.rows[k] = &row{spec: spec, instance: fresh}
	return fresh, nil
}

// Stop takes the row out of the table.
func (r *Runtime) Stop(_ context.Context, lease raylink.LeaseID) error {
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	if err := r.host.fault("stop"); err != nil {
		return err
	}
	delete(r.host.rows, key{r.machine, lease})
	return nil
}

// List gives the machine's rows.
func (r *Runtime) List(context.Context) ([]runtime.Instance, error) {
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	if err := r.host.fault("list"); err != nil {
		return nil, err
	}
	var out []runtime.Instance
	for k, row := range r.host.rows {
		if k.machine == r.machine {
			out = append(out, row.instance)
		}
	}
	slices.SortFunc(out, func(a, b runtime.Instance) int { return strings.Compare(string(a.Lease), string(b.Lease)) })
	return out, nil
}

// CheckGPUs finds every GPU, unless a fault of the verb check-gpus was scripted.
func (r *Runtime) CheckGPUs(context.Context, raylink.LeaseID, []string) error {
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	return r.host.fault("check-gpus")
}

// Kill ends the row's first process.
func (r *Runtime) Kill(_ context.Context, lease raylink.LeaseID) error {
	r.host.Exit(lease, 137)
	return nil
}

// Images is the runtime itself.
func (r *Runtime) Images() runtime.Images { return r }

// Look says whether the host has the image. An image's id is its reference.
func (r *Runtime) Look(_ context.Context, ref string) (string, error) {
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	if !r.host.any && !r.host.images[ref] {
		return "", missing(ref)
	}
	return ref, nil
}

// Fetch takes as long as Delay says, and tells half of it as done; it brings nothing that the host does not have.
func (r *Runtime) Fetch(ctx context.Context, ref string, tell func(done, total int64)) (string, error) {
	tell(fetched/2, fetched)
	if err := r.host.wait(ctx); err != nil {
		return "", err
	}
	r.host.mu.Lock()
	err := r.host.fault("image")
	r.host.mu.Unlock()
	if err != nil {
		return "", err
	}
	return r.Look(ctx, ref)
}

// fetched is how large a scripted image is, in bytes.
const fetched = 1 << 30

func missing(ref string) error {
	return raylink.Errorf(raylink.CodeNotFound, "image %s is not on this scripted host", ref).WithHint("add it with Host.AddImage")
}

func (h *Host) wait(ctx context.Context) error {
	h.mu.Lock()
	d := h.delay
	h.mu.Unlock()
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
