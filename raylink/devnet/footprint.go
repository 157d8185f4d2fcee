package devnet

import (
	"cmp"
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

	"raylink/raylink"
)

// userHz is how many ticks a second /proc/<pid>/stat counts in; every architecture that we build for has this one.
const userHz = 100

// footprint is what one process had taken of its machine up to a moment.
type footprint struct {
	at      time.Time
	cpu     time.Duration // user and system, with children that have ended; in ticks of 10 ms
	rss     int64         // bytes in memory
	pss     int64         // the same, with shared pages divided among those who share them: with the network's other processes here, with nobody elsewhere
	own     int64         // bytes of it that are in no file: data and stacks, without the program itself
	peak    int64         // the most bytes that were ever in memory at once
	threads int
	wakes   int64 // how often its threads that still live went to sleep of their own accord
	written int64 // bytes that it has caused to be written to disks
}

// footprintOf reads what the kernel tells of a process. It needs root, or the process's own user.
func footprintOf(pid int) (footprint, error) {
	f := footprint{at: time.Now()}
	dir := fmt.Sprintf("/proc/%d", pid)
	var texts [4]string
	for i, name := range []string{"stat", "status", "smaps_rollup", "io"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return f, raylink.Errorf(raylink.CodeUnsupported, "reading what process %d takes: %v", pid, err).WithHint("that is measured on Linux alone, as root")
		}
		texts[i] = string(text)
	}
	if err := f.read(texts[0], texts[1], texts[2], texts[3]); err != nil {
		return f, fmt.Errorf("reading what process %d takes: %w", pid, err)
	}
	threads, err := filepath.Glob(dir + "/task/*/status")
	if err != nil {
		return f, fmt.Errorf("looking for the threads of process %d: %w", pid, err)
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended meanwhile
		}
		wakes, errWakes := procNumber(string(text), "voluntary_ctxt_switches")
		if err := errors.Join(err, errWakes); err != nil {
			return f, fmt.Errorf("reading of the threads of process %d: %w", pid, err)
		}
		f.wakes += wakes
	}
	return f, nil
}

// read takes what stands in the texts of stat, status, smaps_rollup and io of a process's directory below /proc.
func (f *footprint) read(stat, status, rollup, io string) error {
	var errs [7]error
	f.cpu, errs[0] = procCPU(stat)
	f.rss, errs[1] = procNumber(rollup, "Rss")
	f.pss, errs[2] = procNumber(rollup, "Pss")
	f.peak, errs[3] = procNumber(status, "VmHWM")
	threads, err := procNumber(status, "Threads")
	f.threads, errs[4] = int(threads), err
	f.own, errs[6] = procNumber(rollup, "Anonymous")
	f.written, errs[5] = procNumber(io, "write_bytes")
	return errors.Join(errs[:]...)
}

// procCPU reads the time on processors from the text of /proc/<pid>/stat: fields 14 to 17 of proc(5). The name in field 2 may hold anything,
// parentheses and blanks included, so fields are counted from the last parenthesis on.
func procCPU(stat string) (time.Duration, error) {
	end := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[end+1:])
	if end < 0 || len(fields) < 15 {
		return 0, fmt.Errorf("%.80q is no process's status", stat)
	}
	var ticks int64
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%.80q tells no time on processors: %q", stat, field)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / userHz), nil
}

// procNumber reads one line "Name: 12" or "Name: 12 kB" of a text below /proc; the second comes back in bytes.
func procNumber(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 || len(fields) > 2 || (len(fields) == 2 && fields[1] != "kB") {
			return 0, fmt.Errorf("%q is no number that the kernel would write", strings.TrimSpace(line))
		}
		n, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", name, err)
		}
		return n << (10 * (len(fields) - 1)), nil
	}
	return 0, fmt.Errorf("the kernel tells no %s", name)
}

// idleRound is what a process took in one window of time.
type idleRound struct {
	millicores float64 // thousandths of one core
	rss, pss   int64   // bytes at the window's end
	own        int64   // bytes of its own data at the window's end
	peak       int64   // bytes, since the process began
	threads    int
	wakes      float64 // a second
	written    float64 // bytes a minute
}

// between is what was taken between two looks.
func between(from, to footprint) idleRound {
	window := to.at.Sub(from.at).Seconds()
	return idleRound{
		millicores: 1000 * (to.cpu - from.cpu).Seconds() / window,
		rss:        to.rss, pss: to.pss, own: to.own, peak: to.peak, threads: to.threads,
		wakes: float64(to.wakes-from.wakes) / window, written: 60 * float64(to.written-from.written) / window,
	}
}

func (r idleRound) String() string {
	const mib = 1 << 20
	return fmt.Sprintf("%4.1f millicores (%.2f %% of a core)  RSS %5.1f MiB (its own data %.1f, peak %.1f, PSS %.1f)  %d threads  %.0f wake-ups/s  %.0f KiB/min to disk",
		r.millicores, r.millicores/10, float64(r.rss)/mib, float64(r.own)/mib, float64(r.peak)/mib, float64(r.pss)/mib, r.threads, r.wakes, r.written/1024)
}

// medianRound is the median of each figure by itself.
func medianRound(rounds []idleRound) idleRound {
	return idleRound{
		millicores: middle(rounds, func(r idleRound) float64 { return r.millicores }),
		rss:        middle(rounds, func(r idleRound) int64 { return r.rss }),
		pss:        middle(rounds, func(r idleRound) int64 { return r.pss }),
		own:        middle(rounds, func(r idleRound) int64 { return r.own }),
		peak:       middle(rounds, func(r idleRound) int64 { return r.peak }),
		threads:    middle(rounds, func(r idleRound) int { return r.threads }),
		wakes:      middle(rounds, func(r idleRound) float64 { return r.wakes }),
		written:    middle(rounds, func(r idleRound) float64 { return r.written }),
	}
}

func middle[T cmp.Ordered](rounds []idleRound, figure func(idleRound) T) T {
	var list []T
	for _, r := range rounds {
		list = append(list, figure(r))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// provenLimit is how long a machine may take from joining to proven; the challenge comes within a minute.
const provenLimit = 3 * time.Minute

// proven waits until every machine has shown what it is and could be hired.
func (n *Network) proven(ctx context.Context) error {
	return n.until(ctx, "proving the machines", "agent-", provenLimit, func(ctx context.Context) error {
		list, err := n.machines(ctx)
		if err != nil {
			return err
		}
		for _, m := range list {
			if m.Standing.State != raylink.MachineReady || m.Leases > 0 {
				return fmt.Errorf("machine %s is %s %s, with %d leases", m.Name, m.Standing.State, m.Standing.Reason, m.Leases)
			}
		}
		return nil
	})
}

// idle looks at one agent whose machine is proven and has no lease, for so many windows of time.
func (n *Network) idle(ctx context.Context, agent string, window time.Duration, rounds int, tell func(round int, r idleRound)) (idleRound, error) {
	if err := n.proven(ctx); err != nil {
		return idleRound{}, err
	}
	pid := n.processes[agent].pid()
	last, err := footprintOf(pid)
	if err != nil {
		return idleRound{}, err
	}
	var list []idleRound
	for round := range rounds {
		if err := pause(ctx, window); err != nil {
			return idleRound{}, err
		}
		now, err := footprintOf(pid)
		if err != nil {
			return idleRound{}, err
		}
		list = append(list, between(last, now))
		tell(round+1, list[round])
		last = now
	}
	return medianRound(list), nil
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
