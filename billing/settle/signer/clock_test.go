package signer

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// moved is what a signer finds whose machine's clock was moved by so much while it was down: its journal is dated as much the other way.
func (b *bench) moved(by time.Duration) {
	b.t.Helper()
	b.signer.Close()
	b.signer = nil
	text, err := os.ReadFile(b.config.Journal)
	if err != nil {
		b.t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			b.t.Fatal(err)
		}
		r.At = r.At.Add(-by)
		dated, err := json.Marshal(&r)
		if err != nil {
			b.t.Fatal(err)
		}
		out.Write(append(dated, '\n'))
	}
	if err := os.WriteFile(b.config.Journal, []byte(out.String()), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

// spends lets the hour's cap out, and wants the next payment to be refused.
func (b *bench) spends() {
	b.t.Helper()
	b.want("pb-1", 1, map[string]int64{"po-1": 100, "po-2": 100, "po-3": 50})
	b.signs()
	b.want("pb-2", 1, map[string]int64{"po-4": 1})
	b.refuses("the hour has let out 250 of 250")
}

// passes lets so much true time pass: the chain makes its blocks in it, as fast as it does on mainnet.
func (b *bench) passes(d time.Duration) {
	<-time.After(d) // in a bubble
	b.chain.Tick(uint64(d / (400 * time.Millisecond)))
}

// TestClockMovedWhileDown: neither a clock set back by hours or years nor one that jumped ahead opens a second hour's cap to a signer that is started anew; and
// an hour later, in truth, what was refused is signed.
func TestClockMovedWhileDown(t *testing.T) {
	const day = 24 * time.Hour
	for name, by := range map[string]time.Duration{"not at all": 0, "set back 5 h": -5 * time.Hour, "set back a year": -365 * day,
		"2 h ahead": 2 * time.Hour, "a year ahead": 365 * day} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.spends()
				b.moved(by)
				b.refuses("the hour has let out 250 of 250")
				b.passes(50 * time.Minute)
				b.refuses("the hour has let out 250 of 250")
				b.passes(11 * time.Minute)
				b.signs()
				b.moved(-by) // and right again: what has been signed since counts for its own hour
				b.want("pb-3", 1, map[string]int64{"po-5": 100, "po-6": 100, "po-7": 50})
				b.refuses("the hour has let out 1 of 250")
				b.passes(61 * time.Minute)
				b.signs()
			})
		})
	}
}

// TestClockMovedWhileUp: a signer that runs measures the hour by a clock that nobody sets, and does not read the dates of its journal again.
func TestClockMovedWhileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.spends()
		for _, by := range []time.Duration{2 * time.Hour, -5 * time.Hour, 365 * 24 * time.Hour} {
			b.signer.journal.records[0].At = time.Now().Add(-by)
			b.chain.Tick(100_000) // nor does a chain that makes haste
			b.refuses("the hour has let out 250 of 250")
		}
		b.passes(time.Hour)
		b.signs()
	})
}
