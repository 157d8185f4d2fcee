package house

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// inside gives an import's path below the module's root; ok is false for other modules' packages.
func (h *house) inside(spec *ast.ImportSpec) (below string, ok bool) {
	name := imported(spec)
	if name == h.rules.Module {
		return ".", true
	}
	return strings.CutPrefix(name, h.rules.Module+"/")
}

func imported(spec *ast.ImportSpec) string {
	name, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return name
}

// checkImports holds a file's imports against its package's row. Tests may look around freely.
func (h *house) checkImports(s source, row Row) {
	for _, spec := range s.file.Imports {
		below, ok := h.inside(spec)
		if !ok {
			continue
		}
		other, known := h.rows[below]
		switch {
		case !known:
			h.at(spec.Pos(), "imports %s, which has no line in the floors table", below)
		case other.Floor < row.Floor, row.allows(below):
		case other.Floor == row.Floor && strings.HasPrefix(below, row.Path+"/"):
		default:
			h.at(spec.Pos(), "%s on floor %s imports %s on floor %s; imports only go down", row.Path, row.Floor, below, other.Floor)
		}
	}
}

// allows says whether the row's exceptions name a package, or the outside module that it is in.
func (r Row) allows(name string) bool {
	return slices.ContainsFunc(r.May, func(m May) bool {
		return name == m.Path || strings.Contains(m.Path, ".") && strings.HasPrefix(name, m.Path+"/")
	})
}

func (h *house) checkStrangers(s source) {
	for _, spec := range s.file.Imports {
		below, ok := h.inside(spec)
		if !ok {
			continue
		}
		for _, pair := range h.rules.Strangers {
			if within(s.dir, pair[0]) && within(below, pair[1]) || within(s.dir, pair[1]) && within(below, pair[0]) {
				h.at(spec.Pos(), "%s and %s never import each other", pair[0], pair[1])
			}
		}
	}
}

func within(name, room string) bool { return name == room || strings.HasPrefix(name, room+"/") }

// worldly says whether a package of the standard library touches the world, shares memory or throws dice.
func worldly(name string) bool {
	switch name {
	case "net/netip", "net/url":
		return false
	case "crypto/rand", "io/ioutil", "math/rand", "math/rand/v2", "testing", "unsafe", "plugin", "runtime", "embed", "expvar":
		return true
	}
	return slices.Contains([]string{"os", "net", "log", "sync", "syscall", "database", "runtime"}, strings.SplitN(name, "/", 2)[0])
}

// checkPurity keeps the world out of floors 0-2.
func (h *house) checkPurity(s source, row Row) {
	called := map[string]string{} // how the file calls the packages that are looked at
	for _, spec := range s.file.Imports {
		name := imported(spec)
		_, ours := h.inside(spec)
		outside := strings.Contains(strings.SplitN(name, "/", 2)[0], ".")
		if row.allows(name) {
			continue
		}
		if worldly(name) {
			h.at(spec.Pos(), "floor %s is pure and does not import %s", row.Floor, name)
		}
		if outside && !ours {
			h.at(spec.Pos(), "floor %s imports %s only if its line in the floors table says why", row.Floor, name)
		}
		as := path.Base(name)
		if spec.Name != nil {
			as = spec.Name.Name
		}
		called[as] = name
	}
	ast.Inspect(s.file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.GoStmt:
			h.at(n.Pos(), "floor %s is pure and starts no goroutine", row.Floor)
		case *ast.BasicLit:
			if n.Kind == token.FLOAT || n.Kind == token.IMAG {
				h.at(n.Pos(), "floor %s is pure and counts in integers, not %s", row.Floor, n.Value)
			}
		case *ast.Ident:
			if slices.Contains([]string{"float32", "float64", "complex64", "complex128"}, n.Name) {
				h.at(n.Pos(), "floor %s is pure and counts in integers, not %s", row.Floor, n.Name)
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && impure(called[x.Name], n.Sel.Name) {
				h.at(n.Pos(), "floor %s is pure and does not use %s.%s", row.Floor, x.Name, n.Sel.Name)
			}
		}
		return true
	})
}

// impure says whether one name of an otherwise allowed package is a clock or a float.
func impure(pkg, name string) bool {
	switch pkg {
	case "time":
		return slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, name)
	case "strconv":
		return strings.Contains(name, "Float") || strings.Contains(name, "Complex")
	case "math":
		return !strings.HasPrefix(name, "MaxInt") && !strings.HasPrefix(name, "MinInt") && !strings.HasPrefix(name, "MaxUint")
	}
	return false
}

// checkSleep keeps time.Sleep out of tests: a test waits for what happens, or lives in a synctest bubble, where sleeping takes no time.
func (h *house) checkSleep(s source) {
	if slices.ContainsFunc(h.rules.Sleepers, func(m May) bool { return m.Path == s.path }) {
		return
	}
	ast.Inspect(s.file, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && names(call.Fun, "synctest", "Test") {
			return false
		}
		if n, ok := node.(ast.Expr); ok && names(n, "time", "Sleep") {
			h.at(n.Pos(), "a test sleeps; wait for what is to happen, or use testing/synctest")
		}
		return true
	})
}

// checkOwned keeps words in the package that they belong to.
func (h *house) checkOwned(s source) {
	for _, rule := range h.rules.Owned {
		if within(s.dir, rule.Room) {
			continue
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok {
				return true
			}
			if word := rule.Words.FindString(literal.Value); word != "" {
				h.at(literal.Pos(), "writes %s, and %s belong to %s alone: use its names", word, rule.What, rule.Room)
			}
			return true
		})
	}
}

// names says whether an expression is pkg.name.
func names(e ast.Expr, pkg, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// checkDocs wants a docstring on every exported name.
func (h *house) checkDocs(s source) {
	for _, declaration := range s.file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc.Text() == "" && reachable(d) {
				h.at(d.Pos(), "%s is exported and has no docstring", d.Name.Name)
			}
		case *ast.GenDecl:
			h.checkSpecs(d)
		}
	}
}

func (h *house) checkSpecs(d *ast.GenDecl) {
	if d.Doc.Text() != "" {
		return // one comment may stand for the group
	}
	for _, spec := range d.Specs {
		switch n := spec.(type) {
		case *ast.TypeSpec:
			if n.Name.IsExported() && n.Doc.Text() == "" && n.Comment.Text() == "" {
				h.at(n.Pos(), "%s is exported and has no docstring", n.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				if name.IsExported() && n.Doc.Text() == "" && n.Comment.Text() == "" {
					h.at(name.Pos(), "%s is exported and has no docstring", name.Name)
				}
			}
		}
	}
}

// reachable says whether a function can be called from outside by a name that its reader does not know already: methods of
// unexported types cannot, and everybody knows what String does.
func reachable(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	if slices.Contains([]string{"String", "Error", "Unwrap", "MarshalText", "UnmarshalText", "MarshalJSON", "UnmarshalJSON"}, f.Name.Name) {
		return false
	}
	receiver := f.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.IsExported()
		default:
			return true
		}
	}
}
