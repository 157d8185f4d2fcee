package supplier

import (
	"time"

	"raylink/raylink/wire"
)

// maxGap is the longest time between two looks at a lease that still says something about the time in between: a look is taken every
// second, and a new agent needs a few to adopt what it finds.
const maxGap = 5 * time.Second

// tally counts the time in which a lease was alive, minute by minute from ready on, and keeps the signed records until they are settled.
// It is kept on disk, so that a new agent goes on with the minute that is open.
type tally struct {
	Open    int64               `json:"open"`             // ordinal of the minute that is counted
	Alive   time.Duration       `json:"alive"`            // of that minute
	Looked  time.Time           `json:"looked"`           // when it was looked at last; zero before the first look
	Was     bool                `json:"was"`              // whether it was alive then
	Records []wire.MinuteRecord `json:"records"`          // signed, not known to be settled
	Egress  int64               `json:"egress,omitempty"` // bytes exchanged with the Internet
}

// part is a minute that is over: how many of its seconds were alive.
type part struct {
	ordinal int64
	seconds int
}

// look counts the time since the last look, if the lease was alive at both ends of it, and gives the minutes that are over now.
func (t *tally) look(now, ready time.Time, alive bool) []part {
	if t.Looked.IsZero() {
		// The first look. If ready was a moment ago, the assignment was on its way; otherwise nobody counted, and counting begins now.
		t.Looked, t.Was = ready, alive
		if now.Sub(ready) > maxGap {
			t.Looked = now
			t.Open = max(t.Open, int64(now.Sub(ready)/time.Minute))
		}
	}
	if now.Before(t.Looked) || now.Before(ready) {
		return nil // the clock went back: what is counted is counted
	}
	from := t.Looked
	if from.Before(ready) {
		from = ready
	}
	counts := alive && t.Was && now.Sub(from) <= maxGap
	t.Looked, t.Was = now, alive
	var over []part
	for {
		end := ready.Add(time.Duration(t.Open+1) * time.Minute)
		upTo := now
		if end.Before(now) {
			upTo = end
		}
		if d := upTo.Sub(from); counts && d > 0 {
			t.Alive += d
		}
		if now.Before(end) {
			return over
		}
		over = append(over, part{ordinal: t.Open, seconds: int(min(t.Alive, time.Minute) / time.Second)})
		t.Open, t.Alive = t.Open+1, 0
		if from.Before(end) {
			from = end
		}
	}
}

// settle forgets what is settled: all minutes below the ordinal. It says whether that changed anything.
func (t *tally) settle(through int64) bool {
	kept := t.Records[:0]
	for _, r := range t.Records {
		if r.Ordinal >= through {
			kept = append(kept, r)
		}
	}
	changed := len(kept) != len(t.Records)
	t.Records = kept
	if t.Open < through {
		t.Open, t.Alive, changed = through, 0, true
	}
	return changed
}
