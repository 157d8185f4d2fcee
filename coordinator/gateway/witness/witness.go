// Package witness is a gateway's evidence about minutes: for how many seconds of each minute it found a node healthy and alive in Ray's
// own view. It only counts; looking, signing and keeping are its caller's.
package witness

import (
	"maps"
	"slices"
	"time"

	"raylink/raylink"
	"raylink/raylink/wire"
)

const (
	// Interval is the time between two looks at a node.
	Interval = 5 * time.Second
	// maxCredit is the most that one successful look says about the time before it: a look may be late, not absent.
	maxCredit = 2 * Interval
	// forgetAfter is how long the pages of a cluster are kept that nobody names any more.
	forgetAfter = 10 * time.Minute
	// maxRecords bounds what is kept of one lease while nothing is settled: three days of minutes.
	maxRecords = 3 * 24 * 60
)

// Book holds the pages of all leases that a gateway watches. Its JSON is what a gateway keeps over a restart.
type Book struct {
	Pages map[raylink.LeaseID]*Page `json:"pages"`
}

// Page is what is known of one lease. Minute k lasts from Ready+60k s to Ready+60(k+1) s.
type Page struct {
	Cluster raylink.ClusterID   `json:"cluster"`
	Ready   time.Time           `json:"ready"`
	Open    int64               `json:"open"`   // ordinal of the minute that is counted
	Alive   time.Duration       `json:"alive"`  // of that minute
	Seen    bool                `json:"seen"`   // it was looked at in that minute
	Looked  time.Time           `json:"looked"` // at the latest look; zero before the first
	RayNode string              `json:"ray_node"`
	Records []wire.MinuteRecord `json:"records"` // signed, and not known to be settled
}

// Follow takes over what the coordinators say of a cluster's nodes: which there are, since when they are ready, and up to where their
// minutes are settled. Nodes that are not ready have no page yet.
func (b *Book) Follow(cluster raylink.ClusterID, nodes []wire.RouteNode) {
	if b.Pages == nil {
		b.Pages = map[raylink.LeaseID]*Page{}
	}
	there := map[raylink.LeaseID]bool{}
	for _, n := range nodes {
		there[n.Lease] = true
		if n.ReadyAt == nil {
			continue
		}
		p := b.Pages[n.Lease]
		if p == nil || !p.Ready.Equal(*n.ReadyAt) {
			p = &Page{Cluster: cluster, Ready: *n.ReadyAt}
			b.Pages[n.Lease] = p
		}
		p.settle(n.SettledThrough)
	}
	maps.DeleteFunc(b.Pages, func(id raylink.LeaseID, p *Page) bool { return p.Cluster == cluster && !there[id] })
}

// Forget drops the clusters that the coordinators have not named for a while: nothing of them is left to settle. It is not done at once,
// because a coordinator that has just come back may not know of them yet.
func (b *Book) Forget(now time.Time, served func(raylink.ClusterID) bool) {
	maps.DeleteFunc(b.Pages, func(_ raylink.LeaseID, p *Page) bool { return !served(p.Cluster) && now.Sub(p.Looked) > forgetAfter })
}

// Look notes one look at a lease. rayNode is Ray's id of the node if it answered and is alive in Ray's view, else empty: a success
// counts for the time since the look before it. Minutes that are over are signed and kept; it says whether there was one.
func (b *Book) Look(lease raylink.LeaseID, now time.Time, rayNode string, sign func(wire.MinuteRecord) string) (recorded bool) {
	p := b.Pages[lease]
	if p == nil || now.Before(p.Ready) || now.Before(p.Looked) {
		return false
	}
	from := p.begin(now)
	p.Looked = now
	if rayNode != "" {
		p.RayNode = rayNode
	}
	for {
		end := p.Ready.Add(time.Duration(p.Open+1) * time.Minute)
		upTo := now
		if end.Before(now) {
			upTo = end
		}
		if rayNode != "" && upTo.After(from) {
			p.Alive += upTo.Sub(from)
			from = upTo
		}
		if now.Before(end) {
			p.Seen = true
			return recorded
		}
		recorded = recorded || p.Seen
		p.over(lease, sign)
	}
}

// over ends the minute that is counted. Nothing is said of a minute in which nobody looked.
func (p *Page) over(lease raylink.LeaseID, sign func(wire.MinuteRecord) string) {
	if p.Seen {
		record := wire.MinuteRecord{Lease: lease, Ordinal: p.Open, Seconds: int(p.Alive / time.Second), RayNode: p.RayNode}
		record.Signature = sign(record)
		p.Records = append(p.Records, record)
		if extra := len(p.Records) - maxRecords; extra > 0 {
			p.Records = slices.Delete(p.Records, 0, extra)
		}
	}
	p.Open, p.Alive, p.Seen = p.Open+1, 0, false
}

// begin is the moment since which a success now counts: the look before, or, if that is too long ago to say anything, one interval.
func (p *Page) begin(now time.Time) time.Time {
	from := p.Looked
	if from.Before(p.Ready) {
		from = p.Ready
	}
	if now.Sub(from) > maxCredit {
		from = now.Add(-Interval)
	}
	return from
}

func (p *Page) settle(through int64) {
	p.Records = slices.DeleteFunc(p.Records, func(r wire.MinuteRecord) bool { return r.Ordinal < through })
	if p.Open < through {
		p.Open, p.Alive, p.Seen = through, 0, false
	}
}

// Records are the unsettled records of one cluster, by lease and ordinal.
func (b *Book) Records(cluster raylink.ClusterID) []wire.MinuteRecord {
	var list []wire.MinuteRecord
	for _, lease := range slices.Sorted(maps.Keys(b.Pages)) {
		if p := b.Pages[lease]; p.Cluster == cluster {
			list = append(list, p.Records...)
		}
	}
	return list
}
