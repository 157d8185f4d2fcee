package supplier

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// TestWill: what the owner's settings come to. 2026-11-23 is a Monday.
func TestWill(t *testing.T) {
	monday := at(t, "2026-11-23T12:00:00Z")
	drained := func(notice time.Duration) Owner {
		var o Owner
		if err := o.TakeBack(monday, notice); err != nil {
			t.Fatal(err)
		}
		return o
	}
	paused := func(length time.Duration) Owner {
		var o Owner
		if err := o.Pause(monday, length); err != nil {
			t.Fatal(err)
		}
		return o
	}
	nights := Owner{Hours: "mon-fri 19:00-07:00", Zone: "Europe/Berlin"}
	both := drained(12 * time.Hour)
	both.Hours, both.Zone = nights.Hours, nights.Zone
	resumed := drained(time.Hour)
	resumed.Resume()
	for _, c := range []struct {
		name   string
		owner  Owner
		now    string
		reason raylink.Reason
		leaves string
	}{
		{"nothing wanted", Owner{}, "2026-11-23T12:00:00Z", "", ""},
		{"drained", drained(0), "2026-11-24T12:00:00Z", raylink.ReasonOwnerDrain, ""},
		{"with notice", drained(time.Hour), "2026-11-23T12:00:00Z", raylink.ReasonNotice, "2026-11-23T13:00:00Z"},
		{"notice over", drained(time.Hour), "2026-11-24T12:00:00Z", raylink.ReasonNotice, "2026-11-23T13:00:00Z"},
		{"resumed", resumed, "2026-11-23T12:00:00Z", "", ""},
		{"paused", paused(0), "2026-12-23T12:00:00Z", raylink.ReasonPaused, ""},
		{"paused for an hour", paused(time.Hour), "2026-11-23T12:59:00Z", raylink.ReasonPaused, ""},
		{"and then not", paused(time.Hour), "2026-11-23T13:00:00Z", "", ""},
		{"by day", nights, "2026-11-24T12:00:00Z", raylink.ReasonHours, "2026-11-24T06:00:00Z"},
		{"by night", nights, "2026-11-24T20:00:00Z", "", "2026-11-25T06:00:00Z"},
		{"notice before the hours' end", both, "2026-11-23T20:00:00Z", raylink.ReasonNotice, "2026-11-24T00:00:00Z"},
	} {
		w, err := c.owner.Will(at(t, c.now))
		leaves := ""
		if w.Leaves != nil {
			leaves = w.Leaves.Format(time.RFC3339)
		}
		if err != nil || w.Reason != c.reason || leaves != c.leaves {
			t.Errorf("%s: %q, leaves %q (%v), wanted %q, %q", c.name, w.Reason, leaves, err, c.reason, c.leaves)
		}
	}
}

// TestOwnerIsKept: what one verb changes, the next and the agent read; what makes no sense changes nothing.
func TestOwnerIsKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := ChangeOwner(dir, func(o *Owner) error { o.Hours, o.Zone = "sat-sun", "Europe/Berlin"; return nil }); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, ownerFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("owner.json has mode %v (%v)", info.Mode(), err)
	}
	dear, below := money.Rate(raylink.MaxRate+1), money.Rate(-1)
	for _, bad := range []Owner{{CPUHour: &dear}, {GPUHour: &dear}, {CPUHour: &below}, {Hours: "someday"}, {Zone: "Mars/Olympus"}, {Zone: "Local"}, {Zone: "../../etc/passwd"}} {
		if _, err := ChangeOwner(dir, func(o *Owner) error { *o = bad; return nil }); raylink.AsError(err).Code != raylink.CodeInvalid {
			t.Errorf("%+v is kept: %v", bad, err)
		}
	}
	if o, err := ReadOwner(dir); err != nil || o.Hours != "sat-sun" {
		t.Errorf("%+v, %v", o, err)
	}
	var o Owner
	if o.TakeBack(time.Now(), -1) == nil || o.TakeBack(time.Now(), noticeMax+1) == nil || o.Pause(time.Now(), -1) == nil {
		t.Error("a time that is none is taken")
	}
	if _, err := ChangeOwner(filepath.Join(dir, "none"), func(*Owner) error { return nil }); raylink.AsError(err).Code != raylink.CodeNotFound {
		t.Errorf("no directory gives %v", err)
	}
}

// TestDearPriceKeepsTheHours: a file of before prices were looked at still says when the machine may be used, and keeps no owner from pausing it or from mending the price.
func TestDearPriceKeepsTheHours(t *testing.T) {
	dir, dear := t.TempDir(), money.Rate(raylink.MaxRate+1)
	if err := save(filepath.Join(dir, ownerFile), Owner{Hours: "sat-sun", CPUHour: &dear}); err != nil {
		t.Fatal(err)
	}
	if o, err := ReadOwner(dir); err != nil || o.Hours != "sat-sun" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := ChangeOwner(dir, func(o *Owner) error { return o.Pause(time.Now(), 0) }); err != nil || o.Paused == nil {
		t.Errorf("%+v, %v", o, err)
	}
	fair := money.Rate(1)
	if _, err := ChangeOwner(dir, func(o *Owner) error { o.GPUHour = &fair; return nil }); raylink.AsError(err).Code != raylink.CodeInvalid {
		t.Errorf("a price beside the dear one is kept, and nobody would take either: %v", err)
	}
	if o, err := ChangeOwner(dir, func(o *Owner) error { o.CPUHour = nil; return nil }); err != nil || o.Paused == nil || o.Hours != "sat-sun" {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestHomeZone: what a machine's TZ and its /etc/localtime say, in the ways in which they say it.
func TestHomeZone(t *testing.T) {
	localtime := filepath.Join(t.TempDir(), "localtime")
	for _, c := range []struct{ tz, link, zone string }{
		{"", "", ""},
		{"Asia/Kathmandu", "", "Asia/Kathmandu"},
		{":Asia/Kathmandu", "/usr/share/zoneinfo/Europe/Berlin", "Asia/Kathmandu"},
		{"", "/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"},
		{"", "../usr/share/zoneinfo/Etc/UTC", "Etc/UTC"},
		{"", "/var/db/timezone/zoneinfo/America/Indiana/Knox", "America/Indiana/Knox"}, // a Mac's
		{localtime, "/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"},
		{":" + localtime, "/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"},
		{":/usr/share/zoneinfo/Europe/Berlin", "", "Europe/Berlin"},
		{"", "/etc/somewhere", ""},
	} {
		if err := os.RemoveAll(localtime); err != nil {
			t.Fatal(err)
		}
		if c.link != "" {
			if err := os.Symlink(c.link, localtime); err != nil {
				t.Fatal(err)
			}
		}
		if got := HomeZone(c.tz, localtime); got != c.zone {
			t.Errorf("TZ=%q and a link to %q say %q, not %q", c.tz, c.link, got, c.zone)
		}
	}
}

// TestBrokenSettingsOpenNothing: an agent that finds settings it cannot read, and had none before, takes nothing new until they are mended.
func TestBrokenSettingsOpenNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ownerFile)
	if err := os.WriteFile(path, []byte(`{"hours":"sat-`), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &Agent{parts: Parts{DataDir: dir}, log: slog.New(slog.DiscardHandler)}
	if _, will := a.will(time.Now()); will.Reason != raylink.ReasonPaused {
		t.Errorf("it is %+v", will)
	}
	if _, err := ReadOwner(dir); !strings.Contains(raylink.AsError(err).Hint, path) {
		t.Errorf("its owner reads %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, will := a.will(time.Now()); will.Reason != raylink.ReasonNone {
		t.Errorf("mended it is %+v", will)
	}
}

// TestOwnerReachesTheGroup: within two seconds the group hears of a pause, of hours and of a price, also while the containers cannot be seen;
// a broken file changes nothing.
func TestOwnerReachesTheGroup(t *testing.T) {
	bubble(t, func(w *world) {
		change := func(f func(*Owner)) {
			t.Helper()
			if _, err := ChangeOwner(w.dir, func(o *Owner) error { f(o); return nil }); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * time.Second) // in the bubble
		}
		report := func() wire.AgentReport {
			w.coordinator.mu.Lock()
			defer w.coordinator.mu.Unlock()
			return w.coordinator.report
		}
		change(func(o *Owner) { o.Paused = &time.Time{} })
		if r := report(); r.Paused != raylink.ReasonPaused {
			t.Fatalf("a pause is reported as %q", r.Paused)
		}
		price := money.Rate(77_000)
		change(func(o *Owner) { o.Resume(); o.CPUHour = &price })
		if r := report(); r.Paused != "" || r.Offer.CPUHour != price {
			t.Fatalf("after resume and price: %q, %v", r.Paused, r.Offer.CPUHour)
		}
		if err := os.WriteFile(filepath.Join(w.dir, ownerFile), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second) // in the bubble
		if r := report(); r.Offer.CPUHour != price {
			t.Fatalf("a broken file changes the price to %v", r.Offer.CPUHour)
		}
		if err := os.Remove(filepath.Join(w.dir, ownerFile)); err != nil {
			t.Fatal(err)
		}
		w.host.Fail("list", slices.Repeat([]error{errors.New("no engine")}, 60)...)
		<-time.After(2 * time.Second) // in the bubble
		change(func(o *Owner) { *o = Owner{}; o.Drain = &time.Time{} })
		if r := report(); r.Paused != raylink.ReasonOwnerDrain {
			t.Fatalf("a drain of a blind agent is reported as %q", r.Paused)
		}
		v, found, _, err := ReadView(w.dir)
		if err != nil || !found || !strings.Contains(v.Engine, "cannot be seen") || v.Will.Reason != raylink.ReasonOwnerDrain {
			t.Errorf("the view says %+v (%v)", v, err)
		}
	})
}

// TestView: the agent's own view, with whom it reached last, and since when nobody answers.
func TestView(t *testing.T) {
	bubble(t, func(w *world) {
		w.coordinator.mu.Lock()
		w.coordinator.revision++
		w.coordinator.current = wire.Assignment{Revision: "s", Standing: raylink.Standing{State: raylink.MachineProving, Reason: raylink.ReasonNoProof}}
		close(w.coordinator.fresh)
		w.coordinator.fresh = make(chan struct{})
		w.coordinator.mu.Unlock()
		<-time.After(5 * time.Second) // in the bubble
		v, found, _, err := ReadView(w.dir)
		if err != nil || !found || v.Standing.Reason != raylink.ReasonNoProof || v.HeardAt == nil || v.SilentSince != nil || time.Since(v.At) > viewEvery {
			t.Fatalf("%+v %v", v, err)
		}
		w.coordinator.setDown(true)
		down := time.Now()
		<-time.After(10 * time.Second) // in the bubble
		if v, _, _, err = ReadView(w.dir); err != nil || v.SilentSince == nil || v.SilentSince.Sub(down) > 3*time.Second || !strings.Contains(v.Silence, "nobody answers") || v.HeardAt == nil {
			t.Fatalf("%+v %v", v, err)
		}
		w.coordinator.setDown(false)
		<-time.After(5 * time.Second) // in the bubble
		if v, _, _, _ = ReadView(w.dir); v.SilentSince != nil {
			t.Errorf("still silent: %+v", v)
		}
		w.stop()
		kept, found, runs, err := ReadView(w.dir)
		if err != nil || !found || runs || kept.Machine != machine {
			t.Errorf("without an agent: %v %v %v %v", found, runs, kept.Machine, err)
		}
		w.start()
	})
}

// TestRuns: who holds the lock runs.
func TestRuns(t *testing.T) {
	f := files{root: t.TempDir()}
	if runs, err := Runs(f.root); runs || err != nil {
		t.Errorf("nobody runs: %v %v", runs, err)
	}
	unlock, err := f.lock()
	if err != nil {
		t.Fatal(err)
	}
	if runs, err := Runs(f.root); !runs || err != nil {
		t.Errorf("one runs: %v %v", runs, err)
	}
	unlock()
	if runs, _ := Runs(f.root); runs {
		t.Error("it has ended")
	}
}
