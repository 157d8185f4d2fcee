package consensus

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Machine is the replicated state machine. Nothing here calls two of its methods at once unless both only read, so it needs no lock of its own, provided
// that everybody else reads it inside Node.Read.
type Machine interface {
	// Apply carries out one entry's commands in their order and returns one result for each; refusals are results too. It depends on its arguments and
	// the state alone. at is the leader's time, UTC. Any other number of results means that this program does not understand the log: the node halts.
	Apply(index uint64, at time.Time, commands []json.RawMessage) []json.RawMessage
	// Save writes the whole state. Applying pauses meanwhile, so it writes to memory; the disk comes after.
	Save(w io.Writer) error
	// Load replaces the whole state by what Save wrote.
	Load(r io.Reader) error
	// Digest is a hash of the whole state: the same at the same index on every node.
	Digest() string
}

// Preparer is a Machine that can begin an entry without being held still: Prepare is given what Apply is given next, and does of it what does not change the
// machine. It may be called while others read the machine, but not while anything else of it runs.
type Preparer interface {
	Prepare(at time.Time, commands []json.RawMessage)
}

const snapshotHeader = "raylink snapshot v1 "

// replica drives the Machine as hashicorp/raft's FSM, and tells whoever waits how far it is.
type replica struct {
	halt func(error)

	mu       sync.RWMutex // guards what follows, and the machine
	machine  Machine
	index    uint64 // of the last entry applied; entries of Raft's own do not count
	restored uint64 // index of the snapshot that was loaded last
	halted   error
	moved    chan struct{} // closed when index moves
}

// applied is the FSM's answer for one entry.
type applied struct {
	results []json.RawMessage
	err     error
}

// Apply is called by raft for each committed entry, in order.
func (f *replica) Apply(entry *raft.Log) any {
	at, commands, err := decodeEntry(entry.Data)
	if early, ok := f.machine.(Preparer); ok && err == nil {
		early.Prepare(at, commands)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.halted != nil {
		return applied{err: f.halted}
	}
	if err != nil {
		return applied{err: f.stop(fmt.Errorf("reading entry %d: %w", entry.Index, err))}
	}
	results := f.machine.Apply(entry.Index, at, commands)
	if len(results) != len(commands) {
		return applied{err: f.stop(fmt.Errorf("entry %d is not understood by this version of the program", entry.Index))}
	}
	f.moveTo(entry.Index)
	return applied{results: results}
}

// stop makes the node apply nothing more: a replica that does not understand its log must not guess.
func (f *replica) stop(err error) error {
	f.halted = err
	f.halt(err)
	return err
}

func (f *replica) moveTo(index uint64) {
	f.index = index
	close(f.moved)
	f.moved = make(chan struct{})
}

// Snapshot is called by raft between two entries.
func (f *replica) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.halted != nil {
		return nil, f.halted
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d\n", snapshotHeader, f.index)
	if err := f.machine.Save(&b); err != nil {
		return nil, fmt.Errorf("saving the state at index %d: %w", f.index, err)
	}
	return snapshot(b.Bytes()), nil
}

// Restore is called by raft at the start and when the leader sends its snapshot because this node is too far behind.
func (f *replica) Restore(source io.ReadCloser) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.halted != nil {
		return f.halted
	}
	r := bufio.NewReader(source)
	header, err := r.ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading a snapshot: %w", err)
	}
	var index uint64
	if _, err := fmt.Sscanf(header, snapshotHeader+"%d\n", &index); err != nil {
		return fmt.Errorf("reading a snapshot: its header is %.40q", header)
	}
	if err := f.machine.Load(r); err != nil {
		return f.stop(fmt.Errorf("loading the snapshot of index %d: %w", index, err))
	}
	if rest, err := io.ReadAll(io.LimitReader(r, 512)); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return f.stop(fmt.Errorf("loading the snapshot of index %d: something follows it", index))
	}
	f.restored = index
	f.moveTo(index)
	return nil
}

// snapshot is a whole saved state in memory.
type snapshot []byte

// Persist is called by raft to write it to disk or to a follower.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(fmt.Errorf("writing a snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release is called by raft when it is done with it.
func (s snapshot) Release() {}
