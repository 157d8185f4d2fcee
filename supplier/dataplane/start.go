package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"raylink/raylink/overlay"
	"raylink/raylink/overlay/wireguard"
)

const (
	startWithin = 15 * time.Second
	startPause  = 20 * time.Millisecond
	logTailMax  = 2 << 10 // bytes
)

// Process is a data plane that this agent started. It goes on without the agent; Ended tells when it has ended while the agent lives.
type Process struct {
	*Client
	// Pid is its process id.
	Pid   int
	ended chan struct{}
	code  int
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Code is the exit code, once Ended is closed: 0, ExitGone, or another; -1 after a signal.
func (p *Process) Code() int {
	<-p.ended
	return p.code
}

// Start runs a data plane of its own session and waits until it answers. command is what to run, the path of the configuration is
// added to it; nil is this very program: `raylink dataplane --config`. The key goes through a pipe that is written and closed before
// the process starts, and its output goes to a file: nothing ties it to this process.
func Start(ctx context.Context, config Config, key overlay.PrivateKey, command []string, log *slog.Logger) (*Process, error) {
	config, err := config.check()
	if err != nil {
		return nil, err
	}
	if command == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("finding this program: %w", err)
		}
		command = []string{self, "dataplane", "--config"}
	}
	path, err := writeConfig(config)
	if err != nil {
		return nil, err
	}
	process, err := spawn(append(command[:len(command):len(command)], path), config, key)
	if err != nil {
		return nil, fmt.Errorf("starting the data plane of lease %s: %w", config.Lease, err)
	}
	log.Info("started a data plane", "lease", config.Lease, "pid", process.Pid)
	if err := process.await(ctx, config); err != nil {
		syscall.Kill(process.Pid, syscall.SIGKILL)
		<-process.ended
		return nil, err
	}
	return process, nil
}

// await waits until the process itself answers: a predecessor on its way out may still do so on the same socket.
func (p *Process) await(ctx context.Context, config Config) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		status, err := p.Status(ctx)
		if err == nil && status.Pid == p.Pid {
			return nil
		}
		select {
		case <-p.ended:
			if p.code == ExitGone {
				return fmt.Errorf("starting the data plane of lease %s: %w", config.Lease, ErrGone)
			}
			return fmt.Errorf("the data plane of lease %s ended at once with code %d; the end of its log: %s", config.Lease, p.code, logTail(config))
		case <-ctx.Done():
			return fmt.Errorf("the data plane of lease %s does not answer: %w; the end of its log: %s", config.Lease,
				errors.Join(ctx.Err(), err), logTail(config))
		case <-time.After(startPause):
		}
	}
}

// Remove takes away what a data plane that has ended may have left outside the lease's directory: its sockets and their lock. It is for
// the end of a lease; while a data plane runs, or is about to, it must not be called.
func Remove(config Config) error {
	config, err := config.check()
	if err != nil {
		return err
	}
	err = wireguard.RemoveSocket(overlay.DeviceName(config.Lease))
	for _, path := range []string{config.Socket, config.Socket + lockSuffix} {
		if gone := os.Remove(path); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("removing what the data plane of lease %s left: %w", config.Lease, gone))
		}
	}
	return err
}

// RemoveDirs removes the directories in which data planes had their sockets, if they are empty: for an uninstall. The next data plane makes them anew.
func RemoveDirs() {
	wireguard.RemoveSocketDir()
	_ = os.Remove(runDir) // not empty is another agent's
}

// writeConfig replaces the file as a whole: the predecessor's may be of another incarnation.
func writeConfig(config Config) (string, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("writing the data plane's configuration: %w", err)
	}
	path := filepath.Join(config.Dir, ConfigFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return "", fmt.Errorf("writing the data plane's configuration: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return "", fmt.Errorf("writing the data plane's configuration: %w", err)
	}
	return path, nil
}

func spawn(command []string, config Config, key overlay.PrivateKey) (*Process, error) {
	output, err := os.OpenFile(filepath.Join(config.Dir, LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	stdin, secret, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	_, err = io.WriteString(secret, key.Text()+"\n") // less than a pipe holds: does not wait for a reader
	if err := errors.Join(err, secret.Close()); err != nil {
		return nil, err
	}
	child := exec.Command(command[0], command[1:]...)
	child.Stdin, child.Stdout, child.Stderr = stdin, output, output
	child.Dir = "/"
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return nil, err
	}
	process := &Process{Client: Connect(config.Socket), Pid: child.Process.Pid, ended: make(chan struct{})}
	go func() { // reaps the process; whoever cares awaits Ended
		child.Wait()
		process.code = child.ProcessState.ExitCode()
		close(process.ended)
	}()
	return process, nil
}

func logTail(config Config) string {
	file, err := os.Open(filepath.Join(config.Dir, LogFile))
	if err != nil {
		return "(none)"
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > logTailMax {
		file.Seek(-logTailMax, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(file, logTailMax))
	return strings.TrimSpace(string(text))
}
