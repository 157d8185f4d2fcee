package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
)

// When many machines fall silent at once it is us, not them: a coordinator, its network, its clock. Then nobody is blamed, and no cluster fails for it.
const (
	// MassLeast is the fewest machines that have to be lost: of a handful, several may be one owner's.
	MassLeast = 8
	// MassPercent is how many of those that were up have to be lost, at least.
	MassPercent = 40
	// MassWindow is the time within which they fall silent. Agents speak every few seconds, so a cut is seen over one of their beats.
	MassWindow = 30 * time.Second
	// MassPatience is how long it is taken for our fault. Who is silent still is silent then like any other.
	MassPatience = 10 * time.Minute
)

// Loss is a mass loss: machines that fell silent together.
type Loss struct {
	From time.Time // when the first of them was heard last
	Lost int       // machines that fell silent
	Of   int       // machines that were up then
	Gone int       // machines of them that are silent still

	members map[raylink.MachineID]bool
}

// Alarm says it to admins; empty where there is none, or where all are back.
func (l *Loss) Alarm() string {
	if l == nil || l.Gone == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d machines fell silent together at %s, %d are silent still: look at the coordinators and their network; no machine is blamed and no cluster failed for it until %s",
		l.Lost, l.Of, l.From.UTC().Format(time.RFC3339), l.Gone, l.From.Add(MassPatience).UTC().Format(time.RFC3339))
}

// LossOf is the mass loss that is going on; nil where there is none.
func LossOf(s *state.State, seen Seen, now time.Time) *Loss {
	if l := lossOf(s, seen, now); len(l.members) > 0 {
		return l
	}
	return nil
}

// has says whether a machine fell silent with the others, be it back or not.
func (l *Loss) has(id raylink.MachineID) bool { return l != nil && l.members[id] }

// hits says whether a machine of a cluster did.
func (l *Loss) hits(leases []*state.Lease) bool {
	return l != nil && len(l.members) > 0 && slices.ContainsFunc(leases, func(x *state.Lease) bool { return l.members[x.Machine] })
}

// silence is one machine's: from when it was heard last until it came back.
type silence struct {
	id       raylink.MachineID
	from, to time.Time // to is zero while it lasts
}

// lossOf looks for times of MassWindow in which enough of those that were up fell silent. It is never nil.
func lossOf(s *state.State, seen Seen, now time.Time) *Loss {
	list, steady := silences(s, seen, now)
	slices.SortFunc(list, func(a, b silence) int { return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.id, b.id)) })
	loss := &Loss{members: map[raylink.MachineID]bool{}}
	var ends []time.Time
	for _, x := range list {
		if !x.to.IsZero() {
			ends = append(ends, x.to)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	end, marked, back := 0, 0, 0
	for begin, first := range list {
		for end < len(list) && list[end].from.Sub(first.from) <= MassWindow {
			end++
		}
		lost := end - begin
		if lost < MassLeast || now.Sub(first.from) > MassPatience {
			continue
		}
		for back < len(ends) && !ends[back].After(first.from) {
			back++
		}
		up := steady + len(list) - begin + back // what had not fallen silent before, or was back by then
		if lost*100 < MassPercent*up {
			continue
		}
		if len(loss.members) == 0 {
			loss.From, loss.Of = first.from, up
		}
		for _, x := range list[max(begin, marked):end] {
			if loss.members[x.id] = true; x.to.IsZero() {
				loss.Gone++
			}
		}
		marked = end
		if end == len(list) {
			break // later beginnings see nothing new
		}
	}
	loss.Lost = len(loss.members)
	return loss
}

// silences are those that a mass loss may be made of, and how many machines were up all the time. A machine with a lease that this leader has never heard has
// been silent since it began to listen; others it does not know, and does not count.
func silences(s *state.State, seen Seen, now time.Time) (list []silence, steady int) {
	for id, m := range seen.Machines {
		if known := s.Machines[id]; known == nil || known.State == state.MachineBanned {
			continue
		}
		switch {
		case now.Sub(m.At) > UpFor:
			list = append(list, silence{id: id, from: m.At})
		case !m.Gap.IsZero() && now.Sub(m.Gap) <= MassPatience:
			list = append(list, silence{id, m.Gap, m.Back})
		default:
			steady++
		}
	}
	if now.Sub(seen.Since) > UpFor && !seen.Since.IsZero() {
		for _, id := range s.Hired() {
			if _, heard := seen.Machines[id]; !heard && s.Machines[id].State != state.MachineBanned {
				list = append(list, silence{id: id, from: seen.Since})
			}
		}
	}
	return list, steady
}
