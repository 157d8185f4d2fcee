//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

const (
	groupRoot   = "raylink" // all control groups made here are below this one
	cpuPeriod   = 100_000   // µs; a core is the whole period
	cpuQuotaMin = 1_000     // µs; the kernel refuses less
	ticksInUnit = 10        // µs of quota in 1/10,000 of a core
)

// groups is where this host's control groups are: of the first version one tree for each controller, of the second a single one.
type groups struct {
	version int
	mounts  map[string]string // controller → where its tree is mounted; "" in the second version
}

// controllers are those that a lease needs.
func controllers() []string { return []string{"cpu", "memory", "pids"} }

// setting is one limit as the kernel wants to be told (Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst in Linux).
type setting struct {
	Controller string `json:"controller,omitempty"`
	File       string `json:"file"`
	Value      string `json:"value"`
	IfThere    bool   `json:"if_there,omitempty"` // kernels without swap accounting lack the file
}

// leaf is the control group of one lease: its directory in each tree, and its limits.
type leaf struct {
	Version  int               `json:"version"`
	Dirs     map[string]string `json:"dirs"`
	Tops     map[string]string `json:"tops"` // the tree that each directory is in
	Settings []setting         `json:"settings"`
}

func findGroups() (groups, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return groups{}, fmt.Errorf("looking for control groups: %w", err)
	}
	return groupsIn(string(text))
}

// groupsIn reads the text of /proc/self/mountinfo, as proc(5) describes it. Where both versions are mounted, the first has the
// controllers.
func groupsIn(mountinfo string) (groups, error) {
	first, second := map[string]string{}, ""
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		switch right[0] {
		case "cgroup":
			for _, option := range strings.Split(right[2], ",") {
				if slices.Contains(controllers(), option) && first[option] == "" {
					first[option] = left[4]
				}
			}
		case "cgroup2":
			if second == "" {
				second = left[4]
			}
		}
	}
	switch {
	case len(first) == len(controllers()):
		return groups{version: 1, mounts: first}, nil
	case len(first) == 0 && second != "":
		return groups{version: 2, mounts: map[string]string{"": second}}, nil
	}
	return groups{}, raylink.Errorf(raylink.CodeUnavailable, "this machine has no control groups for %s: nothing would limit what a lease uses",
		strings.Join(controllers(), ", ")).WithHint("mount cgroup2 on /sys/fs/cgroup, or use --runtime docker")
}

// of is one lease's group.
func (g groups) of(spec runtime.Spec) leaf {
	out := leaf{Version: g.version, Dirs: map[string]string{}, Tops: map[string]string{}, Settings: limits(spec, g.version)}
	for controller, top := range g.mounts {
		out.Tops[controller] = top
		out.Dirs[controller] = filepath.Join(top, groupRoot, string(spec.Machine), string(spec.Lease))
	}
	return out
}

// limits says what a lease may use in the words of one version of control groups.
func limits(spec runtime.Spec, version int) []setting {
	pids := spec.Pids
	if pids == 0 {
		pids = runtime.PidsLimit
	}
	quota := strconv.FormatInt(max(spec.CPU*ticksInUnit, cpuQuotaMin), 10)
	memory := strconv.FormatInt(spec.Memory, 10)
	period := strconv.Itoa(cpuPeriod)
	if version == 2 {
		out := []setting{{File: "pids.max", Value: strconv.FormatInt(pids, 10)}}
		if spec.CPU > 0 {
			out = append(out, setting{File: "cpu.max", Value: quota + " " + period})
		}
		if spec.Memory > 0 {
			out = append(out, setting{File: "memory.max", Value: memory}, setting{File: "memory.swap.max", Value: "0", IfThere: true})
		}
		return out
	}
	out := []setting{{Controller: "pids", File: "pids.max", Value: strconv.FormatInt(pids, 10)}}
	if spec.CPU > 0 {
		out = append(out, setting{Controller: "cpu", File: "cpu.cfs_period_us", Value: period}, setting{Controller: "cpu", File: "cpu.cfs_quota_us", Value: quota})
	}
	if spec.Memory > 0 {
		out = append(out, setting{Controller: "memory", File: "memory.limit_in_bytes", Value: memory},
			setting{Controller: "memory", File: "memory.memsw.limit_in_bytes", Value: memory, IfThere: true}) // memory and swap together: no swap
	}
	return out
}

// make makes the group with its limits. Of the second version a controller must be handed down from level to level.
func (l leaf) make() error {
	for controller, dir := range l.Dirs {
		if l.Version == 2 {
			for above := []string{l.Tops[controller], filepath.Dir(filepath.Dir(dir)), filepath.Dir(dir)}; len(above) > 0; above = above[1:] {
				if err := os.MkdirAll(above[0], 0o755); err != nil {
					return fmt.Errorf("making a control group: %w", err)
				}
				text := "+" + strings.Join(controllers(), " +")
				if err := os.WriteFile(filepath.Join(above[0], "cgroup.subtree_control"), []byte(text), 0o644); err != nil {
					return fmt.Errorf("handing controllers down: %w", err)
				}
			}
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making a control group: %w", err)
		}
	}
	for _, s := range l.Settings {
		path := filepath.Join(l.Dirs[s.Controller], s.File)
		if _, err := os.Stat(path); s.IfThere && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.WriteFile(path, []byte(s.Value), 0o644); err != nil {
			return fmt.Errorf("limiting %s to %s: %w", s.File, s.Value, err)
		}
	}
	return nil
}

// add puts a process into the group; what it starts from then on is in it too.
func (l leaf) add(pid int) error {
	for _, dir := range l.Dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("putting process %d under its limits: %w", pid, err)
		}
	}
	return nil
}

// starved says how many processes of the group were killed because its memory was used up.
func (l leaf) starved() int {
	path := filepath.Join(l.Dirs["memory"], "memory.oom_control")
	if l.Version == 2 {
		path = filepath.Join(l.Dirs[""], "memory.events")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return 0 // only a word in the report hangs on it
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			count, _ := strconv.Atoi(strings.TrimSpace(n))
			return count
		}
	}
	return 0
}

// remove takes the group away. The last processes may need a moment to leave it after they have died.
func (l leaf) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killWithin)
	defer cancel()
	for _, dir := range l.Dirs {
		for {
			err := unix.Rmdir(dir)
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			if !errors.Is(err, unix.EBUSY) || ctx.Err() != nil {
				return fmt.Errorf("removing control group %s: %w", dir, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pollPause):
			}
		}
		// The machine's own group goes with its last lease; while there are others the kernel refuses.
		_ = unix.Rmdir(filepath.Dir(dir))
		_ = unix.Rmdir(filepath.Dir(filepath.Dir(dir)))
	}
	return nil
}
