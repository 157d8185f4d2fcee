//go:build linux

package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"raylink/supplier/runtime"
)

// Verb is the hidden verb of the raylink binary under which it is a lease's keeper, first process or tenant: see Stage.
const Verb = "sandbox"

const (
	stageKeep   = "keep"
	stageInit   = "init"
	stageTenant = "tenant"

	selfExe  = "/proc/self/exe" // this very program, even if a newer one has taken its place on the disk
	answerOK = "ok"
	filesMax = 1 << 20 // open files that the tenant may ask for
	filesOwn = 65_536  // what it has without asking
	piped    = "-"     // stages inside read their plan from a pipe: everybody there sees what their arguments are
	codeLost = 125     // exit code of a stage that did not come to its end
)

// Stage is one of the programs that a lease is made of, as `raylink sandbox STAGE DIR`. The runtime alone starts it. The error is for
// standard error; the number is the exit code.
func Stage(ctx context.Context, stage, dir string) (int, error) {
	goruntime.LockOSThread() // namespaces, the parent's death and the filter of calls all belong to a thread
	switch stage {
	case stageKeep:
		return keep(ctx, dir)
	case stageInit:
		return first()
	case stageTenant:
		return codeLost, tenant()
	}
	return codeLost, fmt.Errorf("stage %q is not known", stage)
}

// keep is the keeper. It has the lock on fd 3 and says on fd 4 whether the tenant's command runs.
func keep(ctx context.Context, dir string) (int, error) {
	lock, say := os.NewFile(3, "lock"), os.NewFile(4, "answer")
	if lock == nil || say == nil {
		return codeLost, errors.New("this verb is the runtime's own")
	}
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	defer lock.Close() // last of all: until then the lease is alive
	var p plan
	if err := readJSON(filepath.Join(dir, planFile), &p); err != nil {
		return codeLost, err
	}
	k := keeper{dir: dir, plan: p}
	err := k.begin()
	if err == nil {
		_, err = io.WriteString(say, answerOK)
	} else {
		_, _ = io.WriteString(say, err.Error()) // the agent may be gone
	}
	say.Close()
	if k.init == nil {
		return codeLost, err
	}
	last := k.wait()
	if err != nil {
		return codeLost, errors.Join(err, p.Groups.remove(ctx))
	}
	// Killed with the keeper's session or not: how it ended is written before the groups go, and the lock after both.
	return 0, errors.Join(writeJSON(filepath.Join(dir, endFile), last), p.Groups.remove(context.WithoutCancel(ctx)))
}

// keeper is the state of one keep.
type keeper struct {
	dir     string
	plan    plan
	init    *exec.Cmd
	drained chan struct{}
}

// begin starts the first process in its namespaces, limits it, lets it go, and waits until the tenant's command runs.
func (k *keeper) begin() error {
	if err := k.plan.Groups.make(); err != nil {
		return err
	}
	log, err := openLog(filepath.Join(k.dir, logFile), logMax)
	if err != nil {
		return err
	}
	output, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer write.Close()
	held, release, err := os.Pipe()
	if err != nil {
		return err
	}
	defer held.Close()
	defer release.Close()
	words, trouble, err := os.Pipe()
	if err != nil {
		return err
	}
	defer words.Close()
	defer trouble.Close()
	if err := write.Chown(runtime.UserID, runtime.UserID); err != nil { // so that the tenant can open /dev/stdout
		return err
	}
	child := exec.Command(selfExe, Verb, stageInit, piped)
	child.Stdout, child.Stderr, child.ExtraFiles = write, write, []*os.File{held, trouble}
	child.Dir, child.Env = "/", []string{}
	child.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, Pdeathsig: syscall.SIGKILL, // it does not live without its keeper
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	}
	if err := child.Start(); err != nil {
		return fmt.Errorf("making its namespaces: %w", err)
	}
	k.init, k.drained = child, make(chan struct{})
	go func() { // wait awaits it
		defer close(k.drained)
		log.drain(output)
	}()
	if err := k.record(); err != nil {
		_ = child.Process.Kill()
		return err
	}
	if err := errors.Join(json.NewEncoder(release).Encode(k.plan), release.Close()); err != nil {
		_ = child.Process.Kill()
		return fmt.Errorf("letting it go: %w", err)
	}
	trouble.Close()
	said, err := io.ReadAll(io.LimitReader(words, answerMax))
	if err != nil || len(said) > 0 {
		_ = child.Process.Kill()
		return errors.Join(err, errors.New(strings.TrimSpace(string(said))))
	}
	return nil
}

// record puts the first process under its limits and writes down who it is, in this order: from the second on it is found.
func (k *keeper) record() error {
	pid := k.init.Process.Pid
	if err := k.plan.Groups.add(pid); err != nil {
		return err
	}
	its, err := who(pid)
	if err != nil {
		return err
	}
	own, err := who(os.Getpid())
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(k.dir, lifeFile), life{Boot: bootID(), Keeper: own, Init: its, StartedAt: time.Now().UTC()})
}

// wait buries the first process and says how it ended.
func (k *keeper) wait() end {
	_ = k.init.Wait() // the state below says it all
	<-k.drained
	out := end{Code: exitCode(k.init.ProcessState.Sys().(syscall.WaitStatus)), At: time.Now().UTC()}
	if n := k.plan.Groups.starved(); n > 0 {
		out.Word = fmt.Sprintf("of its processes %d were killed: out of the memory that the lease has", n)
	}
	return out
}

// exitCode is what a shell would say.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// first is the first process inside: it builds the file system, starts the tenant and reaps what is orphaned, until the tenant's command
// has ended; then it ends the same way, and the kernel kills what is left. Fd 3 brings the plan once it may go, fd 4 takes what goes wrong.
func first() (int, error) {
	held, trouble := os.NewFile(3, "held"), os.NewFile(4, "trouble")
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	var p plan
	if err := json.NewDecoder(io.LimitReader(held, fileMax)).Decode(&p); err != nil {
		return codeLost, fmt.Errorf("waiting for what to run: %w", err)
	}
	held.Close()
	pid, err := inside(p, trouble)
	if err != nil {
		_, _ = io.WriteString(trouble, err.Error())
		return codeLost, err
	}
	trouble.Close()
	for {
		var status syscall.WaitStatus
		gone, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return codeLost, fmt.Errorf("waiting for the tenant: %w", err)
		case gone == pid:
			return exitCode(status), nil
		}
	}
}

// inside makes this process's world and starts the tenant in it.
func inside(p plan, trouble *os.File) (pid int, err error) {
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil { // now that it is in its groups: they become the roots of what it sees
		return 0, fmt.Errorf("hiding the machine's control groups: %w", err)
	}
	if p.Spec.Hostname != "" {
		if err := unix.Sethostname([]byte(p.Spec.Hostname)); err != nil {
			return 0, fmt.Errorf("naming it %s: %w", p.Spec.Hostname, err)
		}
	}
	if err := loopback(); err != nil {
		return 0, err
	}
	unix.Umask(0o022)
	if err := build(p); err != nil {
		return 0, err
	}
	if err := unix.Setgroups(nil); err != nil {
		return 0, fmt.Errorf("leaving the machine's groups: %w", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return 0, fmt.Errorf("leaving no core files: %w", err)
	}
	pid, err = startTenant(p, trouble, true)
	if err != nil { // a kernel may have no user namespaces, or none left; all the rest holds without
		pid, err = startTenant(p, trouble, false)
	}
	if err != nil {
		return 0, fmt.Errorf("starting the tenant: %w", err)
	}
	return pid, disarm()
}

// startTenant starts the last stage with the plan on its standard input. It is user 1000 from its first instruction, in a user namespace
// that knows no other, and has one capability left: to give up the others for good.
func startTenant(p plan, trouble *os.File, own bool) (int, error) {
	input, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer input.Close()
	attr := &syscall.SysProcAttr{
		Setsid:      true,
		Credential:  &syscall.Credential{Uid: runtime.UserID, Gid: runtime.UserID, NoSetGroups: true},
		AmbientCaps: []uintptr{unix.CAP_SETPCAP},
	}
	if own {
		only := []syscall.SysProcIDMap{{ContainerID: runtime.UserID, HostID: runtime.UserID, Size: 1}}
		attr.Cloneflags, attr.UidMappings, attr.GidMappings = unix.CLONE_NEWUSER, only, only
	}
	child := exec.Command(selfExe, Verb, stageTenant, piped)
	child.Stdin, child.Stdout, child.Stderr, child.ExtraFiles = input, os.Stdout, os.Stderr, []*os.File{trouble}
	child.Env, child.Dir, child.SysProcAttr = []string{}, "/", attr
	if err := child.Start(); err != nil {
		write.Close()
		return 0, err
	}
	err = json.NewEncoder(write).Encode(p) // it reads until the end, and dies with this process if this one does
	return child.Process.Pid, errors.Join(err, write.Close())
}

// tenant is the last stage: it gives up what is left and becomes the lease's command. Its standard input is the plan, and nothing after.
func tenant() error {
	trouble := os.NewFile(3, "trouble")
	unix.CloseOnExec(3) // a command that runs closes it, and that is how the keeper knows
	err := become()
	_, _ = io.WriteString(trouble, err.Error())
	return err
}
