package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// Forged seals: what a coordinator could do with his signature, or somebody without one.
func forgedSeals() map[string]forgery {
	const unfit = "statement of the coordinators: signature does not fit"
	moved := func(n *meter.MinuteNote) { *n.Coordinator = *sealOf(charged) }
	return map[string]forgery{
		"another's seal":             {renote(charged, func(n *meter.MinuteNote) { seal('E', n) }), unfit},
		"seal of the roles' keys":    {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Signature = n.Agent.Signature }), unfit},
		"seal without base64":        {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Signature = "zz" }), unfit},
		"seal of another minute":     {renote(last, moved), unfit},
		"seal of a waived minute":    {renote(charged, func(n *meter.MinuteNote) { *n.Coordinator = *sealOf(short) }), unfit},
		"seal at another place":      {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Place = 0 }), unfit},
		"seal of more minutes":       {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Of = 4 }), unfit},
		"place behind the end":       {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Place = 3 }), "place 3 of 3"},
		"place before the first":     {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Place = -1 }), "place -1 of 3"},
		"path cut off":               {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Path = n.Coordinator.Path[:32] }), "path does not lead"},
		"path that goes on":          {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Path = append(n.Coordinator.Path, make([]byte, 32)...) }), "path does not lead"},
		"path elsewhere":             {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Path[0]++ }), unfit},
		"more than are settled":      {renote(charged, func(n *meter.MinuteNote) { n.Coordinator.Of = 1001 }), "at most 1000"},
		"sealed before, and no more": {renote(last, func(n *meter.MinuteNote) { n.Coordinator = nil }), "no coordinator signed this minute"},
		"waived without a seal":      {renote(short, func(n *meter.MinuteNote) { n.Coordinator = nil }), "no coordinator signed this minute"},

		// A coordinator who signs for minutes that nobody saw so: his signature is right, and the machine's or gateway's is not.
		"coordinator changes what the agent saw":   {renote(charged, func(n *meter.MinuteNote) { n.Agent.Seconds = 59; seal('G', n) }), "statement of machine m-1: signature does not fit"},
		"coordinator changes what the gateway saw": {renote(charged, func(n *meter.MinuteNote) { n.Gateway.Seconds = 59; seal('G', n) }), "statement of gateway g-1: signature does not fit"},
		"coordinator makes up a minute": {func(e []ledger.Entry) []ledger.Entry {
			n := note("l-1", 4, 60, 60)
			*n.Agent = *noteOf(e[charged]).Agent
			*n.Gateway = *noteOf(e[charged]).Gateway
			seal('G', &n)
			return slices.Insert(e, last+1, minuteEntry(n, 2000, 40))
		}, "statement of machine m-1: signature does not fit"},
		"coordinator hides a word":                      {renote(last, func(n *meter.MinuteNote) { n.Gateway = nil; seal('G', n) }), "charged, though to be waived"},
		"coordinator drops a word behind his signature": {renote(short, func(n *meter.MinuteNote) { n.Gateway = nil; n.Reason = meter.ReasonNoEvidence }), unfit},
	}
}

func noteOf(e ledger.Entry) (n meter.MinuteNote) {
	if err := json.Unmarshal(e.Note, &n); err != nil {
		panic(err)
	}
	return n
}

func sealOf(i int) *meter.Seal { return noteOf(story()[i]).Coordinator }

// unsealed are the entries as coordinators wrote them before they signed.
func unsealed(entries []ledger.Entry) []ledger.Entry {
	for i := range entries {
		if e := &entries[i]; e.Kind == meter.KindCharged || e.Kind == meter.KindWaived {
			renote(i, func(n *meter.MinuteNote) { n.Coordinator = nil })(entries)
		}
	}
	return entries
}

// A journal of the time before coordinators signed still holds, and the report counts what they did not sign. They may begin at any time.
func TestUnsealed(t *testing.T) {
	for from, want := range map[int]int{0: 0, charged + 1: 1, last: 2, len(story()): 3} {
		entries := append(unsealed(story()[:from]), story()[from:]...)
		report, err := Verify(bytes.NewReader(export(t, header(), entries)))
		if err != nil || !report.OK() || report.Unsigned != want {
			t.Errorf("signed from entry %d on: %v %v, %d unsigned, want %d", from+1, err, report.Problems, report.Unsigned, want)
		}
	}
	h := header()
	h.GroupKey = nil
	if report, err := Verify(bytes.NewReader(export(t, h, story()))); err != nil || !strings.Contains(fmt.Sprint(report.Problems), "the coordinators signed, but the header has no key") {
		t.Errorf("a header without the group's key: %v %v", err, report.Problems)
	}
}

// Minutes that were settled together share one signature; each is found wrong by itself.
func TestSealedTogether(t *testing.T) {
	for wrong := -1; wrong < 5; wrong++ {
		var notes []*meter.MinuteNote
		for i := range 5 {
			n := mixNote(exchange.USDC, money.USDC, int64(i), false)
			notes = append(notes, &n)
		}
		seal('G', notes...)
		entries := minutesOf(0)
		for i, n := range notes {
			if i == wrong {
				n.Coordinator.Path[0]++
			}
			m := minuteIn(*n)
			l := meter.Lease{Rate: n.Rate, FeeBasisPoints: n.FeeBasisPoints, Next: int64(i), Charged: int64(i), Accrued: int64(2000 * i), Fees: int64(40 * i)}
			m.Use, m.Fee, _ = l.Charge(int64(i))
			entries = append(entries, mixedAs(*n, m))
		}
		report, err := Verify(bytes.NewReader(export(t, header(), entries)))
		if err != nil || report.OK() != (wrong < 0) {
			t.Fatalf("minute %d wrong: %v %v", wrong, err, report.Problems)
		}
		if wrong >= 0 && (len(report.Problems) != 1 || report.Problems[0].Seq != uint64(wrong+3)) {
			t.Errorf("minute %d wrong: %v", wrong, report.Problems)
		}
	}
}

// The design page has the tree of a command of three minutes, of which the export shows the second.
func TestDesignSeal(t *testing.T) {
	design, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	n := noteOf(vector()[2])
	var text strings.Builder
	text.WriteString("```\n")
	for _, m := range []*meter.MinuteNote{beside(&n, "l-before"), &n, beside(&n, "l-behind")} {
		fmt.Fprintf(&text, "leaf  %x  minute %d of %s\n", meter.Leaf(m.Lease, m.Ordinal, m.Agent, m.Gateway), m.Ordinal, m.Lease)
	}
	root, err := n.Coordinator.Root(meter.Leaf(n.Lease, n.Ordinal, n.Agent, n.Gateway))
	if err != nil || !ed25519.Verify(public('G'), meter.SealBytes(3, root), raw(t, n.Coordinator.Signature)) {
		t.Fatal("the vector's own seal does not hold")
	}
	fmt.Fprintf(&text, "root  %x\n```", root)
	if !strings.Contains(string(design), text.String()) {
		t.Errorf("DESIGN.md lacks\n%s", text.String())
	}
}

func raw(t *testing.T, base64 string) (raw []byte) {
	t.Helper()
	if err := json.Unmarshal([]byte(`"`+base64+`"`), &raw); err != nil {
		t.Fatal(err)
	}
	return raw
}
