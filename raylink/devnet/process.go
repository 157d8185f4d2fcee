package devnet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is one raylink process of the network, with its log in a file. It can be killed and started again.
type process struct {
	name string
	args []string
	env  []string
	log  string
	keep bool // it outlives the one that started it

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// stopGrace is how long a process may take to end in order.
const stopGrace = 15 * time.Second

// start runs the binary. Unless it is to be kept, the process is asked to end when the one that started it dies; of a ^C on the terminal it hears
// nothing, so that a network ends in order.
func (p *process) start(binary string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", p.name, err)
	}
	defer out.Close()
	cmd := exec.Command(binary, p.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !p.keep {
		endWithParent(cmd.SysProcAttr)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in its log, and seen by whoever misses it
	}()
	return nil
}

// running says whether the process lives.
func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill ends the process with SIGKILL and waits for its end.
func (p *process) kill() error { return p.end(syscall.SIGKILL) }

// stop asks the process to end, and kills it when it does not.
func (p *process) stop() error {
	if err := p.end(syscall.SIGTERM); err != nil {
		return p.kill()
	}
	return nil
}

func (p *process) end(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		p.cmd = nil
		return nil
	case <-time.After(stopGrace):
		return fmt.Errorf("ending %s: it is still there after %s", p.name, stopGrace)
	}
}

// tail is the end of the process's log, for errors.
func (p *process) tail() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	const most = 2000
	return string(raw[max(0, len(raw)-most):])
}

func logFile(dir, name string) string { return filepath.Join(dir, "log", name+".log") }

// pid is the process's number, 0 if it does not run.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}
