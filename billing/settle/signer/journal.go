package signer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"raylink/billing/money"
)

const maxRecord = 64 << 10 // bytes of one line

// hourBlocks is how many blocks the chain makes in an hour at its full speed. An hour is over when the clock says so and so many have been made: a clock
// that jumps ahead opens nothing, nor does a chain that makes haste.
const hourBlocks = 9000

// record is one transaction that was signed, written before anybody could see it.
type record struct {
	At              time.Time   `json:"at"`
	Batch           string      `json:"batch"`
	N               int         `json:"n"`
	Asset           money.Asset `json:"asset"`
	Fresh           int64       `json:"fresh"` // minor units that no transaction before was signed for
	Payouts         []string    `json:"payouts"`
	Amounts         []int64     `json:"amounts"` // of each
	Signature       string      `json:"signature"`
	Raw             string      `json:"raw"` // base64
	LastValidHeight uint64      `json:"last_valid_height"`

	seen time.Time // when it was signed, by the clock of this process that nobody sets
	base uint64    // the last valid height of then, or less where one of later is less
}

// journal is what the signer has signed: JSON lines in a file of its own, synced before use. By it the caps of the hour and the rule of one live
// transaction for each payout hold through a restart, and against a coordinator that has forgotten or lies.
type journal struct {
	file    disk
	size    int64 // bytes of whole records; the next one begins there
	opened  time.Time
	torn    error // why a record that was not written whole could not be cut off: nothing is signed any more
	records []*record
	last    map[string]*record // by payout
	counted map[string]int64   // by payout: the most that was signed for it, which the hour has counted
}

// disk is the journal's file once it is read.
type disk interface {
	WriteAt(p []byte, at int64) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// openJournal reads the file, or begins it. A last line without its end is cut off: it was not synced, and so nothing has seen it.
func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the signer's journal: %w", err)
	}
	j := &journal{file: file, opened: time.Now(), last: map[string]*record{}, counted: map[string]int64{}}
	if err := j.load(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("reading the signer's journal %s: %w", path, err)
	}
	return j, nil
}

func (j *journal) load(file io.Reader) error {
	reader := bufio.NewReaderSize(file, maxRecord)
	whole := int64(0)
	for {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return errors.New("a line is too long")
		}
		if err != nil {
			break // the end, or a torn last line
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("after %d bytes: %w", whole, err)
		}
		if len(r.Amounts) != len(r.Payouts) {
			return fmt.Errorf("after %d bytes: %d amounts of %d payouts", whole, len(r.Amounts), len(r.Payouts))
		}
		whole += int64(len(line))
		j.keep(&r, j.opened.Add(-max(0, j.opened.Round(0).Sub(r.At)))) // what is dated later was signed before now all the same
	}
	if err := j.file.Truncate(whole); err != nil {
		return fmt.Errorf("cutting off a torn line: %w", err)
	}
	j.size = whole
	return nil
}

func (j *journal) keep(r *record, seen time.Time) {
	r.seen, r.base = seen, r.LastValidHeight
	j.records = append(j.records, r)
	for i, id := range r.Payouts {
		j.last[id], j.counted[id] = r, max(j.counted[id], r.Amounts[i])
	}
}

// add writes a record and syncs it. What cannot be written whole is cut off again, so that no record is ever glued to a torn one; where that
// cannot be done either, nothing more is added until the journal is opened anew.
func (j *journal) add(r *record) error {
	if j.torn != nil {
		return fmt.Errorf("the signer's journal has a torn record, and nothing is signed until the signer is started anew: %w", j.torn)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing the signer's journal: %w", err)
	}
	if len(line) >= maxRecord {
		return errors.New("writing the signer's journal: the record is too long")
	}
	line = append(line, '\n')
	if _, err = j.file.WriteAt(line, j.size); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.torn = j.file.Truncate(j.size)
		return fmt.Errorf("writing the signer's journal: %w", errors.Join(err, j.torn))
	}
	j.size += int64(len(line))
	j.keep(r, time.Now())
	return nil
}

// spent is what the hour before now has let out. Height is the last valid one of a blockhash of now: one that was greater before was no true one, and
// counts from here. The dates in the journal are read when it is opened, and later the clock may be set as it likes.
func (j *journal) spent(now time.Time, height uint64, asset money.Asset) int64 {
	sum := int64(0)
	for _, r := range j.records {
		r.base = min(r.base, height)
		if r.Asset == asset && (now.Sub(r.seen) < time.Hour || height-r.base < hourBlocks) {
			sum += r.Fresh
		}
	}
	return sum
}
