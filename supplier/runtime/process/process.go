//go:build linux

// Package process runs leases on machines without a container engine: each in namespaces of its own, on an unpacked image that it can
// only read, under user 1000 without any capability, with limits on everything.
//
// A lease is three processes of the raylink binary and what they start (`raylink sandbox STAGE DIR`, a hidden verb):
//
//	keep    outside, in a session of its own: makes the control groups, keeps the log bounded, writes down how it ended
//	init    the first process inside: builds the file system, then has nothing to do but to bury the dead
//	tenant  in a user namespace of its own: gives up what it could still do, then becomes the lease's command
//
// The agent may die at any time. Whether a lease lives is said by the lock that its keeper holds, never by a number; who is to be killed
// is found by number, time of start and boot, through a pidfd. Only directories with this machine's record are ever touched.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/shred"
)

const (
	startWithin = 30 * time.Second
	killWithin  = 10 * time.Second
	pollPause   = 10 * time.Millisecond
	answerMax   = 4 << 10 // bytes of what a keeper says of its start
)

// Runtime is this host's processes as one machine id sees them.
type Runtime struct {
	root    string // holds images/ and containers/
	machine raylink.MachineID
	groups  groups

	mu     sync.Mutex // over images and control groups: one start or end at a time
	leases sync.Map   // a lock for each lease that ever was here: overwriting what it left takes its time, and holds nobody else up
}

// Open looks at what the host has and makes the directories below root: images/ for unpacked images, containers/ for what runs.
func Open(root string, machine raylink.MachineID) (*Runtime, error) {
	if os.Geteuid() != 0 {
		return nil, raylink.Errorf(raylink.CodeForbidden, "running leases as processes needs root: namespaces and control groups are made for them").
			WithHint("run the agent with sudo, or as a service of the system")
	}
	if filterErr := filterable(); filterErr != nil {
		return nil, filterErr
	}
	found, err := findGroups()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{root, filepath.Join(root, "images"), filepath.Join(root, "containers")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the runtime's directory: %w", err)
		}
	}
	return &Runtime{root: root, machine: machine, groups: found}, nil
}

func (r *Runtime) dir(lease raylink.LeaseID) string {
	return filepath.Join(r.root, "containers", string(lease))
}

// Start makes the lease's processes run, replacing what has exited.
func (r *Runtime) Start(ctx context.Context, spec runtime.Spec) (runtime.Instance, error) {
	if err := r.accepts(spec); err != nil {
		return runtime.Instance{}, err
	}
	defer r.alone(spec.Lease)()
	restarts := 0
	old, err := r.look(spec.Lease)
	switch {
	case err == nil && old.Running:
		return old, nil
	case err == nil:
		if restarts = old.Restarts; !old.StartedAt.IsZero() {
			restarts++
		}
	case !errors.Is(err, fs.ErrNotExist):
		return runtime.Instance{}, err
	}
	r.mu.Lock()
	image, err := r.ready(ctx, spec.Image)
	r.mu.Unlock()
	if err != nil {
		return runtime.Instance{}, err
	}
	if err := r.remove(ctx, spec.Lease); err != nil {
		return runtime.Instance{}, err
	}
	if err := r.launch(ctx, spec, image, restarts); err != nil {
		return runtime.Instance{}, errors.Join(fmt.Errorf("starting the processes of %s: %w", spec.Lease, err), r.remove(context.WithoutCancel(ctx), spec.Lease))
	}
	return r.look(spec.Lease)
}

// alone is the lock of one lease; what it gives lets go.
func (r *Runtime) alone(lease raylink.LeaseID) (unlock func()) {
	lock, _ := r.leases.LoadOrStore(lease, new(sync.Mutex))
	mu := lock.(*sync.Mutex)
	mu.Lock()
	return mu.Unlock
}

// accepts refuses what this runtime cannot do, before anything is touched.
func (r *Runtime) accepts(spec runtime.Spec) error {
	switch {
	case spec.Machine != r.machine:
		return fmt.Errorf("starting %s: it is for machine %s, this is %s", spec.Lease, spec.Machine, r.machine)
	case !raylink.ValidID(string(spec.Lease), "l"):
		return fmt.Errorf("starting %q: that is no lease's id", spec.Lease)
	case !filepath.IsAbs(spec.Dir):
		return fmt.Errorf("starting %s: its directory %q is not absolute", spec.Lease, spec.Dir)
	case spec.Isolation != "" && spec.Isolation != raylink.IsolationContainer:
		return raylink.Errorf(raylink.CodeInvalid, "the process runtime has no %s isolation", spec.Isolation).
			WithHint("use --runtime docker with that tier, or ask for %s", raylink.IsolationContainer)
	case len(spec.GPUs) > 0:
		return raylink.Errorf(raylink.CodeInvalid, "the process runtime hands out no GPUs").WithHint("use --runtime docker on machines whose GPUs are rented out")
	}
	return nil
}

// launch writes down what is to run, starts the keeper and waits until the tenant's command runs.
func (r *Runtime) launch(ctx context.Context, spec runtime.Spec, image unpacked, restarts int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	dir := r.dir(spec.Lease)
	plan := plan{
		Record: record{Machine: spec.Machine, Lease: spec.Lease, Cluster: spec.Cluster, Image: spec.Image, Restarts: restarts},
		Spec:   spec, Dir: dir, Root: image.root, Env: environment(image.Env, spec), WorkDir: image.WorkingDir, Groups: r.groups.of(spec),
	}
	plan.Home = home(plan.Env)
	if err := furnish(dir, plan); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	answer, say, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answer.Close()
	keeper := exec.Command(selfExe, Verb, stageKeep, dir)
	keeper.Dir, keeper.ExtraFiles = "/", []*os.File{lock, say} // fds 3 and 4; the lock is the keeper's for as long as it lives
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = keeper.Start()
	say.Close()
	if err != nil {
		return fmt.Errorf("starting its keeper: %w", err)
	}
	go keeper.Wait() // only reaps it: it is meant to outlive this process, and its lock tells when it has ended
	deadline := time.Now().Add(startWithin)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := answer.SetReadDeadline(deadline); err != nil {
		return err
	}
	words, err := io.ReadAll(io.LimitReader(answer, answerMax))
	switch {
	case err != nil:
		return fmt.Errorf("waiting for its keeper: %w", err)
	case string(words) != answerOK:
		return fmt.Errorf("%s", strings.TrimSpace(string(words)+" (keeper)"))
	}
	return nil
}

// Stop kills what the lease runs and removes all that was made for it, after what it wrote is made unreadable, which may take its time. The error may be of what
// was spared alone.
func (r *Runtime) Stop(ctx context.Context, lease raylink.LeaseID) error {
	defer r.alone(lease)()
	return r.remove(ctx, lease)
}

// remove ends the lease's processes; a directory without this machine's record is not ours and stays.
func (r *Runtime) remove(ctx context.Context, lease raylink.LeaseID) error {
	if !raylink.ValidID(string(lease), "l") {
		return nil // nothing of that name can have been made here
	}
	dir := r.dir(lease)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var known record
	switch err := readJSON(filepath.Join(dir, recordFile), &known); {
	case errors.Is(err, fs.ErrNotExist): // an agent died before it wrote anything else
		return nil
	case err != nil:
		return fmt.Errorf("removing %s: %w", lease, err)
	case known.Machine != r.machine:
		return nil
	}
	if err := r.quiet(ctx, dir, known); err != nil {
		return err
	}
	// The record goes last: half a removal must be found again.
	spared := shredAllBut(ctx, dir, recordFile)
	if !shred.Rest(spared) {
		return fmt.Errorf("removing the files of %s: %w", lease, spared)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the files of %s: %w", lease, err)
	}
	return spared
}

// quiet ends a lease's processes and removes its control groups.
func (r *Runtime) quiet(ctx context.Context, dir string, known record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.end(ctx, dir); err != nil {
		return fmt.Errorf("ending the processes of %s: %w", known.Lease, err)
	}
	if err := r.groups.of(runtime.Spec{Machine: known.Machine, Lease: known.Lease}).remove(ctx); err != nil {
		return fmt.Errorf("removing the control groups of %s: %w", known.Lease, err)
	}
	return nil
}

// end kills the first process inside, and with it, by the kernel, all others there. The keeper writes its last line and goes; one that
// does not is killed as well, which the first process would not survive either.
func (r *Runtime) end(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*killWithin)
	defer cancel()
	patience := time.Now().Add(killWithin)
	for held(dir) {
		var now life
		if err := readJSON(filepath.Join(dir, lifeFile), &now); err == nil {
			if err := now.kill(now.Init); err != nil {
				return err
			}
			if time.Now().After(patience) {
				if err := now.kill(now.Keeper); err != nil {
					return err
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("they outlive SIGKILL: %w", ctx.Err())
		case <-time.After(pollPause):
		}
	}
	var last life
	if err := readJSON(filepath.Join(dir, lifeFile), &last); err != nil {
		return nil // none ever lived
	}
	return last.kill(last.Init) // no keeper: the kernel is killing it already, or else this does
}

// List gives what this machine runs, or ran and did not remove yet.
func (r *Runtime) List(context.Context) ([]runtime.Instance, error) {
	entries, err := os.ReadDir(filepath.Join(r.root, "containers"))
	if err != nil {
		return nil, fmt.Errorf("listing the leases of machine %s: %w", r.machine, err)
	}
	var out []runtime.Instance
	for _, e := range entries {
		if !raylink.ValidID(e.Name(), "l") {
			continue
		}
		one, err := r.look(raylink.LeaseID(e.Name()))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errForeign) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b runtime.Instance) int { return strings.Compare(string(a.Lease), string(b.Lease)) })
	return out, nil
}

// Places is where a lease's home and log are.
func (r *Runtime) Places(_ context.Context, lease raylink.LeaseID) ([]string, error) {
	return []string{r.dir(lease)}, nil
}

// errForeign says that a directory is another machine's.
var errForeign = raylink.Errorf(raylink.CodeConflict, "another machine's agent runs that lease here")

// look is a lease as it is found; fs.ErrNotExist when there is none.
func (r *Runtime) look(lease raylink.LeaseID) (runtime.Instance, error) {
	dir := r.dir(lease)
	var known record
	if err := readJSON(filepath.Join(dir, recordFile), &known); err != nil {
		return runtime.Instance{}, fmt.Errorf("looking at %s: %w", lease, err)
	}
	if known.Machine != r.machine {
		return runtime.Instance{}, fmt.Errorf("looking at %s: %w", lease, errForeign)
	}
	out := runtime.Instance{Lease: lease, Restarts: known.Restarts}
	alive := held(dir) // before its files are read: a keeper writes how it ended, and only then lets the lock go
	var now life
	if err := readJSON(filepath.Join(dir, lifeFile), &now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, fmt.Errorf("looking at %s: %w", lease, err)
	}
	var last end
	err := readJSON(filepath.Join(dir, endFile), &last)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, fmt.Errorf("looking at %s: %w", lease, err)
	}
	out.StartedAt = now.StartedAt
	if alive && err != nil {
		out.Running, out.Pid = now.Init.Pid > 0, now.Init.Pid
		return out, nil
	}
	if err != nil { // the host went down, or somebody killed the keeper: the first process inside died with it
		last = end{Code: 128 + int(unix.SIGKILL), Word: "it ended with its keeper, or with the machine"}
	}
	out.ExitCode = last.Code
	out.LastWords = lastWords(tail(dir))
	if last.Word != "" {
		out.LastWords = append(out.LastWords, "("+last.Word+")")
	}
	return out, nil
}
