package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"raylink/raylink"
)

// kept is what a network leaves for the one who ends it later.
type kept struct {
	API       map[string]string `json:"api"`
	CA        []byte            `json:"ca"`
	Admin     string            `json:"admin_token_file"`
	Processes []keptProcess     `json:"processes"`
}

type keptProcess struct {
	Name string `json:"name"`
	Pid  int    `json:"pid"`
}

const keptFile = "network.json"

// save leaves word of the running network in its directory.
func (n *Network) save() error {
	k := kept{API: n.api, CA: n.ca, Admin: n.people["admin"].tokenFile}
	for _, name := range n.order {
		k.Processes = append(k.Processes, keptProcess{name, n.processes[name].pid()})
	}
	raw, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the network's file: %w", err)
	}
	return os.WriteFile(filepath.Join(n.cfg.Dir, keptFile), raw, 0o600)
}

// Down ends the network that was kept in a directory: its clusters, its processes, the directory.
func Down(ctx context.Context, dir string, out io.Writer) error {
	raw, err := os.ReadFile(filepath.Join(dir, keptFile))
	if err != nil {
		return raylink.Errorf(raylink.CodeNotFound, "no kept network in %s", dir).WithHint("the directory is the one that `raylink dev --keep` named")
	}
	var k kept
	if err := json.Unmarshal(raw, &k); err != nil {
		return fmt.Errorf("reading the network's file: %w", err)
	}
	token, err := os.ReadFile(k.Admin)
	if err != nil {
		return fmt.Errorf("reading the admin's access token: %w", err)
	}
	n := &Network{cfg: Config{Dir: dir, Coordinators: len(k.API), Out: out}, api: k.API, ca: k.CA, began: time.Now(), processes: map[string]*process{},
		people: map[string]person{"admin": {token: strings.TrimSpace(string(token))}, "": {}}}
	err = n.endClusters(ctx)
	for i := len(k.Processes) - 1; i >= 0; i-- {
		err = errors.Join(err, n.endKept(ctx, k.Processes[i]))
	}
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the network's directory: %w", err)
	}
	fmt.Fprintf(out, "Ended %d processes and removed %s.\n", len(k.Processes), dir)
	return nil
}

// endKept ends a process if it is still the one of this network, and waits for its end: until then it writes into the directory.
func (n *Network) endKept(ctx context.Context, p keptProcess) error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !runs(n.cfg.Dir, p) {
			return nil
		}
		if err := syscall.Kill(p.Pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending %s: %w", p.Name, err)
		}
		if err := n.until(ctx, "ending "+p.Name, "", stopGrace, func(context.Context) error {
			if runs(n.cfg.Dir, p) {
				return fmt.Errorf("it is still there")
			}
			return nil
		}); err == nil || signal == syscall.SIGKILL {
			return err
		}
	}
	return nil
}

// runs says whether a process is still the one of this network: its command line names the directory. Otherwise it is long gone, and its number may be
// somebody else's now.
func runs(dir string, p keptProcess) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Pid))
	return err == nil && strings.Contains(string(line), dir)
}
