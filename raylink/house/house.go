// Package house holds the rules about the code itself: floors, purity, docstrings, lengths. Its test walks and parses every file of
// the module, because a test that asked `go list` would be cached past a violation.
package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Limits on the size of things. A function must fit on a screen.
const (
	FunctionLines = 70
	FileLines     = 500
	fileBytes     = 4 << 20 // larger files are data, and not read
)

// Rules is what a tree is held against.
type Rules struct {
	Module    string // of go.mod
	Floors    []Row
	Strangers [][2]string
	Sleepers  []May
	Unnamed   []string
	Owned     []Owned
	Whole     bool // every line of the table must have its package
}

// Owned are words that one package alone writes down; others use its names. Tests may quote them, and comments speak of them.
type Owned struct {
	Room  string // below the module's root
	Words *regexp.Regexp
	What  string // they are
}

// OurRules are the rules of this module.
func OurRules() Rules {
	return Rules{Module: "raylink", Floors: Floors(), Strangers: Strangers(), Sleepers: Sleepers(), Unnamed: unnamed(), Owned: owned(), Whole: true}
}

// source is one parsed file.
type source struct {
	path string // below the root, with slashes
	dir  string
	test bool
	text []byte
	file *ast.File
}

// house is one walk through a tree.
type house struct {
	rules Rules
	rows  map[string]Row
	files *token.FileSet
	found []string
}

// Check walks the tree under root and returns every violation, as "file:line: what", sorted.
func Check(root string, rules Rules) ([]string, error) {
	h := &house{rules: rules, rows: map[string]Row{}, files: token.NewFileSet()}
	for _, row := range rules.Floors {
		if _, twice := h.rows[row.Path]; twice {
			h.addf("the floors table", "%s has two lines", row.Path)
		}
		h.rows[row.Path] = row
	}
	packages := map[string][]source{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		below = filepath.ToSlash(below)
		if entry.IsDir() {
			if below != "." && skipped(name, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || below == ".git" { // in a worktree it is a file, and says where the repository is
			return nil
		}
		return h.look(name, below, packages)
	})
	if err != nil {
		return nil, fmt.Errorf("walking %s: %w", root, err)
	}
	for dir, sources := range packages {
		h.checkPackage(dir, sources)
	}
	for _, row := range rules.Floors {
		if _, there := packages[row.Path]; rules.Whole && !there {
			h.addf("the floors table", "%s has a line, but no package", row.Path)
		}
	}
	slices.Sort(h.found)
	return slices.Compact(h.found), nil
}

// skipped says that a directory is no part of the module: hidden, built, or a module of its own.
func skipped(name, base string) bool {
	if base != ".ci" && strings.HasPrefix(base, ".") || slices.Contains([]string{"bin", "node_modules", "__pycache__", "venv"}, base) {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}

// look reads one file: text of any kind may not name the unnamed, and Go is parsed.
func (h *house) look(name, below string, packages map[string][]source) error {
	info, err := os.Stat(name)
	if err != nil || info.Size() > fileBytes || path.Base(below) == "go.sum" {
		return err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil
	}
	for i, line := range strings.Split(string(text), "\n") {
		for _, word := range h.rules.Unnamed {
			if strings.Contains(line, word) {
				h.addf(fmt.Sprintf("%s:%d", below, i+1), "names %s", word)
			}
		}
	}
	if !strings.HasSuffix(below, ".go") || strings.Contains("/"+below, "/testdata/") {
		return nil
	}
	file, err := parser.ParseFile(h.files, below, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parsing %s: %w", below, err)
	}
	dir := path.Dir(below)
	packages[dir] = append(packages[dir], source{
		path: below, dir: dir, test: strings.HasSuffix(below, "_test.go"), text: text, file: file,
	})
	return nil
}

func (h *house) addf(where, format string, args ...any) {
	h.found = append(h.found, where+": "+fmt.Sprintf(format, args...))
}

// at marks a violation at a place in a file.
func (h *house) at(pos token.Pos, format string, args ...any) {
	p := h.files.Position(pos)
	h.addf(fmt.Sprintf("%s:%d", p.Filename, p.Line), format, args...)
}

func (h *house) checkPackage(dir string, sources []source) {
	row, known := h.rows[dir]
	if !known {
		h.addf(dir, "this package has no line in the floors table; give it one in raylink/house/floors.go")
	}
	var comments []string
	for _, s := range sources {
		if generated(s.file) {
			continue
		}
		h.checkLengths(s)
		h.checkStrangers(s)
		if s.test {
			h.checkSleep(s)
			continue
		}
		if s.file.Doc.Text() != "" {
			comments = append(comments, s.path)
			h.checkPackageComment(s)
		}
		h.checkDocs(s)
		h.checkOwned(s)
		if known {
			h.checkImports(s, row)
			if row.Floor.Pure() {
				h.checkPurity(s, row)
			}
		}
	}
	onlyTests := !slices.ContainsFunc(sources, func(s source) bool { return !s.test })
	if len(comments) == 0 && !onlyTests {
		h.addf(dir, "no file has a package comment")
	}
	if len(comments) > 1 {
		h.addf(dir, "more than one package comment: %s", strings.Join(slices.Sorted(slices.Values(comments)), ", "))
	}
}

func (h *house) checkPackageComment(s source) {
	want := "Package " + s.file.Name.Name + " "
	if s.file.Name.Name != "main" && !strings.HasPrefix(s.file.Doc.Text(), want) {
		h.at(s.file.Package, "the package comment does not begin with %q", want)
	}
}

func generated(file *ast.File) bool { return ast.IsGenerated(file) }

func (h *house) checkLengths(s source) {
	if lines := bytes.Count(s.text, []byte("\n")); lines > FileLines {
		h.addf(s.path, "%d lines, more than %d", lines, FileLines)
	}
	for _, declaration := range s.file.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok {
			lines := h.files.Position(f.End()).Line - h.files.Position(f.Pos()).Line + 1
			if lines > FunctionLines {
				h.at(f.Pos(), "%s has %d lines, more than %d", f.Name.Name, lines, FunctionLines)
			}
		}
	}
}
