// Package export writes journal entries for other programs to read: CSV for spreadsheets, and a journal for hledger, which serves
// as an outside referee of our double entry. The JSON Lines that `raylink verify` reads are written by billing/verify; these
// forms carry each entry's number and hash, so that a line can be found there again, but prove nothing by themselves.
package export

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

// Journal is where entries come from; *ledger.Ledger is one. Entries answers at most limit entries
// behind the one numbered after, and none at the end.
type Journal interface {
	Entries(after uint64, limit int) []ledger.Entry
}

const page = 1000

// All are the journal's entries from the first to the last.
func All(journal Journal) iter.Seq[ledger.Entry] {
	return func(yield func(ledger.Entry) bool) {
		for after := uint64(0); ; {
			entries := journal.Entries(after, page)
			if len(entries) == 0 {
				return
			}
			for _, entry := range entries {
				if !yield(entry) {
					return
				}
				after = entry.Seq
			}
		}
	}
}

// columns of the CSV, in their order.
func columns() []string {
	return []string{"seq", "at", "kind", "ref", "account", "amount", "asset", "note", "hash"}
}

// CSV writes RFC 4180 with a header line and one posting a line; an entry without postings (a waived minute) has one line with
// account, amount and asset empty. Amounts have all decimals of their asset and a point, so that the column can be summed for one
// asset. Times are RFC 3339 in UTC. The note is JSON.
func CSV(w io.Writer, entries iter.Seq[ledger.Entry]) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(columns()); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	for entry := range entries {
		postings := entry.Postings
		if len(postings) == 0 {
			postings = []ledger.Posting{{}}
		}
		for _, posting := range postings {
			amount, asset, err := split(posting)
			if err != nil {
				return fmt.Errorf("writing CSV of journal entry %d: %w", entry.Seq, err)
			}
			line := []string{strconv.FormatUint(entry.Seq, 10), moment(entry), entry.Kind, entry.Ref,
				posting.Account, amount, asset, string(entry.Note), entry.Hash}
			if err := out.Write(line); err != nil {
				return fmt.Errorf("writing CSV: %w", err)
			}
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	return nil
}

// split is a posting's amount in two columns; both are empty where there is no posting.
func split(posting ledger.Posting) (number, asset string, err error) {
	if posting == (ledger.Posting{}) {
		return "", "", nil
	}
	text, err := posting.Amount.MarshalText()
	if err != nil {
		return "", "", err
	}
	number, asset, _ = strings.Cut(string(text), " ")
	return number, asset, nil
}

func moment(entry ledger.Entry) string { return entry.At.UTC().Format(time.RFC3339Nano) }

// HLedger writes a journal that hledger 1.25 and later reads. An entry is a transaction whose code is its number, with kind and
// ref for a description and time, note and hash in comments. A conversion passes through the accounts fx:in and fx:out, so that each
// transaction balances in every commodity by itself and needs no price. As in our books, what the house owes is positive and what it
// has is negative, the reverse of hledger's own custom. To have it checked, run `hledger check balancednoautoconversion`, alone:
// hledger 1.25 does not mind that check if another is named behind it. Characters that mean something to hledger are written as %XX; no name of
// ours has any.
func HLedger(w io.Writer, entries iter.Seq[ledger.Entry]) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "; Raylink's journal. What the house owes is positive, what it holds is negative.\ndecimal-mark .\n")
	for _, asset := range []money.Asset{money.USD, money.USDC, money.IO} {
		fmt.Fprintf(out, "commodity %v\n", money.Amount{Asset: asset})
	}
	for entry := range entries {
		if err := transaction(out, entry); err != nil {
			return fmt.Errorf("writing hledger's form of journal entry %d: %w", entry.Seq, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing hledger's journal: %w", err)
	}
	return nil
}

func transaction(out *bufio.Writer, entry ledger.Entry) error {
	fmt.Fprintf(out, "\n%s * (%d) %s %s\n", entry.At.UTC().Format(time.DateOnly), entry.Seq, quoted(entry.Kind), quoted(entry.Ref))
	fmt.Fprintf(out, "    ; at %s, hash %s\n", moment(entry), quoted(entry.Hash))
	if len(entry.Note) > 0 {
		fmt.Fprintf(out, "    ; note %s\n", oneLine(string(entry.Note)))
	}
	for _, posting := range entry.Postings {
		amount, err := posting.Amount.MarshalText()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "    %-40s  %28s\n", quoted(posting.Account), amount); err != nil {
			return err
		}
	}
	return nil
}

// quoted leaves what hledger takes for part of a name anywhere in it, and writes %XX for each other byte.
func quoted(name string) string {
	const free = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+@"
	var b strings.Builder
	for i, char := range []byte(name) {
		// A colon parts accounts from their parents, and neither may be empty.
		parts := char == ':' && i > 0 && i < len(name)-1 && name[i-1] != ':'
		if parts || strings.IndexByte(free, char) >= 0 {
			b.WriteByte(char)
		} else {
			fmt.Fprintf(&b, "%%%02X", char)
		}
	}
	return b.String()
}

// oneLine keeps a note within its comment: JSON means the same with a space for a line's end.
func oneLine(note string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, note)
}
