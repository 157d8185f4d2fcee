package manifest

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/api/resource"
	goyaml "sigs.k8s.io/yaml/goyaml.v2"

	"raylink/raylink"
)

const (
	maxShown    = 512     // bytes of a path or a text that a message repeats
	maxExpanded = 8 << 20 // bytes that a manifest may have when its aliases are written out
)

// printable bounds words of the manifest that are shown, and takes out what would steer a terminal or turn the reading direction.
func printable(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

func notYAML(err error) error {
	return raylink.Errorf(raylink.CodeInvalid, "the manifest is not YAML or JSON: %s", printable(err.Error())).WithHint("check indentation and quotes at the line named")
}

// plain refuses what YAML can say and JSON cannot, or not in reasonable time.
func plain(doc string) error {
	if n := aliases(doc); !bounded(n, len(doc)) {
		return raylink.Errorf(raylink.CodeInvalid, "the manifest uses YAML's aliases %d times in %d bytes, more than can be written out safely", n, len(doc)).
			WithHint("write repeated parts out")
	}
	dec := goyaml.NewDecoder(strings.NewReader(doc))
	var root goyaml.MapSlice
	var kind *goyaml.TypeError
	switch err := dec.Decode(&root); {
	case errors.As(err, &kind):
		return nil // no object at all, which has a message of its own
	case errors.Is(err, io.EOF):
		return raylink.Errorf(raylink.CodeInvalid, "the manifest is empty").WithHint("send one RayCluster in YAML or JSON")
	case err != nil:
		return notYAML(err)
	}
	var second any
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return raylink.Errorf(raylink.CodeUnsupported, "the manifest holds more than one document").WithHint("send the RayCluster alone, with usual line ends")
	}
	if at, why := odd("", root); why != "" {
		return raylink.Errorf(raylink.CodeInvalid, "%s: %s", printable(at), why).WithHint("write it as text in quotes, once")
	}
	return nil
}

// aliases counts what may be aliases of YAML: *name where &name stands somewhere too. In a comment or a text it may count too many, never too few.
func aliases(doc string) int {
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`&([0-9A-Za-z_-]+)`).FindAllStringSubmatch(doc, -1) {
		anchors[m[1]] = true
	}
	n := 0
	if len(anchors) > 0 {
		for _, m := range regexp.MustCompile(`\*([0-9A-Za-z_-]+)`).FindAllStringSubmatch(doc, -1) {
			if anchors[m[1]] {
				n++
			}
		}
	}
	return n
}

// bounded says that so many aliases cannot blow the text up. The worst that one can do is to double it: &c [&b [&a text, *a], *b].
func bounded(n, size int) bool {
	for ; n > 0 && size <= maxExpanded; n-- {
		size *= 2
	}
	return size <= maxExpanded
}

// odd finds a key that is there twice in two spellings, such as 1 and "1", and a number that JSON does not have.
func odd(path string, value any) (at, why string) {
	switch v := value.(type) {
	case goyaml.MapSlice:
		seen := map[string]string{} // key → its type
		for _, item := range v {
			key, kind := fmt.Sprint(item.Key), fmt.Sprintf("%T", item.Key)
			at := join(path, key)
			if old, twice := seen[key]; twice && old != kind {
				return at, "is there twice, with and without quotes"
			}
			seen[key] = kind
			if at, why := odd(at, item.Value); why != "" {
				return at, why
			}
		}
	case []any:
		for i, e := range v {
			if at, why := odd(path+"["+itoa(i)+"]", e); why != "" {
				return at, why
			}
		}
	case string:
	default:
		if s := fmt.Sprint(v); s == "+Inf" || s == "-Inf" || s == "NaN" {
			return path, "is not a number"
		}
	}
	return "", ""
}

// vast finds a number that Kubernetes' reader of quantities would take minutes to write out, such as 1e100000000. Quantities stand in so many
// of KubeRay's fields that all texts are looked at, except the values of variables.
func vast(path string, value any) (at string, found bool) {
	switch v := value.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			if at, found := vast(join(path, k), v[k]); found {
				return at, true
			}
		}
	case []any:
		for i, e := range v {
			if at, found := vast(path+"["+itoa(i)+"]", e); found {
				return at, true
			}
		}
	case string:
		mantissa, exponent, _ := strings.Cut(strings.ToLower(strings.TrimSpace(v)), "e")
		digits := strings.TrimLeft(exponent, "+-0")
		number := strings.ContainsAny(mantissa, "0123456789") && strings.Trim(mantissa, "+-.0123456789") == "" && strings.Trim(digits, "0123456789") == ""
		if number && (len(mantissa) > 64 || len(digits) > 2) && general(path) != "G.template.spec.containers[*].env[*].value" {
			return path, true
		}
	}
	return "", false
}

// misread finds the quantity that cannot be read: the reader's own error does not say which it was.
func misread(path string, value any) (at string, found bool) {
	switch v := value.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			if at, found := misread(join(path, k), v[k]); found {
				return at, true
			}
		}
	case []any:
		for i, e := range v {
			if at, found := misread(path+"["+itoa(i)+"]", e); found {
				return at, true
			}
		}
	case string:
		name := unindex(path)
		if strings.Contains(name, ".resources.limits.") || strings.Contains(name, ".resources.requests.") || strings.HasSuffix(name, ".sizeLimit") {
			_, err := resource.ParseQuantity(strings.TrimSpace(v))
			return path, err != nil
		}
	}
	return "", false
}

// single is the one document in a text; YAML's own reader would silently take the first of several.
func single(text string) (string, error) {
	var docs []string
	var doc []string
	full := false
	flush := func() {
		if full {
			docs = append(docs, strings.Join(doc, "\n"))
		}
		doc, full = nil, false
	}
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "---"); ok && (rest == "" || strings.ContainsRune(" \t\r", rune(rest[0]))) {
			flush()
			line = rest
		} else if strings.TrimRight(line, " \t\r") == "..." {
			flush()
			continue
		}
		trimmed := strings.TrimSpace(line)
		if trimmed != "" && trimmed[0] != '#' && trimmed[0] != '%' {
			full = true
		}
		doc = append(doc, line)
	}
	flush()
	switch len(docs) {
	case 1:
		return docs[0], nil
	case 0:
		return "", raylink.Errorf(raylink.CodeInvalid, "the manifest is empty").WithHint("send one RayCluster in YAML or JSON")
	default:
		return "", raylink.Errorf(raylink.CodeUnsupported, "the manifest holds %d documents", len(docs)).
			WithHint("send the RayCluster alone; other Kubernetes objects have no meaning here")
	}
}
