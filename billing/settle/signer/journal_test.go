package signer

import (
	"errors"
	"testing"
)

// fullDisk takes a part of what is written, or all and cannot sync it.
type fullDisk struct {
	disk
	room  int
	stuck bool // and nothing can be cut off
}

func (f *fullDisk) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.disk.WriteAt(p[:min(f.room, len(p))], at)
	if n < len(p) {
		err = errors.Join(err, errors.New("no space left"))
	}
	return n, err
}

func (f *fullDisk) Sync() error { return errors.New("input/output error") }

func (f *fullDisk) Truncate(size int64) error {
	if f.stuck {
		return errors.New("read-only file system")
	}
	return f.disk.Truncate(size)
}

// TestJournalOnAFullDisk: what was written in part is cut off, so that the records after it can be read again.
func TestJournalOnAFullDisk(t *testing.T) {
	for name, room := range map[string]int{"nothing written": 0, "a part written": 20, "written and not synced": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.want("pb-1", 1, map[string]int64{"po-1": 10})
			b.signs()
			whole := b.signer.journal.file
			b.signer.journal.file = &fullDisk{disk: whole, room: room}
			b.want("pb-2", 1, map[string]int64{"po-2": 10})
			b.refuses("writing the signer's journal")
			b.signer.journal.file = whole // somebody has made room
			b.signs()
			b.open()
			if records := b.signer.journal.records; len(records) != 2 || records[1].Batch != "pb-2" {
				t.Errorf("%d records", len(records))
			}
		})
	}
}

// TestJournalThatStaysTorn: where the torn record cannot be cut off, nothing is signed until the signer begins anew, which cuts it off.
func TestJournalThatStaysTorn(t *testing.T) {
	b := newBench(t)
	whole := b.signer.journal.file
	b.signer.journal.file = &fullDisk{disk: whole, room: 20, stuck: true}
	b.want("pb-1", 1, map[string]int64{"po-1": 10})
	b.refuses("no space left")
	b.signer.journal.file = whole
	b.refuses("torn")
	b.open()
	b.signs()
}
