package supplier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

// How the disk is watched.
const (
	freeEvery  = time.Second      // how often the machine's free space is looked at
	walkEvery  = 10 * time.Second // how often what leases hold is measured, at most
	walkShare  = 20               // measuring takes at most one part in so many of the time
	walkWithin = 5 * time.Minute
	filesMax   = 1_000_000 // files and directories of one lease: a disk can run out of inodes, and they take time to measure and to remove
	blameLeast = 1 << 30   // bytes that a lease must hold to be ended for the floor, while the disk is above half of it
)

const hintDisk = "keep results in object storage, and remove what is not needed below /tmp/ray; a node may hold what `ephemeral-storage` in its resource limits says, " +
	"up to what the machine's owner gives each lease (--lease-disk, 64Gi by default)"

// lodger is a lease as it was when its disk was measured.
type lodger struct {
	id      raylink.LeaseID
	lodging Lodging
	started time.Time // of its container
	bound   int64     // bytes; 0 is none
	held    Held
	err     error
}

// measured is what one look at the disk found. Lodgers are there only when it was measured, not just looked how much is free.
type measured struct {
	free    int64
	err     error
	lodgers []lodger
	walked  bool
	took    time.Duration
}

// diskWatch is what the loop keeps between two looks.
type diskWatch struct {
	looks    bool      // one is under way
	next     time.Time // when the next is due
	walk     time.Time // when the next measuring is due
	troubled string    // what was logged last, so that it is logged once
}

// mayHold is a lease's bound: what its order says, or the owner's; of both the smaller. 0 is none.
func mayHold(order, owner int64) int64 {
	if order > 0 && (owner <= 0 || order < owner) {
		return order
	}
	return max(owner, 0)
}

// watchDisk begins a look at the disk when one is due. Free space is looked at each time; what leases hold when its time has come, or when the disk is
// below its floor.
func (a *Agent) watchDisk(ctx context.Context, now time.Time) {
	if a.parts.Disk == nil || a.disk.looks || now.Before(a.disk.next) {
		return
	}
	var all []lodger
	for _, l := range a.leases {
		if l.dir || l.instance.Lease != "" {
			all = append(all, lodger{id: l.id, started: l.instance.StartedAt, bound: mayHold(l.order.Limits.Disk, a.parts.LeaseDisk),
				lodging: Lodging{Places: []string{a.files.lease(l.id)}, Pid: l.instance.Pid}})
		}
	}
	if len(all) == 0 {
		return
	}
	a.disk.looks = true
	due := !now.Before(a.disk.walk)
	a.jobs.Go(func() {
		out := a.lookAtDisk(ctx, all, due)
		select {
		case a.fill <- out:
		case <-ctx.Done():
		}
	})
}

// lookAtDisk is the look itself. It touches nothing of the loop's.
func (a *Agent) lookAtDisk(ctx context.Context, all []lodger, due bool) (out measured) {
	ctx, cancel := context.WithTimeout(ctx, walkWithin)
	defer cancel()
	out.free, out.err = a.parts.Disk.Free(a.files.root)
	if !due && (out.err != nil || out.free >= a.parts.DiskFloor) {
		return out
	}
	began := time.Now()
	places, _ := a.parts.Runtime.(runtime.Lodger)
	for i := range all {
		one := &all[i]
		if places != nil {
			more, err := places.Places(ctx, one.id)
			if err != nil {
				one.err = err // what is known of is measured all the same
			}
			one.lodging.Places = append(one.lodging.Places, more...)
		}
		held, err := a.parts.Disk.Measure(ctx, one.lodging)
		one.held, one.err = held, errors.Join(one.err, err)
	}
	out.lodgers, out.walked, out.took = all, true, time.Since(began)
	return out
}

// judgeDisk ends leases that hold more than they may, and when the machine's disk is nearly full the one that holds most.
func (a *Agent) judgeDisk(m measured) {
	now := time.Now()
	a.disk.looks, a.disk.next = false, now.Add(freeEvery)
	if m.walked {
		a.disk.walk = now.Add(max(walkEvery, walkShare*m.took))
	}
	trouble := m.err
	var running []lodger
	for _, one := range m.lodgers {
		l := a.leases[one.id]
		if l == nil || !l.named || l.order.Want == raylink.WantEnd || l.trouble.failure != nil || !l.instance.StartedAt.Equal(one.started) {
			continue // it is over, or another container
		}
		l.held = one.held.Bytes
		if one.err != nil && !errors.Is(one.err, errMaze) {
			trouble = errors.Join(trouble, fmt.Errorf("lease %s: %w", one.id, one.err))
		}
		if why := tooMuch(one); why != "" {
			a.evict(l, why)
			continue
		}
		running = append(running, one)
	}
	// What an evicted lease held is free when it is overwritten, and not at once.
	patient := m.free >= a.parts.DiskFloor/2 && slices.ContainsFunc(slices.Collect(maps.Values(a.leases)), func(l *lease) bool { return l.evicted && l.dir })
	if most, why := fullest(running, m.free, a.parts.DiskFloor); m.walked && m.err == nil && most != "" && !patient {
		a.evict(a.leases[most], why)
		a.disk.walk = now // the next one at once, if that was not enough
	} else if m.err == nil && m.free < a.parts.DiskFloor && !patient {
		trouble = errors.Join(trouble, fmt.Errorf("the disk of %s is below its floor of %s free, and no lease holds much of it", a.files.root, gib(a.parts.DiskFloor)))
	}
	if words := fmt.Sprint(trouble); words != a.disk.troubled {
		if a.disk.troubled = words; trouble != nil {
			a.log.Warn("the disk is not as it should be", "error", trouble)
		}
	}
}

// tooMuch says why a lease must end for what it holds, or "".
func tooMuch(one lodger) string {
	switch {
	case errors.Is(one.err, errMaze):
		return fmt.Sprintf("its files cannot be measured: more than %d directories are nested in one another", depthMax)
	case one.bound > 0 && one.held.Bytes > one.bound:
		return fmt.Sprintf("it holds %s of the machine's disk, and %s are its bound", gib(one.held.Bytes), gib(one.bound))
	case one.held.Files > filesMax:
		return fmt.Sprintf("it has more than %d files and directories on the machine's disk", filesMax)
	}
	return ""
}

// fullest is whom to end when less than the floor is free: who holds most, if that is much; below half of the floor whoever holds most, because what it
// holds may be out of sight. One at a time: the next look shows whether it was enough.
func fullest(all []lodger, free, floor int64) (raylink.LeaseID, string) {
	if free >= floor {
		return "", ""
	}
	var most lodger
	for _, one := range all {
		if most.id == "" || one.held.Bytes > most.held.Bytes || one.held.Bytes == most.held.Bytes && one.id < most.id {
			most = one
		}
	}
	if most.id == "" || most.held.Bytes < blameLeast && free >= floor/2 {
		return "", ""
	}
	return most.id, fmt.Sprintf("the machine's disk is nearly full (%s free, its owner keeps %s), and of all leases here this one holds most: %s", gib(free), gib(floor), gib(most.held.Bytes))
}

// evict ends a lease for good: its container stops, and what it holds of the disk is given back at once, before the coordinators know.
func (a *Agent) evict(l *lease, why string) {
	a.log.Warn("a lease ends for what it takes of the disk", "lease", l.id, "node", l.order.Node, "why", why)
	l.evicted = true
	l.callOff()
	l.trouble.until = time.Time{}
	l.giveUp(rayStage(l.order), l.order.Node+" was ended: "+why, hintDisk)
}

// gib writes bytes in GiB with one digit, or in MiB where that is too coarse.
func gib(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d.%d GiB", n>>30, (n&(1<<30-1))*10>>30)
}
