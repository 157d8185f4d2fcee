package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// caught says whether anything was found wrong.
func caught(file []byte) bool {
	report, err := Verify(bytes.NewReader(file))
	return err != nil || !report.OK()
}

// TestEveryFieldTampered changes, drops and doubles each JSON value of each line of a good export,
// alone, and expects each change to be seen. The fast tests take some of them (oneIn).
func TestEveryFieldTampered(t *testing.T) { tamper(t, export(t, header(), story()), 500, 1000) }

// The same of a journal with purses, prices and all kinds, one change a value; of the many alike minutes, some.
func TestEveryNewFieldTampered(t *testing.T) { tamper(t, export(t, header(), mixes()), 400, 1) }

func tamper(t *testing.T, good []byte, wanted, most int) {
	if caught(good) {
		t.Fatal("the good export is not good")
	}
	tried := 0
	changes(t, good, most, func(words string, file []byte) {
		if tried++; !caught(file) {
			t.Errorf("%s: not caught", words)
		}
	})
	if tried < wanted/oneIn() {
		t.Errorf("only %d changes tried", tried)
	}
}

// oneIn is how many changes there are for each that is tried: the fast tests try some, `make test` (RAYLINK_REAL) all.
func oneIn() int {
	if os.Getenv("RAYLINK_REAL") == "" {
		return 4
	}
	return 1
}

// changes gives each changed file, or one in so many (oneIn), with words about it.
func changes(t *testing.T, good []byte, most int, changed func(words string, file []byte)) {
	lines := bytes.Split(bytes.TrimSuffix(good, []byte("\n")), []byte("\n"))
	tried := 0
	try := func(i int, line []byte, what string) {
		if tried++; tried%oneIn() != 0 {
			return
		}
		file := slices.Clone(lines)
		file[i] = line
		changed(fmt.Sprintf("line %d, %s: %s", i+1, what, line), bytes.Join(file, []byte("\n")))
	}
	some := []string{`"l-usdc-USDC/0"`, `"l-io-USDC/1"`, `"l-grant-IO/1"`, `"l-card-USDC/0"`}
	for i, line := range lines {
		alike := func(ref string) bool { return bytes.Contains(line, []byte(ref)) }
		if most == 1 && bytes.Contains(line, []byte(`"minute.charged"`)) && !slices.ContainsFunc(some, alike) {
			continue
		}
		for _, span := range values(t, line) {
			list := others(string(line[span[0]:span[1]]))
			for _, other := range list[:min(most, len(list))] {
				changed := slices.Concat(line[:span[0]], []byte(other), line[span[1]:])
				try(i, changed, fmt.Sprintf("%s for %s", other, line[span[0]:span[1]]))
			}
		}
		if most == 1 {
			continue
		}
		for _, extra := range []string{`{"seq":1,`, `{"Seq":1,`, `{"format":"` + Format + `",`, `{"extra":1,`, `{ `} {
			try(i, append([]byte(extra), line[1:]...), "extra "+extra)
		}
		try(i, append(bytes.Clone(line), ' '), "space behind")
		try(i, append(bytes.Clone(line), "\n{}"...), "line behind")
		try(i, append(append(bytes.Clone(line), '\n'), line...), "line doubled")
	}
}

// values are the places of all scalars of a line: values and names of fields.
func values(t *testing.T, line []byte) (spans [][2]int) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	for {
		token, err := decoder.Token()
		if err != nil {
			return spans
		}
		if _, isDelim := token.(json.Delim); isDelim {
			continue
		}
		end := int(decoder.InputOffset())
		start := end - 1
		if line[start] == '"' {
			for start--; line[start] != '"' || line[start-1] == '\\'; start-- {
			}
		} else {
			for start > 0 && strings.IndexByte(":,[{", line[start-1]) < 0 {
				start--
			}
		}
		if !json.Valid(line[start:end]) {
			t.Fatalf("%s is not a value", line[start:end])
		}
		spans = append(spans, [2]int{start, end})
	}
}

// others are values to put in a value's place: near ones and wrong ones.
func others(value string) []string {
	if value[0] != '"' {
		return []string{value + "0", "-1", "1e1", `"` + value + `"`, "null"}
	}
	inner := value[1 : len(value)-1]
	list := []string{`"` + inner + `x"`, `""`, `null`, `0`, `"\u0041` + inner + `"`}
	for i := 0; i < len(inner); i += 1 + len(inner)/2 { // some single characters changed
		if char := inner[i]; char != '\\' && (i == 0 || inner[i-1] != '\\') {
			next := char + 1
			if next == '"' || next == '\\' || next > '~' {
				next = 'A'
			}
			list = append(list, `"`+inner[:i]+string(next)+inner[i+1:]+`"`)
		}
	}
	return slices.DeleteFunc(list, func(other string) bool { return other == value })
}

func TestLinesMovedOrLost(t *testing.T) {
	lines := bytes.SplitAfter(export(t, header(), story()), []byte("\n"))
	lines = lines[:len(lines)-1]
	for i := range lines {
		if !caught(bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil)) {
			t.Errorf("line %d is missed by nobody", i+1)
		}
		if !caught(bytes.Join(lines[:i], nil)) {
			t.Errorf("cut off before line %d", i+1)
		}
		if i > 0 {
			swapped := slices.Clone(lines)
			swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			if !caught(bytes.Join(swapped, nil)) {
				t.Errorf("lines %d and %d may change places", i, i+1)
			}
		}
	}
}

func TestOtherGroupsKey(t *testing.T) {
	h := header()
	h.GroupKey = public('E')
	report, err := Verify(bytes.NewReader(export(t, h, story())))
	minutes := len(report.Leases) * 3 // that no coordinator of that group signed
	if err != nil || len(report.Problems) != minutes+1 || !strings.Contains(report.Problems[minutes].What, "another key") {
		t.Errorf("%v, %v", err, report.Problems)
	}
}

func TestUnreadable(t *testing.T) {
	good := export(t, header(), story())
	long := append(bytes.Clone(good), bytes.Repeat([]byte("x"), MaxLine+1)...)
	for what, file := range map[string][]byte{
		"empty": nil, "other format": []byte(`{"format":"raylink-journal/2"}`), "no JSON": []byte("hello\n"), "long line": long,
		"endless line": bytes.Repeat([]byte(" "), MaxHeader+3),
	} {
		if _, err := Verify(bytes.NewReader(file)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
	broken := errors.New("cable pulled")
	if _, err := Verify(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's own error", err)
	}
	for _, size := range []int{0, 1, len(good) / 2} {
		if err := Write(&full{size}, header(), chained(story()), public('G'), func([]byte) []byte { return nil }); err == nil {
			t.Errorf("a writer that takes %d bytes was enough", size)
		}
	}
}

// full is a writer with room for so many bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestManyProblemsAreCounted(t *testing.T) {
	file := append(bytes.SplitAfterN(export(t, header(), nil), []byte("\n"), 2)[0], strings.Repeat("x\n", 3*MaxProblems)...)
	report, err := Verify(bytes.NewReader(file))
	if err != nil || len(report.Problems) != MaxProblems || report.MoreProblems != 2*MaxProblems {
		t.Errorf("%v, %d and %d more", err, len(report.Problems), report.MoreProblems)
	}
}

// The bytes that agents and gateways sign, as the house's contract has them.
func TestSignedBytes(t *testing.T) {
	for got, want := range map[string]string{
		string(minuteBytes("l-1", 7, 58, "abc")):  "raylink minute v1\nl-1\n7\n58\nabc\n",
		string(confirmBytes("l-1", 7, 58, "abc")): "raylink confirm v1\nl-1\n7\n58\nabc\n",
		string(CheckpointBytes([]byte("x"), 2, "ab")): "raylink checkpoint v1\n2\nab\n" +
			"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\n",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	good := export(f, header(), story())
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(export(f, Header{}, nil))
	f.Add([]byte(`{"format":"raylink-journal/1","group_key":"AA=="}` + "\n" + `{"seq":0,"hash":"","signature":"","key":"AA=="}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		report, err := Verify(bytes.NewReader(file))
		if err == nil && report.OK() && report.Key == nil {
			t.Error("in order, yet signed by nobody")
		}
	})
}
