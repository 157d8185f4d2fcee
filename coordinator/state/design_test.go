package state

import (
	"fmt"
	"os"
	"regexp"
	"testing"
)

// The design page names every kind of command beside the file that has it, and no other.
func TestDesignKinds(t *testing.T) {
	design, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.go)` \\| (.+) \\|$").FindAllStringSubmatch(string(design), -1) {
		file, err := os.ReadFile(row[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[2], -1) {
			said[name[1]] = true
			if !regexp.MustCompile(fmt.Sprintf(`kind\(\) string +\{ return %q \}`, name[1])).Match(file) {
				t.Errorf("DESIGN.md says that %s has the kind %s", row[1], name[1])
			}
		}
	}
	for _, c := range kinds() {
		if !said[c.kind()] {
			t.Errorf("DESIGN.md lacks the kind %s", c.kind())
		}
	}
	if len(said) != len(kinds()) {
		t.Errorf("DESIGN.md names %d kinds of %d", len(said), len(kinds()))
	}
}
