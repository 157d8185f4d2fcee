package consensus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"raylink/raylink"
)

// proposal is what one caller wants in one entry.
type proposal struct {
	ctx      context.Context
	commands []json.RawMessage
	bytes    int
	done     chan outcome // holds one
}

type outcome struct {
	Index   uint64            `json:"index"`
	Results []json.RawMessage `json:"results"`
	err     error
}

// Propose puts commands, each a JSON value, into one entry of the log, next to one another, and returns the machine's result for each, and the entry's
// index. It works on any node. With an error of code too_large or invalid nothing was done; with unavailable the hint says whether it may have been.
func (n *Node) Propose(ctx context.Context, commands ...json.RawMessage) (results []json.RawMessage, index uint64, err error) {
	if err := check(commands); err != nil {
		return nil, 0, err
	}
	o, err := atLeader(ctx, n,
		func(ctx context.Context) (outcome, error) { return n.propose(ctx, commands) },
		func(ctx context.Context, address string) (o outcome, err error) {
			var list bytes.Buffer
			writeList(&list, commands)
			body, err := n.callers.call(ctx, address, callPropose, flagLeader, list.Bytes())
			if err == nil {
				err = json.Unmarshal(body, &o)
			}
			return o, err
		})
	return o.Results, o.Index, err
}

// ProposeHere is Propose for a leader's own loops: it is refused unless this very node leads, so that a plan made by a deposed leader is never forwarded.
func (n *Node) ProposeHere(ctx context.Context, commands ...json.RawMessage) (results []json.RawMessage, index uint64, err error) {
	if err := check(commands); err != nil {
		return nil, 0, err
	}
	o, err := n.propose(ctx, commands)
	if l, ok := errors.AsType[later](err); ok {
		err = l.reason
	}
	return o.Results, o.Index, err
}

func check(commands []json.RawMessage) error {
	if len(commands) == 0 {
		return raylink.Errorf(raylink.CodeInvalid, "nothing is proposed")
	}
	for i, command := range commands {
		if !json.Valid(command) {
			return raylink.Errorf(raylink.CodeInvalid, "command %d is not JSON", i)
		}
	}
	if total := size(commands); total > MaxEntryBytes || len(commands) > MaxEntryCommands {
		return raylink.Errorf(raylink.CodeTooLarge, "%d commands of %d bytes do not fit into one entry of the log", len(commands), total).
			WithHint("at most %d commands and %d bytes; split the request", MaxEntryCommands, MaxEntryBytes)
	}
	return nil
}

// size is the length of the entry that holds just these commands.
func size(commands []json.RawMessage) int {
	total := entryFrame
	for _, command := range commands {
		total += len(command) + 1
	}
	return total
}

func (n *Node) answerPropose(ctx context.Context, body []byte) ([]byte, error) {
	var commands []json.RawMessage
	if err := json.Unmarshal(body, &commands); err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the commands are not JSON: %v", err)
	}
	if err := check(commands); err != nil {
		return nil, err
	}
	o, err := n.propose(ctx, commands)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(`{"index":` + strconv.FormatUint(o.Index, 10) + `,"results":`)
	writeList(&b, o.Results)
	b.WriteByte('}')
	return b.Bytes(), nil
}

// propose queues one proposal for the pump and waits for its outcome.
func (n *Node) propose(ctx context.Context, commands []json.RawMessage) (outcome, error) {
	if err := n.mayLead(); err != nil {
		return outcome{}, err
	}
	for _, command := range commands {
		if err := n.cfg.Check(command); err != nil {
			return outcome{}, raylink.Errorf(raylink.CodeUnsupported, "the leader does not know this command: %v", err).
				WithHint("run the same version on every coordinator")
		}
	}
	p := &proposal{ctx: ctx, commands: commands, bytes: size(commands), done: make(chan outcome, 1)}
	select {
	case n.queue <- p:
	case <-ctx.Done():
		return outcome{}, notYet("the leader is too busy: %v", ctx.Err())
	case <-n.ctx.Done():
		return outcome{}, later{raylink.AsError(n.stopping())}
	}
	select {
	case o := <-p.done:
		return o, o.err
	case <-ctx.Done():
		return outcome{}, uncertain("the entry was not committed in time: %v", ctx.Err())
	}
}

// pump turns waiting proposals into entries, one entry at a time: what queues up while an entry is on its way becomes the next one. So a lone caller waits
// for nobody, and many share one disk flush.
func (n *Node) pump() {
	var next *proposal
	for {
		if next == nil {
			select {
			case next = <-n.queue:
			case <-n.ctx.Done():
				return
			}
		}
		batch := []*proposal{next}
		total, commands := next.bytes, len(next.commands)
		next = nil
	gather:
		for {
			select {
			case p := <-n.queue:
				if total += p.bytes - entryFrame; total > MaxEntryBytes || commands+len(p.commands) > MaxEntryCommands {
					next = p
					break gather
				}
				commands += len(p.commands)
				batch = append(batch, p)
			default:
				break gather
			}
		}
		n.commit(batch)
	}
}

// commit makes one entry of the batch and tells each proposal its outcome.
func (n *Node) commit(batch []*proposal) {
	var live []*proposal
	var commands []json.RawMessage
	for _, p := range batch {
		if err := p.ctx.Err(); err != nil {
			p.done <- outcome{err: notYet("the caller gave up: %v", err)}
			continue
		}
		live = append(live, p)
		commands = append(commands, p.commands...)
	}
	if len(live) == 0 {
		return
	}
	index, results, err := n.apply(commands)
	for _, p := range live {
		if err != nil {
			p.done <- outcome{err: err}
			continue
		}
		p.done <- outcome{Index: index, Results: results[:len(p.commands):len(p.commands)]}
		results = results[len(p.commands):]
	}
}

func (n *Node) apply(commands []json.RawMessage) (uint64, []json.RawMessage, error) {
	if n.ctx.Err() != nil {
		return 0, nil, later{raylink.AsError(n.stopping())}
	}
	if err := n.mayLead(); err != nil {
		return 0, nil, err
	}
	// The clock is looked at before every entry: one stamped with a wrong time would expire things for good.
	if v := n.clock.verdict(n.voters()); !v.ok {
		n.clock.tell()
		return 0, nil, v.refusal()
	}
	future := n.raft.Apply(encodeEntry(n.cfg.Now(), commands), n.cfg.Election)
	err := future.Error()
	n.watch(err)
	switch {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return 0, nil, notYet("this coordinator does not lead any more: %v", err)
	default:
		return 0, nil, uncertain("the leader lost its majority before the entry was committed: %v", err)
	}
	a, ok := future.Response().(applied)
	if !ok {
		return 0, nil, uncertain("the entry's result is missing")
	}
	if a.err != nil {
		return 0, nil, uncertain("the entry could not be applied: %v", a.err)
	}
	return future.Index(), a.results, nil
}

const stuckLimit = 10 * time.Second

// watch notices a leader that refuses everything because of a transfer of leadership which never ends (hashicorp/raft #696).
func (n *Node) watch(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case !errors.Is(err, raft.ErrLeadershipTransferInProgress):
		n.stuck = time.Time{}
	case n.stuck.IsZero():
		n.stuck = time.Now()
	case time.Since(n.stuck) > stuckLimit:
		n.die(errors.New("raft has been stuck in a transfer of leadership for more than 10 s; the process must start again"))
	}
}
