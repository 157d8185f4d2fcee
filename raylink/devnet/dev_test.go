package devnet

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"raylink/raylink/client"
)

// dev is a network that a command of its own brings up, as a person would: what is known of it is what was printed.
type dev struct {
	job     // the command's words and end
	cmd     *exec.Cmd
	scratch string // everything that the network makes is below it
}

// start runs a command that brings a network up, in a directory. What the test does not end, the test's end does.
func start(t *testing.T, dir string, args ...string) *dev {
	t.Helper()
	d := &dev{job: job{done: make(chan error, 1)}, cmd: exec.Command(args[0], args[1:]...), scratch: t.TempDir()}
	out := io.MultiWriter(&d.job, os.Stdout)
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = dir, out, out
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.scratch, "MAKEFLAGS=", "MAKELEVEL=")
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell does: a ^C reaches all of it, and not this test
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.done <- d.cmd.Wait() }()
	t.Cleanup(func() {
		if d.ended() {
			d.clear(t)
			return
		}
		if err := d.interrupt(context.Background()); err != nil {
			t.Errorf("ending %s: %v", args[0], err)
		}
		d.clear(t)
	})
	return d
}

// interrupt is a ^C on the terminal of the command: everything in its foreground hears it.
func (d *dev) interrupt(ctx context.Context) error {
	if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT); err != nil {
		return err
	}
	return d.wait(ctx, 2*time.Minute)
}

// ready says whether `raylink dev` has printed all that it prints when it is ready.
func (d *dev) ready(context.Context) error {
	if d.ended() {
		return fmt.Errorf("it has ended:\n%s", d)
	}
	if !strings.Contains(d.String(), "Ready; ^C ends it and cleans up") || !strings.Contains(d.String(), " cluster create -f ") {
		return fmt.Errorf("it says:\n%s", d)
	}
	return nil
}

// endByInterrupt presses ^C, while clusters may run: the command ends well, and cleans up.
func (d *dev) endByInterrupt(t *testing.T) {
	t.Helper()
	dir := d.dir(t)
	if err := d.interrupt(t.Context()); err != nil || !strings.Contains(d.String(), "== Cleaning up") {
		t.Errorf("^C ends it with %v:\n%s", err, d)
	}
	d.gone(t, dir)
}

// clear ends what was kept and not taken down, which a test that ends early leaves.
func (d *dev) clear(t *testing.T) {
	kept, err := filepath.Glob(filepath.Join(d.scratch, "*", keptFile))
	if err != nil {
		t.Error(err)
	}
	for _, file := range kept {
		if err := Down(context.Background(), filepath.Dir(file), t.Output()); err != nil {
			t.Errorf("ending %s: %v", filepath.Dir(file), err)
		}
	}
}

// says is what the command printed where a pattern has its parentheses.
func (d *dev) says(t *testing.T, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(d.String())
	if found == nil {
		t.Fatalf("it does not say %q:\n%s", pattern, d)
	}
	return found[1]
}

// network is the printed network, as far as a story needs it.
func (d *dev) network(t *testing.T) *Network {
	t.Helper()
	n := &Network{cfg: Config{Dir: d.dir(t), Binary: setting(t, "RAYLINK_BIN", "../../bin/raylink"), Out: os.Stdout}, people: map[string]person{}, began: time.Now()}
	n.api = map[string]string{coordinatorName(0): d.says(t, `dashboard +(\S+)/ui`)}
	var err error
	if n.ca, n.caSum, err = client.FetchCA(t.Context(), n.api[coordinatorName(0)], d.says(t, `--ca-sha256 (\S+)`)); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"admin", "engineer"} {
		file := d.says(t, who+` +access token in (\S+)`)
		token, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n.people[who] = person{token: strings.TrimSpace(string(token)), tokenFile: file}
	}
	return n
}

// dir is where the network says that it lives.
func (d *dev) dir(t *testing.T) string { return d.says(t, `suppliers, in (\S+)`) }

// answers sees that the network runs on, though the command that made it has ended: a person signs in and is answered, and the dashboard is there.
func (d *dev) answers(t *testing.T) {
	t.Helper()
	s := &Story{Network: d.network(t)}
	if err := s.signIn(t.Context()); err != nil {
		t.Error(err)
	}
	list, err := s.Network.machines(t.Context())
	if ready, waiting := standing(list); err != nil || ready != 3 {
		t.Errorf("%d machines of the kept network are ready%s: %v", ready, waiting, err)
	}
	if err := s.Network.browse(t.Context(), "admin", "/ui/machines", s.Network.seeMachineDrained); err != nil {
		t.Error(err)
	}
}

// takeDown ends the kept network by the command that it named.
func (d *dev) takeDown(t *testing.T) {
	t.Helper()
	dir, command := d.dir(t), strings.Fields(d.says(t, `end it with: raylink (.+)`))
	if told, err := exec.CommandContext(t.Context(), setting(t, "RAYLINK_BIN", "../../bin/raylink"), command...).CombinedOutput(); err != nil {
		t.Fatalf("raylink %v: %v\n%s", command, err, told)
	}
	d.gone(t, dir)
}

// gone sees that neither the network's directory nor a process that names it is left, and nothing else below the scratch directory.
func (d *dev) gone(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(d.scratch); err != nil || len(left) > 0 {
		t.Errorf("%s still has %v: %v", d.scratch, left, err)
	}
	if left, err := processesOf(dir); err != nil || len(left) > 0 {
		t.Errorf("the processes %v still run: %v", left, err)
	}
}
