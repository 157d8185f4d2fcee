package devnet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recorded is the text of a file as the kernel (Linux 6.18) told it of a running agent.
func recorded(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "footprint", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFootprint reads what was recorded of a running agent.
func TestFootprint(t *testing.T) {
	var got footprint
	if err := got.read(recorded(t, "stat"), recorded(t, "status"), recorded(t, "smaps_rollup"), recorded(t, "io")); err != nil {
		t.Fatal(err)
	}
	const kib = 1 << 10
	want := footprint{cpu: 450 * time.Millisecond, rss: 49380 * kib, pss: 15548 * kib, own: 9120 * kib, peak: 49736 * kib, threads: 8, written: 516096}
	if got != want {
		t.Errorf("read %+v, recorded was %+v", got, want)
	}
	wakes, err := procNumber(recorded(t, "status"), "voluntary_ctxt_switches") // not those of the line "nonvoluntary…"
	if err != nil || wakes != 16 {
		t.Errorf("%d wake-ups: %v", wakes, err)
	}
}

// TestProcCPU: a process may bear any name, and its children count once they have ended.
func TestProcCPU(t *testing.T) {
	const rest = " S 1 2 3 0 -1 4194304 3863 0 0 0 100 20 3 4 20 0 8 0 101984 1349713920 12341"
	for _, name := range []string{"raylink", "a b", "S 1 2 3) (", ")", ""} {
		cpu, err := procCPU("17 (" + name + ")" + rest + "\n")
		if err != nil || cpu != 1270*time.Millisecond {
			t.Errorf("of %q: %s, %v", name, cpu, err)
		}
	}
	for _, bad := range []string{"", "17", "17 (raylink)", "17 (raylink) S 1 2 3 0 -1 4194304 3863 0 0 0 100 20 3", "17 raylink" + rest, "17 (raylink) S 1 2 3 0 -1 4194304 3863 0 0 0 100 x 3 4"} {
		if cpu, err := procCPU(bad); err == nil {
			t.Errorf("%q was read as %s", bad, cpu)
		}
	}
}

// TestProcNumber: what is not there, or is in another form, is an error and not a zero.
func TestProcNumber(t *testing.T) {
	for text, want := range map[string]string{
		"Rss:  12 kB\n": "", "Pss: 1 kB\nRss:\t12 kB": "",
		"": "tells no Rss", "XRss: 12 kB\nRssFile: 1 kB\n": "tells no Rss", "Rss:\n": "no number", "Rss: 12 MB\n": "no number", "Rss: 1 2 kB\n": "no number", "Rss: many kB\n": "reading Rss",
	} {
		got, err := procNumber(text, "Rss")
		if want == "" && (err != nil || got != 12<<10) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %d, %v, wanted an error with %q", text, got, err, want)
		}
	}
}

// TestIdleRounds: what was taken between two looks, by the second or minute, and the median of each figure by itself.
func TestIdleRounds(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	from := footprint{at: begin, cpu: 400 * time.Millisecond, wakes: 1000, written: 4096}
	to := footprint{at: begin.Add(30 * time.Second), cpu: 700 * time.Millisecond, rss: 48 << 20, pss: 12 << 20, own: 8 << 20, peak: 50 << 20, threads: 8, wakes: 1900, written: 4096 + 50<<10}
	round := between(from, to)
	const told = "10.0 millicores (1.00 % of a core)  RSS  48.0 MiB (its own data 8.0, peak 50.0, PSS 12.0)  8 threads  30 wake-ups/s  100 KiB/min to disk"
	if got := strings.TrimSpace(round.String()); got != told {
		t.Errorf("told %q,\nwanted %q", got, told)
	}
	busy, small := round, round
	busy.millicores, busy.rss, busy.threads = 900, 60<<20, 9
	small.rss, small.wakes = 40<<20, 1
	if got := medianRound([]idleRound{busy, round, small}); got != round {
		t.Errorf("the median is %v, wanted %v", got, round)
	}
}
