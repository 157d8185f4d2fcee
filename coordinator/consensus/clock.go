package consensus

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"raylink/raylink"
)

const (
	clockWait = 2 * time.Second
	clockLife = 30 * time.Second // a sample older than this says nothing
)

// clock compares this node's wall clock with its peers'. Between two samples it follows its own clock's jumps against the monotonic one.
type clock struct {
	now   func() time.Time
	limit time.Duration
	began time.Time // monotonic
	wall  time.Time // the wall clock at began
	news  chan struct{}

	mu      sync.Mutex
	samples map[raft.ServerID]sample
	asking  map[raft.ServerID]bool
}

// sample is how far a peer's clock was ahead of ours.
type sample struct {
	offset time.Duration
	drift  time.Duration // of our own clock then
	at     time.Time     // monotonic
}

func newClock(now func() time.Time, limit time.Duration) *clock {
	return &clock{now: now, limit: limit, began: time.Now(), wall: now().Round(0), news: make(chan struct{}, 1),
		samples: map[raft.ServerID]sample{}, asking: map[raft.ServerID]bool{}}
}

// drift is how far our wall clock has moved against the monotonic one since the start.
func (c *clock) drift() time.Duration { return c.now().Round(0).Sub(c.wall) - time.Since(c.began) }

func (c *clock) tell() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// verdict says whether a leader may stamp entries with its clock.
type verdict struct {
	ok     bool
	sure   bool          // a majority of the voters says otherwise: somebody else should lead
	offset time.Duration // of the group's clock from ours
	limit  time.Duration
}

func (v verdict) refusal() error {
	if v.offset == 0 {
		return notYet("the leader cannot compare its clock with a majority of the coordinators yet")
	}
	return later{raylink.Errorf(raylink.CodeUnavailable, "the leader's clock is %v from the other coordinators', more than %v: it proposes nothing",
		v.offset.Abs().Round(time.Second), v.limit).WithHint("set the clocks of all coordinators (ntp); another one takes over if its clock is right")}
}

func (c *clock) verdict(voters int) verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	drift := c.drift()
	var offsets []time.Duration
	for _, s := range c.samples {
		if time.Since(s.at) <= clockLife {
			offsets = append(offsets, s.offset-(drift-s.drift))
		}
	}
	return judge(offsets, voters, c.limit)
}

// judge compares our clock (offset 0) with the peers'. A majority of voters that agrees with us settles it. Otherwise the median of all known clocks
// decides; of two medians the one farther from us, since with two clocks nobody knows which is right. Too few clocks prove nothing.
func judge(offsets []time.Duration, voters int, limit time.Duration) verdict {
	majority := voters/2 + 1
	agree := 1
	for _, offset := range offsets {
		if offset.Abs() <= limit {
			agree++
		}
	}
	if agree >= majority {
		return verdict{ok: true, limit: limit}
	}
	all := append([]time.Duration{0}, offsets...)
	if len(all) < majority {
		return verdict{limit: limit}
	}
	slices.Sort(all)
	low, high := all[(len(all)-1)/2], all[len(all)/2]
	if low.Abs() > high.Abs() {
		low, high = high, low
	}
	return verdict{ok: high.Abs() <= limit, sure: low.Abs() > limit, offset: high, limit: limit}
}

// nearest is the peer whose clock is the group's, to lead instead of us.
func (c *clock) nearest(offset time.Duration) (id raft.ServerID, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	best := c.limit
	for peer, s := range c.samples {
		if d := (s.offset - (c.drift() - s.drift) - offset).Abs(); time.Since(s.at) <= clockLife && d <= best {
			id, best, ok = peer, d, true
		}
	}
	return id, ok
}

func (c *clock) note(id raft.ServerID, s sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samples[id] = s
}

// heard is when a peer last told its clock.
func (c *clock) heard(id raft.ServerID) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.samples[id].at
}

// sampleClocks asks every other voter that is not being asked already; each answer is news.
func (n *Node) sampleClocks() {
	c := n.clock
	for _, server := range n.servers() {
		if server.ID == raft.ServerID(n.cfg.ID) || server.Suffrage != raft.Voter {
			continue
		}
		c.mu.Lock()
		asking := c.asking[server.ID]
		c.asking[server.ID] = true
		c.mu.Unlock()
		if asking {
			continue
		}
		n.own.Go(func() {
			n.askClock(server)
			c.mu.Lock()
			delete(c.asking, server.ID)
			c.mu.Unlock()
			c.tell()
		})
	}
}

func (n *Node) askClock(server raft.Server) {
	drift := n.clock.drift()
	_, offset, err := n.clockAt(n.ctx, string(server.Address))
	if err != nil {
		n.log.Debug("a peer does not tell its clock", "peer", server.ID, "error", err)
		return
	}
	n.clock.note(server.ID, sample{offset: offset, drift: drift, at: time.Now()})
}

// clockAt asks the node at address who it is and how far its clock is ahead of ours.
func (n *Node) clockAt(ctx context.Context, address string) (id string, offset time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, clockWait)
	defer cancel()
	before, asked := n.cfg.Now(), time.Now()
	body, err := n.callers.call(ctx, address, callClock, 0, nil)
	if err != nil {
		return "", 0, err
	}
	took := time.Since(asked)
	var told clockAnswer
	if err := json.Unmarshal(body, &told); err != nil {
		return "", 0, fmt.Errorf("reading a peer's clock: %w", err)
	}
	return told.ID, told.Now.Round(0).Sub(before.Round(0)) - took/2, nil
}

type clockAnswer struct {
	ID  string    `json:"id"`
	Now time.Time `json:"now"`
}

func (n *Node) answerClock(context.Context, []byte) ([]byte, error) {
	return json.Marshal(clockAnswer{ID: n.cfg.ID, Now: n.cfg.Now().UTC()})
}
