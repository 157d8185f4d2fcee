package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"raylink/raylink"
)

// TestReasons: every reason of a standing has words, says what its owner can do, and has its line in DESIGN.md's table of states, under the state that it
// belongs to; and the table names no reason that there is not.
func TestReasons(t *testing.T) {
	rows := designReasons(t)
	said := map[string]raylink.Reason{}
	for name, r := range reasons(t) {
		if r == raylink.ReasonNone {
			if r.Words() != "" || r.Remedy() != "" || r.State() != "" {
				t.Errorf("no reason is a reason: %q, %q, %q", r.Words(), r.Remedy(), r.State())
			}
			continue
		}
		if r.Words() == string(r) || r.Words() == "" || r.Remedy() == "" {
			t.Errorf("%s is said in no words (%q), or leaves its owner alone (%q)", name, r.Words(), r.Remedy())
		}
		if other, taken := said[r.Words()]; taken {
			t.Errorf("%s and %s are said in the same words: %s", r, other, r.Words())
		}
		said[r.Words()] = r
		if got := rows[r]; got == "" || got != r.State() {
			t.Errorf("%s stands in DESIGN.md's table under %q, and in the code under %q", name, got, r.State())
		}
		delete(rows, r)
	}
	if len(said) < 20 {
		t.Errorf("only %d reasons were found: the test is void", len(said))
	}
	for r, state := range rows {
		t.Errorf("DESIGN.md's table has a reason %q of %s, and the code has none", r, state)
	}
}

// reasons are the reasons that the code declares, by the names of their constants.
func reasons(t *testing.T) map[string]raylink.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../raylink/standing.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]raylink.Reason{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Reason" {
			return false
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found[spec.Names[0].Name] = raylink.Reason(value)
		return false
	})
	return found
}

// designReasons are the reasons of DESIGN.md's table of states, each with the state that its line stands under.
func designReasons(t *testing.T) map[raylink.Reason]raylink.MachineState {
	t.Helper()
	text, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| state | reason | when | it ends when | new nodes |\n| --- | --- | --- | --- | --- |\n")
	if !found {
		t.Fatal("DESIGN.md has no table of states")
	}
	word := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	rows, state := map[raylink.Reason]raylink.MachineState{}, raylink.MachineState("")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 {
			break
		}
		if name := strings.TrimSpace(cells[1]); name != "" {
			state = raylink.MachineState(name)
		}
		for name := range strings.SplitSeq(cells[2], ",") {
			if name = strings.TrimSpace(name); word.MatchString(name) {
				rows[raylink.Reason(name)] = state
			}
		}
	}
	return rows
}
