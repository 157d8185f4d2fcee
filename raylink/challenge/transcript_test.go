package challenge

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

var update = flag.Bool("update", false, "write testdata anew")

// The vectors in testdata are what FORMAT.md describes, one of each version. They keep every byte of the format: whoever changes one sees it here, and makes a
// new version of it. What was written under an older one stays right.
func TestGoldenTranscript(t *testing.T) {
	keeps(t, "testdata/transcript.json", walking())
	keeps(t, "testdata/transcript2.json", windowed())
}

func keeps(t *testing.T, path string, task Task) {
	t.Helper()
	x := (&device{}).prove(task, dice(42))
	made, err := json.MarshalIndent(x, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	made = append(made, '\n')
	if *update {
		if err := os.WriteFile(path, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, kept) {
		t.Error("this is not the format that FORMAT.md describes any more")
	}
	y, err := Decode(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(y, shared); err != nil {
		t.Fatal(err)
	}
}

// The numbers that FORMAT.md gives for its steps.
func TestFormatsNumbers(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	var row [8]int8
	Vector(row[:], 1, 0)
	var block [4]uint64
	Fill(block[:], 1, 0)
	digest := make([]uint32, 2)
	Digest(digest, []int32{1, -1, 0, 2}, 2)
	var text [4]string
	text[0] = stringOf("%d", row)
	text[1] = stringOf("%016x", block)
	text[2] = stringOf("%08x", digest)
	text[3] = Next(Seed{}, Hash{}).String()
	for _, x := range text {
		if !strings.Contains(string(page), x) {
			t.Errorf("FORMAT.md does not have %s", x)
		}
	}
}

// What is not a transcript is malformed, and never wrong: nobody is blamed for it.
func TestMalformed(t *testing.T) {
	good := (&device{}).prove(walking(), dice(1))
	text, err := good.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(s string) string{
		"empty":         func(string) string { return "" },
		"cut":           func(s string) string { return s[:len(s)-1] },
		"more after it": func(s string) string { return s + "{}" },
		"unknown field": func(s string) string { return strings.Replace(s, `"proof"`, `"prooof"`, 1) },
		"upper case": func(s string) string {
			return strings.Replace(s, good.Nonce.String(), strings.ToUpper(good.Nonce.String()), 1)
		},
		"short hash": func(s string) string { return strings.Replace(s, good.Nonce.String(), "00", 1) },
		"not UTF-8":  func(s string) string { return strings.Replace(s, "m-one", "m-\xff", 1) },
		"too long":   func(s string) string { return s + strings.Repeat(" ", MaxTranscript) },
		"version":    func(s string) string { return strings.Replace(s, `"version":1`, `"version":3`, 1) },
		"no windows": func(s string) string { return strings.Replace(s, `"version":1`, `"version":2`, 1) },
		"windows":    func(s string) string { return strings.Replace(s, `"checks":5`, `"checks":5,"windows":1`, 1) },
		"tile":       func(s string) string { return strings.Replace(s, `"tile":16,"links"`, `"tile":17,"links"`, 1) },
		"size":       func(s string) string { return strings.Replace(s, `"size":64`, `"size":1048576`, 1) },
		"links":      func(s string) string { return strings.Replace(s, `"links":2`, `"links":1000000`, 1) },
		"openings":   func(s string) string { return strings.Replace(s, `"openings":5`, `"openings":-5`, 1) },
		"memory":     func(s string) string { return strings.Replace(s, `"memory":196608`, `"memory":-65536`, 1) },
		"steps":      func(s string) string { return strings.Replace(s, `"steps":96`, `"steps":97`, 1) },
		"checks":     func(s string) string { return strings.Replace(s, `"checks":5`, `"checks":50`, 1) },
		"no machine": func(s string) string { return strings.Replace(s, `"m-one"`, `""`, 1) },
		"time":       func(s string) string { return strings.Replace(s, "2026-01-01T00:00:01Z", "2025-01-01T00:00:01Z", 1) },
	} {
		bad := change(string(text))
		if bad == string(text) {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := Decode([]byte(bad)); !errors.Is(err, ErrMalformed) || errors.Is(err, ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever the bytes, reading and judging them ends, soon, in a verdict.
func FuzzDecode(f *testing.F) {
	text, err := (&device{}).prove(flat(), dice(1)).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := Decode(data)
		if err == nil && x.Task.Openings*x.Task.Tile*x.Task.Tile*x.Task.Size < 1<<24 && x.Task.Checks*x.Task.Steps < 1<<10 {
			err = Verify(x, shared)
		}
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	})
}

// Tasks are made for every device: within their bounds, about as long as a proof may be, and cheap to judge.
func TestTaskFor(t *testing.T) {
	for _, x := range []struct {
		name   string
		kind   raylink.DeviceKind
		memory int64
		rate   int64 // millions of multiply-adds in a second
		reads  int64 // millions in a second
	}{
		{"unknown processor", raylink.DeviceCPU, 0, 0, 0},
		{"slow processor", raylink.DeviceCPU, 1 << 30, 500, 0},
		{"two fast cores", raylink.DeviceCPU, 8 << 30, 250_000, 0},
		{"a server", raylink.DeviceCPU, 1 << 40, 10_000_000, 0},
		{"unknown GPU", raylink.DeviceGPU, 24 << 30, 0, 0},
		{"RTX 4090", raylink.DeviceGPU, 24 << 30, 30_000_000, 3_900},
		{"H100", raylink.DeviceGPU, 80 << 30, 300_000_000, 5_200},
		{"the slowest", raylink.DeviceGPU, 2 << 30, 0, 1},
		{"nonsense", raylink.DeviceGPU, 1 << 62, 1 << 62, 1 << 62},
	} {
		task := TaskFor(x.kind, x.memory, x.rate, x.reads)
		if err := task.Check(); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		if x.rate > 0 && x.rate < 1<<40 {
			if millis := task.Work() / x.rate / 1000; millis > ProofTime.Milliseconds() {
				t.Errorf("%s: %s takes %d ms", x.name, describe(task), millis)
			}
		}
		if gpu := x.kind == raylink.DeviceGPU; gpu != (task.Version == 2) || gpu && (task.Memory > x.memory || task.Memory/int64(task.Windows) > window) {
			t.Errorf("%s: version %d, %d windows of %d bytes", x.name, task.Version, task.Windows, task.Memory)
		}
		if most := WalkMost(task, x.reads); x.reads > 100 && (most < WalkMargin.Milliseconds() || most > (WalkMargin+WalkTime).Milliseconds()) || x.reads == 0 && most != 0 {
			t.Errorf("%s: its walk of %d reads may take %d ms", x.name, task.Steps, most)
		}
		if opened := task.Openings * task.Tile * task.Tile * task.Size; opened > 1<<34 {
			t.Errorf("%s: %s is dear to judge: 2^34 < %d", x.name, describe(task), opened)
		}
	}
	if cost := time.Hour / MinInterval * 2 * ProofTime; cost > 20*time.Second {
		t.Errorf("proofs cost %s of an idle hour", cost)
	}
	if got := Rate(Task{Size: 1000, Links: 3}, 1500); got != 2000 {
		t.Errorf("3·10^9 in 1.5 s are %d millions a second", got)
	}
}

// Trees of every small size open every leaf, and nothing else opens there.
func TestTrees(t *testing.T) {
	for n := 1; n <= 20; n++ {
		leaves := make([]Hash, n)
		for i := range leaves {
			leaves[i] = tagged("x", u32(i))
		}
		tree := NewTree(leaves)
		for i, leaf := range leaves {
			if root, ok := climb(leaf, i, n, tree.Path(i)); !ok || root != tree.Root() {
				t.Fatalf("leaf %d of %d does not lead to the root", i, n)
			}
			if n > 1 {
				if root, ok := climb(leaf, (i+1)%n, n, tree.Path(i)); ok && root == tree.Root() {
					t.Fatalf("leaf %d of %d leads to the root from another place", i, n)
				}
			}
		}
	}
}
