package supplier

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // the hours of an owner hold in images without a time zone database, too

	"golang.org/x/sys/unix"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
	"raylink/supplier/hours"
)

const (
	ownerFile = "owner.json"
	ownerLock = "owner.lock"
	noticeMax = 30 * 24 * time.Hour
	pauseFor  = 366 * 24 * time.Hour
)

// Owner is what a machine's owner wants of it. It is kept in the data directory as owner.json; the running agent looks at it every second.
type Owner struct {
	Hours   string      `json:"hours,omitempty"` // as package hours reads them; empty is always
	Zone    string      `json:"zone,omitempty"`  // of the hours, an IANA name; empty is UTC
	Paused  *time.Time  `json:"paused,omitempty"`
	Until   *time.Time  `json:"until,omitempty"` // when the pause ends by itself
	Drain   *time.Time  `json:"drain,omitempty"`
	Leaves  *time.Time  `json:"leaves,omitempty"`   // of a drain with notice: when the owner takes the machine back
	CPUHour *money.Rate `json:"cpu_hour,omitempty"` // instead of the agent's setting
	GPUHour *money.Rate `json:"gpu_hour,omitempty"`
	Ends    *time.Time  `json:"ends,omitempty"` // the agent is to end itself: it is being uninstalled
}

// ReadOwner reads the owner's settings below a data directory; none is the zero Owner.
func ReadOwner(data string) (Owner, error) {
	var o Owner
	path := filepath.Join(data, ownerFile)
	err := load(path, &o)
	if err == nil {
		err = o.check()
	}
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return Owner{}, invalid("the owner's settings cannot be read: %v", err).WithHint("mend %s, or remove it and set hours, prices and pauses anew", path)
	}
	return o, err
}

// ChangeOwner changes them; two changes at a time follow each other. The directory has to be there.
func ChangeOwner(data string, change func(*Owner) error) (Owner, error) {
	file, err := os.OpenFile(filepath.Join(data, ownerLock), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return Owner{}, noAgent(data)
	}
	if err != nil {
		return Owner{}, fmt.Errorf("changing the owner's settings: %w", err)
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return Owner{}, fmt.Errorf("changing the owner's settings: %w", err)
	}
	o, err := ReadOwner(data)
	if err != nil {
		return o, err
	}
	was := o
	if err := change(&o); err != nil {
		return o, err
	}
	if err := o.check(); err != nil {
		return o, err
	}
	if err := o.checkPrices(was); err != nil {
		return o, err
	}
	return o, save(filepath.Join(data, ownerFile), o)
}

func noAgent(data string) error {
	return raylink.Errorf(raylink.CodeNotFound, "no agent has worked in %s", data).WithHint("--data names the agent's directory; `raylink supplier --help` tells how to start one")
}

func (o *Owner) check() error {
	_, err := o.week()
	if err == nil {
		_, err = o.zone()
	}
	if err != nil {
		return invalid("%v", err).WithHint(`give hours as in: raylink supplier schedule --hours "mon-fri 19:00-07:00, sat-sun" --zone Europe/Berlin`)
	}
	return nil
}

// checkPrices refuses what no coordinator takes. Only a change of prices is held against it: a file with such a price is of an agent that did not look, and its hours
// hold, and its owner may pause.
func (o *Owner) checkPrices(was Owner) error {
	if o.CPUHour == was.CPUHour && o.GPUHour == was.GPUHour {
		return nil
	}
	for _, rate := range []*money.Rate{o.CPUHour, o.GPUHour} {
		if rate != nil && (*rate < 0 || *rate > raylink.MaxRate) {
			return invalid("%s is no price: an hour costs from 0 to %s", *rate, money.Rate(raylink.MaxRate))
		}
	}
	return nil
}

func (o *Owner) zone() (*time.Location, error) {
	if o.Zone == "Local" { // says nothing to an agent in a container
		return nil, fmt.Errorf("time zone %q is known to one process only", o.Zone)
	}
	zone, err := time.LoadLocation(o.Zone)
	if err != nil {
		return nil, fmt.Errorf("time zone %q is not known: %w", o.Zone, err)
	}
	return zone, nil
}

// HomeZone is the time zone that a machine's own clocks show: the one that TZ names, else the one that localtime, /etc/localtime, is a link to; empty where
// neither says.
func HomeZone(tz, localtime string) string {
	name := strings.TrimPrefix(tz, ":")
	if name == "" || name == localtime {
		link, err := os.Readlink(localtime)
		if err != nil {
			return ""
		}
		name = link
	}
	if _, zone, ok := strings.Cut(name, "/zoneinfo/"); ok {
		return zone
	}
	if strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") {
		return ""
	}
	return name
}

func (o *Owner) week() (hours.Week, error) {
	if o.Hours == "" {
		return hours.Parse("always")
	}
	return hours.Parse(o.Hours)
}

// TakeBack drains the machine, from now on or with notice. Notice is 0 for a drain whose leases run as long as their tenants like.
func (o *Owner) TakeBack(now time.Time, notice time.Duration) error {
	if notice < 0 || notice > noticeMax {
		return invalid("a notice of %s is not possible", notice).WithHint("it is at most %s", noticeMax)
	}
	now = now.UTC()
	o.Drain, o.Leaves = &now, nil
	if notice > 0 {
		leaves := now.Add(notice)
		o.Leaves = &leaves
	}
	return nil
}

// Pause keeps new leases away, for a while or (0) until Resume.
func (o *Owner) Pause(now time.Time, length time.Duration) error {
	if length < 0 || length > pauseFor {
		return invalid("a pause of %s is not possible", length).WithHint("leave --for away for a pause without an end")
	}
	now = now.UTC()
	o.Paused, o.Until = &now, nil
	if length > 0 {
		until := now.Add(length)
		o.Until = &until
	}
	return nil
}

// Resume withdraws drain and pause; hours and prices stay.
func (o *Owner) Resume() { o.Drain, o.Leaves, o.Paused, o.Until = nil, nil, nil, nil }

// Will is what the owner's settings come to at an instant.
type Will struct {
	Reason raylink.Reason `json:"reason,omitempty"` // why nothing new may come
	Leaves *time.Time     `json:"leaves,omitempty"` // when the machine is taken back, or was
	Next   *time.Time     `json:"next,omitempty"`   // when the hours begin or end
}

// Will says what the owner wants at an instant. What was decided by hand goes before the hours; the earlier end counts.
func (o *Owner) Will(now time.Time) (Will, error) {
	week, err := o.week()
	if err != nil {
		return Will{}, err
	}
	zone, err := o.zone()
	if err != nil {
		return Will{}, err
	}
	var w Will
	open := week.Open(now, zone)
	if next, ok := week.Next(now, zone); ok {
		w.Next = &next
		if open {
			w.Leaves = &next
		} else if last, ok := week.Last(now, zone); ok {
			w.Leaves = &last
		}
	}
	if !open {
		w.Reason = raylink.ReasonHours
	}
	if o.Paused != nil && (o.Until == nil || now.Before(*o.Until)) {
		w.Reason = raylink.ReasonPaused
	}
	if o.Drain != nil {
		w.Reason = raylink.ReasonOwnerDrain
		if o.Leaves != nil {
			w.Reason = raylink.ReasonNotice
			if w.Leaves == nil || o.Leaves.Before(*w.Leaves) {
				w.Leaves = o.Leaves
			}
		}
	}
	return w, nil
}

// price puts the owner's prices on an offer.
func (o *Owner) price(offer raylink.Offer) raylink.Offer {
	if o.CPUHour != nil {
		offer.CPUHour = *o.CPUHour
	}
	if o.GPUHour != nil {
		offer.GPUHour = *o.GPUHour
	}
	return offer
}

// will is the loop's word on the owner: the last settings that could be read hold on when a file is broken, and before there were any nothing new is taken,
// because hours that vanish must not open a machine.
func (a *Agent) will(now time.Time) (Owner, Will) {
	owner, err := ReadOwner(a.parts.DataDir)
	if err == nil {
		a.owner, a.ownerWas = owner, true
	} else if !a.ownerWas && a.owner.Paused == nil {
		a.owner.Paused = &now
	}
	will, errWill := a.owner.Will(now)
	if bad := errors.Join(err, errWill) != nil; bad != a.ownerBad {
		if a.ownerBad = bad; bad {
			a.log.Error("the owner's settings cannot be read; the last ones hold, and without any nothing new is taken", "error", errors.Join(err, errWill))
		}
	}
	return a.owner, will
}

// own adds what the machine is and what its owner wants to a report.
func (a *Agent) own(report *wire.AgentReport, now time.Time) (Owner, Will) {
	owner, will := a.will(now)
	offer := a.usable(owner.price(a.parts.Offer))
	report.Offer, report.Host = &offer, a.host()
	report.Paused, report.Leaves = will.Reason, will.Leaves
	return owner, will
}
