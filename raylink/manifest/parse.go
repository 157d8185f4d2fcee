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
		where := printable(n.paths[0])
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
		words := printable(q.path) + ": " + printable(q.text)
		if n := lineOf(line, q.path[:min(len(q.path), maxShown)]); n > 0 {
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
	if err := plain(doc); err != nil {
		return nil, nil, err
	}
	asJSON, err := yaml.YAMLToJSONStrict([]byte(doc))
	if err != nil {
		return nil, nil, notYAML(err)
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
	if at, found := vast("", raw); found {
		return nil, nil, raylink.Errorf(raylink.CodeInvalid, "%s: is a number of absurd length or exponent", printable(at)).WithHint("write the number out")
	}
	cluster = new(rayv1.RayCluster)
	strict, err := kjson.UnmarshalStrict(asJSON, cluster)
	if err != nil {
		if at, found := misread("", raw); found {
			return nil, nil, raylink.Errorf(raylink.CodeInvalid, "%s: is not a quantity", printable(at)).WithHint("write it like 2, 500m or 4Gi")
		}
		return nil, nil, raylink.Errorf(raylink.CodeInvalid, "the manifest is no RayCluster: %s", printable(err.Error())).
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
