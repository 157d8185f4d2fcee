// Package docker runs leases in containers of a Docker engine: no network, no capability, limits on everything.
//
// It speaks to the engine's socket with API negotiation (Debian's 20.10 and later). It sees only containers with its own machine's
// label and their own name; whatever else the host runs is left alone.
package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/shred"
)

// The labels that every container of a lease carries.
const (
	LabelMachine  = "raylink.machine"
	LabelLease    = "raylink.lease"
	LabelCluster  = "raylink.cluster"
	labelRestarts = "raylink.restarts"
	labelPlane    = "raylink.plane" // a data plane's, which is removed without a wipe: an image that says it must not make a lease's container one
)

// callTimeout bounds every call to the engine except fetching an image.
const callTimeout = 60 * time.Second

// Runtime is the Docker engine as one machine id sees it.
type Runtime struct {
	engine  *client.Client
	machine raylink.MachineID
	base    runtime.IDs // whom the engine maps the containers' root to; zero where it maps nobody
}

// Open connects to the engine that DOCKER_HOST names, by default the local socket, and checks that it answers.
func Open(ctx context.Context, machine raylink.MachineID) (*Runtime, error) {
	engine, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("opening the Docker client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := engine.Ping(ctx); err != nil {
		engine.Close()
		return nil, raylink.Errorf(raylink.CodeUnavailable, "the Docker engine at %s does not answer: %v", engine.DaemonHost(), err).
			WithHint("start it (systemctl start docker, or dockerd &) and see that this user may use its socket")
	}
	r := &Runtime{engine: engine, machine: machine}
	if err := r.mapped(ctx); err != nil {
		engine.Close()
		return nil, err
	}
	return r, nil
}

// Close lets the connection go.
func (r *Runtime) Close() error { return r.engine.Close() }

// Holds says whether the engine has a container of this id, whoever made it.
func (r *Runtime) Holds(ctx context.Context, id string) bool {
	_, err := r.engine.ContainerInspect(ctx, id)
	return err == nil
}

// Start makes the lease's container run, replacing one that has exited.
func (r *Runtime) Start(ctx context.Context, spec runtime.Spec) (runtime.Instance, error) {
	if spec.Machine != r.machine {
		return runtime.Instance{}, fmt.Errorf("starting %s: it is for machine %s, this is %s", spec.Lease, spec.Machine, r.machine)
	}
	found, err := r.find(ctx, spec.Lease)
	if err != nil {
		return runtime.Instance{}, err
	}
	restarts := 0
	for _, old := range found {
		if old.Running {
			return old.Instance, nil
		}
		if restarts = old.Restarts; !old.StartedAt.IsZero() {
			restarts++
		}
		if err := r.remove(ctx, old.id); err != nil {
			return runtime.Instance{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id, err := r.launch(ctx, spec, restarts)
	if err != nil {
		return runtime.Instance{}, err
	}
	started, err := r.inspect(ctx, id)
	return started.Instance, err
}

// launch makes a container and starts it; one that does not start is removed again.
func (r *Runtime) launch(ctx context.Context, spec runtime.Spec, restarts int) (id string, err error) {
	if err := r.offers(ctx, spec); err != nil {
		return "", err
	}
	filter, err := profile()
	if err != nil {
		return "", err
	}
	image, err := r.imageEnv(ctx, spec)
	if err != nil {
		return "", err
	}
	config, host := layout(spec, filter, image)
	if r.maps(spec) {
		host.UsernsMode = "" // the engine's own mapping
	}
	config.Labels[labelRestarts], config.Labels[labelPlane] = strconv.Itoa(restarts), ""
	created, err := r.engine.ContainerCreate(ctx, config, host, nil, nil, Name(spec.Lease))
	if err != nil {
		return "", fmt.Errorf("making container %s: %w", Name(spec.Lease), explain(err, spec))
	}
	if err := r.engine.ContainerStart(ctx, created.ID, container.StartOptions{}); err != nil {
		return "", errors.Join(fmt.Errorf("starting container %s: %w", Name(spec.Lease), err), r.remove(ctx, created.ID))
	}
	return created.ID, nil
}

// imageEnv are the variables that the lease's image sets.
func (r *Runtime) imageEnv(ctx context.Context, spec runtime.Spec) ([]string, error) {
	seen, err := r.engine.ImageInspect(ctx, spec.Image)
	if err != nil {
		return nil, fmt.Errorf("looking at the image of %s: %w", spec.Lease, explain(err, spec))
	}
	if seen.Config == nil {
		return nil, nil
	}
	return seen.Config.Env, nil
}

// Stop kills and removes the lease's container, after what it wrote is overwritten, which may take its time. The error may be of what was spared alone.
func (r *Runtime) Stop(ctx context.Context, lease raylink.LeaseID) error {
	found, err := r.find(ctx, lease)
	if err != nil {
		return err
	}
	var errs []error
	for _, old := range found {
		errs = append(errs, r.remove(ctx, old.id))
	}
	return errors.Join(errs...)
}

// List gives this machine's containers, running or not.
func (r *Runtime) List(ctx context.Context) ([]runtime.Instance, error) {
	found, err := r.find(ctx, "")
	if err != nil {
		return nil, err
	}
	out := make([]runtime.Instance, len(found))
	for i, f := range found {
		out[i] = f.Instance
	}
	slices.SortFunc(out, func(a, b runtime.Instance) int { return strings.Compare(string(a.Lease), string(b.Lease)) })
	return out, nil
}

// Name is the name of a lease's container.
func Name(lease raylink.LeaseID) string { return "raylink-" + string(lease) }

// found is an instance with the engine's id for it.
type found struct {
	runtime.Instance
	id string
}

// find gives this machine's containers, of one lease or, with an empty one, of all.
func (r *Runtime) find(ctx context.Context, lease raylink.LeaseID) ([]found, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	want := filters.NewArgs(filters.Arg("label", LabelMachine+"="+string(r.machine)), filters.Arg("label", LabelLease))
	if lease != "" {
		want.Add("label", LabelLease+"="+string(lease))
	}
	rows, err := r.engine.ContainerList(ctx, container.ListOptions{All: true, Filters: want})
	if err != nil {
		return nil, fmt.Errorf("listing the containers of machine %s: %w", r.machine, err)
	}
	var out []found
	for _, row := range rows {
		if row.Labels[LabelMachine] != string(r.machine) || (lease != "" && row.Labels[LabelLease] != string(lease)) {
			continue // an engine that does not honour the filter must not make us touch what is not ours
		}
		if !slices.Contains(row.Names, "/"+Name(raylink.LeaseID(row.Labels[LabelLease]))) {
			continue // its labels came with its image, as `docker commit` keeps them: it is its owner's
		}
		one, err := r.inspect(ctx, row.ID)
		if errdefs.IsNotFound(err) {
			continue // gone between the two calls
		}
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func (r *Runtime) inspect(ctx context.Context, id string) (found, error) {
	seen, err := r.engine.ContainerInspect(ctx, id)
	if err != nil {
		return found{}, fmt.Errorf("looking at container %.12s: %w", id, err)
	}
	out := found{id: seen.ID}
	out.Lease = raylink.LeaseID(seen.Config.Labels[LabelLease])
	out.Restarts, _ = strconv.Atoi(seen.Config.Labels[labelRestarts])
	out.Running = seen.State.Running
	out.ExitCode = seen.State.ExitCode
	// The engine's zero time is year 1, and so is Go's; a text that does not parse counts as never started.
	out.StartedAt, _ = time.Parse(time.RFC3339Nano, seen.State.StartedAt)
	out.StartedAt = out.StartedAt.UTC()
	if out.Running {
		out.Pid = seen.State.Pid
		return out, nil
	}
	out.LastWords = r.lastWords(ctx, id)
	if seen.State.OOMKilled {
		out.LastWords = append(out.LastWords, "(killed: out of the memory that the lease has)")
	}
	if seen.State.Error != "" {
		out.LastWords = append(out.LastWords, "(engine: "+seen.State.Error+")")
	}
	return out, nil
}

// remove ends a container, overwrites what it wrote outside the lease's directory, and takes it away.
func (r *Runtime) remove(ctx context.Context, id string) error {
	spared := r.shred(ctx, id)
	if !shred.Rest(spared) {
		return spared
	}
	return errors.Join(r.take(ctx, id), spared)
}

// take removes a container.
func (r *Runtime) take(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := r.engine.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	if errdefs.IsConflict(err) {
		// Another removal is in progress; it is over when the container is no longer found.
		gone, failed := r.engine.ContainerWait(ctx, id, container.WaitConditionRemoved)
		select {
		case <-gone:
			return nil
		case waitErr := <-failed:
			if errdefs.IsNotFound(waitErr) {
				return nil
			}
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("removing container %.12s: %w", id, err)
}

// explain turns the engine's refusals that a user can do something about into words.
func explain(err error, spec runtime.Spec) error {
	switch {
	case errdefs.IsNotFound(err):
		return raylink.Errorf(raylink.CodeNotFound, "image %s is not on this machine", spec.Image).WithHint("run `make image`, or docker pull %s", spec.Image)
	case errdefs.IsConflict(err):
		return raylink.Errorf(raylink.CodeConflict, "a container named %s exists which this machine did not make: %v", Name(spec.Lease), err).
			WithHint("look at it with docker inspect %s; remove it if it is yours", Name(spec.Lease))
	}
	return err
}
