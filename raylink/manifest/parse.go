package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"raylink/raylink"
)

// Limits of a manifest. A /24 of the overlay has room for more nodes; the first limit that hurts is not that one.
const (
	MaxBytes  = 256 << 10
	MaxNodes  = 64
	MaxGroups = 16 // of workers
	MaxName   = 40 // characters of a cluster's or group's name

	maxProblems = 50  // shown
	maxEnv      = 256 // variables of one group
	maxLabels   = 64  // of one group
	maxParams   = 64  // of one group
	maxVolumes  = 32  // of one group
)

// Parse reads one manifest with the images that Raylink ships. Notes say what is done otherwise than KubeRay would. The error is a
// *raylink.Error that names every field at fault, with its line where the manifest is in YAML's usual style.
func Parse(text []byte) (spec raylink.ClusterSpec, notes []string, err error) {
	return Images().Parse(text)
}

// Parse reads one manifest; its image must be in the catalogue.
func (c Catalogue) Parse(text []byte) (raylink.ClusterSpec, []string, error) {
	if len(text) > MaxBytes {
		return raylink.ClusterSpec{}, nil, raylink.Errorf(raylink.CodeTooLarge, "the manifest has %d bytes, more than %d", len(text), MaxBytes).
			WithHint("send one RayCluster without embedded files; bring files with the job's working_dir")
	}
	p := &parser{catalogue: c, rules: newIndex(), unknown: map[string]bool{}}
	raw, cluster, err := p.decode(text)
	if err != nil {
		return raylink.ClusterSpec{}, nil, err
	}
	p.walk("", raw)
	spec := p.cluster(cluster)
	if err := p.err(string(text)); err != nil {
		return raylink.ClusterSpec{}, nil, err
	}
	return spec, p.allNotes(), nil
}

type problem struct {
	path string
	code raylink.Code
	text string
}

// parser collects what it meets, so that a user sees all of it at once.
type parser struct {
	catalogue Catalogue
	rules     index
	problems  []problem
	notes     []noted
	unknown   map[string]bool // paths that strict decoding refused already
}

// noted is one note and the fields that it is about.
type noted struct {
	rule  string // fields with the same rule share a note
	text  string
	paths []string
}

func (p *parser) invalid(path, format string, args ...any) {
	p.problems = append(p.problems, problem{path, raylink.CodeInvalid, fmt.Sprintf(format, args...)})
}

func (p *parser) unsupported(path, format string, args ...any) {
	p.problems = append(p.problems, problem{path, raylink.CodeUnsupported, fmt.Sprintf(format, args...)})
}

func (p *parser) note(rule, path, text string) {
	for i := range p.notes {
		if p.notes[i].rule == rule && p.notes[i].text == text {
			p.notes[i].paths = append(p.notes[i].paths, path)
			return
		}
	}
	p.notes = append(p.notes, noted{rule, text, []string{path}})
}

func (p *parser) allNotes() []string {
	var out []string
	for _, n := range p.notes {
		where := n.paths[0]
		if more := len(n.paths) - 1; more > 0 {
			where += " and " + itoa(more) + " more"
		}
		out = append(out, where+": "+n.text)
	}
	return out
}

// err is all problems in one error, or nil.
func (p *parser) err(text string) error {
	if len(p.problems) == 0 {
		return nil
	}
	code := raylink.CodeUnsupported
	line := lines(text)
	var shown []string
	for i, q := range p.problems {
		if q.code == raylink.CodeInvalid {
			code = raylink.CodeInvalid
		}
		if i == maxProblems {
			shown = append(shown, fmt.Sprintf("and %d more", len(p.problems)-i))
		}
		if i >= maxProblems {
			continue
		}
		words := q.path + ": " + q.text
		if n := lineOf(line, q.path); n > 0 {
			words += " (line " + itoa(n) + ")"
		}
		shown = append(shown, words)
	}
	message := "the manifest cannot be honoured: " + shown[0]
	if len(shown) > 1 {
		message = fmt.Sprintf("the manifest cannot be honoured in %d places:\n  %s", len(p.problems), strings.Join(shown, "\n  "))
	}
	return raylink.Errorf(code, "%s", message).WithHint("change or remove these fields and send the manifest again; nothing was created or charged")
}

// decode reads the text strictly: one document, no key twice, no field that KubeRay does not know.
func (p *parser) decode(text []byte) (raw any, cluster *rayv1.RayCluster, err error) {
	if !utf8.Valid(text) || bytes.ContainsRune(text, 0) {
		return nil, nil, raylink.Errorf(raylink.CodeInvalid, "the manifest is not UTF-8 text").WithHint("send a YAML or JSON file")
	}
	doc, err := single(string(text))
	if err != nil {
		return nil, nil, err
	}
	asJSON, err := yaml.YAMLToJSONStrict([]byte(doc))
	if err != nil {
		return nil, nil, raylink.Errorf(raylink.CodeInvalid, "the manifest is not YAML or JSON: %v", err).WithHint("check indentation and quotes at the line named")
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(asJSON, &head); err != nil {
		return nil, nil, raylink.Errorf(raylink.CodeInvalid, "the manifest is no object with apiVersion and kind").WithHint("it begins with apiVersion: ray.io/v1 and kind: RayCluster")
	}
	if head.APIVersion != "ray.io/v1" || head.Kind != "RayCluster" {
		return nil, nil, raylink.Errorf(raylink.CodeUnsupported, "the manifest holds apiVersion %q, kind %q", head.APIVersion, head.Kind).
			WithHint("Raylink takes apiVersion: ray.io/v1, kind: RayCluster; submit jobs to the cluster's endpoint with `ray job submit`")
	}
	dec := json.NewDecoder(bytes.NewReader(asJSON))
	dec.UseNumber()
	if err := dec.Decode(&raw); err != nil {
		return nil, nil, fmt.Errorf("reading the manifest a second time: %w", err)
	}
	if at, found := vast(raw); found {
		at = strings.ReplaceAll(at, ".[", "[")
		return nil, nil, raylink.Errorf(raylink.CodeInvalid, "%s: is a number of absurd length or exponent", at).WithHint("write the number out")
	}
	cluster = new(rayv1.RayCluster)
	strict, err := kjson.UnmarshalStrict(asJSON, cluster)
	if err != nil {
		return nil, nil, raylink.Errorf(raylink.CodeInvalid, "the manifest is no RayCluster: %v", err).
			WithHint("check the type of that field; values of rayStartParams, labels and env are text: quote numbers and true/false")
	}
	for _, e := range strict {
		path := e.Error()
		if f, ok := e.(kjson.FieldError); ok {
			path = f.FieldPath()
		}
		p.unknown[path] = true
		p.invalid(path, "ray.io/v1 has no such field")
	}
	return raw, cluster, nil
}

// vast finds a number that Kubernetes' reader of quantities would take minutes to write out, such as 1e100000000. Quantities stand in so many
// of KubeRay's fields that all texts are looked at, except the values of variables.
func vast(value any) (path string, found bool) {
	switch v := value.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			if k == "value" {
				continue
			}
			if below, found := vast(v[k]); found {
				return strings.TrimSuffix(k+"."+below, "."), true
			}
		}
	case []any:
		for i, e := range v {
			if below, found := vast(e); found {
				return strings.TrimSuffix("["+itoa(i)+"]."+below, "."), true
			}
		}
	case string:
		mantissa, exponent, _ := strings.Cut(strings.ToLower(v), "e")
		digits := strings.TrimLeft(exponent, "+-0")
		number := v != "" && strings.Trim(mantissa, "+-.0123456789") == "" && strings.Trim(digits, "0123456789") == ""
		if number && (len(mantissa) > 64 || len(digits) > 2) {
			return "", true
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

// walk applies the rules to every field that is set.
func (p *parser) walk(path string, value any) {
	if absent(value) || p.unknown[path] {
		return
	}
	name := general(path)
	if r, ok := p.rules.rule[name]; ok && !(p.rules.deeper[name] && container(value)) {
		p.apply(r, path, value)
		return
	}
	if !p.rules.deeper[name] {
		p.fallback(name, path, value)
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			p.walk(join(path, k), v[k])
		}
	case []any:
		for i, e := range v {
			at := path + "[" + itoa(i) + "]"
			if i > 0 && name == "G.template.spec.containers" {
				p.unsupported(at, "sidecar containers are not supported by Raylink; a node has one container")
				continue
			}
			p.walk(at, e)
		}
	default:
		p.unsupported(path, "not supported by Raylink yet; remove it")
	}
}

// fallback applies the rule of the nearest field around, if that one speaks for all below it (metadata, securityContext); else refuses.
func (p *parser) fallback(name, path string, value any) {
	for around := name; around != ""; around = around[:max(0, strings.LastIndexAny(around, ".["))] {
		if r, ok := p.rules.rule[around]; ok {
			p.apply(r, path, value)
			return
		}
	}
	p.unsupported(path, "not supported by Raylink yet; remove it")
}

func (p *parser) apply(r rule, path string, value any) {
	if r.only != "" && fmt.Sprint(value) == r.only {
		return
	}
	switch r.do {
	case ignore:
		p.note(r.path, path, "ignored: "+r.why)
	case refuse:
		p.unsupported(path, "not supported by Raylink: %s", r.why)
	}
}

// absent says that a value is as good as not there. False is what every switch of a RayCluster is by default.
func absent(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func container(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func itoa(n int) string { return strconv.Itoa(n) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
