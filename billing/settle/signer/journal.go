package signer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"raylink/billing/money"
)

const maxRecord = 64 << 10 // bytes of one line

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
}

// journal is what the signer has signed: JSON lines in a file of its own, synced before use. By it the caps of the hour and the rule of one live
// transaction for each payout hold through a restart, and against a coordinator that has forgotten or lies.
type journal struct {
	file    *os.File
	records []*record
	last    map[string]*record // by payout
	counted map[string]int64   // by payout: the most that was signed for it, which the hour has counted
}

// openJournal reads the file, or begins it. A last line without its end is cut off: it was not synced, and so nothing has seen it.
func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the signer's journal: %w", err)
	}
	j := &journal{file: file, last: map[string]*record{}, counted: map[string]int64{}}
	if err := j.load(); err != nil {
		file.Close()
		return nil, fmt.Errorf("reading the signer's journal %s: %w", path, err)
	}
	return j, nil
}

func (j *journal) load() error {
	reader := bufio.NewReaderSize(j.file, maxRecord)
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
		j.keep(&r)
	}
	if err := j.file.Truncate(whole); err != nil {
		return fmt.Errorf("cutting off a torn line: %w", err)
	}
	_, err := j.file.Seek(whole, 0)
	return err
}

func (j *journal) keep(r *record) {
	j.records = append(j.records, r)
	for i, id := range r.Payouts {
		j.last[id], j.counted[id] = r, max(j.counted[id], r.Amounts[i])
	}
}

// add writes a record and syncs it.
func (j *journal) add(r *record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing the signer's journal: %w", err)
	}
	if len(line) >= maxRecord {
		return errors.New("writing the signer's journal: the record is too long")
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing the signer's journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("syncing the signer's journal: %w", err)
	}
	j.keep(r)
	return nil
}

// spent is what the hour before now has let out. What is dated later counts as well: a clock set back opens nothing.
func (j *journal) spent(now time.Time, asset money.Asset) int64 {
	sum := int64(0)
	for i := len(j.records) - 1; i >= 0; i-- {
		if r := j.records[i]; r.Asset == asset && now.Sub(r.At) < time.Hour {
			sum += r.Fresh
		}
	}
	return sum
}
