package manifest

import "strings"

// lines finds the line of each field in a manifest in YAML's block style, for error messages: path → line, counted from 1. It is a reader of
// indentation, not of YAML; what it does not understand it leaves away.
func lines(text string) map[string]int {
	r := reader{found: map[string]int{}}
	skip := -1 // inside a block scalar that hangs on a key of this indentation
	for n, line := range strings.Split(text, "\n") {
		content := strings.TrimLeft(line, " ")
		indent := len(line) - len(content)
		content = strings.TrimRight(content, " \t\r")
		if content == "" || content[0] == '#' || strings.HasPrefix(content, "---") || (skip >= 0 && indent > skip) {
			continue
		}
		skip = -1
		for (content == "-" || strings.HasPrefix(content, "- ")) && len(r.stack) < deepest {
			r.item(indent, n)
			rest := strings.TrimLeft(content[1:], " ")
			indent += len(content) - len(rest)
			content = rest
		}
		key, value, ok := keyOf(content)
		if !ok {
			continue
		}
		r.key(key, indent, n)
		if value != "" && (value[0] == '|' || value[0] == '>') {
			skip = indent
		}
	}
	return r.found
}

// deepest bounds the nesting that is followed: a RayCluster's fields lie less deep, and paths stay short in a text that was made to hurt.
const deepest = 20

type frame struct {
	indent int
	path   string
	item   int // of a sequence; -1 for a key
}

type reader struct {
	found map[string]int
	stack []frame
}

// item enters an item of a sequence, which may stand as deep as the key that it belongs to.
func (r *reader) item(indent, n int) {
	for len(r.stack) > 0 && r.stack[len(r.stack)-1].indent > indent {
		r.stack = r.stack[:len(r.stack)-1]
	}
	item, parent := 0, ""
	if len(r.stack) > 0 {
		top := r.stack[len(r.stack)-1]
		parent = top.path
		if top.item >= 0 && top.indent == indent {
			item = top.item + 1
			r.stack = r.stack[:len(r.stack)-1]
			parent = parent[:strings.LastIndexByte(parent, '[')]
		}
	}
	r.push(frame{indent, parent + "[" + itoa(item) + "]", item}, n)
}

func (r *reader) key(key string, indent, n int) {
	for len(r.stack) > 0 && r.stack[len(r.stack)-1].indent >= indent {
		r.stack = r.stack[:len(r.stack)-1]
	}
	if len(r.stack) >= deepest {
		return
	}
	path := key
	if len(r.stack) > 0 {
		path = r.stack[len(r.stack)-1].path + "." + key
	}
	r.push(frame{indent, path, -1}, n)
}

func (r *reader) push(f frame, n int) {
	if _, ok := r.found[f.path]; !ok {
		r.found[f.path] = n + 1
	}
	r.stack = append(r.stack, f)
}

// keyOf splits "key: value" and "key:".
func keyOf(s string) (key, value string, ok bool) {
	i := strings.Index(s, ": ")
	if i < 0 {
		if !strings.HasSuffix(s, ":") {
			return "", "", false
		}
		i = len(s) - 1
	}
	key = strings.Trim(strings.TrimSpace(s[:i]), `"'`)
	if key == "" || len(key) > 64 || strings.ContainsAny(key, "{}[]#,") {
		return "", "", false
	}
	return key, strings.TrimSpace(s[i+1:]), true
}

// lineOf is the line of the field, or of the nearest field around it; 0 if unknown.
func lineOf(found map[string]int, path string) int {
	for path != "" {
		if n := found[path]; n > 0 {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}
