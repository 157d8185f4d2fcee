package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"raylink/billing/export"
	"raylink/billing/ledger"
	"raylink/billing/verify"
	"raylink/raylink"
)

func (a *app) journal() *cobra.Command {
	return parent("journal", "Export the network's journal of money", "", a.journalExport())
}

func (a *app) journalExport() *cobra.Command {
	var file, format string
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the journal, for `raylink verify` or for other programs",
		Long: `Export writes every entry of the journal. As jsonl (JSON Lines) it is hash-chained, with the evidence of each minute and a signed checkpoint: anyone can
check the file without the network by raylink verify FILE. As csv or hledger it is for spreadsheets and for hledger, and proves nothing by itself.`,
		Example: "  raylink journal export --file journal.jsonl && raylink verify journal.jsonl\n  raylink journal export | raylink verify -\n" +
			"  raylink journal export --format hledger --file journal.hledger && hledger -f journal.hledger balance", Args: wants(),
	}
	c.Flags().StringVar(&file, "file", "", "where to (default: standard output)")
	c.Flags().StringVar(&format, "format", "jsonl", "jsonl, csv or hledger")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"jsonl", "csv", "hledger"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		write, err := writer(c, format)
		if err != nil {
			return err
		}
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		return a.export(file, func(w io.Writer) error { return write(c.Context(), s.Journal, w) })
	}
	return c
}

// fetch copies an export, in JSON Lines, as it comes from a coordinator.
type fetch func(ctx context.Context, w io.Writer) error

// writer is how an export is written in a format.
func writer(c *cobra.Command, format string) (func(ctx context.Context, from fetch, w io.Writer) error, error) {
	forms := map[string]func(io.Writer, iter.Seq[ledger.Entry]) error{"csv": export.CSV, "hledger": export.HLedger}
	switch form := forms[format]; {
	case form != nil:
		return func(ctx context.Context, from fetch, w io.Writer) error { return translated(ctx, from, w, form) }, nil
	case format == "jsonl":
		return func(ctx context.Context, from fetch, w io.Writer) error { return from(ctx, w) }, nil
	}
	return nil, usage(c, "--format takes jsonl, csv or hledger, not %q", format)
}

// translated writes an export in another form while it comes in.
func translated(ctx context.Context, source fetch, w io.Writer, form func(io.Writer, iter.Seq[ledger.Entry]) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, into := io.Pipe()
	fetched := make(chan error, 1)
	go func() {
		err := source(ctx, into)
		into.CloseWithError(err)
		fetched <- err
	}()
	lines := entryLines{in: bufio.NewScanner(from)}
	lines.in.Buffer(make([]byte, 0, 64<<10), verify.MaxHeader+2)
	out := bufio.NewWriter(w)
	err := form(out, lines.entries())
	if err == nil {
		err = lines.err
	}
	if err == nil {
		err = out.Flush()
	}
	from.CloseWithError(context.Canceled) // ends a fetch that goes on
	if lost := <-fetched; lost != nil && err == nil {
		err = lost
	}
	return err
}

// entryLines are an export's lines between its header and its end: a journal's checkpoint, a bill's receipt.
type entryLines struct {
	in  *bufio.Scanner
	err error
}

func (l *entryLines) entries() iter.Seq[ledger.Entry] {
	return func(yield func(ledger.Entry) bool) {
		var kept []byte
		for line := 0; l.in.Scan(); line++ {
			if line > 1 {
				entry, err := ledger.UnmarshalLine(kept)
				if err != nil {
					l.err = fmt.Errorf("line %d of the export: %w", line, err)
					return
				}
				if !yield(entry) {
					return
				}
			}
			kept = append(kept[:0], l.in.Bytes()...)
		}
		if l.err = l.in.Err(); l.err == nil {
			l.err = ended(kept)
		}
	}
}

// ended says what is wrong with the last line, if it is neither checkpoint nor receipt.
func ended(line []byte) error {
	var last struct {
		Signature []byte `json:"signature"`
	}
	if err := json.Unmarshal(line, &last); err != nil || len(last.Signature) == 0 {
		return raylink.Errorf(raylink.CodeUnavailable, "the export came without its end").WithHint("try again")
	}
	return nil
}

// export writes into a file, or to standard output where none is named.
func (a *app) export(file string, write func(io.Writer) error) error {
	if file == "" {
		return write(a.out)
	}
	return exportTo(file, write)
}

// exportTo writes a file that is there whole or not at all.
func exportTo(file string, write func(io.Writer) error) error {
	f, err := os.OpenFile(file+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "writing the file: %v", err).WithHint("name a file in a directory that is there")
	}
	defer os.Remove(f.Name()) // gone already after the rename
	err = write(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
