package prove

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/raylink/wire"
)

// retryAfter is how long the loop waits when no coordinator answered, or a prover could not be had.
const retryAfter = 5 * time.Second

// Coordinator is what the loop needs of the coordinators; *client.Client is one. By is the only one that is to be asked, or empty for any.
type Coordinator interface {
	// BeginProof starts the clock.
	BeginProof(ctx context.Context, by string, id raylink.ProofID) (wire.ProofBegun, error)
	// CommitProof stops it, and tells where the walk begins.
	CommitProof(ctx context.Context, by string, id raylink.ProofID, commit wire.ProofCommit) (wire.ProofWalk, error)
	// WalkedProof binds to the walk, and tells what decides the openings.
	WalkedProof(ctx context.Context, by string, id raylink.ProofID, walked wire.ProofWalked) (wire.ProofOpen, error)
	// AnswerProof opens them, and tells what became of the proof.
	AnswerProof(ctx context.Context, by string, id raylink.ProofID, answer wire.ProofAnswer) (wire.Proof, error)
}

// Loop does proofs, one at a time on the whole machine: two at once would make each other slow, and look like less than the machine is. Only those that have to
// begin at the same moment (wire.ProofOrder.Starts) are done together: they are of different devices.
type Loop struct {
	api    Coordinator
	makers Makers
	log    *slog.Logger

	changed chan struct{} // holds one

	mu      sync.Mutex
	orders  []wire.ProofOrder
	done    map[raylink.ProofID]bool               // of those that are ordered
	running map[raylink.ProofID]context.CancelFunc // those under way
}

// NewLoop makes a loop; Run runs it.
func NewLoop(api Coordinator, makers Makers, log *slog.Logger) *Loop {
	return &Loop{api: api, makers: makers, log: log, changed: make(chan struct{}, 1), done: map[raylink.ProofID]bool{}, running: map[raylink.ProofID]context.CancelFunc{}}
}

// Set says what is ordered now, in place of what was. A proof that is no longer ordered ends.
func (l *Loop) Set(orders []wire.ProofOrder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := map[raylink.ProofID]bool{}
	l.orders = nil
	for _, o := range orders {
		if !raylink.ValidID(string(o.ID), "p") {
			l.log.Error("an order names no proof", "proof", string(o.ID))
			continue
		}
		l.orders = append(l.orders, o)
		done[o.ID] = l.done[o.ID]
	}
	l.done = done
	for id, cancel := range l.running {
		if _, ordered := done[id]; !ordered {
			cancel()
		}
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Run goes on until ctx ends. No proof is under way when it returns.
func (l *Loop) Run(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for ctx.Err() == nil {
		orders := l.next()
		if len(orders) == 0 {
			select {
			case <-ctx.Done():
			case <-l.changed:
			}
			continue
		}
		if !l.doAll(ctx, orders) {
			continue
		}
		retry.Reset(retryAfter)
		select {
		case <-ctx.Done():
		case <-retry.C:
		}
	}
}

// next takes the first order that is not done and not too late, and those that begin with it. What begins at a certain moment comes before what can wait.
func (l *Loop) next() (orders []wire.ProofOrder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var left []wire.ProofOrder
	for _, o := range l.orders {
		if !l.done[o.ID] && (o.Starts != nil || time.Now().Before(o.Deadline)) { // a round is not missed because this machine's clock is ahead
			left = append(left, o)
		}
	}
	if len(left) == 0 {
		return nil
	}
	first := slices.MinFunc(left, sooner)
	for _, o := range left {
		if o.ID == first.ID || together(first, o) {
			orders = append(orders, o)
		}
	}
	return orders
}

func sooner(a, b wire.ProofOrder) int {
	switch {
	case a.Starts != nil && b.Starts != nil:
		return a.Starts.Compare(*b.Starts)
	case a.Starts != nil:
		return -1
	case b.Starts != nil:
		return 1
	}
	return 0
}

func together(a, b wire.ProofOrder) bool {
	return a.Starts != nil && b.Starts != nil && a.Starts.Equal(*b.Starts) && a.Device != b.Device
}

// doAll does orders at the same time. It says whether there should be a pause.
func (l *Loop) doAll(ctx context.Context, orders []wire.ProofOrder) bool {
	pauses := make(chan bool, len(orders))
	for _, o := range orders {
		go func() {
			working, cancel := context.WithDeadline(ctx, o.Deadline)
			if o.Starts != nil {
				working, cancel = context.WithCancel(ctx) // it ends when it is no longer ordered
			}
			defer cancel()
			l.mu.Lock()
			_, ordered := l.done[o.ID]
			l.running[o.ID] = cancel
			l.mu.Unlock()
			if !ordered { // it was taken back since
				cancel()
			}
			done, pause := l.do(working, o)
			l.finish(o.ID, done)
			pauses <- pause
		}()
	}
	pause := false
	for range orders {
		pause = <-pauses || pause
	}
	return pause
}

func (l *Loop) finish(id raylink.ProofID, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, id)
	if _, ordered := l.done[id]; ordered && done {
		l.done[id] = true
	}
}

// do runs one proof. It says whether that is the end of it, and if not, whether there should be a pause.
func (l *Loop) do(ctx context.Context, order wire.ProofOrder) (done, pause bool) {
	log := l.log.With("proof", order.ID, "device", order.Device)
	proof, err := l.prove(ctx, order)
	switch {
	case err == nil:
		log.Info("a challenge is answered", "state", proof.State, "detail", proof.Detail, "millis", proof.Millis, "rate", proof.Rate)
		return true, false
	case ctx.Err() != nil:
		log.Info("a challenge is given up: its time is over, or it is no longer asked", "error", err)
		return false, false // it may be ordered again; past the deadline it is not begun
	case raylink.AsError(err).Code == raylink.CodeUnavailable:
		log.Warn("a challenge is interrupted; trying again", "error", err)
		return false, true
	}
	log.Error("a challenge cannot be answered", "error", err)
	return true, false
}

// prove is the whole conversation.
func (l *Loop) prove(ctx context.Context, order wire.ProofOrder) (proof wire.Proof, err error) {
	maker := l.makers[kindOf(order.Device)]
	if maker == nil {
		return proof, raylink.Errorf(raylink.CodeUnsupported, "this agent proves no device of kind %s", kindOf(order.Device)).
			WithHint("update the agent; `raylink supplier doctor` says what is missing")
	}
	prover, err := maker(order.Device)
	if err != nil {
		return proof, fmt.Errorf("making a prover: %w", err)
	}
	defer func() { err = errors.Join(err, prover.Close()) }()
	begun, err := l.api.BeginProof(ctx, order.By, order.ID)
	if err != nil {
		return proof, err
	}
	commitment, err := prover.Begin(ctx, begun.Task, begun.Seed)
	if err != nil {
		return proof, fmt.Errorf("computing: %w", err)
	}
	walk, err := l.api.CommitProof(ctx, order.By, order.ID, wire.ProofCommit{Commitment: commitment})
	if err != nil {
		return proof, err
	}
	var root challenge.Hash
	if begun.Task.Walks() {
		if root, err = prover.Walk(ctx, walk.Entropy); err != nil {
			return proof, fmt.Errorf("walking: %w", err)
		}
	}
	open, err := l.api.WalkedProof(ctx, order.By, order.ID, wire.ProofWalked{Root: root})
	if err != nil {
		return proof, err
	}
	answer, err := prover.Open(ctx, open.Entropy)
	if err != nil {
		return proof, fmt.Errorf("opening: %w", err)
	}
	return l.api.AnswerProof(ctx, order.By, order.ID, wire.ProofAnswer{Answer: answer})
}
