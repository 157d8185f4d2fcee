package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// What shipped: the first lines of the golden file, and their SHA-256. Who changes one of them changes what the logs of the world mean: a command's new
// field is optional and gets a line of its own. Raise both numbers when lines have shipped, never otherwise.
const (
	shippedLines = 77
	shippedSum   = "b310105e25e1a4edb46f7c5b2cecae1149fdf10be8d1fca79f84957205758cb7"
	unguarded    = 24 // lines behind them, at most
)

func sumOf(lines [][]byte) string {
	sum := sha256.New()
	for _, line := range lines {
		fmt.Fprintf(sum, "%s\n", line)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// TestGoldenOnlyGrows wants every line that shipped where it was, as it was.
func TestGoldenOnlyGrows(t *testing.T) {
	lines := goldenLines(t)
	if len(lines) < shippedLines || sumOf(lines[:shippedLines]) != shippedSum {
		t.Errorf("the first %d lines of %s have changed: they shipped, and are written once and for ever. Put them back, and append", shippedLines, goldenFile)
	}
	if more := len(lines) - shippedLines; more > unguarded {
		t.Errorf("%d lines have been appended and are guarded by nothing: once they have shipped, let shippedLines be %d and shippedSum %q", more, len(lines), sumOf(lines))
	}
}

// TestTheEarlyNotice applies machine.set as it was written when it carried the time of leaving, not the notice.
func TestTheEarlyNotice(t *testing.T) {
	for _, row := range []struct {
		fields string
		leaves time.Duration // from the entry's time on; 0 is none, and a refusal
	}{
		{`"state":"draining","leaves":"2026-11-23T14:00:00Z"`, 2 * time.Hour},
		{`"state":"draining","leaves":"2026-11-23T16:00:00+02:00"`, 2 * time.Hour},
		{`"state":"draining","leaves":"2026-11-23T11:59:59Z"`, 0},
		{`"state":"draining","leaves":"2036-11-23T12:00:00Z"`, 0},
		{`"state":"active","leaves":"2026-11-23T14:00:00Z"`, 0},
		{`"state":"draining","leaves":"2026-11-23T14:00:00Z","notice":3600000000000`, 0},
	} {
		w, _ := small(t, "10")
		w.s.Now = noon
		entry := fmt.Sprintf(`{"kind":"machine.set","by":"account:acc-aaaaaaaaaa","body":{"id":%q,%s}}`, machineID("mone"), row.fields)
		results := w.s.Apply(w.s.Index+1, noon, []json.RawMessage{json.RawMessage(entry)})
		err, m := ReadResult(results[0], nil), w.s.Machines[machineID("mone")]
		switch {
		case row.leaves == 0:
			if err == nil || !strings.Contains(err.Error(), "notice") || m.Leaves != nil {
				t.Errorf("%s: %v, and it leaves at %v", row.fields, err, m.Leaves)
			}
		case err != nil || m.Leaves == nil || *m.Leaves != noon.Add(row.leaves):
			t.Errorf("%s: %v, and it leaves at %v", row.fields, err, m.Leaves)
		}
	}
}
