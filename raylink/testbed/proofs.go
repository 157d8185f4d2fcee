package testbed

import (
	"context"
	"sync"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/catalogue"
	"raylink/raylink/challenge"
	"raylink/supplier/prove"
)

// shelf keeps a coordinator's transcripts in memory.
type shelf struct {
	mu    sync.Mutex
	texts map[string][]byte
}

func (s *shelf) Keep(sha256 string, text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil {
		s.texts = map[string][]byte{}
	}
	s.texts[sha256] = text
	return nil
}

func (s *shelf) Text(sha256 string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text, ok := s.texts[sha256]; ok {
		return text, nil
	}
	return nil, raylink.Errorf(raylink.CodeNotFound, "no transcript %s", sha256)
}

// Propose puts a command into the log, as the leader would.
func (b *Bed) Propose(c state.Command) {
	b.t.Helper()
	raw, err := state.Encode("leader", "", c)
	b.must(err)
	results, _, err := b.coordinator(b.Leader()).node.Propose(b.ctx(), raw)
	b.must(err)
	b.must(state.ReadResult(results[0], nil))
}

// Always is more lies than any story has proofs.
const Always = 1 << 30

// Lie makes so many of a supplier's next proofs lies.
func (b *Bed) Lie(name string, proofs int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lies[name] = proofs
}

// liesNow says whether a supplier's proof that begins now is a lie, and counts it.
func (b *Bed) liesNow(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lies[name] == 0 {
		return false
	}
	b.lies[name]--
	return true
}

// provers are a supplier's: the real one for its processor, which lies where the story says so.
func (b *Bed) provers(name string) prove.Makers {
	return prove.Makers{raylink.DeviceCPU: func(device string) (prove.Prover, error) {
		p, err := prove.CPU(device)
		if b.device != nil {
			p = &timed{Prover: p, on: b.device(name)}
		}
		return &liar{Prover: p, lies: func() bool { return b.liesNow(name) }}, err
	}}
}

// liar commits to other results than it has computed, by one bit of each link.
type liar struct {
	prove.Prover
	lies func() bool
}

// Begin computes as the prover does.
func (l *liar) Begin(ctx context.Context, task challenge.Task, seed challenge.Seed) (challenge.Commitment, error) {
	c, err := l.Prover.Begin(ctx, task, seed)
	if err == nil && l.lies() {
		for i := range c.Roots {
			c.Roots[i][0] ^= 1
		}
	}
	return c, err
}

// band is what the catalogue knows of a claim.
func band(c state.Claim) (least, most int64) {
	least, most, _ = catalogue.Band(c.Device())
	return least, most
}

// device computes one task after the other, each for as long as its rate says; without one a prover takes no virtual time.
type device struct {
	free chan struct{} // holds one while it is
	rate int64         // millions of multiply-adds in a second
}

// Relay lets one device of such a rate compute for all machines. Like Devices it is to be called before they prove anything.
func (b *Bed) Relay(rate int64) {
	one := newDevice(rate)
	b.device = func(string) *device { return one }
}

// Devices gives each machine one of its own.
func (b *Bed) Devices(rate int64) {
	b.device = func(string) *device { return newDevice(rate) }
}

func newDevice(rate int64) *device {
	d := &device{free: make(chan struct{}, 1), rate: rate}
	d.free <- struct{}{}
	return d
}

// timed is a machine's prover that hands its task, with the seed that is the machine's own, to a device.
type timed struct {
	prove.Prover
	on *device
}

// Begin waits for the device, and takes as long as that does.
func (p *timed) Begin(ctx context.Context, task challenge.Task, seed challenge.Seed) (c challenge.Commitment, err error) {
	select {
	case <-p.on.free:
	case <-ctx.Done():
		return c, ctx.Err()
	}
	defer func() { p.on.free <- struct{}{} }()
	busy := time.NewTimer(time.Duration(task.Work()/p.on.rate) * time.Microsecond)
	defer busy.Stop()
	select {
	case <-busy.C:
	case <-ctx.Done():
		return c, ctx.Err()
	}
	return p.Prover.Begin(ctx, task, seed)
}
