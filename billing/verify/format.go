package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// Format names the export's form; DESIGN.md describes it.
const Format = "raylink-journal/1"

// Limits of an export's lines, in bytes without the line's end.
const (
	MaxLine   = 1 << 20  // of an entry or the checkpoint
	MaxHeader = 16 << 20 // of the header: some hundred thousand keys
)

// Header is the first line of an export. Keys and signatures are Ed25519, in standard base64.
type Header struct {
	Format     string                       `json:"format"`
	Cluster    string                       `json:"cluster,omitempty"`  // that a bill is of
	Payer      string                       `json:"payer,omitempty"`    // of a bill with the deposits of the account that pays it
	Supplier   string                       `json:"supplier,omitempty"` // the account that earnings are of
	ExportedAt time.Time                    `json:"exported_at"`
	GroupKey   ed25519.PublicKey            `json:"group_key,omitempty"` // of the exporting group
	Machines   map[string]ed25519.PublicKey `json:"machines"`            // key of each machine by its id
	Gateways   map[string]ed25519.PublicKey `json:"gateways"`            // key of each gateway by its id
	Chain      string                       `json:"chain,omitempty"`     // that the tokens are on: mainnet, devnet, local
	Treasury   []TokenAccount               `json:"treasury,omitempty"`  // where the exporting group holds tokens
	Head       *Head                        `json:"head,omitempty"`      // of a part: how the journal stood that it was taken from
	Anchor     *ledger.Anchor               `json:"anchor,omitempty"`    // of a part: the last checkpoint by then that the chain carries
}

// Head is the last entry of a journal.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"` // which stands for all before it
}

// formed says whether the format is one that is known, and names what it has to.
func (h Header) formed() bool {
	switch h.Format {
	case Format:
		return h.Cluster == "" && h.Supplier == "" && h.Payer == "" && h.Head == nil && h.Anchor == nil
	case BillFormat:
		return h.Cluster != "" && h.Supplier == ""
	case EarningsFormat:
		return h.Cluster == "" && h.Supplier != "" && h.Payer == ""
	}
	return false
}

// TokenAccount is where the group holds the tokens of one mint, for whoever compares the journal with the chain. Addresses are in base58.
type TokenAccount struct {
	Asset   money.Asset `json:"asset"`
	Mint    string      `json:"mint"`
	Program string      `json:"program"` // that owns mint and account
	Account string      `json:"account"`
	Wallet  string      `json:"wallet"` // that owns the account
}

// Checkpoint is the last line of an export: where the journal ended, vouched for by the group.
type Checkpoint struct {
	Seq       uint64            `json:"seq"`
	Hash      string            `json:"hash"`
	Signature []byte            `json:"signature"` // by Key over CheckpointBytes
	Key       ed25519.PublicKey `json:"key"`
}

// CheckpointBytes is what a checkpoint's signature covers: the journal's head, and the header line
// (without its end), so that the keys that the minutes are judged by are vouched for as well.
func CheckpointBytes(header []byte, seq uint64, hash string) []byte {
	return fmt.Appendf(nil, "raylink checkpoint v1\n%d\n%s\n%x\n", seq, hash, sha256.Sum256(header))
}

// Journal is what an export is made of; *ledger.Ledger is one. Entries answers at most limit
// entries behind the one numbered after, and none at the end.
type Journal interface {
	Entries(after uint64, limit int) []ledger.Entry
}

const pageOfEntries = 1000

// Write exports the journal. It sets the header's Format; key is the public key of sign, which
// signs with Ed25519.
func Write(w io.Writer, header Header, journal Journal, key ed25519.PublicKey, sign func(message []byte) []byte) error {
	header.Format, header.ExportedAt = Format, header.ExportedAt.UTC()
	first, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("writing the journal's header: %w", err)
	}
	if err := writeLine(w, first); err != nil {
		return err
	}
	var last Checkpoint
	for {
		page := journal.Entries(last.Seq, pageOfEntries)
		if len(page) == 0 {
			break
		}
		for _, entry := range page {
			line, err := entry.MarshalLine()
			if err != nil {
				return err
			}
			if err := writeLine(w, line); err != nil {
				return err
			}
			last.Seq, last.Hash = entry.Seq, entry.Hash
		}
	}
	last.Key, last.Signature = key, sign(CheckpointBytes(first, last.Seq, last.Hash))
	line, err := json.Marshal(last)
	if err != nil {
		return fmt.Errorf("writing the journal's checkpoint: %w", err)
	}
	return writeLine(w, line)
}

func writeLine(w io.Writer, line []byte) error {
	if _, err := w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// readStrict reads JSON of exactly the fields of a form.
func readStrict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.InputOffset() != int64(len(text)) {
		return errors.New("more behind the end")
	}
	return nil
}

// fits says whether the signature is the key's over the message; false for a malformed key.
func fits(key ed25519.PublicKey, message, signature []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature)
}

// minuteBytes is what an agent signs for a minute.
func minuteBytes(lease string, ordinal int64, seconds int, rayNode string) []byte {
	return fmt.Appendf(nil, "raylink minute v1\n%s\n%d\n%d\n%s\n", lease, ordinal, seconds, rayNode)
}

// confirmBytes is what a gateway signs for a minute.
func confirmBytes(lease string, ordinal int64, seconds int, rayNode string) []byte {
	return fmt.Appendf(nil, "raylink confirm v1\n%s\n%d\n%d\n%s\n", lease, ordinal, seconds, rayNode)
}
