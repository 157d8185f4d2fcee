package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"raylink/billing/ledger"
	"raylink/billing/meter"
)

// BillFormat names the form of one cluster's bill: the lines of the journal that are about it, and the group's signature under them. DESIGN.md
// describes it.
const BillFormat = "raylink-bill/1"

// Receipt is the last line of a bill: the group vouches that these are all of the journal's entries about the cluster so far.
type Receipt struct {
	Entries   int               `json:"entries"`
	Digest    string            `json:"digest"`    // SHA-256 over the entries' hashes, each on a line, in lower-case hex
	Signature []byte            `json:"signature"` // by Key over BillBytes
	Key       ed25519.PublicKey `json:"key"`
}

// BillBytes is what a receipt's signature covers: the entries, and the header line (without its end), which names the cluster and the keys.
func BillBytes(header []byte, entries int, digest string) []byte {
	return fmt.Appendf(nil, "raylink bill v1\n%d\n%s\n%x\n", entries, digest, sha256.Sum256(header))
}

// IsOf says whether an entry is about the cluster: it fills, spends or empties its hold, or settles one of its minutes.
func IsOf(entry ledger.Entry, cluster string) bool {
	for _, posting := range entry.Postings {
		if posting.Account == ledger.Hold(cluster) {
			return true
		}
	}
	if entry.Kind != meter.KindWaived && (entry.Kind != meter.KindCharged || len(entry.Postings) > 0) { // one of a tiny rate may be charged at nothing
		return false
	}
	var note struct {
		Cluster string `json:"cluster"`
	}
	return json.Unmarshal(entry.Note, &note) == nil && note.Cluster == cluster
}

// WriteBill exports what the journal says of the header's cluster behind the entry numbered after. It sets the header's Format; key is the public key of
// sign, which signs with Ed25519.
func WriteBill(w io.Writer, header Header, journal Journal, after uint64, key ed25519.PublicKey, sign func(message []byte) []byte) error {
	header.Format, header.ExportedAt = BillFormat, header.ExportedAt.UTC()
	first, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("writing the bill's header: %w", err)
	}
	if err := writeLine(w, first); err != nil {
		return err
	}
	last, digest := Receipt{Key: key}, sha256.New()
	for page := journal.Entries(after, pageOfEntries); len(page) > 0; page = journal.Entries(after, pageOfEntries) {
		for _, entry := range page {
			if after = entry.Seq; !IsOf(entry, header.Cluster) {
				continue
			}
			line, err := entry.MarshalLine()
			if err == nil {
				err = writeLine(w, line)
			}
			if err != nil {
				return err
			}
			last.Entries++
			fmt.Fprintln(digest, entry.Hash)
		}
	}
	last.Digest = hex.EncodeToString(digest.Sum(nil))
	last.Signature = sign(BillBytes(first, last.Entries, last.Digest))
	line, err := json.Marshal(last)
	if err != nil {
		return fmt.Errorf("writing the bill's receipt: %w", err)
	}
	return writeLine(w, line)
}

// place judges where an entry stands: in a journal right behind the one before, in a bill anywhere behind it.
func (v *verifier) place(entry ledger.Entry) {
	switch {
	case v.bill != "" && !IsOf(entry, v.bill):
		v.problem(entry.Seq, "is not about cluster %s", v.bill)
	case v.lost:
	case v.bill != "" && entry.Seq <= v.seq, v.bill == "" && entry.Seq != v.seq+1:
		v.problem(entry.Seq, "follows entry %d", v.seq)
	}
	if !v.lost && (v.bill == "" || entry.Seq == v.seq+1) && entry.Prev != v.hash {
		v.problem(entry.Seq, "chain is broken: prev is not the hash of the entry before")
	}
	if v.bill != "" {
		fmt.Fprintln(v.digest, entry.Hash)
	}
}

// whole says whether a bill holds all that an account ever got: of others than the hold it knows only what the hold gave them and took.
func (v *verifier) whole(account string) bool { return v.bill == "" || account == ledger.Hold(v.bill) }

// receipt judges the last line of a bill.
func (v *verifier) receipt(header, line []byte) {
	var last Receipt
	if err := readLast(line, &last); err != nil {
		v.problem(v.seq, "the last line is not a receipt, so the file may be cut off: %v", err)
		return
	}
	if last.Entries != v.report.Entries || last.Digest != hex.EncodeToString(v.digest.Sum(nil)) {
		v.problem(v.seq, "receipt is of %d entries, not of these %d: some are missing or replaced", last.Entries, v.report.Entries)
	}
	v.vouched(last.Key, BillBytes(header, last.Entries, last.Digest), last.Signature, "receipt")
}

// vouched judges the group's signature under the whole.
func (v *verifier) vouched(key ed25519.PublicKey, message, signature []byte, what string) {
	if v.header.GroupKey != nil && !v.header.GroupKey.Equal(key) {
		v.problem(v.seq, "%s is signed by another key than the header's group key", what)
	}
	if !fits(key, message, signature) {
		v.problem(v.seq, "%s: signature does not fit", what)
		return
	}
	v.report.Key = key
}

// readLast reads the last line, spelled as an export writes it.
func readLast[T any](line []byte, into *T) error {
	if err := readStrict(line, into); err != nil {
		return err
	}
	if again, err := json.Marshal(*into); err != nil || string(again) != string(line) {
		return errors.New("not spelled as an export writes it")
	}
	return nil
}
