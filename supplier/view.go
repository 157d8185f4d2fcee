package supplier

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/raylink/wire"
	"raylink/supplier/converge"
)

const (
	viewFile   = "view.json"
	viewEvery  = 3 * time.Second
	viewLeases = 256   // of which the file tells
	viewText   = 2_000 // bytes of any text in it that came from elsewhere
)

// View is how the agent sees its machine. It is kept in the data directory as view.json, which an agent in a container shares with its host, so
// that `raylink supplier status` needs neither socket nor port, and has something to say when the agent is dead.
type View struct {
	At      time.Time         `json:"at"` // of the last look
	Machine raylink.MachineID `json:"machine"`
	Started time.Time         `json:"started"`
	PID     int               `json:"pid"` // as the agent sees itself
	Offer   raylink.Offer     `json:"offer"`
	Host    *raylink.Host     `json:"host,omitempty"`
	Images  []string          `json:"images,omitempty"`
	GPUs    []ViewGPU         `json:"gpus,omitempty"` // what they did at the last look

	Coordinator string     `json:"coordinator,omitempty"`  // that took the last report
	HeardAt     *time.Time `json:"heard_at,omitempty"`     // the last report that was taken
	SilentSince *time.Time `json:"silent_since,omitempty"` // no coordinator has taken a report since
	Silence     string     `json:"silence,omitempty"`      // what became of the last attempt
	Unwiped     string     `json:"unwiped,omitempty"`      // what a lease left, the last of which not all could be made unreadable
	Engine      string     `json:"engine,omitempty"`       // why the containers cannot be seen

	Standing   raylink.Standing `json:"standing"` // as the last assignment told it
	AssignedAt *time.Time       `json:"assigned_at,omitempty"`

	Leases []ViewLease       `json:"leases"`
	More   int               `json:"more,omitempty"` // leases beyond the first 256
	Proofs []wire.ProofOrder `json:"proofs,omitempty"`
	Owner  Owner             `json:"owner"`
	Will   Will              `json:"will"`
}

// ViewLease is one lease as the agent sees it.
type ViewLease struct {
	Lease         raylink.LeaseID   `json:"lease"`
	Cluster       raylink.ClusterID `json:"cluster"`
	Node          string            `json:"node"`
	Want          string            `json:"want"`
	Stage         raylink.Stage     `json:"stage"`
	ReadyAt       *time.Time        `json:"ready_at,omitempty"`
	Restarts      int               `json:"restarts,omitempty"`
	Unsettled     int               `json:"unsettled,omitempty"`      // minutes that are signed and not settled
	Egress        int64             `json:"egress_bytes,omitempty"`   // exchanged with the Internet, in whole MiB
	Disk          int64             `json:"disk_bytes,omitempty"`     // held of the machine's disk, in whole MiB
	EgressTrouble string            `json:"egress_trouble,omitempty"` // why its way to the Internet is not what was ordered
	Progress      *wire.Progress    `json:"progress,omitempty"`       // of its image
	Failure       *raylink.Failure  `json:"failure,omitempty"`
	Trouble       string            `json:"trouble,omitempty"` // the step that goes wrong, and how often it did
}

// contact is what became of the reports; it is guarded by Agent.mu.
type contact struct {
	by          string
	heard       time.Time
	silentSince time.Time
	silence     string
}

// self is what the loop knows of the machine and its owner.
type self struct {
	owner    Owner
	ownerBad bool // owner.json could not be read at the last look
	ownerWas bool // it could be read once

	standing   raylink.Standing
	ordered    []wire.ProofOrder
	assignedAt time.Time

	unwiped string // what is shown of it

	shown   string // the view that was written last
	shownAt time.Time
}

// learn keeps what an assignment tells of the machine.
func (a *Agent) learn(assignment wire.Assignment) {
	a.standing, a.ordered, a.assignedAt = assignment.Standing, assignment.Proofs, time.Now().UTC()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.restEvery = min(max(time.Duration(assignment.ReportSeconds)*time.Second, reportEvery), restMost)
}

// sameSelf says that two reports say the same of machine and owner.
func sameSelf(a, b wire.AgentReport) bool {
	a.Leases, b.Leases = nil, nil
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// ReadView reads what the last agent of a data directory saw, and whether one runs now. Without an agent that ever looked, found is false.
func ReadView(data string) (view View, found, runs bool, err error) {
	if err := load(filepath.Join(data, viewFile), &view); err != nil {
		return view, false, false, err
	}
	runs, err = Runs(data)
	return view, !view.At.IsZero(), runs, err
}

// Runs says whether an agent works in a data directory, on the host or in a container: it holds the lock there, and the kernel gives it back
// however the agent ends.
func Runs(data string) (bool, error) {
	file, err := os.Open(filepath.Join(data, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking whether an agent runs: %w", err)
	}
	defer file.Close()
	err = unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking whether an agent runs: %w", err)
	}
	return false, nil
}

// heard keeps what became of a report.
func (a *Agent) heard(err error) {
	now := time.Now().UTC()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.contact = contact{heard: now}
		if known, ok := a.parts.Coordinator.(interface{ Coordinators() []string }); ok {
			a.contact.by = known.Coordinators()[0] // the one that answered last
		}
		return
	}
	if a.contact.silentSince.IsZero() {
		a.contact.silentSince = now
	}
	a.contact.silence = clip(err.Error())
}

// publishBlind tells what the owner wants while the containers cannot be seen: of the leases the last report holds.
func (a *Agent) publishBlind() {
	a.mu.Lock()
	report := a.report
	a.mu.Unlock()
	now := time.Now()
	owner, will := a.own(&report, now)
	a.show(now, report, owner, will)
	a.mu.Lock()
	defer a.mu.Unlock()
	if sameSelf(a.report, report) {
		return
	}
	a.report = report
	select {
	case a.changed <- struct{}{}:
	default: // a report is due already
	}
}

// show writes the view when it has changed, and every few seconds.
func (a *Agent) show(now time.Time, report wire.AgentReport, owner Owner, will Will) {
	v := View{
		Machine: a.parts.Machine, Started: a.started, PID: os.Getpid(), Offer: *report.Offer, Host: report.Host, Images: report.Images,
		Standing: a.standing, Proofs: a.ordered, Owner: owner, Will: will, Leases: []ViewLease{}, GPUs: a.showGPUs(), Unwiped: a.unwiped,
	}
	if !a.assignedAt.IsZero() {
		v.AssignedAt = &a.assignedAt
	}
	if a.blind {
		v.Engine = "the containers cannot be seen; nothing is changed until they can"
	}
	a.mu.Lock()
	c := a.contact
	a.mu.Unlock()
	v.Coordinator, v.Silence = c.by, c.silence
	if !c.heard.IsZero() {
		v.HeardAt = &c.heard
	}
	if !c.silentSince.IsZero() {
		v.SilentSince = &c.silentSince
	}
	for _, order := range a.orders.Leases {
		if len(v.Leases) == viewLeases {
			v.More = len(a.orders.Leases) - viewLeases
			break
		}
		v.Leases = append(v.Leases, a.showLease(a.leases[order.Lease], now, report))
	}
	stripped := v
	stripped.HeardAt = nil // moves at every report
	raw, err := json.Marshal(stripped)
	if err != nil || (string(raw) == a.shown && now.Sub(a.shownAt) < viewEvery) {
		return
	}
	v.At = now.UTC()
	if err := save(filepath.Join(a.files.root, viewFile), v); err != nil {
		a.log.Warn("`raylink supplier status` shows an older view", "error", err)
		return
	}
	a.shown, a.shownAt = string(raw), now
}

func (a *Agent) showLease(l *lease, now time.Time, report wire.AgentReport) ViewLease {
	v := ViewLease{Lease: l.id, Cluster: l.order.Cluster, Node: l.order.Node, Want: string(l.order.Want), ReadyAt: l.order.ReadyAt,
		Restarts: l.instance.Restarts, Unsettled: len(l.tally.Records),
		Egress:        l.tally.Egress >> 20 << 20, // whole, so that not every look writes a view
		Disk:          l.held >> 20 << 20,
		EgressTrouble: clip(l.status.EgressTrouble)}
	v.Stage = converge.Stage(l.order, l.have(now, a.images.Present(l.order.Image)))
	for _, r := range report.Leases {
		if r.Lease == l.id {
			v.Progress = r.Progress
		}
	}
	if f := l.trouble.failure; f != nil {
		told := *f
		told.Reason = clip(told.Reason)
		v.Failure = &told
	}
	if l.trouble.tries > 0 {
		v.Trouble = fmt.Sprintf("%s went wrong %d time(s) in a row", l.trouble.step, l.trouble.tries)
	}
	return v
}

func clip(text string) string {
	if len(text) > viewText {
		text = strings.ToValidUTF8(text[:viewText], "") + "…"
	}
	return text
}
