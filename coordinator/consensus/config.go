package consensus

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// Bounds of one entry of the log. A proposal is never split: its commands stand in one entry, next to one another.
const (
	MaxEntryBytes    = 512 << 10
	MaxEntryCommands = 256
)

// Config says how one node takes part. Zero values mean the defaults named here.
type Config struct {
	ID        string // the coordinator's id, as in its certificate
	Dir       string // log, vote and snapshots; empty keeps them in memory, for tests
	Listen    string // host:port of the Raft port
	Advertise string // host:port where peers reach it; default the listener's own address
	// TLS is used in both directions, as authority.PeerTLS makes it. Without it, Stream must be given.
	TLS *tls.Config
	// Stream replaces the TCP listener, for networks that exist only in memory (package pipenet).
	Stream raft.StreamLayer

	Heartbeat time.Duration // without word from the leader for so long, a follower stands for election: 1 s
	Election  time.Duration // a candidate without a majority tries again: 1 s
	Lease     time.Duration // a leader without a majority's word steps down: half of Heartbeat
	Commit    time.Duration // a follower hears of a commit so late at most, which also paces an idle leader: 50 ms, or a quarter of Heartbeat

	SnapshotEntries uint64        // entries after which a snapshot is due: 8192
	SnapshotCheck   time.Duration // how often that is looked at (and up to twice as long): 30 s
	TrailingEntries uint64        // entries kept behind a snapshot for followers that are a little late: 10240

	LeaderWait time.Duration // how long a call for the leader waits while there is none: 10 s
	ClockEvery time.Duration // how often a leader compares its clock with its peers': 5 s
	ClockLimit time.Duration // how far it may be from their median: 30 s

	// Check lets a leader refuse what its Machine would not understand, before it is in the log for good and halts every node. Nil checks nothing.
	Check func(command json.RawMessage) error

	Now func() time.Time // the wall clock: time.Now
	Log *slog.Logger     // default: none
}

func (c *Config) defaults() error {
	if c.ID == "" {
		return errors.New("the node has no id")
	}
	if c.TLS == nil && c.Stream == nil {
		return errors.New("the Raft port has no TLS")
	}
	fill(&c.Heartbeat, time.Second)
	fill(&c.Election, c.Heartbeat)
	fill(&c.Lease, c.Heartbeat/2)
	fill(&c.Commit, min(raft.DefaultConfig().CommitTimeout, c.Heartbeat/4))
	fill(&c.SnapshotEntries, 8192)
	fill(&c.SnapshotCheck, 30*time.Second)
	fill(&c.TrailingEntries, 10240)
	fill(&c.LeaderWait, 10*time.Second)
	fill(&c.ClockEvery, 5*time.Second)
	fill(&c.ClockLimit, 30*time.Second)
	if c.Check == nil {
		c.Check = func(json.RawMessage) error { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := raft.ValidateConfig(c.raft()); err != nil {
		return fmt.Errorf("checking the node's configuration: %w", err)
	}
	return nil
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) raft() *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = raft.ServerID(c.ID)
	r.HeartbeatTimeout, r.ElectionTimeout, r.LeaderLeaseTimeout = c.Heartbeat, c.Election, c.Lease
	r.CommitTimeout = c.Commit
	r.SnapshotThreshold, r.SnapshotInterval, r.TrailingLogs = c.SnapshotEntries, c.SnapshotCheck, c.TrailingEntries
	r.ShutdownOnRemove = false // a removed node stays up and says so; its owner stops it
	r.NoLegacyTelemetry = true
	r.Logger = bridge(c.Log, "raft")
	return r
}
