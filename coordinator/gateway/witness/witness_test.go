package witness_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"raylink/coordinator/gateway/witness"
	"raylink/raylink"
	"raylink/raylink/wire"
)

const (
	cluster = raylink.ClusterID("c-1")
	lease   = raylink.LeaseID("l-1")
	node    = "f00d"
)

func sign(r wire.MinuteRecord) string { return fmt.Sprintf("signed %d:%d", r.Ordinal, r.Seconds) }

type clock struct {
	t     *testing.T
	book  *witness.Book
	ready time.Time
	now   time.Time
}

func begin(t *testing.T) *clock {
	ready := time.Date(2026, 11, 24, 12, 0, 3, 0, time.UTC)
	c := &clock{t: t, book: &witness.Book{}, ready: ready, now: ready}
	c.follow(0)
	return c
}

func (c *clock) follow(settled int64) {
	c.book.Follow(cluster, []wire.RouteNode{{Lease: lease, ReadyAt: &c.ready, SettledThrough: settled}})
}

// looks looks n times, each step later than the one before.
func (c *clock) looks(n int, step time.Duration, rayNode string) {
	for range n {
		c.now = c.now.Add(step)
		c.book.Look(lease, c.now, rayNode, sign)
	}
}

func (c *clock) want(seconds ...int) {
	c.t.Helper()
	var got []int
	for i, r := range c.book.Records(cluster) {
		got = append(got, r.Seconds)
		if r.Lease != lease || r.Signature != sign(r) || r.RayNode != node && r.Seconds > 0 {
			c.t.Errorf("record %d: %+v", i, r)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(seconds) {
		c.t.Errorf("seconds %v, want %v", got, seconds)
	}
}

func TestAWholeMinute(t *testing.T) {
	c := begin(t)
	c.looks(11, 5*time.Second, node)
	c.want()
	c.looks(1, 5*time.Second, node)
	c.want(60)
	c.looks(12, 5*time.Second, node)
	c.want(60, 60)
}

func TestFailuresCountFiveSecondsEach(t *testing.T) {
	c := begin(t)
	c.looks(5, 5*time.Second, node)
	c.looks(3, 5*time.Second, "")
	c.looks(4, 5*time.Second, node)
	c.want(45)
	c.looks(12, 5*time.Second, "")
	c.want(45, 0)
}

func TestUnevenLooksAreSplitAtTheBorder(t *testing.T) {
	c := begin(t)
	c.looks(9, 7*time.Second, node) // the ninth at 63 s
	c.want(60)
	c.looks(8, 7*time.Second, "")
	c.looks(1, 7*time.Second, node) // at 126 s: it counts from 119 s, one second of minute 1 and six of minute 2
	c.want(60, 4)
	c.looks(8, 7*time.Second, "")
	c.want(60, 4, 6)
}

func TestNothingIsSaidOfMinutesNobodyLookedAt(t *testing.T) {
	c := begin(t)
	c.looks(1, 10*time.Minute+2*time.Second, node) // came late: two seconds into minute 10 it knows no more than five seconds
	c.looks(12, 5*time.Second, node)
	if r := c.book.Records(cluster); len(r) != 1 || r[0].Ordinal != 10 || r[0].Seconds != 60 {
		t.Fatalf("records: %+v", r)
	}
	c.looks(1, 5*time.Minute, node) // away
	c.looks(12, 5*time.Second, node)
	var told []int64
	for _, r := range c.book.Records(cluster) {
		told = append(told, r.Ordinal)
	}
	if fmt.Sprint(told) != "[10 11 16]" {
		t.Errorf("told of minutes %v", told)
	}
}

func TestNeverMoreThanAMinute(t *testing.T) {
	c := begin(t)
	c.looks(600, 300*time.Millisecond, node)
	c.want(60, 60, 60)
}

func TestClocksThatGoBackCountNothingTwice(t *testing.T) {
	c := begin(t)
	c.looks(6, 5*time.Second, node)
	c.now = c.now.Add(-20 * time.Second)
	c.looks(4, 5*time.Second, node)
	c.looks(6, 5*time.Second, node)
	c.want(60)
	c.book.Look(lease, c.ready.Add(-time.Hour), node, sign)
	c.want(60)
}

func TestSettledRecordsGo(t *testing.T) {
	c := begin(t)
	c.looks(36, 5*time.Second, node)
	c.follow(2)
	if r := c.book.Records(cluster); len(r) != 1 || r[0].Ordinal != 2 {
		t.Errorf("left: %+v", r)
	}
	c.follow(2)
	c.book.Forget(c.now.Add(time.Minute), func(raylink.ClusterID) bool { return false })
	c.want(60)
	c.book.Forget(c.now.Add(time.Hour), func(raylink.ClusterID) bool { return false })
	c.want()
	c.book.Follow(cluster, []wire.RouteNode{{Lease: lease}})
	c.looks(12, 5*time.Second, node)
	c.want()
}

func TestARestartLosesNothing(t *testing.T) {
	c := begin(t)
	c.looks(18, 5*time.Second, node)
	kept, err := json.Marshal(c.book)
	if err != nil {
		t.Fatal(err)
	}
	c.book = &witness.Book{}
	if err := json.Unmarshal(kept, c.book); err != nil {
		t.Fatal(err)
	}
	c.follow(0)
	c.looks(1, 10*time.Second, node)
	c.looks(4, 5*time.Second, node)
	c.want(60, 60)
}

func TestRecordsAreBounded(t *testing.T) {
	c := begin(t)
	c.looks(5*24*60, time.Minute, node)
	if n := len(c.book.Records(cluster)); n != 3*24*60 {
		t.Errorf("%d records", n)
	}
}
