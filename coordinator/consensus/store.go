package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// stores is what a node keeps between two lives.
type stores struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	io.Closer
}

const (
	keptSnapshots = 2
	cachedEntries = 512
	lockWait      = 2 * time.Second // for another process that still holds the file
)

func openStores(c *Config) (*stores, error) {
	if c.Dir == "" {
		m := raft.NewInmemStore()
		return &stores{logs: monotonicLogs{m}, stable: &votes{StableStore: m}, snapshots: raft.NewInmemSnapshotStore(), Closer: io.NopCloser(nil)}, nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the log's directory: %w", err)
	}
	path := filepath.Join(c.Dir, "raft.db")
	// Without NoFreelistSync bbolt writes its whole list of free pages at every commit, which grows with the largest size the file ever had.
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: path, MsgpackUseNewTimeFormat: true, BoltOptions: &bbolt.Options{
		Timeout: lockWait, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	}})
	if err != nil {
		return nil, fmt.Errorf("opening the log %s: %w", path, err)
	}
	cache, err := raft.NewLogCache(cachedEntries, monotonicLogs{bolt})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the log's cache: %w", err), bolt.Close())
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(c.Dir, keptSnapshots, bridge(c.Log, "snapshot"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the snapshots: %w", err), bolt.Close())
	}
	return &stores{logs: cache, stable: &votes{StableStore: bolt}, snapshots: snapshots, Closer: bolt}, nil
}

// monotonicLogs tells raft to remove the whole log when a snapshot is installed, instead of leaving a gap: with BoltDB's own silence a follower with diverged
// entries at the snapshot's index asks for the same snapshot for ever (hashicorp/raft #697).
type monotonicLogs struct{ raft.LogStore }

// IsMonotonic is asked by raft.
func (monotonicLogs) IsMonotonic() bool { return true }

// votes writes a vote's term and candidate in one step; raft itself writes them in two, and a crash between them leaves a vote for nobody in the new term
// (hashicorp/raft #661).
type votes struct {
	raft.StableStore

	mu      sync.Mutex
	term    uint64 // of the vote whose candidate has not come yet
	pending bool
}

const voteKey, voteTermKey, voteCandidateKey = "RaylinkLastVote", "LastVoteTerm", "LastVoteCand"

// errNotFound has the very words that raft compares with.
var errNotFound = errors.New("not found")

// SetUint64 holds a vote's term back until its candidate comes.
func (v *votes) SetUint64(key []byte, value uint64) error {
	if string(key) != voteTermKey {
		return v.StableStore.SetUint64(key, value)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.term, v.pending = value, true
	return nil
}

// Set writes term and candidate together.
func (v *votes) Set(key, value []byte) error {
	if string(key) != voteCandidateKey {
		return v.StableStore.Set(key, value)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.pending {
		return errors.New("recording a vote: it has no term")
	}
	if err := v.StableStore.Set([]byte(voteKey), append(binary.BigEndian.AppendUint64(nil, v.term), value...)); err != nil {
		return fmt.Errorf("recording a vote: %w", err)
	}
	v.pending = false
	return nil
}

// GetUint64 reads the last vote's term, and anything else as it is.
func (v *votes) GetUint64(key []byte) (uint64, error) {
	if string(key) != voteTermKey {
		return v.StableStore.GetUint64(key)
	}
	vote, err := v.read()
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(vote), nil
}

// Get reads the last vote's candidate, and anything else as it is.
func (v *votes) Get(key []byte) ([]byte, error) {
	if string(key) != voteCandidateKey {
		return v.StableStore.Get(key)
	}
	vote, err := v.read()
	if err != nil {
		return nil, err
	}
	return vote[8:], nil
}

func (v *votes) read() ([]byte, error) {
	vote, err := v.StableStore.Get([]byte(voteKey))
	if err != nil {
		return nil, err
	}
	if len(vote) < 8 {
		return nil, errNotFound
	}
	return vote, nil
}
