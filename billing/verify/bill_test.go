package verify

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/money"
)

// billOf is the bill of a cluster out of the journal of these entries, as the group would write it.
func billOf(t *testing.T, cluster string, entries []ledger.Entry, after uint64) []byte {
	t.Helper()
	h := header()
	h.Cluster = cluster
	var file bytes.Buffer
	if err := WriteBill(&file, h, chained(entries), after, public('G'), func(m []byte) []byte { return ed25519.Sign(key('G'), m) }); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// A bill says of its cluster what the whole journal says, and nothing of anybody else.
func TestBill(t *testing.T) {
	whole, err := Verify(bytes.NewReader(export(t, header(), mixes())))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range exchange.Purses() {
		file := billOf(t, cluster(p), mixes(), 8) // entry 9 is the first hold
		report, err := Verify(bytes.NewReader(file))
		if err != nil || !report.OK() || report.Cluster != cluster(p) || !report.Key.Equal(public('G')) {
			t.Fatalf("%s: %v %v, key %x", p, err, report.Problems, report.Key)
		}
		of := slices.DeleteFunc(slices.Clone(whole.Leases), func(l LeaseReport) bool { return l.Cluster != cluster(p) })
		if len(of) != 2 || !slices.Equal(of, report.Leases) {
			t.Errorf("%s: the bill says\n%+v\nthe journal\n%+v", p, report.Leases, of)
		}
		held := slices.DeleteFunc(slices.Clone(whole.Accounts), func(a ledger.Account) bool { return a.Name != ledger.Hold(cluster(p)) })
		if !slices.Equal(held, report.Accounts) {
			t.Errorf("%s: the bill holds %v, the journal %v", p, report.Accounts, held)
		}
		for _, other := range []string{"deposit", "payout", "c-card", "c-io", "c-usdc", "c-grant"} {
			if other != cluster(p) && bytes.Contains(file, []byte(`"`+other)) {
				t.Errorf("%s: the bill speaks of %s", p, other)
			}
		}
	}
	empty, err := Verify(bytes.NewReader(billOf(t, "c-none", mixes(), 0)))
	if err != nil || !empty.OK() || empty.Entries != 0 {
		t.Errorf("the bill of a cluster that never was: %v %+v", err, empty)
	}
}

// A minute that was charged at nothing, since its rate is tiny, is one of the bill's like any other.
func TestBillOfATinyRate(t *testing.T) {
	entries := []ledger.Entry{moved("grant", "g-1", ledger.Grants, ledger.Tenant("ann"), "1 USD"), moved("hold", "c-1", ledger.Tenant("ann"), ledger.Hold("c-1"), "1 USD")}
	for ordinal := range int64(3) {
		n := note("l-1", ordinal, 60, 60)
		n.Rate = 30 // micro-USD an hour: one in two minutes
		entries = append(entries, minuteEntry(n, ordinal%2, ordinal%2))
	}
	report, err := Verify(bytes.NewReader(billOf(t, "c-1", entries, 0)))
	if err != nil || !report.OK() || report.Leases[0].Charged != 3 {
		t.Errorf("%v %v", err, report)
	}
}

// Nothing of a bill can be changed, moved, left out or put in.
func TestBillTampered(t *testing.T) {
	good := billOf(t, "c-1", story(), 0)
	tamper(t, good, 400, 1000)
	lines := bytes.SplitAfter(good, []byte("\n"))
	last := len(lines) - 2 // the receipt; behind it is nothing
	for i := 1; i < last; i++ {
		lost := slices.Delete(slices.Clone(lines), i, i+1)
		swapped := slices.Clone(lines)
		swapped[i], swapped[i%(last-1)+1] = swapped[i%(last-1)+1], swapped[i]
		for what, changed := range map[string][][]byte{"lost": lost, "swapped": swapped} {
			if !caught(bytes.Join(changed, nil)) {
				t.Errorf("line %d %s: not caught", i+1, what)
			}
		}
	}
	if !caught(bytes.Join(lines[:last], nil)) {
		t.Error("without its receipt it holds")
	}
}

// Even the group, which can sign anything, is caught where minutes, prices and hold do not add up.
func TestBillForged(t *testing.T) {
	entries := mixes()
	of := func(change func(list []ledger.Entry) []ledger.Entry) Report {
		report, err := Verify(bytes.NewReader(billOf(t, "c-usdc", change(slices.Clone(entries)), 0)))
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	first := slices.IndexFunc(entries, func(e ledger.Entry) bool { return e.Ref == "l-usdc-USDC/0" })
	dearer := mixNote(exchange.USDC, money.USDC, 0, false)
	m := minuteIn(dearer)
	m.Use++
	for what, c := range map[string]struct {
		change func(list []ledger.Entry) []ledger.Entry
		want   string
	}{
		"a minute left out":   {func(l []ledger.Entry) []ledger.Entry { return slices.Delete(l, first, first+1) }, "minute"},
		"a minute that costs": {func(l []ledger.Entry) []ledger.Entry { l[first] = mixedAs(dearer, m); return l }, "postings are not those"},
		"no hold":             {func(l []ledger.Entry) []ledger.Entry { return slices.Delete(l, 10, 11) }, "falls to"},
		"a charge in disguise": {func(l []ledger.Entry) []ledger.Entry {
			return append(l, moved("release", "x", "hold:c-usdc", "fees", "0.001 USDC"))
		}, "only a charged minute may"},
	} {
		if report := of(c.change); report.OK() || !strings.Contains(report.Problems[0].What, c.want) {
			t.Errorf("%s: %v", what, report.Problems)
		}
	}
	alien := bytes.Replace(billOf(t, "c-usdc", entries, 0), []byte(`"cluster":"c-usdc"`), []byte(`"cluster":"c-io"`), 1)
	if report, err := Verify(bytes.NewReader(alien)); err != nil || !strings.Contains(report.Problems[0].What, "is not about cluster c-io") {
		t.Errorf("another's bill: %v %v", err, report.Problems)
	}
	for _, form := range []string{`{"format":"raylink-bill/1","exported_at":"2026-11-23T13:00:00Z"}`, `{"format":"raylink-journal/1","cluster":"c-1"}`} {
		if _, err := Verify(strings.NewReader(form + "\n{}\n")); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", form, err)
		}
	}
}

// The bill of the design page is one that verifies, and all of it stands there but the entries, which are those of the export above it.
func TestDesignBill(t *testing.T) {
	design, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	h := header()
	delete(h.Machines, "m-2")
	h.Cluster = cluster(exchange.USDC)
	var file bytes.Buffer
	if err := WriteBill(&file, h, chained(vector()), 0, public('G'), func(m []byte) []byte { return ed25519.Sign(key('G'), m) }); err != nil {
		t.Fatal(err)
	}
	if report, err := Verify(bytes.NewReader(file.Bytes())); err != nil || !report.OK() || report.Entries != 2 {
		t.Fatal(err, report.Problems)
	}
	lines := bytes.SplitAfter(file.Bytes(), []byte("\n"))
	if want := "```\n" + string(lines[0]) + "…\n" + string(lines[3]) + "```"; !strings.Contains(string(design), want) {
		t.Errorf("DESIGN.md lacks the bill\n%s", want)
	}
}
