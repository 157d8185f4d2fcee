package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"raylink/raylink"
)

func (a *app) journal() *cobra.Command {
	return parent("journal", "Export the network's journal of money", "", a.journalExport())
}

func (a *app) journalExport() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the journal as JSON Lines, for `raylink verify`",
		Long: `Export writes every entry of the journal: hash-chained, with the evidence of each minute and a signed checkpoint. Anyone can
check the file without the network: raylink verify FILE.`,
		Example: "  raylink journal export --file journal.jsonl && raylink verify journal.jsonl\n  raylink journal export | raylink verify -", Args: wants(),
	}
	c.Flags().StringVar(&file, "file", "", "where to (default: standard output)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		if file == "" {
			return s.Journal(c.Context(), a.out)
		}
		return exportTo(file, func(w io.Writer) error { return s.Journal(c.Context(), w) })
	}
	return c
}

// exportTo writes a file that is there whole or not at all.
func exportTo(file string, write func(io.Writer) error) error {
	f, err := os.OpenFile(file+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "writing the journal: %v", err).WithHint("name a file in a directory that is there")
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
