// Package consensus puts hashicorp/raft behind a small door: commands are proposed on any node, become entries of one replicated log, and are applied on
// every node to the same Machine. Leader forwarding lives here and nowhere else.
package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"raylink/raylink"
)

const transportWait = 10 * time.Second // for one message of raft's; a snapshot gets more by its size

// Node is one member of the group. All its methods may be called at once.
type Node struct {
	cfg       Config
	log       *slog.Logger
	raft      *raft.Raft
	replica   *replica
	mux       *mux
	transport *raft.NetworkTransport
	stores    *stores
	callers   *callers
	clock     *clock

	queue   chan *proposal
	fatal   chan error
	settled uint64 // the term in which the log of earlier leaders is applied here; lead's own

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	own    sync.WaitGroup // the node's own goroutines
	once   sync.Once
	closed error

	mu       sync.Mutex
	handlers map[string]Handler
	leading  bool
	idle     error         // why this node, though raft's leader, proposes nothing
	changed  chan struct{} // closed when leading changes
	stuck    time.Time     // since when a transfer of leadership has not ended
}

// Open starts a node. With bootstrap a node that has no log yet begins a group of its own, of which it is the only member; without, it waits until AddVoter
// on the group's leader brings it in. A node that has a log goes on where it stopped, and bootstrap does not count.
func Open(cfg Config, machine Machine, bootstrap bool) (*Node, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	stores, err := openStores(&cfg)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Log, stores: stores, queue: make(chan *proposal), fatal: make(chan error, 1), changed: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.clock = newClock(cfg.Now, cfg.ClockLimit)
	n.replica = &replica{halt: n.die, machine: machine, moved: make(chan struct{})}
	n.handlers = n.ownCalls()
	if n.mux, err = newMux(&n.cfg, n.serveCalls); err != nil {
		n.cancel()
		return nil, errors.Join(err, stores.Close())
	}
	n.callers = &callers{peers: map[string]*peer{}, dial: func(address string, timeout time.Duration) (net.Conn, error) {
		return n.mux.dial(address, timeout, forCalls)
	}}
	n.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: n.mux, MaxPool: 3, Timeout: transportWait, Logger: bridge(cfg.Log, "transport"), MsgpackUseNewTimeFormat: true,
	})
	if err := n.start(bootstrap); err != nil {
		n.cancel()
		return nil, errors.Join(err, n.transport.Close(), stores.Close())
	}
	n.own.Go(n.lead)
	n.own.Go(n.pump)
	return n, nil
}

func (n *Node) start(bootstrap bool) error {
	config, transport := n.cfg.raft(), plainHeartbeats{n.transport}
	known, err := raft.HasExistingState(n.stores.logs, n.stores.stable, n.stores.snapshots)
	if err != nil {
		return fmt.Errorf("looking for an earlier log: %w", err)
	}
	if bootstrap && !known {
		alone := raft.Configuration{Servers: []raft.Server{{ID: config.LocalID, Address: transport.LocalAddr()}}}
		if err := raft.BootstrapCluster(config, n.stores.logs, n.stores.stable, n.stores.snapshots, transport, alone); err != nil {
			return fmt.Errorf("beginning a group: %w", err)
		}
	}
	if n.raft, err = raft.NewRaft(config, n.replica, n.stores.logs, n.stores.stable, n.stores.snapshots, transport); err != nil {
		return fmt.Errorf("starting raft: %w", err)
	}
	return nil
}

// die tells the owner, once, that this node cannot go on.
func (n *Node) die(err error) {
	select {
	case n.fatal <- err:
		n.log.Error("this coordinator cannot go on", "error", err)
	default:
	}
}

// Fatal gives the reason when the node cannot go on: it does not understand its log, or raft is stuck. Its owner closes it and ends the process with an
// error, so that its supervisor starts it again.
func (n *Node) Fatal() <-chan error { return n.fatal }

// Close ends the node in an orderly way: what is under way is finished, a leader hands over, and every goroutine is awaited.
func (n *Node) Close() error { return n.stop(true) }

// Kill ends the node without a word to its peers, as a crash would; tests and the testbed use it.
func (n *Node) Kill() error { return n.stop(false) }

func (n *Node) stop(orderly bool) error {
	n.once.Do(func() {
		n.cancel()
		n.own.Wait()
		if orderly && n.raft.State() == raft.Leader && n.voters() > 1 {
			// The only other place that transfers is a wrong clock: an interrupted transfer can leave raft stuck (hashicorp/raft #696).
			if err := n.raft.LeadershipTransfer().Error(); err != nil {
				n.log.Warn("leadership was not handed over; the others will elect a leader after their timeout", "error", err)
			}
		}
		down := n.raft.Shutdown()
		n.transport.CloseStreams()
		err := errors.Join(n.transport.Close(), n.mux.Close())
		n.callers.close()
		n.closed = errors.Join(err, down.Error(), n.stores.Close())
	})
	return n.closed
}

// Index is the index of the last entry that this node has applied.
func (n *Node) Index() uint64 {
	n.replica.mu.RLock()
	defer n.replica.mu.RUnlock()
	return n.replica.index
}

// Restored is the index of the snapshot that this node loaded last, at its start or from the leader; 0 if none.
func (n *Node) Restored() uint64 {
	n.replica.mu.RLock()
	defer n.replica.mu.RUnlock()
	return n.replica.restored
}

// Read runs f while nothing is applied, with the index that the machine stands at. f must be short, keep
// nothing of what it sees, and call no method of the node.
func (n *Node) Read(f func(index uint64)) {
	n.replica.mu.RLock()
	defer n.replica.mu.RUnlock()
	f(n.replica.index)
}

// Digest is the machine's digest and the index it belongs to.
func (n *Node) Digest() (index uint64, digest string) {
	n.Read(func(at uint64) { index, digest = at, n.replica.machine.Digest() })
	return index, digest
}

// Changed is closed when this node applies the next entry; it is closed already if the index is past after. Look at Index again afterwards.
func (n *Node) Changed(after uint64) <-chan struct{} {
	n.replica.mu.RLock()
	defer n.replica.mu.RUnlock()
	if n.replica.index > after {
		past := make(chan struct{})
		close(past)
		return past
	}
	return n.replica.moved
}

// WaitIndex returns once this node has applied the entry at index.
func (n *Node) WaitIndex(ctx context.Context, index uint64) error {
	for index > 0 && n.Index() < index {
		select {
		case <-n.Changed(index - 1):
		case <-ctx.Done():
			return raylink.Errorf(raylink.CodeUnavailable, "coordinator %s stands at index %d and has not reached %d: %v", n.cfg.ID, n.Index(), index, ctx.Err()).
				WithHint("try again in a few seconds, or ask another coordinator")
		case <-n.ctx.Done():
			return n.stopping()
		}
	}
	return nil
}

// Barrier returns once this node has applied everything that was acknowledged anywhere before the call, and gives that index: what is read here afterwards
// is not older than the call.
func (n *Node) Barrier(ctx context.Context) (uint64, error) {
	body, err := n.CallLeader(ctx, callIndex, nil)
	if err != nil {
		return 0, err
	}
	var index uint64
	if err := json.Unmarshal(body, &index); err != nil {
		return 0, fmt.Errorf("reading the leader's index: %w", err)
	}
	return index, n.WaitIndex(ctx, index)
}

// Snapshot saves the state now, whatever the threshold says.
func (n *Node) Snapshot() error {
	if err := n.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return fmt.Errorf("taking a snapshot: %w", err)
	}
	return nil
}

func (n *Node) stopping() error {
	return raylink.Errorf(raylink.CodeUnavailable, "coordinator %s is stopping", n.cfg.ID).WithHint("ask another coordinator")
}
