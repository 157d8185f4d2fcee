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
)

// The forms of one cluster's bill and of one supplier's earnings: the lines of the journal that are about it, and the group's signature under them. DESIGN.md
// describes them.
const (
	BillFormat     = "raylink-bill/1"
	EarningsFormat = "raylink-earnings/1"
)

// Receipt is the last line of a bill or of earnings: the group vouches that these are all of the journal's entries about the cluster or supplier so far.
type Receipt struct {
	Entries   int               `json:"entries"`
	Digest    string            `json:"digest"`    // SHA-256 over the entries' hashes, each on a line, in lower-case hex
	Signature []byte            `json:"signature"` // by Key over ReceiptBytes
	Key       ed25519.PublicKey `json:"key"`
}

// ReceiptBytes is what a receipt's signature covers: the entries, and the header line (without its end), which names the cluster or supplier and the keys.
func ReceiptBytes(format string, header []byte, entries int, digest string) []byte {
	word := "bill"
	if format == EarningsFormat {
		word = "earnings"
	}
	return fmt.Appendf(nil, "raylink %s v1\n%d\n%s\n%x\n", word, entries, digest, sha256.Sum256(header))
}

// WriteBill exports what the journal says of the header's cluster behind the entry numbered after. It sets the header's Format; key is the public key of
// sign, which signs with Ed25519.
func WriteBill(w io.Writer, header Header, journal Journal, after uint64, key ed25519.PublicKey, sign func(message []byte) []byte) error {
	header.Format = BillFormat
	return writePart(w, header, journal, after, scopeOf(header), key, sign)
}

// WriteEarnings exports what the journal says of the header's supplier. Leases says which leases are his; the header's machines are those of his leases. The rest
// is as for WriteBill.
func WriteEarnings(w io.Writer, header Header, journal Journal, leases func(lease string) bool, key ed25519.PublicKey, sign func(message []byte) []byte) error {
	header.Format = EarningsFormat
	of := scopeOf(header)
	of.leases = leases
	return writePart(w, header, journal, 0, of, key, sign)
}

func writePart(w io.Writer, header Header, journal Journal, after uint64, of *scope, key ed25519.PublicKey, sign func(message []byte) []byte) error {
	header.ExportedAt = header.ExportedAt.UTC()
	first, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("writing the header: %w", err)
	}
	if err := writeLine(w, first); err != nil {
		return err
	}
	last, digest := Receipt{Key: key}, sha256.New()
	for page := journal.Entries(after, pageOfEntries); len(page) > 0; page = journal.Entries(after, pageOfEntries) {
		for _, entry := range page {
			if after = entry.Seq; !of.has(entry) {
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
	last.Signature = sign(ReceiptBytes(header.Format, first, last.Entries, last.Digest))
	line, err := json.Marshal(last)
	if err != nil {
		return fmt.Errorf("writing the receipt: %w", err)
	}
	return writeLine(w, line)
}

// place judges where an entry stands: in a journal right behind the one before, in a part of it anywhere behind it.
func (v *verifier) place(entry ledger.Entry) {
	part := v.scope.part()
	switch {
	case !v.scope.has(entry):
		v.problem(entry.Seq, "is not about %v", v.scope)
	case v.lost:
	case part && entry.Seq <= v.seq, !part && entry.Seq != v.seq+1:
		v.problem(entry.Seq, "follows entry %d", v.seq)
	}
	if !v.lost && (!part || entry.Seq == v.seq+1) && entry.Prev != v.hash {
		v.problem(entry.Seq, "chain is broken: prev is not the hash of the entry before")
	}
	if part {
		fmt.Fprintln(v.digest, entry.Hash)
	}
}

// heads judges what the header of a part says of the journal: its last entry, and the last checkpoint before it that is on the chain.
func (v *verifier) heads() {
	head, anchor := v.header.Head, v.header.Anchor
	v.line = 1
	switch {
	case anchor == nil:
	case head == nil:
		v.problem(0, "the header names an anchor and no head")
	case anchor.Seq > head.Seq || (anchor.Seq == head.Seq && anchor.Hash != head.Hash):
		v.problem(0, "the header's anchor, of entry %d, is not of the journal that ends with entry %d", anchor.Seq, head.Seq)
	}
}

// stood holds an entry against the header: it shows its own hash, and that of the entry before.
func (v *verifier) stood(entry ledger.Entry) {
	judge := func(what string, seq uint64, hash string) {
		if (entry.Seq == seq && entry.Hash != hash) || (entry.Seq == seq+1 && entry.Prev != hash) {
			v.problem(entry.Seq, "the header's %s says another hash of entry %d", what, seq)
		}
	}
	if head := v.header.Head; head != nil {
		if judge("head", head.Seq, head.Hash); entry.Seq > head.Seq {
			v.problem(entry.Seq, "comes after entry %d, with which the journal ended by the header", head.Seq)
		}
	}
	if anchor := v.header.Anchor; anchor != nil {
		judge("anchor", anchor.Seq, anchor.Hash)
	}
}

// receipt judges the last line of a bill or of earnings.
func (v *verifier) receipt(header, line []byte) {
	var last Receipt
	if err := readLast(line, &last); err != nil {
		v.problem(v.seq, "the last line is not a receipt, so the file may be cut off: %v", err)
		return
	}
	if last.Entries != v.report.Entries || last.Digest != hex.EncodeToString(v.digest.Sum(nil)) {
		v.problem(v.seq, "receipt is of %d entries, not of these %d: some are missing or replaced", last.Entries, v.report.Entries)
	}
	v.vouched(last.Key, ReceiptBytes(v.header.Format, header, last.Entries, last.Digest), last.Signature, "receipt")
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
