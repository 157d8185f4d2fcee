package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"raylink/raylink"
)

func nowhere() *app {
	return &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}
}

// TestEveryVerbIsExplained walks the tree of verbs: what people read first must be there, and must be true.
func TestEveryVerbIsExplained(t *testing.T) {
	verbs := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, child := range c.Commands() {
			walk(child)
		}
		if c.Short == "" {
			t.Errorf("%s says nothing of itself", c.CommandPath())
		}
		if c.Hidden || (c.HasSubCommands() && c.HasParent() && c.Example == "") { // it only groups
			return
		}
		verbs++
		if c.Example == "" {
			t.Errorf("%s shows no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			example(t, c, line)
		}
	}
	walk(nowhere().root())
	if verbs < 30 {
		t.Errorf("only %d verbs were looked at", verbs)
	}
}

// example checks that an example's raylink commands name verbs and flags that exist.
func example(t *testing.T, owner *cobra.Command, line string) {
	t.Helper()
	for _, part := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("|&;()<>$\n", r) }) {
		words := strings.Fields(part)
		if len(words) < 2 || words[0] != "raylink" {
			continue
		}
		c, rest, err := nowhere().root().Find(words[1:])
		if err != nil || !c.HasParent() || (c.HasSubCommands() && !strings.Contains(c.Use, " ") && len(rest) > 0 && rest[0][0] != '-') {
			t.Errorf("%s has the example %q: no such verb (%v)", owner.CommandPath(), part, err)
			continue
		}
		for _, word := range rest {
			name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if strings.HasPrefix(word, "--") && c.Flag(name) == nil {
				t.Errorf("%s has the example %q: no such flag %s", owner.CommandPath(), part, word)
			}
		}
	}
}

// TestExitCodes: scripts tell what went wrong by the number alone, and people find the next step on a line of its own.
func TestExitCodes(t *testing.T) {
	for code, want := range map[raylink.Code]int{
		raylink.CodeInternal: 1, raylink.CodeInvalid: 2, raylink.CodeTooLarge: 2, raylink.CodeUnauthenticated: 3, raylink.CodeFunds: 4,
		raylink.CodeForbidden: 5, raylink.CodeNotFound: 6, raylink.CodeConflict: 7, raylink.CodeCapacity: 8, raylink.CodeUnsupported: 9,
		raylink.CodeUnavailable: 10,
	} {
		var out, errs bytes.Buffer
		a := nowhere()
		a.out, a.err = &out, &errs
		got := a.fail(t.Context(), fmt.Errorf("asking: %w", raylink.Errorf(code, "no luck").WithHint("try again")))
		if got != want || errs.String() != "error: asking: no luck\nhint: try again\n" || out.Len() > 0 {
			t.Errorf("%s exits with %d, want %d, and says %q", code, got, want, errs.String())
		}
	}
}
