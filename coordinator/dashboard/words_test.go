package dashboard

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

func TestWords(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{amount(money.MicroUSD(1_250_000)), "1.25 USD"}, {amount(money.MicroUSD(2033)), "0.002033 USD"}, {amount(money.MicroUSD(-5_000_000)), "-5.00 USD"},
		{units(20_000), "2"}, {units(5_000), "0.5"}, {units(1), "0.0001"}, {bytesOf(62 << 30), "62 GiB"}, {bytesOf(1610612736), "1.5 GiB"}, {bytesOf(512 << 20), "512 MiB"},
		{took(0), "0.0 s"}, {took(-time.Second), "0.0 s"}, {took(1740 * time.Millisecond), "1.7 s"}, {took(59 * time.Second), "59 s"}, {took(61 * time.Second), "1 min 1 s"},
		{took(90 * time.Minute), "1 h 30 min"}, {took(72 * time.Hour), "3 days"}, {ago(now, now.Add(time.Hour)), "now"}, {ago(now, now.Add(-7*time.Second)), "7 s ago"},
		{short("c0ffee"), "c0ffee"}, {short(strings.Repeat("ä", 20)), strings.Repeat("ä", 12) + "…"}, {plain("a\u202Eb\x00c"), "abc"},
		{shellQuoted("https://a:1/c/c-1"), "https://a:1/c/c-1"}, {shellQuoted("a'$(b)"), `'a'\''$(b)'`}, {shellQuoted(""), "''"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// TestSteps tells ways to ready, and ways to fail.
func TestSteps(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	stages := []wire.StageTime{{Phase: raylink.PhasePlaced, At: at(0)}, {Phase: raylink.PhaseImage, At: at(1)}, {Phase: raylink.PhaseHead, At: at(3)}}
	ready := at(8)
	for name, c := range map[string]struct {
		cl   wire.Cluster
		want string
	}{
		"under way, two phases skipped": {wire.Cluster{Phase: raylink.PhaseHead, Stages: stages}, "done 1.0 s, done 2.0 s, done, done, now 17 s, later, later"},
		"failed": {wire.Cluster{Phase: raylink.PhaseFailed, Failure: &raylink.Failure{}, Stages: append(stages[:3:3], wire.StageTime{Phase: raylink.PhaseEnding, At: at(7)}, wire.StageTime{Phase: raylink.PhaseFailed, At: at(9)})},
			"done 1.0 s, done 2.0 s, done, done, bad 4.0 s, later, later"},
		"deleted before ready": {wire.Cluster{Phase: raylink.PhaseEnding, Stages: append(stages[:3:3], wire.StageTime{Phase: raylink.PhaseEnding, At: at(5)})}, "done 1.0 s, done 2.0 s, done, done, stopped 2.0 s, later, later"},
		"ready": {wire.Cluster{Phase: raylink.PhaseReady, ReadyAt: &ready, CreatedAt: at(0), Stages: append(stages[:3:3], wire.StageTime{Phase: raylink.PhaseReady, At: ready})},
			"done 1.0 s, done 2.0 s, done, done, done 5.0 s, done, done after 8.0 s"},
		"nothing known": {wire.Cluster{}, "later, later, later, later, later, later, later"},
	} {
		var got []string
		for _, s := range steps(c.cl, at(20)) {
			got = append(got, strings.TrimSpace(s.State+" "+s.Time))
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, text, c.want)
		}
	}
}

func TestSessionsExpire(t *testing.T) {
	if _, err := newSessions(make([]byte, 16)); err == nil {
		t.Error("a key of 16 bytes was taken")
	}
	s, err := newSessions(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	old, err := s.begin("hash", now.Add(-sessionFor))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/ui", nil)
	r.AddCookie(old)
	if _, err := s.find(r, now.Add(-time.Second)); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	if _, err := s.find(r, now); err == nil {
		t.Error("a session was taken after its end")
	}
	for i := range maxEnded {
		s.ended[strconv.Itoa(i)] = now.Add(time.Hour)
	}
	s.end(session{ID: "one more", Until: now.Add(time.Hour)}, now)
	if len(s.ended) > maxEnded {
		t.Errorf("%d ended sessions are kept", len(s.ended))
	}
	s.end(session{ID: "last", Until: now.Add(3 * time.Hour)}, now.Add(2*time.Hour))
	if len(s.ended) != 1 {
		t.Errorf("%d ended sessions are kept after their time", len(s.ended))
	}
}
