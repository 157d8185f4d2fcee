package supplier

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/wire"
	"raylink/supplier/converge"
	"raylink/supplier/device/nvml"
	"raylink/supplier/image"
	"raylink/supplier/prove"
	"raylink/supplier/runtime"
)

// The agent's rhythm.
const (
	lookEvery     = time.Second
	reportEvery   = 2 * time.Second
	restMost      = 5 * time.Second        // between two reports without leases and news, whatever a coordinator says
	reportPause   = 100 * time.Millisecond // between two reports, whatever changes
	reportTimeout = 10 * time.Second
	listTimeout   = 10 * time.Second
	statusTimeout = 800 * time.Millisecond // a data plane that takes longer does not answer
	adoptWithin   = 15 * time.Second       // how long a data plane that was found may stay silent before it is replaced
	silentFor     = 2 * time.Minute        // how long one that was known may; a supplier's machine may stand still for a while
)

// Coordinator is what an agent needs of the coordinators; *client.Client is one.
type Coordinator interface {
	// Assignment waits for an assignment of another revision than the given one, and returns it with its revision.
	Assignment(ctx context.Context, revision string) (wire.Assignment, string, error)
	// Report is the heartbeat, with all that the agent sees.
	Report(ctx context.Context, report wire.AgentReport) error
}

// Parts are what an agent is made of. Run makes them from a Config; tests bring their own.
type Parts struct {
	Machine     raylink.MachineID
	Key         ed25519.PrivateKey // the identity; signs minutes and overlay keys
	Offer       raylink.Offer
	DataDir     string
	Coordinator Coordinator
	Runtime     runtime.Runtime
	Planes      runtime.Planes
	Address     func() (netip.Addr, error) // under which the other machines reach this one's UDP ports
	Trust       image.Policy               // what is wanted of images before they run
	Known       []string                   // references of images that the network may order; reported when they are here
	Host        *raylink.Host              // what this machine is; nil where that is not known
	NoEgress    bool                       // no lease reaches the Internet, whatever its order says
	EgressBytes int64                      // that a lease may send and receive there together; 0 is no limit
	Wipe        Wiper                      // what clears a GPU before a lease gets it; nil only where none is ever handed out
	GPUUsers    GPUUsers                   // who computes on a GPU before a lease gets it; nil only where none is ever handed out
	Provers     prove.Makers               // who proves which device; nil for this build's own
	Disk        Disk                       // how full the disk is; nil only where nothing is really written
	LeaseDisk   int64                      // bytes of it that a lease may hold; 0 is no bound of the owner's
	DiskFloor   int64                      // bytes that leases leave free
	WatchGPUs   GPUWatcher                 // what tells of GPUs that become unfit; nil where none are to be watched
	GPUReadings GPUReadings                // what its last look found, for the view; nil where none are to be watched
}

// Agent does what one machine is ordered to do, and says what it sees. It adopts what an earlier agent of the machine left running, and
// leaves it running when it ends.
type Agent struct {
	parts   Parts
	log     *slog.Logger
	files   files
	images  *image.Store
	proofs  proofs
	started time.Time

	// The loop's own; nothing else touches them.
	orders converge.Orders
	leases map[raylink.LeaseID]*lease
	blind  bool // the runtime did not answer at the last look
	seen   bool // it has answered once
	self        // what is known of the machine and its owner
	gpus   gpuHealth
	disk   diskWatch

	jobs       sync.WaitGroup
	outcomes   chan outcome
	assigned   chan wire.Assignment
	changed    chan struct{}
	verdicts   chan verdict // of looks into containers that have GPUs
	gpuChanges chan []nvml.Change
	fill       chan measured

	network []*ecdsa.PublicKey // the image keys that the assignment in force names

	mu        sync.Mutex
	report    wire.AgentReport
	stock     []string // the network's images that are here
	wanted    []string // the images that orders name now
	contact   contact
	restEvery time.Duration // between two reports without leases and news, as the last assignment told; 0 is as with leases
}

// New makes an agent; Run runs it.
func New(parts Parts, log *slog.Logger) *Agent {
	return &Agent{
		parts: parts, log: log, files: files{root: parts.DataDir}, images: image.NewStore(parts.Runtime.Images()), proofs: newProofs(parts.Coordinator, parts.Provers, log), started: time.Now().UTC(),
		leases: map[raylink.LeaseID]*lease{}, outcomes: make(chan outcome), assigned: make(chan wire.Assignment), changed: make(chan struct{}, 1),
		verdicts: make(chan verdict), gpuChanges: make(chan []nvml.Change), fill: make(chan measured),
	}
}

// Run goes on until ctx ends; what runs on the machine then runs on. The error is of the start alone: later troubles are logged and reported.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.files.open(); err != nil {
		return err
	}
	if err := a.recall(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var owned sync.WaitGroup
	defer func() {
		cancel()
		owned.Wait()
		a.jobs.Wait()
		a.rest()
	}()
	a.pass(ctx)
	owned.Go(func() {
		// Follow ends with the context alone, and says so.
		_ = client.Follow(ctx, a.log, a.parts.Coordinator.Assignment, a.hand)
	})
	owned.Go(func() { a.reportLoop(ctx) })
	owned.Go(func() { a.proofs.run(ctx) })
	owned.Go(func() { a.stockLoop(ctx) })
	owned.Go(func() { a.watchGPUs(ctx) })
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case assignment := <-a.assigned:
			a.take(ctx, assignment)
		case out := <-a.outcomes:
			a.finish(out)
		case changes := <-a.gpuChanges:
			a.learnGPUs(changes)
		case found := <-a.fill:
			a.judgeDisk(found)
		case found := <-a.verdicts:
			a.judge(ctx, found)
		case <-ticker.C:
		}
		a.pass(ctx)
		if a.owner.Ends != nil {
			a.log.Info("the agent ends: its owner uninstalls it")
			return nil
		}
	}
}

// hand gives an assignment to the loop.
func (a *Agent) hand(ctx context.Context, assignment wire.Assignment) {
	select {
	case a.assigned <- assignment:
	case <-ctx.Done():
	}
}

// recall finds what an earlier agent left: orders, directories and data planes. Containers are found at every look anyway.
func (a *Agent) recall(ctx context.Context) error {
	last, err := a.files.loadAssignment()
	if err != nil {
		a.log.Warn("the last assignment cannot be read; waiting for a coordinator", "error", err)
	}
	a.network = image.ParseKeys(last.ImageKeys)
	a.obey(last.Leases)
	left, err := a.files.list()
	if err != nil {
		return err
	}
	for _, id := range left {
		a.lease(id)
	}
	found, err := a.parts.Planes.List(ctx)
	if err != nil {
		return err
	}
	for _, id := range found {
		a.lease(id).adopting = time.Now()
	}
	if n := len(a.leases); n > 0 {
		a.log.Info("taking over from an earlier agent", "leases", n, "data_planes", len(found))
	}
	return nil
}

// lease finds a lease, or begins one.
func (a *Agent) lease(id raylink.LeaseID) *lease {
	l := a.leases[id]
	if l == nil {
		l = &lease{id: id}
		if err := load(a.files.minutes(id), &l.tally); err != nil {
			a.log.Warn("the minutes counted before are lost", "lease", id, "error", err)
			l.tally = tally{}
		}
		a.leases[id] = l
	}
	return l
}

// take puts a fresh assignment in force.
func (a *Agent) take(ctx context.Context, assignment wire.Assignment) {
	a.orders.Received = true
	a.network = image.ParseKeys(assignment.ImageKeys)
	a.learn(assignment)
	a.obey(assignment.Leases)
	a.proofs.take(assignment.Proofs)
	if err := a.files.saveAssignment(ctx, assignment); err != nil {
		a.log.Warn("the assignment is in force but not kept", "error", err)
	}
}

func (a *Agent) obey(orders []wire.LeaseOrder) {
	for _, l := range a.leases {
		l.named = false
	}
	a.orders.Leases = nil
	for _, order := range orders {
		if !raylink.ValidID(string(order.Lease), "l") { // it becomes a path
			a.log.Error("an order names no lease", "lease", string(order.Lease))
			continue
		}
		a.orders.Leases = append(a.orders.Leases, order)
		a.lease(order.Lease).obey(order)
	}
	for _, l := range a.leases {
		if !l.named {
			l.dismiss()
		}
	}
}

// pass looks at everything once, and begins what is to be done.
func (a *Agent) pass(ctx context.Context) {
	if a.observe(ctx) {
		now := time.Now()
		for _, l := range a.leases {
			a.noticeExit(l, now)
			a.count(l, now)
			a.lookInside(ctx, l, now)
		}
		a.watchDisk(ctx, now)
		a.dispatch(ctx, now)
		a.forget()
	}
	if ctx.Err() == nil && !(a.blind && a.seen) { // what is not seen is no news: the last report is sent on
		a.publish()
	} else if ctx.Err() == nil {
		a.publishBlind()
	}
}

// observe asks the runtime and every data plane how they are. Without an answer of the runtime nothing is known, and nothing is done.
func (a *Agent) observe(ctx context.Context) bool {
	listing, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	instances, err := a.parts.Runtime.List(listing)
	if ctx.Err() != nil {
		return false
	}
	if (err != nil) != a.blind {
		if a.blind = err != nil; a.blind {
			a.log.Error("the containers cannot be seen; nothing is changed until they can", "error", err)
		} else {
			a.log.Info("the containers can be seen again")
		}
	}
	if err != nil {
		return false
	}
	a.seen = true
	for _, l := range a.leases {
		l.instance = runtime.Instance{}
	}
	for _, instance := range instances {
		if !raylink.ValidID(string(instance.Lease), "l") {
			continue
		}
		a.lease(instance.Lease).instance = instance
	}
	var looks sync.WaitGroup
	for _, l := range a.leases {
		looks.Go(func() { a.look(ctx, l) })
	}
	looks.Wait()
	return ctx.Err() == nil
}

// dispatch begins the next steps of every lease that has none under way.
func (a *Agent) dispatch(ctx context.Context, now time.Time) {
	free := converge.Orders{Received: a.orders.Received}
	for _, order := range a.orders.Leases {
		if a.leases[order.Lease].job == nil {
			free.Leases = append(free.Leases, order)
		}
	}
	have := map[raylink.LeaseID]converge.Have{}
	for id, l := range a.leases {
		if l.job == nil {
			have[id] = l.have(now, a.imageReady(l))
		}
	}
	steps := map[raylink.LeaseID][]converge.Kind{}
	for _, step := range converge.Steps(free, have) {
		steps[step.Lease] = append(steps[step.Lease], step.Kind)
	}
	for id, kinds := range steps {
		a.begin(ctx, a.leases[id], kinds)
	}
}

// forget drops leases of which nothing is left here and nothing more is wanted.
func (a *Agent) forget() {
	if !a.orders.Received {
		return
	}
	for id, l := range a.leases {
		if l.named || l.job != nil || !l.have(time.Now(), false).Nothing() {
			continue
		}
		if err := removeFile(a.files.minutes(id)); err != nil {
			a.log.Warn("settled minutes stay on the disk", "lease", id, "error", err)
		}
		delete(a.leases, id)
	}
}

// rest keeps what is only in memory, at the end of the agent.
func (a *Agent) rest() {
	for _, l := range a.leases {
		if !l.tally.Looked.IsZero() {
			a.saveTally(l)
		}
		if l.plane != nil {
			if err := l.plane.Close(); err != nil {
				a.log.Debug("letting go of a data plane", "lease", l.id, "error", err)
			}
		}
	}
}

// reportLoop sends the newest report every two seconds, less often without leases in a large group, and at once when it changed.
func (a *Agent) reportLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	unheard := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.changed:
		case <-timer.C:
		}
		a.mu.Lock()
		report, every := a.report, reportEvery
		if len(report.Leases) == 0 {
			every = max(every, a.restEvery)
		}
		a.mu.Unlock()
		sending, cancel := context.WithTimeout(ctx, reportTimeout)
		err := a.parts.Coordinator.Report(sending, report)
		cancel()
		if ctx.Err() != nil {
			return
		}
		a.heard(err)
		if (err != nil) != unheard {
			if unheard = err != nil; unheard {
				a.log.Warn("no coordinator takes the report; leases run on and minutes are kept", "error", err)
			} else {
				a.log.Info("reports are taken again")
			}
		}
		pause := time.NewTimer(reportPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		if err != nil {
			every = reportEvery
		}
		timer.Reset(every - reportPause)
	}
}

// publish makes the report of what was seen.
func (a *Agent) publish() {
	report := wire.AgentReport{Started: a.started, Offer: &a.parts.Offer, Leases: []wire.LeaseReport{}}
	for _, order := range a.orders.Leases {
		if l := a.leases[order.Lease]; a.seen && l.adopting.IsZero() { // of one that is being adopted nothing is known yet
			report.Leases = append(report.Leases, a.describe(l))
		}
	}
	now := time.Now()
	owner, will := a.own(&report, now)
	a.show(now, report, owner, will)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted = a.orderedImages()
	report.Images = a.stock
	if slices.EqualFunc(a.report.Leases, report.Leases, sameReport) && sameSelf(a.report, report) {
		return
	}
	a.report = report
	select {
	case a.changed <- struct{}{}:
	default: // a report is due already
	}
}

// isCancel says that an error only tells that somebody called it off.
func isCancel(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) || ctx.Err() != nil
}
