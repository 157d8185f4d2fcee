// Package hours knows the weekly hours in which a machine may be used, and when they change next. They are wall-clock hours of a time zone: a
// night stays a night when the clocks are changed.
package hours

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	dayMinutes  = 24 * 60
	weekMinutes = 7 * dayMinutes
	textLimit   = 1_000 // bytes of a text that Parse reads
	// A change that the week has comes within a week; a change of the clocks may take away one, never two in a row.
	lookAhead = 15 * 24 * time.Hour
	lookBack  = 15 * 24 * time.Hour
)

// Week says of each minute of a week whether the machine may be used. The zero Week is never open.
type Week struct {
	open [weekMinutes]bool // from Sunday 00:00, as time.Weekday counts
	same bool              // all minutes are alike
}

// Parse reads hours such as "mon-fri 19:00-07:00, sat-sun": days, or a row of days, and from when to when; without that the whole day. A span
// that ends before it begins ends on the day after. "always" is every minute.
func Parse(text string) (Week, error) {
	var w Week
	if len(text) > textLimit {
		return w, fmt.Errorf("hours are at most %d bytes long", textLimit)
	}
	for part := range strings.SplitSeq(strings.ToLower(text), ",") {
		words := strings.Fields(part)
		if len(words) < 1 || len(words) > 2 {
			return w, fmt.Errorf("%q are no hours, such as \"mon-fri 19:00-07:00, sat-sun\"", strings.TrimSpace(part))
		}
		first, days, err := parseDays(words[0])
		if err != nil {
			return w, err
		}
		from, to := 0, dayMinutes
		if len(words) == 2 {
			if from, to, err = parseSpan(words[1]); err != nil {
				return w, err
			}
		}
		for day := range days {
			for minute := from; minute < to; minute++ {
				w.open[((first+day)*dayMinutes+minute)%weekMinutes] = true
			}
		}
	}
	w.same = true
	for _, open := range w.open {
		w.same = w.same && open == w.open[0]
	}
	return w, nil
}

// parseDays reads one day or a row of days; the row may pass the end of the week.
func parseDays(text string) (first, days int, err error) {
	if text == "always" || text == "daily" {
		return 0, 7, nil
	}
	begin, end, row := strings.Cut(text, "-")
	if !row {
		end = begin
	}
	first, ok := day(begin)
	last, ok2 := day(end)
	if !ok || !ok2 {
		return 0, 0, fmt.Errorf("%q names no days: they are mon, tue, wed, thu, fri, sat, sun, rows such as mon-fri, and daily", text)
	}
	return first, (last-first+7)%7 + 1, nil
}

func day(text string) (int, bool) {
	for i := range 7 {
		name := strings.ToLower(time.Weekday(i).String())
		if text == name[:3] || text == name {
			return i, true
		}
	}
	return 0, false
}

// parseSpan gives minutes of the day; the end is beyond the day's when the span passes midnight.
func parseSpan(text string) (from, to int, err error) {
	begin, end, ok := strings.Cut(text, "-")
	from, ok1 := clock(begin)
	to, ok2 := clock(end)
	if !ok || !ok1 || !ok2 || from == dayMinutes || from == to {
		return 0, 0, fmt.Errorf("%q is no span of a day, such as 19:00-07:00", text)
	}
	if to < from {
		to += dayMinutes
	}
	return from, to, nil
}

func clock(text string) (int, bool) {
	hour, minute, ok := strings.Cut(text, ":")
	h, err1 := strconv.ParseUint(hour, 10, 8)
	m, err2 := strconv.ParseUint(minute, 10, 8)
	at := int(h)*60 + int(m)
	return at, ok && err1 == nil && err2 == nil && m < 60 && at <= dayMinutes
}

// Open says whether the machine may be used at an instant, as the clocks of zone show it.
func (w *Week) Open(at time.Time, zone *time.Location) bool {
	return w.open[second(at.In(zone))/60]
}

// second is the second of the week that a wall clock shows.
func second(local time.Time) int {
	h, m, s := local.Clock()
	return int(local.Weekday())*dayMinutes*60 + h*3600 + m*60 + s
}

// Next is the first instant after `at` at which Open changes; false when it never does.
func (w *Week) Next(at time.Time, zone *time.Location) (time.Time, bool) {
	if w.same {
		return time.Time{}, false
	}
	now := w.Open(at, zone)
	from := at.Truncate(time.Second)
	// Within one rule of the zone its clock runs evenly, so that the change is found by counting; where the rule ends the clock jumps.
	for from.Sub(at) < lookAhead {
		local := from.In(zone)
		_, end := local.ZoneBounds()
		begin := second(local)
		minute, wait := begin/60, -(begin % 60)
		for range weekMinutes {
			minute, wait = (minute+1)%weekMinutes, wait+60
			if w.open[minute] != now {
				break
			}
		}
		change := from.Add(time.Duration(wait) * time.Second)
		if end.IsZero() || change.Before(end) {
			return change.UTC(), true
		}
		if w.Open(end, zone) != now {
			return end.UTC(), true
		}
		from = end
	}
	return time.Time{}, false
}

// Last is the latest instant not after `at` at which Open changed; false when it never does.
func (w *Week) Last(at time.Time, zone *time.Location) (time.Time, bool) {
	var last time.Time
	for next, ok := w.Next(at.Add(-lookBack), zone); ok && !next.After(at); next, ok = w.Next(next, zone) {
		last = next
	}
	return last, !last.IsZero()
}
