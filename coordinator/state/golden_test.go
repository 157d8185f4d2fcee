package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const goldenFile = "testdata/golden.jsonl"

func goldenLines(t *testing.T) [][]byte {
	t.Helper()
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]byte
	scan := bufio.NewScanner(bytes.NewReader(text))
	for scan.Scan() {
		lines = append(lines, bytes.Clone(scan.Bytes()))
	}
	return lines
}

// TestGolden reads every form of a command that ever shipped. Lines are only ever added to the file: a log that was written once must be
// readable for ever.
func TestGolden(t *testing.T) {
	shown := map[string]bool{}
	full := map[string]bool{}
	for i, line := range goldenLines(t) {
		env, cmd, err := Decode(line)
		if err != nil {
			t.Errorf("line %d: %v", i+1, err)
			continue
		}
		shown[env.Kind] = true
		full[env.Kind] = full[env.Kind] || complete(reflect.ValueOf(cmd).Elem())
		again, err := Encode(env.By, env.Key, cmd)
		if err != nil || !bytes.Equal(again, line) {
			t.Errorf("line %d is written again as\n%s\nnot\n%s\n%v", i+1, again, line, err)
		}
		strictly(t, i+1, line)
	}
	for _, c := range kinds() {
		if !shown[c.kind()] {
			t.Errorf("no line of %s shows kind %s", goldenFile, c.kind())
		} else if !full[c.kind()] {
			t.Errorf("no line of %s shows kind %s with every field filled", goldenFile, c.kind())
		}
	}
}

// strictly wants changed lines refused: an unknown field, something behind the end, a body of another shape.
func strictly(t *testing.T, number int, line []byte) {
	t.Helper()
	text := string(line)
	for _, bad := range []string{
		strings.Replace(text, `"body":{`, `"body":{"unheard":1,`, 1),
		strings.Replace(strings.Replace(text, `{"kind"`, `{"unheard":1,"kind"`, 1), `,}`, `}`, 1),
		text + "{}", text + "]", strings.Replace(text, `"body":{`, `"body":[{`, 1), text[:len(text)-1], "",
		strings.Replace(text, `"kind":"`, `"kind":"x`, 1),
	} {
		if _, _, err := Decode(json.RawMessage(bad)); err == nil {
			t.Errorf("line %d: %.120s is understood", number, bad)
		}
	}
}

// complete says whether nothing in a command is empty that could be filled.
func complete(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		if _, ok := v.Interface().(time.Time); ok || v.NumField() == 0 {
			return true
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && !complete(v.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		for i := range v.Len() {
			if complete(v.Index(i)) {
				return true
			}
		}
		return false
	case reflect.Pointer:
		return !v.IsNil() && complete(v.Elem())
	case reflect.Map:
		return v.Len() > 0
	}
	return !v.IsZero()
}

// TestGoldenApplies wants the file to be a log that two replicas read alike, the second from a snapshot in the middle, and prepared.
func TestGoldenApplies(t *testing.T) {
	lines := goldenLines(t)
	a, b := New(), New()
	for i, line := range lines {
		at := noon.Add(time.Duration(i) * time.Second)
		entry := []json.RawMessage{line}
		one := a.Apply(uint64(i+1), at, entry)
		b = reload(t, b)
		b.Prepare(at, entry)
		two := b.Apply(uint64(i+1), at, entry)
		if len(one) != 1 || len(two) != 1 || !bytes.Equal(one[0], two[0]) || a.Digest() != b.Digest() {
			t.Fatalf("line %d: the replicas part: %s, %s", i+1, one, two)
		}
	}
}

// reload saves and loads a state.
func reload(t tester, s *State) *State {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatalf("saving: %v", err)
	}
	fresh := New()
	if err := fresh.Load(&b); err != nil {
		t.Fatalf("loading: %v", err)
	}
	if b.Len() != 0 {
		t.Fatalf("loading left %q of its input", b.String())
	}
	return fresh
}
