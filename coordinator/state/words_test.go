package state

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/verify"
	"raylink/raylink"
	"raylink/raylink/identity"
)

// hired is a small world with a ready cluster of two nodes, an hour later.
func hired(t *testing.T) (w *world, minutes func(ordinal int64) []SettleMinute) {
	t.Helper()
	w, tenant := small(t, "10")
	c := w.cluster("first", tenant, 1, "mone", "mtwo")
	w.now = w.now.Add(time.Hour)
	leases := w.s.Clusters[c].Leases
	return w, func(ordinal int64) []SettleMinute {
		return []SettleMinute{w.minute(leases[0], ordinal, "mone", "gone", 60, 60), w.minute(leases[1], ordinal, "mtwo", "gone", 60, 30)}
	}
}

func signedBy(who string, minutes ...SettleMinute) *SettleMinutes {
	c := &SettleMinutes{Minutes: minutes}
	c.Sign(keyOf(who))
	return c
}

// judged is what verification finds in the world's journal.
func judged(t *testing.T, w *world) verify.Report {
	t.Helper()
	h := verify.Header{ExportedAt: w.now, GroupKey: publicOf("group"), Machines: map[string]ed25519.PublicKey{}, Gateways: map[string]ed25519.PublicKey{}}
	for id, m := range w.s.Machines {
		h.Machines[string(id)], _ = identity.DecodeKey(m.PublicKey)
	}
	for id, g := range w.s.Gateways {
		h.Gateways[string(id)], _ = identity.DecodeKey(g.PublicKey)
	}
	var file bytes.Buffer
	if err := verify.Write(&file, h, w.s.Ledger, publicOf("group"), func(m []byte) []byte { return ed25519.Sign(keyOf("group"), m) }); err != nil {
		t.Fatal(err)
	}
	report, err := verify.Verify(&file)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// What a coordinator signed for bears his signature in the journal, charged or waived, and verifies; what was settled before he signed stays as it was.
func TestSignedMinutes(t *testing.T) {
	w, minutes := hired(t)
	w.must(&SettleMinutes{Minutes: minutes(0)})
	w.must(signedBy("group", minutes(1)...), signedBy("group", append(minutes(2), minutes(3)...)...))
	report := judged(t, w)
	if !report.OK() || report.Unsigned != 1 || report.Leases[0].Charged+report.Leases[1].Charged != 4 || report.Leases[0].Waived+report.Leases[1].Waived != 4 {
		t.Errorf("%v %+v", report.Problems, report.Leases)
	}
	again := reload(t, w.s)
	if again.Digest() != w.s.Digest() || again.SealKey != identity.EncodeKey(publicOf("group")) {
		t.Errorf("after a snapshot the digest is another, or the key is %q", again.SealKey)
	}
	w.sound()
}

// A signature that is forged, moved, or missing after others were there settles nothing and changes nothing.
func TestForgedSignatureOfACoordinator(t *testing.T) {
	w, minutes := hired(t)
	w.must(signedBy("group", minutes(0)...))
	good := signedBy("group", minutes(1)...)
	change := func(change func(c *SettleMinutes)) *SettleMinutes {
		c := *good
		c.Minutes = minutes(1)
		change(&c)
		return &c
	}
	for what, c := range map[string]*SettleMinutes{
		"another's key":            signedBy("eve", minutes(1)...),
		"another's signature":      change(func(c *SettleMinutes) { c.Signature = signedBy("eve", c.Minutes...).Signature }),
		"moved to other minutes":   change(func(c *SettleMinutes) { c.Minutes = minutes(2) }),
		"moved from other minutes": change(func(c *SettleMinutes) { c.Signature = signedBy("group", minutes(0)...).Signature }),
		"fewer minutes":            change(func(c *SettleMinutes) { c.Minutes = c.Minutes[:1] }),
		"more minutes":             change(func(c *SettleMinutes) { c.Minutes = append(c.Minutes, minutes(2)...) }),
		"another order":            change(func(c *SettleMinutes) { c.Minutes[0], c.Minutes[1] = c.Minutes[1], c.Minutes[0] }),
		"another ordinal":          change(func(c *SettleMinutes) { c.Minutes[0].Ordinal++ }),
		"more seconds":             change(func(c *SettleMinutes) { c.Minutes[1].Gateway.Seconds = 60 }),
		"a word left out":          change(func(c *SettleMinutes) { c.Minutes[0].Gateway = nil }),
		"no signature":             change(func(c *SettleMinutes) { c.Key, c.Signature = "", "" }),
		"key alone":                change(func(c *SettleMinutes) { c.Signature = "" }),
	} {
		w.refused(what, c, raylink.CodeForbidden)
	}
	w.refused("signature alone", change(func(c *SettleMinutes) { c.Key = "" }), raylink.CodeForbidden)
	w.refused("no minutes", &SettleMinutes{Key: good.Key, Signature: good.Signature}, raylink.CodeForbidden)
	w.must(good)
	if report := judged(t, w); !report.OK() {
		t.Error(report.Problems)
	}
}

// The key that signs checkpoints is the one that signs minutes, whichever came first.
func TestOneKeyOfTheGroup(t *testing.T) {
	w, minutes := hired(t)
	w.must(signedBy("group", minutes(0)...))
	root := func(who string) *RecordCheckpoint {
		seq, hash := w.s.Ledger.Head()
		return &RecordCheckpoint{Root: ledger.Root{Seq: seq, Hash: hash, Key: publicOf(who), Signature: ed25519.Sign(keyOf(who), ledger.RootBytes(seq, hash))}}
	}
	w.refused("another's checkpoint", root("eve"), raylink.CodeForbidden)
	w.must(root("group"))

	w, minutes = hired(t)
	w.must(root("group"), &SettleMinutes{Minutes: minutes(0)})
	w.refused("minutes of another", signedBy("eve", minutes(1)...), raylink.CodeForbidden)
	w.must(signedBy("group", minutes(1)...))
	if report := judged(t, w); !report.OK() || report.Unsigned != 1 {
		t.Error(report.Problems)
	}
}

// A leader that cheats is believed by the replicas, and caught by whoever verifies: for a minute that the machine did not see so, his signature is not enough. A
// word that could not be about the minute at all settles nothing.
func TestCheatingCoordinator(t *testing.T) {
	w, minutes := hired(t)
	short := minutes(0)
	short[1].Gateway.Seconds = 60 // the gateway saw 30
	w.must(signedBy("group", short...))
	report := judged(t, w)
	if len(report.Problems) != 1 || !strings.Contains(report.Problems[0].What, "statement of gateway "+string(gatewayID("gone"))+": signature does not fit") {
		t.Errorf("found: %v", report.Problems)
	}
	for what, change := range map[string]func(m *SettleMinute){
		"another machine's word": func(m *SettleMinute) { m.Agent.Machine = string(machineID("mtwo")) },
		"an unknown gateway's":   func(m *SettleMinute) { m.Gateway.Gateway = "g-nobody" },
		"61 seconds":             func(m *SettleMinute) { m.Agent.Seconds = 61 },
		"an endless Ray node":    func(m *SettleMinute) { m.Gateway.RayNode = strings.Repeat("n", MaxName+1) },
	} {
		m := minutes(1)
		change(&m[0])
		var done Settled
		if err := ReadResult(w.do("leader", "", signedBy("group", m[0])), &done); err != nil || done != (Settled{Skipped: 1}) {
			t.Errorf("%s: %+v, %v", what, done, err)
		}
	}
}

// Who does not sign is checked in Apply, as in the logs of before: a word whose signature does not hold counts as none.
func TestUnsignedMinutesAreChecked(t *testing.T) {
	w, minutes := hired(t)
	m := minutes(0)
	m[0].Agent.Signature = m[0].Gateway.Signature
	if done := w.settle(m...); done != (Settled{Waived: 2}) {
		t.Errorf("%+v", done)
	}
	e, found := w.s.Ledger.Find(meter.KindWaived, meter.Ref(string(m[0].Lease), 0))
	var n meter.MinuteNote
	if err := json.Unmarshal(e.Note, &n); !found || err != nil || n.Reason != meter.ReasonNoEvidence || n.Agent != nil || n.Coordinator != nil {
		t.Errorf("%v %v %s", found, err, e.Note)
	}
}
