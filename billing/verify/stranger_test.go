package verify

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"raylink/billing/exchange"
)

// python is the interpreter that runs the stranger's verifier; where there is none the test is skipped, and says so.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 on this machine: the verifier that was written from the format page was not asked")
	}
	return path
}

// strangers asks the verifier in examples/verify about many files at once, and is what it says of each, by name.
func strangers(t *testing.T, files map[string][]byte) map[string]string {
	t.Helper()
	dir, interpreter := t.TempDir(), python(t)
	list, err := filepath.Abs(vectors + "verify.py")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-B", list} // -B: no byte code into the tree
	for name, file := range files {
		if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	run := exec.CommandContext(t.Context(), interpreter, args...)
	run.Dir = dir
	var complaints bytes.Buffer
	run.Stderr = &complaints
	out, err := run.Output()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || complaints.Len() > 0) {
		t.Fatalf("%v\n%s", err, complaints.Bytes())
	}
	said := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, words, _ := strings.Cut(strings.TrimSpace(line), ": ")
		said[name] = words
	}
	return said
}

// What this package takes, a verifier that was written from the format page alone takes as well.
func TestStrangerAgrees(t *testing.T) {
	files := worldFiles(t)
	files["empty"], files["story"], files["mixes"], files["whole"] = export(t, header(), nil), export(t, header(), story()), export(t, header(), mixes()), export(t, header(), wholeStory())
	files["long"] = export(t, header(), minutesOf(40))
	for _, p := range exchange.Purses() {
		files["bill-"+string(p)] = billOf(t, cluster(p), mixes(), 8)
	}
	files["earnings"], files["earnings-none"] = earningsOf(t, "bob", mixes(), "m-1"), earningsOf(t, "eve", mixes())
	files["earnings-whole"], files["earnings-eve"] = earningsOf(t, "bob", wholeStory(), "m-1"), earningsOf(t, "eve", neighbours(), "m-2")
	said := strangers(t, files)
	for name := range files {
		if !strings.HasPrefix(said[name], "verified: ") {
			t.Errorf("%s: %q", name, said[name])
		}
	}
	if got, want := said["journal.jsonl"], "verified: 12 entries, 1 leases, "; !strings.HasPrefix(got, want) {
		t.Errorf("the vector: %q, want %q", got, want)
	}
}

// What this package refuses, it refuses as well: forgeries by a dishonest group, each of them, and the vectors with one value changed, lines lost or moved.
func TestStrangerRefuses(t *testing.T) {
	files, what := map[string][]byte{}, map[string]string{}
	add := func(words string, file []byte) {
		name := fmt.Sprintf("%04d", len(files))
		files[name], what[name] = file, words
	}
	for _, forgeries := range []map[string]forgery{forgedNotes(), forgedBooks(), forgedPrices(), forgedMoves(), forgedSeals()} {
		for words, forgery := range forgeries {
			add(words, export(t, header(), forgery.change(wholeStory())))
			if file := earningsOf(t, "bob", forgery.change(wholeStory()), "m-1"); caught(file) { // others' entries are not in it
				add(words+", in earnings", file)
			}
		}
	}
	for words, forged := range forgedHeads() {
		add(words, forged.file(t))
	}
	for name, good := range worldFiles(t) {
		lines := bytes.SplitAfter(good, []byte("\n"))
		first, last := "line 1,", fmt.Sprintf("line %d,", len(lines)-1)
		changes(t, good, 1, func(words string, file []byte) {
			if name == "journal.jsonl" || strings.HasPrefix(words, first) || strings.HasPrefix(words, last) { // the lines between are the journal's
				add(name+" "+words, file)
			}
		})
		for i := range lines[:len(lines)-1] {
			add(fmt.Sprintf("%s without line %d", name, i+1), bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil))
			add(fmt.Sprintf("%s up to line %d", name, i), bytes.Join(lines[:i], nil))
		}
	}
	said := strangers(t, files)
	for name, words := range what {
		if !strings.HasPrefix(said[name], "wrong: ") {
			t.Errorf("%s: %q\n%s", words, said[name], files[name])
		}
	}
	t.Logf("%d files refused", len(files))
}

// The verifier has the page's table of kinds.
func TestStrangerKinds(t *testing.T) {
	code, err := os.ReadFile(vectors + "rules.py")
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range kinds() {
		row := fmt.Sprintf("\n    %q: (%q, %q),\n", name, strings.Join(kind.debits, ", "), strings.Join(kind.credits, ", "))
		if !strings.Contains(string(code), row) {
			t.Errorf("rules.py lacks%s", row)
		}
	}
}
