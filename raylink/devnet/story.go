package devnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"raylink/raylink/ray"
	"raylink/raylink/wire"
)

// Story is the demo: a newcomer's way from a bare machine to a Ray job and its bill, told on a Network with the commands that a user would
// type. Every chapter checks what it shows; what does not hold ends the story with an error.
type Story struct {
	Network *Network
	Ray     string // the unmodified Ray client's command, `ray`
	Job     string // directory of the example
	cluster wire.Cluster
}

// chapter prints a heading.
func (s *Story) chapter(title string) {
	fmt.Fprintf(s.Network.cfg.Out, "\n== %s\n", title)
}

// note prints a plain sentence.
func (s *Story) note(format string, args ...any) {
	fmt.Fprintf(s.Network.cfg.Out, "   %s\n", fmt.Sprintf(format, args...))
}

// env is a user's environment: nothing of the network but what login stored.
func (s *Story) env(context string) []string {
	dir := s.Network.cfg.Dir
	return append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"), "XDG_STATE_HOME="+filepath.Join(dir, "state"), "RAYLINK_CONTEXT="+context, "NO_COLOR=1")
}

// raylink runs the CLI as a user would, shows the command and what it printed, and returns that.
func (s *Story) raylink(ctx context.Context, who string, args ...string) (string, error) {
	fmt.Fprintf(s.Network.cfg.Out, "\n$ raylink %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, s.Network.cfg.Binary, args...)
	cmd.Env = s.env(who)
	var seen bytes.Buffer
	out := &indent{out: io.MultiWriter(s.Network.cfg.Out, &seen), prefix: "  "}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return seen.String(), fmt.Errorf("running raylink %s: %w", strings.Join(args, " "), err)
	}
	return seen.String(), nil
}

// job is a running `ray job submit`.
type job struct {
	done chan error // one value: how the client ended
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *job) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *job) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// submit runs the unmodified Ray client against the issued endpoint and streams its log.
func (s *Story) submit(ctx context.Context, endpoint, mark string, entry ...string) (*job, error) {
	args := []string{"job", "submit", "--address", endpoint, "--working-dir", s.Job}
	if strings.HasPrefix(endpoint, "https:") {
		args = append(args, "--verify", filepath.Join(s.Network.cfg.Dir, "config", "raylink", "engineer.ca.pem"))
	}
	args = append(append(args, "--"), entry...)
	with := ray.ToolEnvironment(s.Network.people["engineer"].tokenFile)
	fmt.Fprintf(s.Network.cfg.Out, "\n$ %s ray %s\n", strings.Join(with, " "), strings.Join(args, " "))
	j := &job{done: make(chan error, 1)}
	cmd := exec.CommandContext(ctx, s.Ray, args...)
	cmd.Env = append(append(os.Environ(), "PYTHONUNBUFFERED=1"), with...)
	out := &indent{out: io.MultiWriter(s.Network.cfg.Out, j), prefix: "  " + mark + " "}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the Ray client: %w", err)
	}
	go func() { j.done <- cmd.Wait() }()
	return j, nil
}

// wait waits for the client's end and says how it ended.
func (j *job) wait(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case err := <-j.done:
		j.done <- err
		return err
	case <-ctx.Done():
		return fmt.Errorf("the job's client has not ended after %s", limit)
	}
}

func (j *job) ended() bool {
	select {
	case err := <-j.done:
		j.done <- err
		return true
	default:
		return false
	}
}

// exitCode is the client's exit code.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}

// indent puts a prefix before every line; parts of a line are held back until the line is whole.
type indent struct {
	out    io.Writer
	prefix string
	mu     sync.Mutex
	part   []byte
}

func (w *indent) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.part = append(w.part, p...)
	for {
		i := bytes.IndexByte(w.part, '\n')
		if i < 0 {
			return len(p), nil
		}
		if _, err := fmt.Fprintf(w.out, "%s%s\n", w.prefix, w.part[:i]); err != nil {
			return 0, err
		}
		w.part = w.part[i+1:]
	}
}

// soon waits until a condition of the story holds.
func (s *Story) soon(ctx context.Context, what string, limit time.Duration, holds func(context.Context) error) error {
	return s.Network.until(ctx, what, "", limit, holds)
}

// epochs are the lines of train.py, behind the mark of the job's stream.
var epochs = regexp.MustCompile(`(?m)^\W*epoch +(\d+)  loss `)

// everyEpoch says whether a job's log has the line of each epoch once and in order: a stream that lost some in the middle still has its end.
func everyEpoch(log string) error {
	next := 1
	for _, found := range epochs.FindAllStringSubmatch(log, -1) {
		if found[1] != fmt.Sprint(next) {
			return fmt.Errorf("epoch %s follows epoch %d", found[1], next-1)
		}
		next++
	}
	if next == 1 {
		return fmt.Errorf("it has no epoch at all")
	}
	return nil
}

// nobodyLostAMinute says whether each node's first minutes are on the bill as charged: what the story kills in them costs neither tenant nor supplier one.
func nobodyLostAMinute(b wire.Bill, minutes int64) error {
	for _, line := range b.Lines {
		charged := map[int64]bool{}
		for _, m := range line.Minutes {
			charged[m.Ordinal] = m.Outcome == "charged"
		}
		for ordinal := range minutes {
			if !charged[ordinal] {
				return fmt.Errorf("minute %d of node %s is not charged: %+v", ordinal, line.Node, line.Minutes)
			}
		}
	}
	if len(b.Lines) == 0 || b.Total.Sign() <= 0 {
		return fmt.Errorf("nothing was charged")
	}
	return nil
}
