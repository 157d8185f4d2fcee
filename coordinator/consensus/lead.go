package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// The calls that nodes make among themselves.
const (
	callPropose = "consensus.propose"
	callIndex   = "consensus.index"
	callClock   = "consensus.clock"
	callAdd     = "consensus.add"
	callRemove  = "consensus.remove"
)

const (
	askAgain   = 50 * time.Millisecond  // between two looks for a leader
	askEagerly = 500 * time.Millisecond // between two comparisons of clocks while they keep a leader from proposing
)

func (n *Node) ownCalls() map[string]Handler {
	return map[string]Handler{
		callPropose: n.answerPropose, callIndex: n.answerIndex, callClock: n.answerClock, callAdd: n.answerAdd, callRemove: n.answerRemove,
	}
}

// Handle makes f answer calls of method, which other packages make with CallLeader. Register before the node may lead, at once after Open; a second
// registration replaces the first.
func (n *Node) Handle(method string, f Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handlers[method] = f
}

// CallLeader lets the leader's handler of method answer, wherever the leader is: what only the leader knows, such as heartbeats, goes this way.
func (n *Node) CallLeader(ctx context.Context, method string, body []byte) ([]byte, error) {
	return atLeader(ctx, n,
		func(ctx context.Context) ([]byte, error) { return n.handle(ctx, method, true, body) },
		func(ctx context.Context, address string) ([]byte, error) {
			return n.callers.call(ctx, address, method, flagLeader, body)
		})
}

// atLeader is the one place that forwards to the leader: it runs here if this node leads, there otherwise, and waits while there is no leader or the one
// asked knows itself deposed. It repeats only what is known not to have happened.
func atLeader[T any](ctx context.Context, n *Node, here func(context.Context) (T, error), there func(context.Context, string) (T, error)) (T, error) {
	waited := time.NewTimer(n.cfg.LeaderWait)
	defer waited.Stop()
	for {
		result, err := askLeader(ctx, n, here, there)
		l, again := errors.AsType[later](err)
		if !again {
			return result, err
		}
		_, changed := n.Leading()
		select {
		case <-changed:
		case <-time.After(askAgain):
		case <-waited.C:
			return result, l.reason
		case <-ctx.Done():
			return result, l.reason
		case <-n.ctx.Done():
			return result, n.stopping()
		}
	}
}

func askLeader[T any](ctx context.Context, n *Node, here func(context.Context) (T, error), there func(context.Context, string) (T, error)) (result T, err error) {
	address, id := n.raft.LeaderWithID()
	switch {
	case n.ctx.Err() != nil:
		return result, n.stopping()
	case ctx.Err() != nil:
		return result, notYet("there was no time to ask the leader: %v", ctx.Err())
	case id == raft.ServerID(n.cfg.ID):
		return here(ctx)
	case address == "":
		return result, notYet("the coordinators have no leader at the moment: a majority of %d must reach one another", len(n.servers()))
	}
	return there(ctx, string(address))
}

// Leading says whether this node leads and may propose: raft elected it, everything before is applied here, and its clock agrees with its peers'. The channel
// is closed at the next change.
func (n *Node) Leading() (leading bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leading, n.changed
}

// IsLeader is the first half of Leading.
func (n *Node) IsLeader() bool {
	leading, _ := n.Leading()
	return leading
}

// Leader is the id and address of the leader as this node knows it; empty if it knows none.
func (n *Node) Leader() (id, address string) {
	a, i := n.raft.LeaderWithID()
	return string(i), string(a)
}

// Lead runs f each time that this node leads, with a context that ends when it leads no more, and waits for f to return; itself it returns when ctx ends or
// the node closes. f proposes with ProposeHere.
func (n *Node) Lead(ctx context.Context, f func(ctx context.Context)) {
	for {
		leading, changed := n.Leading()
		if leading {
			reign, end := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				f(reign)
			}()
			select {
			case <-changed:
			case <-n.ctx.Done():
			case <-ctx.Done():
			}
			end()
			<-done
		} else {
			select {
			case <-changed:
			case <-n.ctx.Done():
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil || n.ctx.Err() != nil {
			return
		}
	}
}

// mayLead is nil if this node leads and may propose, and otherwise an error of type later.
func (n *Node) mayLead() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.leading:
		return nil
	case n.idle != nil:
		return n.idle
	}
	return notYet("coordinator %s does not lead", n.cfg.ID)
}

func (n *Node) setLeading(leading bool, idle error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.idle = idle
	if n.leading != leading {
		n.leading = leading
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

// lead follows raft's elections and decides whether this node, once elected, may propose.
func (n *Node) lead() {
	defer n.setLeading(false, nil)
	every := n.cfg.ClockEvery
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.raft.LeaderCh(): // several changes may come as one, so whatever it says we begin anew
			n.setLeading(false, nil)
			n.settled = 0
			n.settle()
		case <-tick.C:
			if n.raft.State() == raft.Leader {
				n.settle()
			}
		case <-n.clock.news:
		}
		n.decide()
		next := n.cfg.ClockEvery
		if n.raft.State() == raft.Leader && !n.IsLeader() {
			next = min(next, askEagerly)
		}
		if next != every {
			every = next
			tick.Reset(every)
		}
	}
}

// settle makes sure that all that earlier leaders committed is applied here, and asks for the peers' clocks.
func (n *Node) settle() {
	term := n.raft.CurrentTerm()
	for n.settled != term && n.raft.State() == raft.Leader && n.ctx.Err() == nil {
		err := n.raft.Barrier(n.cfg.Election).Error()
		n.watch(err)
		if err == nil {
			n.settled = term
			break
		}
		n.log.Debug("a new leader waits for its log", "error", err)
		select {
		case <-time.After(askAgain):
		case <-n.ctx.Done():
		}
	}
	n.sampleClocks()
}

// decide begins or ends this node's proposing. A leader that is surely wrong about the time hands over to a peer that is right.
func (n *Node) decide() {
	if n.raft.State() != raft.Leader || n.raft.CurrentTerm() != n.settled {
		n.setLeading(false, nil)
		return
	}
	v := n.clock.verdict(n.voters())
	if v.ok {
		if !n.IsLeader() {
			n.log.Info("this coordinator leads", "id", n.cfg.ID, "term", n.raft.CurrentTerm(), "index", n.Index())
		}
		n.setLeading(true, nil)
		return
	}
	n.setLeading(false, v.refusal())
	heir, ok := n.clock.nearest(v.offset)
	if !v.sure || !ok {
		return
	}
	n.log.Error("this coordinator's clock is wrong: it hands over the leadership", "offset", -v.offset, "to", heir)
	for _, server := range n.servers() {
		if server.ID == heir {
			if err := n.raft.LeadershipTransferToServer(server.ID, server.Address).Error(); err != nil {
				n.log.Warn("the leadership was not handed over; trying again", "error", err)
			}
		}
	}
}

func (n *Node) answerIndex(context.Context, []byte) ([]byte, error) {
	if err := n.raft.VerifyLeader().Error(); err != nil {
		return nil, notYet("coordinator %s does not lead any more: %v", n.cfg.ID, err)
	}
	return json.Marshal(n.Index())
}
