//go:build linux

package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/supplier/runtime"
	"raylink/supplier/shred"
)

// What stands in a lease's directory below containers/. The container sees none of it but home and the files in etc.
const (
	recordFile = "record.json" // whose it is; written first, removed last
	planFile   = "plan.json"
	lifeFile   = "life.json"
	endFile    = "end.json"
	lockFile   = "lock"           // held by the keeper
	keptDir    = "kept"           // what the tenant writes, on a key of its own where the file system has keys
	logFile    = keptDir + "/log" // and log.1
	homeDir    = keptDir + "/home"
	etcDir     = "etc"

	fileMax = 1 << 20 // bytes of any of our own files that is read back
)

// record says whose a lease's directory is.
type record struct {
	Machine  raylink.MachineID `json:"machine"`
	Lease    raylink.LeaseID   `json:"lease"`
	Cluster  raylink.ClusterID `json:"cluster"`
	Image    string            `json:"image"`
	Restarts int               `json:"restarts"`
}

// plan is all that keeper, init and tenant are told.
type plan struct {
	Record  record       `json:"record"`
	Spec    runtime.Spec `json:"spec"`
	Dir     string       `json:"dir"`  // the lease's, below containers/
	Root    string       `json:"root"` // the unpacked image
	Env     []string     `json:"env"`
	WorkDir string       `json:"work_dir"`
	Home    string       `json:"home"` // inside
	Groups  leaf         `json:"groups"`
}

// life says who runs. A pid alone means nothing: the same number may be another's after a while, or after the machine's next start.
type life struct {
	Boot      string    `json:"boot"` // the kernel's id of this boot
	Keeper    proc      `json:"keeper"`
	Init      proc      `json:"init"`
	StartedAt time.Time `json:"started_at"`
}

// proc is one process: its number, and when it started in clock ticks since the boot.
type proc struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// end is how a lease's processes ended.
type end struct {
	Code int       `json:"code"`           // 128 + n after signal n
	Word string    `json:"word,omitempty"` // what the keeper knows beyond the code
	At   time.Time `json:"at"`
}

// startOf reads a process's time of start from the text of /proc/<pid>/stat: field 22 of proc(5). The name in field 2 may hold anything,
// parentheses and blanks included, so fields are counted from the last parenthesis on.
func startOf(stat string) (uint64, error) {
	rest := stat[strings.LastIndexByte(stat, ')')+1:]
	fields := strings.Fields(rest)
	if len(fields) < 20 || len(rest) == len(stat) {
		return 0, fmt.Errorf("%.80q is no process's status", stat)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading a process's time of start: %w", err)
	}
	return start, nil
}

// who names a process that is known to exist.
func who(pid int) (proc, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return proc{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	start, err := startOf(string(text))
	return proc{Pid: pid, Start: start}, err
}

func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // equal to no other one that was read
	}
	return strings.TrimSpace(string(text))
}

// kill sends SIGKILL to a process of this life, if it is the very one. One that is gone is no error.
func (l life) kill(p proc) error {
	if l.Boot == "" || l.Boot != bootID() || p.Pid <= 1 {
		return nil
	}
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("holding process %d: %w", p.Pid, err)
	}
	defer unix.Close(fd)
	if now, err := who(p.Pid); err != nil || now != p { // asked after the pidfd was taken: if it is the same now, the pidfd is of it
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing process %d: %w", p.Pid, err)
	}
	return nil
}

// held says whether a lease's keeper lives: it holds the lock, and the kernel takes it away however it ends.
func held(dir string) bool {
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// environment is the image's, then the lease's own.
func environment(image []string, spec runtime.Spec) []string {
	all := map[string]string{"PATH": defaultPath, "HOME": "/home/ray"}
	for _, pair := range image {
		if k, v, ok := strings.Cut(pair, "="); ok && k != "" {
			all[k] = v
		}
	}
	if spec.Hostname != "" {
		all["HOSTNAME"] = spec.Hostname
	}
	maps.Copy(all, spec.Env)
	out := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, k+"="+all[k])
	}
	return out
}

const defaultPath = "/opt/ray/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// home is the directory that the tenant's programs take for theirs. It is mounted, so it must not be one that holds other things.
func home(env []string) string {
	for _, pair := range env {
		if dir, ok := strings.CutPrefix(pair, "HOME="); ok && strings.HasPrefix(dir, "/home/") && dir == filepath.Clean(dir) {
			return dir
		}
	}
	return "/home/ray"
}

// hosts is the text of /etc/hosts.
func hosts(spec runtime.Spec) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	if _, named := spec.Hosts[spec.Hostname]; spec.Hostname != "" && !named {
		fmt.Fprintf(&b, "127.0.1.1\t%s\n", spec.Hostname)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Hosts)) {
		fmt.Fprintf(&b, "%s\t%s\n", spec.Hosts[name], name)
	}
	return b.String()
}

// furnish makes the lease's directory, which is not there or has nothing but a record in it. The record comes first: from then on it is found, whatever happens.
func furnish(dir string, p plan) error {
	for _, d := range []string{dir, filepath.Join(dir, etcDir), filepath.Join(dir, keptDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("making its directory: %w", err)
		}
		if d == dir {
			if err := writeJSON(filepath.Join(dir, recordFile), p.Record); err != nil {
				return err
			}
		}
	}
	if _, err := shred.Seal(filepath.Join(dir, keptDir)); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, homeDir), 0o700); err != nil {
		return fmt.Errorf("making its home: %w", err)
	}
	if err := os.Chown(filepath.Join(dir, homeDir), runtime.UserID, runtime.UserID); err != nil {
		return fmt.Errorf("making its home: %w", err)
	}
	for name, text := range map[string]string{"hosts": hosts(p.Spec), "hostname": p.Spec.Hostname + "\n", "resolv.conf": ""} {
		if err := os.WriteFile(filepath.Join(dir, etcDir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing its %s: %w", name, err)
		}
	}
	return writeJSON(filepath.Join(dir, planFile), p)
}

// shredAllBut makes all but one file of a lease's directory unreadable and removes it; its error may be of what was spared alone.
func shredAllBut(ctx context.Context, dir, keep string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var spared []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.Name() == keep:
			continue
		case e.IsDir():
			err = shred.Remove(ctx, path, nil)
		default:
			if err = shred.File(ctx, path); shred.Rest(err) {
				err = errors.Join(err, os.Remove(path))
			}
		}
		if !shred.Rest(err) {
			return err
		}
		if err != nil {
			spared = append(spared, err)
		}
	}
	return errors.Join(spared...)
}

// writeJSON replaces a file as a whole.
func writeJSON(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func readJSON(path string, into any) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, fileMax)).Decode(into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}
