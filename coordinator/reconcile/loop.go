package reconcile

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"time"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
)

// beat is how often the loop looks even when nothing was reported: time alone makes minutes due. Where a look is long, because there are very many machines,
// it is seldom enough that looks at time alone take a tenth of one core: spare is how many times as long as a look the loop then waits.
const (
	beat  = 500 * time.Millisecond
	spare = 9
)

// share is how many times as long as a look took the loop waits for more reports before it looks again, up to a beat: of 100,000 machines one is heard
// every 0.1 ms, and to look at all of them each time would leave the leader nothing else to do.
const share = 4

// rest is how long the loop waits after a proposal that did not go through.
const rest = time.Second

// Bounds of one proposal, well below those of the consensus: while an entry is applied nobody reads the state. 16 KB are one command of minutes with
// their evidence, less than a millisecond of work for most.
const (
	entryCommands = 200
	entryBytes    = 16 << 10
)

// Group is what the loop needs of the consensus. ProposeHere fails on a node that does not lead (any more).
type Group interface {
	Read(func(*state.State))
	ProposeHere(ctx context.Context, commands ...json.RawMessage) ([]json.RawMessage, uint64, error)
}

// Loop works on the leader.
type Loop struct {
	Group  Group
	Memory *Memory
	Log    *slog.Logger
	Key    ed25519.PrivateKey // the group's, which signs settled minutes; none in worlds without an authority

	cost    time.Duration       // of the last look
	checked map[state.Word]bool // whether signatures hold, of the words that the last look knew
}

// Run works for one term of leadership, until ctx ends.
func (l *Loop) Run(ctx context.Context) {
	l.Memory.Reset()
	l.Log.Info("leading: listening to agents and gateways")
	for {
		for l.step(ctx) {
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(beat, spare*l.cost)):
		case <-l.Memory.news:
			select {
			case <-ctx.Done():
				return
			case <-time.After(min(share*l.cost, beat)):
			}
		}
	}
}

// step proposes what the plan says now, and tells whether something changed, so that there may be more to do.
func (l *Loop) step(ctx context.Context) bool {
	steps := l.look()
	if len(steps) == 0 || ctx.Err() != nil {
		return false
	}
	commands, err := l.encode(steps)
	if err != nil {
		l.Log.Error("encoding a step", "err", err)
		return false
	}
	done := 0
	for _, part := range entries(commands) {
		n, ok := l.propose(ctx, part)
		if !ok {
			return false
		}
		done += n
	}
	if done == 0 {
		l.pause(ctx)
	}
	return done > 0
}

// look asks the plan what to do now.
func (l *Loop) look() (steps []state.Command) {
	begun := time.Now()
	seen := l.Memory.Seen()
	l.check(&seen)
	l.Group.Read(func(s *state.State) { steps = plan.Next(s, seen, time.Now()) })
	l.cost = time.Since(begun)
	return steps
}

// entries cuts a plan into proposals that each fit into one entry of the log.
func entries(commands []json.RawMessage) [][]json.RawMessage {
	var parts [][]json.RawMessage
	var part []json.RawMessage
	size := 0
	for _, c := range commands {
		if len(part) > 0 && (len(part) == entryCommands || size+len(c) > entryBytes) {
			parts, part, size = append(parts, part), nil, 0
		}
		part, size = append(part, c), size+len(c)
	}
	return append(parts, part)
}

// propose puts commands into one entry and counts those that were not refused. It is not ok where the proposal did not go through.
func (l *Loop) propose(ctx context.Context, commands []json.RawMessage) (done int, ok bool) {
	results, _, err := l.Group.ProposeHere(ctx, commands...)
	if err != nil {
		if ctx.Err() == nil {
			l.Log.Warn("proposing the plan's steps", "steps", len(commands), "err", err)
			l.pause(ctx)
		}
		return 0, raylink.AsError(err).Code == raylink.CodeTooLarge // one that never fits must not stand in the others' way
	}
	for i, raw := range results {
		if err := state.ReadResult(raw, nil); err != nil {
			l.Log.Warn("a step of the plan was refused", "step", string(commands[i]), "err", err)
			continue
		}
		done++
	}
	return done, true
}

func (l *Loop) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(rest):
	}
}
