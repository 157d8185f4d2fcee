package supplier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/wire"
	"raylink/supplier/converge"
	"raylink/supplier/runtime"
)

// How often something may go wrong before the lease has failed.
const (
	triesMax       = 5                // of one step in a row
	triesPermanent = 2                // of a step whose error says that trying again does not help
	exitsMax       = 3                // of the container before it was ready
	exitsReadyMax  = 5                // of the container within exitsWithin, once it was
	exitsWithin    = 10 * time.Minute //
	pauseMax       = 30 * time.Second
	tallyEvery     = 5 * time.Second // an agent that is killed loses at most so much of an open minute
	wordsMax       = 1_500           // bytes of a container's last words in a failure: the end is what tells
	recordsMax     = 1_440           // in a report, oldest first: a day
)

// lease is all that the agent knows of one lease. Only the loop touches it; a job works on copies.
type lease struct {
	id    raylink.LeaseID
	named bool // in the assignment in force
	order wire.LeaseOrder

	// As seen at the last look.
	instance runtime.Instance // zero when there is no container
	dir      bool
	written  string
	goes     bool
	answers  bool // the data plane answered

	plane    runtime.Plane // nil when there is none
	status   runtime.PlaneStatus
	key      overlay.PrivateKey // outlives the data plane, so that the next one is the same to its peers
	port     uint16
	shown    shown     // what is reported of key
	silent   time.Time // since when the data plane has not answered
	adopting time.Time // since when a data plane that was found is being adopted; zero when that is over
	stray    bool      // one was found that cannot be adopted
	ends     []time.Time
	inside   inside
	held     int64 // bytes of the disk, as measured last
	evicted  bool  // it took more of the disk than it may

	mesh    string // digest of what the data plane was told
	reached string
	blocked []string

	job     *job
	trouble trouble
	exits   []time.Time
	exited  time.Time // StartedAt of the container whose exit was noticed last

	tally tally
	saved time.Time
}

// shown is the public half of a key, signed. It is kept, because every look reports it and nothing else of a look costs as much.
type shown struct {
	of                overlay.PrivateKey
	public, signature string
}

// trouble is what goes wrong with a lease.
type trouble struct {
	step    converge.Kind
	tries   int
	until   time.Time // nothing is tried before
	failure *raylink.Failure
}

// obey takes a new order. An end clears the way: what was tried in vain before does not hold it up.
func (l *lease) obey(order wire.LeaseOrder) {
	before := l.order
	l.order, l.named = order, true
	if order.Want == raylink.WantEnd && before.Want != raylink.WantEnd {
		l.trouble.until = time.Time{}
		l.callOff()
	}
	if order.Want != before.Want && l.trouble.tries == 0 {
		l.trouble.until = time.Time{}
	}
	if order.Want != before.Want || converge.ReachDigest(order.Mesh) != converge.ReachDigest(before.Mesh) {
		l.blocked = nil
		if l.job != nil && slices.Contains(l.job.kinds, converge.Preflight) {
			l.callOff() // it dials who is not there any more
		}
	}
}

// dismiss is the end of a lease that no order names.
func (l *lease) dismiss() {
	if l.job != nil && !slices.Contains(l.job.kinds, converge.RemoveDir) {
		l.callOff()
	}
}

func (l *lease) callOff() {
	if l.job != nil {
		l.job.cancel()
	}
}

// have is what converge wants to know.
func (l *lease) have(now time.Time, image bool) converge.Have {
	h := converge.Have{
		Image: image, Dir: l.dir, Files: l.written, Go: l.goes, Pid: l.instance.Pid, Mesh: l.mesh, Reached: l.reached,
		Wait:    now.Before(l.trouble.until) || !l.adopting.IsZero(),
		GivenUp: l.trouble.failure != nil,
		Evicted: l.evicted,
	}
	switch {
	case l.instance.Running:
		h.Container = converge.Alive
	case l.instance.Lease != "":
		h.Container = converge.Broken
	}
	switch {
	case l.stray:
		h.Plane = converge.Broken
	case l.plane == nil && l.adopting.IsZero():
	case !l.silent.IsZero() && now.Sub(l.silent) >= silentFor:
		h.Plane = converge.Broken
	default:
		h.Plane, h.Attached = converge.Alive, l.status.Attached
	}
	return h
}

// look asks the data plane and the disk. It touches nothing but its lease.
func (a *Agent) look(ctx context.Context, l *lease) {
	l.dir, l.written = a.files.written(l.id)
	l.goes = a.files.hasGo(l.id)
	l.answers = false
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	now := time.Now()
	if l.plane == nil && !l.adopting.IsZero() {
		plane, err := a.parts.Planes.Adopt(ctx, l.id)
		switch {
		case err == nil:
			l.plane = plane
		case errors.Is(err, runtime.ErrNoPlane) || now.Sub(l.adopting) > adoptWithin:
			a.log.Info("a data plane that was found is not to be adopted", "lease", l.id, "error", err)
			l.adopting, l.stray = time.Time{}, !errors.Is(err, runtime.ErrNoPlane)
		}
	}
	if l.plane == nil {
		return
	}
	status, err := l.plane.Status(ctx)
	switch {
	case err == nil:
		l.answers, l.silent = true, time.Time{}
		if !l.adopting.IsZero() {
			a.log.Info("adopted a data plane", "lease", l.id, "port", status.Port, "attached", status.Attached)
			l.adopting = time.Time{}
		}
		if was := l.status.EgressTrouble; status.EgressTrouble != "" && status.EgressTrouble != was {
			a.log.Warn("a lease's way to the Internet is not as ordered", "lease", l.id, "reason", status.EgressTrouble)
		} else if was != "" && status.EgressTrouble == "" {
			a.log.Info("a lease's way to the Internet is as ordered again", "lease", l.id)
		}
		l.status, l.key, l.port = status, status.Key, status.Port
		l.tally.Egress = max(l.tally.Egress, status.Egress)
	case errors.Is(err, runtime.ErrNoPlane):
		l.lost(now, a)
	case l.silent.IsZero():
		l.silent = now
		a.log.Warn("a data plane does not answer", "lease", l.id, "error", err)
	case !l.adopting.IsZero() && now.Sub(l.adopting) > adoptWithin:
		l.adopting = time.Time{}
	}
}

// lost is the end of a data plane that nobody ordered.
func (l *lease) lost(now time.Time, a *Agent) {
	if err := l.plane.Close(); err != nil {
		a.log.Debug("letting go of a data plane", "lease", l.id, "error", err)
	}
	l.plane, l.status, l.mesh, l.silent, l.adopting = nil, runtime.PlaneStatus{}, "", time.Time{}, time.Time{}
	if l.job != nil || !l.named || l.order.Want == raylink.WantEnd || !l.instance.Running {
		return // a job did it, or it went with its container
	}
	l.ends = append(recent(l.ends, now), now)
	l.trouble.until = later(l.trouble.until, now.Add(pauseAfter(len(l.ends)-1)))
	a.log.Warn("a data plane has died; another takes its place", "lease", l.id, "times", len(l.ends))
}

// noticeExit sees that a container has ended by itself, once for each.
func (a *Agent) noticeExit(l *lease, now time.Time) {
	in := l.instance
	if in.Lease == "" || in.Running || in.StartedAt.IsZero() || in.StartedAt.Equal(l.exited) || !l.named || l.order.Want == raylink.WantEnd {
		return
	}
	l.exited = in.StartedAt
	l.exits = append(recent(l.exits, now), now)
	a.log.Warn("a container has exited", "lease", l.id, "node", l.order.Node, "code", in.ExitCode, "times", len(l.exits), "last_words", in.LastWords)
	limit := exitsMax
	if l.order.ReadyAt != nil {
		limit = exitsReadyMax
	}
	if len(l.exits) < limit {
		l.trouble.until = later(l.trouble.until, now.Add(pauseAfter(len(l.exits)-1)))
		return
	}
	reason := l.inside.because(fmt.Sprintf("the container of %s exited %d times within %s, at last with code %d", l.order.Node, len(l.exits), exitsWithin, in.ExitCode))
	if len(in.LastWords) > 0 {
		words := strings.Join(in.LastWords, "\n")
		reason += "; its last words:\n" + strings.ToValidUTF8(words[max(0, len(words)-wordsMax):], "")
	}
	l.giveUp(rayStage(l.order), reason, "read its last words: a start line or image that Ray refuses, or too little memory, is the usual cause")
}

// fail counts a step that went wrong, and gives up when trying again is no use.
func (l *lease) fail(step converge.Kind, err error, now time.Time) {
	if l.trouble.step != step {
		l.trouble.step, l.trouble.tries = step, 0
	}
	l.trouble.tries++
	l.trouble.until = now.Add(pauseAfter(l.trouble.tries))
	limit := triesMax
	told := raylink.AsError(err)
	if told.Code == raylink.CodeNotFound || told.Code == raylink.CodeInvalid || told.Code == raylink.CodeUnsupported || told.Code == raylink.CodeForbidden {
		limit = triesPermanent
	}
	if l.trouble.tries < limit || l.order.Want == raylink.WantEnd || !l.named {
		return
	}
	hint := told.Hint
	if hint == "" {
		hint = hintFor(step)
	}
	l.giveUp(stageOf(step, l.order), err.Error(), hint)
}

func (l *lease) giveUp(stage, reason, hint string) {
	if l.evicted && l.trouble.failure != nil {
		return // what goes wrong while it is taken away is not why it ended
	}
	l.trouble.failure = &raylink.Failure{Stage: stage, Reason: reason, Hint: hint}
}

// stageOf is the cluster's stage that a step belongs to.
func stageOf(step converge.Kind, order wire.LeaseOrder) string {
	switch step {
	case converge.FetchImage:
		return string(raylink.PhaseImage)
	case converge.Preflight:
		return string(raylink.PhasePreflight)
	case converge.Go:
		return rayStage(order)
	}
	return string(raylink.PhaseOverlay)
}

func rayStage(order wire.LeaseOrder) string {
	if order.Role == raylink.NodeHead {
		return string(raylink.PhaseHead)
	}
	return string(raylink.PhaseWorkers)
}

func hintFor(step converge.Kind) string {
	switch step {
	case converge.FetchImage, converge.StartContainer:
		return "see whether the container engine works on that machine: docker info, docker ps -a --filter label=raylink.machine"
	case converge.StartPlane, converge.SetMesh, converge.Preflight:
		return "the agent needs root and /dev/net/tun; in a container --pid=host --cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun as well"
	}
	return "see whether the agent's data directory is writable and the disk has room"
}

// pauseAfter is the pause after n failures in a row: none, 1 s, 2 s, 4 s and so on.
func pauseAfter(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	return min(pauseMax, time.Second<<min(n-1, 10))
}

func recent(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) > exitsWithin })
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// count counts the minutes of a lease that is ready, and signs those that are over.
func (a *Agent) count(l *lease, now time.Time) {
	if !l.named || l.order.ReadyAt == nil || !l.adopting.IsZero() {
		return
	}
	changed := l.tally.settle(l.order.SettledThrough)
	for _, over := range l.tally.look(now, *l.order.ReadyAt, l.instance.Running && l.answers) {
		changed = true
		node := l.order.RayNode
		signature := identity.Sign(a.parts.Key, identity.MinuteBytes(string(l.id), over.ordinal, over.seconds, node))
		l.tally.Records = append(l.tally.Records, wire.MinuteRecord{Lease: l.id, Ordinal: over.ordinal, Seconds: over.seconds, RayNode: node, Signature: signature})
		a.log.Debug("a minute is over", "lease", l.id, "minute", over.ordinal, "seconds", over.seconds)
	}
	if changed || now.Sub(l.saved) >= tallyEvery {
		a.saveTally(l)
		l.saved = now
	}
}

func (a *Agent) saveTally(l *lease) {
	if err := save(a.files.minutes(l.id), l.tally); err != nil {
		a.log.Error("signed minutes are not kept; they are lost if the agent ends now", "lease", l.id, "error", err)
	}
}

// describe is a lease's part of the report.
func (a *Agent) describe(l *lease) wire.LeaseReport {
	now := time.Now()
	r := wire.LeaseReport{
		Lease: l.id, Stage: converge.Stage(l.order, l.have(now, a.imageReady(l))), Blocked: l.blocked,
		Restarts: l.instance.Restarts, Failure: l.trouble.failure, Minutes: slices.Clone(l.tally.Records[:min(len(l.tally.Records), recordsMax)]),
	}
	r.Egress = l.tally.Egress
	r.Progress = a.images.Progress(l.order.Image)
	if l.key.IsZero() || l.port == 0 {
		return r
	}
	address, err := a.parts.Address()
	if err != nil {
		a.log.Debug("the machine's own address is not known", "error", err)
		return r
	}
	if l.shown.of != l.key {
		public := l.key.Public().String()
		l.shown = shown{of: l.key, public: public, signature: identity.Sign(a.parts.Key, identity.OverlayKeyBytes(string(l.id), public))}
	}
	r.PublicKey, r.Signature = l.shown.public, l.shown.signature
	r.Endpoint = netip.AddrPortFrom(address, l.port)
	return r
}

// sameReport says that two reports of a lease say the same.
func sameReport(a, b wire.LeaseReport) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
