package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"raylink/billing/money"
)

// Limits of one entry. Together they keep an entry's JSON line below 1 MiB.
const (
	MaxName     = 200        // bytes of a kind, a ref or an account
	MaxPostings = 256        // postings of one entry
	MaxNote     = 256 * 1024 // bytes of a note
)

// Posting adds an amount, never zero, to an account.
type Posting struct {
	Account string       `json:"account"`
	Amount  money.Amount `json:"amount"`
}

// Entry is one line of the journal. (Kind, Ref) is its name: no two entries share it.
type Entry struct {
	Seq      uint64          `json:"seq"`      // from 1, without a gap
	At       time.Time       `json:"at"`       // UTC
	Kind     string          `json:"kind"`     // what happened, such as minute.charged
	Ref      string          `json:"ref"`      // to what, such as <lease>/<ordinal>
	Postings []Posting       `json:"postings"` // sum to zero for each asset; may be none
	Note     json.RawMessage `json:"note,omitempty"`
	Prev     string          `json:"prev"` // Hash of the entry before, empty in the first
	Hash     string          `json:"hash"` // SHA-256 of all of the above, lower-case hex
}

// hashDomain separates these hashes from all others and names the encoding's version.
const hashDomain = "raylink journal/1"

// HashOf is the hash that the entry must carry: SHA-256 over the encoding in billing/DESIGN.md,
// in which every string is led by its length and every number has 8 bytes, big-endian.
func HashOf(e Entry) string {
	text := make(encoder, 0, 1024+len(e.Note))
	text.text(hashDomain)
	text.text(e.Prev)
	text.number(e.Seq)
	text.number(uint64(e.At.UnixNano()))
	text.text(e.Kind)
	text.text(e.Ref)
	text.number(uint64(len(e.Postings)))
	for _, posting := range e.Postings {
		text.text(posting.Account)
		text.text(string(posting.Amount.Asset))
		text.number(uint64(posting.Amount.Minor))
	}
	text.number(uint64(len(e.Note)))
	sum := sha256.Sum256(append(text, e.Note...))
	return hex.EncodeToString(sum[:])
}

// encoder is what is hashed: some hundred bytes, and a hash that takes them all at once is twice as fast.
type encoder []byte

func (e *encoder) number(n uint64) { *e = binary.BigEndian.AppendUint64(*e, n) }

func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	*e = append(*e, s...)
}

// Check says what is wrong with an entry on its own: names, limits, the range of its time, a
// posting of zero, postings that do not sum to zero. Seq, Prev and Hash are not looked at.
func Check(e Entry) error {
	if err := checkName("kind", e.Kind); err != nil {
		return err
	}
	if err := checkName("ref", e.Ref); err != nil {
		return err
	}
	// Unix nanoseconds, which are hashed, only reach from 1678 to 2262.
	if e.At.Location() != time.UTC || !time.Unix(0, e.At.UnixNano()).Equal(e.At) {
		return invalid("time %v is not UTC or out of range", e.At)
	}
	if len(e.Note) > MaxNote {
		return invalid("note of %d bytes, at most %d", len(e.Note), MaxNote)
	}
	if len(e.Postings) > MaxPostings {
		return invalid("%d postings, at most %d", len(e.Postings), MaxPostings)
	}
	for _, posting := range e.Postings {
		if err := checkName("account", posting.Account); err != nil {
			return err
		}
		if posting.Amount.Asset.Decimals() < 0 || posting.Amount.Sign() == 0 {
			return invalid("posting of %v to %q", posting.Amount, posting.Account)
		}
	}
	return checkZeroSum(e.Postings)
}

// checkZeroSum sums each asset in the order of the postings; a sum that leaves 64 bits on the way
// is refused, even where later postings would bring it back.
func checkZeroSum(postings []Posting) error {
	sums := map[money.Asset]int64{}
	for _, posting := range postings {
		sum, err := money.AddMinor(sums[posting.Amount.Asset], posting.Amount.Minor)
		if err != nil {
			return invalid("summing postings: %v", err)
		}
		sums[posting.Amount.Asset] = sum
	}
	for _, posting := range postings { // not over the map: the first one named must not depend on chance
		if sum := sums[posting.Amount.Asset]; sum != 0 {
			return invalid("postings sum to %v, not to zero", money.Amount{Minor: sum, Asset: posting.Amount.Asset})
		}
	}
	return nil
}

// checkName allows the visible ASCII characters, which JSON carries unchanged.
func checkName(what, name string) error {
	if name == "" || len(name) > MaxName {
		return invalid("%s of %d bytes, wanted 1 to %d", what, len(name), MaxName)
	}
	for _, char := range []byte(name) {
		if char <= ' ' || char > '~' {
			return invalid("%s %q has characters other than visible ASCII", what, name)
		}
	}
	return nil
}

// canonicalNote is the note as json.Marshal writes it, compact and with <, > and & escaped: the
// form that a later json.Marshal of the entry leaves as it is, so that the hash stays true.
func canonicalNote(note any) (json.RawMessage, error) {
	text, err := json.Marshal(note)
	if err != nil {
		return nil, invalid("writing the note: %v", err)
	}
	if string(text) == "null" {
		return nil, nil
	}
	if !utf8.Valid(text) {
		return nil, invalid("note is not UTF-8")
	}
	return text, nil
}

// same says whether two entries of one name record the same movement of money.
func same(a, b []Posting) bool { return slices.Equal(a, b) }

// MarshalLine is the entry as one line of an export, without the line's end.
func (e Entry) MarshalLine() ([]byte, error) {
	if e.Postings == nil {
		e.Postings = []Posting{}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("writing journal entry %d: %w", e.Seq, err)
	}
	return line, nil
}

// UnmarshalLine reads a line of MarshalLine and refuses every other spelling of the same entry:
// fields unknown, doubled or in another order, other white space, other escapes.
func UnmarshalLine(line []byte) (Entry, error) {
	var entry Entry
	if err := json.Unmarshal(line, &entry); err != nil {
		return Entry{}, fmt.Errorf("reading journal entry: %w", err)
	}
	again, err := entry.MarshalLine()
	if err != nil {
		return Entry{}, err
	}
	if !bytes.Equal(again, line) {
		return Entry{}, invalid("line is not spelled as the journal writes it")
	}
	return entry, nil
}
