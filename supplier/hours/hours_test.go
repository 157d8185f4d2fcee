package hours

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func week(t testing.TB, text string) Week {
	t.Helper()
	w, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestOpen reads hours as their owner means them.
func TestOpen(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct {
		hours, at string // at: wall clock in Berlin; 2026-11-23 is a Monday
		open      bool
	}{
		{"mon-fri 19:00-07:00, sat-sun", "2026-11-23 18:59", false},
		{"mon-fri 19:00-07:00, sat-sun", "2026-11-23 19:00", true},
		{"mon-fri 19:00-07:00, sat-sun", "2026-11-24 06:59", true},
		{"mon-fri 19:00-07:00, sat-sun", "2026-11-24 07:00", false},
		{"mon-fri 19:00-07:00, sat-sun", "2026-11-28 12:00", true},  // Saturday
		{"mon-fri 19:00-07:00, sat-sun", "2026-11-23 06:00", false}, // Sunday has no night of its own
		{"sun 22:00-04:00", "2026-11-23 03:59", true},
		{"fri-mon", "2026-11-23 23:59", true},
		{"fri-mon", "2026-11-24 00:00", false},
		{"daily 00:00-24:00", "2026-11-24 00:00", true},
		{"Always", "2026-11-24 00:00", true},
		{"tuesday 08:00-09:00", "2026-11-24 08:30", true},
	} {
		at, err := time.ParseInLocation("2006-01-02 15:04", c.at, berlin)
		if err != nil {
			t.Fatal(err)
		}
		if w := week(t, c.hours); w.Open(at.UTC(), berlin) != c.open {
			t.Errorf("%q at %s: open is %v", c.hours, c.at, !c.open)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{"", ",", "mon,", "someday", "mon 7-9", "mon 07:00", "mon 07:00-07:00", "mon 25:00-26:00", "mon 07:60-08:00",
		"mon 24:00-01:00", "mon 07:00-08:00 extra", "mon--fri", "-", strings.Repeat("mon,", 300) + "mon"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is taken for hours", text)
		}
	}
}

// TestNextAgainstTheDumbTwin walks minute by minute, in zones that change their clocks by an hour, by half an hour and by whole days.
func TestNextAgainstTheDumbTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	days := []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun", "mon-fri", "sat-sun", "daily"}
	starts := map[string]time.Time{
		"Europe/Berlin": time.Date(2026, 10, 24, 20, 0, 0, 0, time.UTC), "America/New_York": time.Date(2026, 3, 8, 2, 0, 0, 0, time.UTC),
		"Australia/Lord_Howe": time.Date(2026, 4, 4, 10, 0, 0, 0, time.UTC), "Pacific/Apia": time.Date(2011, 12, 29, 12, 0, 0, 0, time.UTC), "UTC": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for name, start := range starts {
		z := zone(t, name)
		for range 60 {
			var parts []string
			for range 1 + r.IntN(3) {
				from := r.IntN(24 * 60)
				to := (from + 1 + r.IntN(24*60-1)) % (24 * 60)
				at := func(m int) string { return time.Date(2000, 1, 1, 0, m, 0, 0, time.UTC).Format("15:04") }
				parts = append(parts, days[r.IntN(len(days))]+" "+at(from)+"-"+at(to))
			}
			text := strings.Join(parts, ", ")
			w := week(t, text)
			at := start.Add(time.Duration(r.IntN(36*60)) * time.Minute).Add(time.Duration(r.IntN(60)) * time.Second)
			want, found := dumbNext(&w, at, z)
			got, ok := w.Next(at, z)
			if ok != found || !got.Equal(want) {
				t.Fatalf("%s, %q from %s: next is %s (%v), minute by minute %s (%v)", name, text, at.In(z), got.In(z), ok, want.In(z), found)
			}
			if found {
				if last, ok := w.Last(want, z); !ok || !last.Equal(want) {
					t.Fatalf("%s, %q: the last change at %s is %s", name, text, want, last)
				}
			}
		}
	}
}

// dumbNext looks at every minute.
func dumbNext(w *Week, at time.Time, z *time.Location) (time.Time, bool) {
	now := w.Open(at, z)
	for m := at.Truncate(time.Minute).Add(time.Minute); m.Sub(at) < 15*24*time.Hour; m = m.Add(time.Minute) {
		if w.Open(m, z) != now {
			return m, true
		}
	}
	return time.Time{}, false
}

func TestNeverChanges(t *testing.T) {
	w := week(t, "always")
	if at, ok := w.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.UTC); ok {
		t.Errorf("always changes at %s", at)
	}
	var never Week
	never.same = true
	if _, ok := never.Last(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.UTC); ok {
		t.Error("never changes")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"mon-fri 19:00-07:00, sat-sun", "always", "", "sun-mon 00:00-24:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := Parse(text)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
		if next, ok := w.Next(at, time.UTC); ok && (!next.After(at) || w.Open(next, time.UTC) == w.Open(at, time.UTC)) {
			t.Errorf("%q: nothing changes at %s", text, next)
		}
	})
}
