//go:build linux

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"raylink/supplier/runtime"
)

// become ends only if something goes wrong.
func become() error {
	var p plan
	if err := json.NewDecoder(io.LimitReader(os.Stdin, fileMax)).Decode(&p); err != nil {
		return fmt.Errorf("reading what to run: %w", err)
	}
	nothing, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/null: %w", err)
	}
	if err := unix.Dup3(nothing, 0, 0); err != nil {
		return fmt.Errorf("closing the plan: %w", err)
	}
	if nothing != 0 {
		unix.Close(nothing)
	}
	if p.WorkDir == "" || os.Chdir(p.WorkDir) != nil {
		if err := os.Chdir("/"); err != nil {
			return err
		}
	}
	command := p.Spec.Entrypoint
	if len(command) == 0 {
		command = runtime.Entrypoint()
	}
	program, err := find(command[0], p.Env)
	if err != nil {
		return err
	}
	if err := limitFiles(); err != nil {
		return err
	}
	if err := renounce(); err != nil {
		return err
	}
	if err := install(filter()); err != nil {
		return err
	}
	return fmt.Errorf("running %s: %w", program, syscall.Exec(program, command, p.Env))
}

// limitFiles says how many files the tenant may have open. The machine's own limit is never raised: that needs a capability that an agent
// may lack.
func limitFiles() error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return fmt.Errorf("looking at the limit of open files: %w", err)
	}
	now.Max = min(now.Max, filesMax)
	now.Cur = min(now.Max, filesOwn) // Go has raised it for itself
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return fmt.Errorf("limiting open files: %w", err)
	}
	return nil
}

// find looks a command up as a shell does, in the tenant's own PATH.
func find(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, pair := range env {
		if path, ok := strings.CutPrefix(pair, "PATH="); ok {
			if err := os.Setenv("PATH", path); err != nil {
				return "", err
			}
		}
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("looking for the command in the image: %w", err)
	}
	return program, nil
}

// renounce gives up every capability of the calling thread, those that could come back included. An exec by this thread makes it so for
// the whole process.
func renounce() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	for c := uintptr(0); c <= 63; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // the kernel knows no more
		}
		if err != nil {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clearing ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("dropping all capabilities: %w", err)
	}
	return nil
}

// disarm takes the capabilities away from all threads of the first process: it has no more use for them.
func disarm() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if errors.Is(errno, syscall.ENOTSUP) {
		return errors.New("this binary was linked with C code, and cannot drop its privileges: build it with CGO_ENABLED=0")
	}
	if errno != 0 {
		return fmt.Errorf("dropping the capabilities of the first process: %w", errno)
	}
	return nil
}

// loopback brings up lo, which a fresh network namespace has down.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bringing up lo: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bringing up lo: %w", err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bringing up lo: %w", err)
	}
	return nil
}
