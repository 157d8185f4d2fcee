package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// The colours, as ANSI codes.
const (
	bold  = "1"
	red   = "31"
	green = "32"
)

// terminal says whether w is somebody's screen.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// paint colours text for a screen, unless NO_COLOR is set.
func (a *app) paint(w io.Writer, code, text string) string {
	if !terminal(w) || a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// outputFlag adds -o to a command.
func outputFlag(c *cobra.Command) *string {
	format := c.Flags().StringP("output", "o", "table", "how to show it: table, json or yaml")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	inner := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if f := *format; f != "table" && f != "json" && f != "yaml" {
			return usage(c, "-o takes table, json or yaml, not %q", f)
		}
		if inner != nil {
			return inner(c, args)
		}
		return nil
	}
	return format
}

// show writes a value in a machine's format, or lets people write it in theirs.
func (a *app) show(format string, value any, people func(w io.Writer)) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(a.out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(value)
	case "yaml":
		text, err := yaml.Marshal(value)
		if err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		_, err = a.out.Write(text)
		return err
	}
	w := bufio.NewWriter(a.out)
	people(w)
	return w.Flush()
}

// grid writes rows in columns; the first row is the heading. An empty cell is shown as a dash.
func grid(w io.Writer, indent string, rows ...[]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = cell; cell == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(t, indent+strings.Join(cells, "\t"))
	}
	t.Flush() // the writer below it keeps the error
}

// pairs writes names and values in two columns.
func pairs(w io.Writer, indent string, names ...string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(names); i += 2 {
		if names[i+1] != "" {
			fmt.Fprintln(t, indent+names[i]+"\t"+names[i+1])
		}
	}
	t.Flush()
}
