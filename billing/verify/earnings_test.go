package verify

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// earningsOf is the part of a supplier out of the journal of these entries, as the group would write it.
func earningsOf(t *testing.T, supplier string, entries []ledger.Entry, machines ...string) []byte {
	t.Helper()
	h := partHeader(entries)
	h.Supplier, h.Machines = supplier, map[string]ed25519.PublicKey{}
	for _, id := range machines {
		h.Machines[id] = public('1') // as which sign signs for all
	}
	leases := map[string]bool{} // of which any minute was paid to him
	for _, e := range entries {
		for _, p := range e.Postings {
			if who, earned := ledger.EarnedBy(p.Account); earned && who == supplier && e.Kind == meter.KindCharged {
				lease, _, _ := strings.Cut(e.Ref, "/")
				leases[lease] = true
			}
		}
	}
	var file bytes.Buffer
	if err := WriteEarnings(&file, h, chained(entries), func(lease string) bool { return leases[lease] }, public('G'), func(m []byte) []byte { return ed25519.Sign(key('G'), m) }); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// neighbours is the world with another supplier in it, eve, whose machine m-2 is in the same cluster.
func neighbours() []ledger.Entry {
	minute := func(ordinal int64) meter.MinuteNote {
		n := mixNote(exchange.USDC, money.USDC, ordinal, false)
		n.Lease, n.Machine, n.Agent.Machine = "l-eve", "m-2", "m-2"
		return n
	}
	charged, silent := minute(0), minute(1)
	m := minuteIn(charged)
	m.Supplier = "eve"
	silent.Gateway, silent.Reason = nil, meter.ReasonNoEvidence
	sign(&charged)
	sign(&silent)
	entries := slices.Insert(world(), 3, mixedAs(charged, m), noted(ledger.Entry{Kind: meter.KindWaived, Ref: "l-eve/1", Postings: []ledger.Posting{}}, silent))
	return slices.DeleteFunc(entries, func(e ledger.Entry) bool {
		return e.Kind == ledger.KindCheckpoint || e.Kind == ledger.KindAnchor || e.Kind == "release"
	})
}

// Earnings say of their supplier what the whole journal says, and nothing of anybody else.
func TestEarnings(t *testing.T) {
	whole, err := Verify(bytes.NewReader(export(t, header(), mixes())))
	if err != nil {
		t.Fatal(err)
	}
	report, err := Verify(bytes.NewReader(earningsOf(t, "bob", mixes(), "m-1")))
	if err != nil || !report.OK() || report.Supplier != "bob" || !report.Key.Equal(public('G')) {
		t.Fatal(err, report.Problems)
	}
	if len(whole.Leases) == 0 || !slices.Equal(whole.Leases, report.Leases) { // all of them are his
		t.Errorf("the file says\n%+v\nthe journal\n%+v", report.Leases, whole.Leases)
	}
	his := slices.DeleteFunc(slices.Clone(whole.Accounts), func(a ledger.Account) bool { return !strings.HasPrefix(a.Name, "supplier") })
	if len(his) == 0 || !slices.Equal(his, report.Accounts) {
		t.Errorf("he has %v by the file, %v by the journal", report.Accounts, his)
	}
	if fmt.Sprint(report.PaidOut) != "[0.007000 USDC]" {
		t.Errorf("paid out: %v", report.PaidOut)
	}
	none, err := Verify(bytes.NewReader(earningsOf(t, "nobody", mixes())))
	if err != nil || !none.OK() || none.Entries != 0 {
		t.Errorf("who has earned nothing: %v %+v", err, none)
	}
}

// Each of two suppliers in one cluster sees his own leases, accounts and payouts, waived minutes too, and no line of the other's.
func TestEarningsAreOnesOwn(t *testing.T) {
	for _, c := range []struct {
		who, machine, lease string
		entries             int
		never               []string
	}{
		{"bob", "m-1", "l-usdc-USDC", 6, []string{"eve", "m-2", "tenant:", "deposit", "swap"}},
		{"eve", "m-2", "l-eve", 2, []string{"bob", "m-1", "po-1", "payout", "tenant:", "deposit", "swap"}},
	} {
		file := earningsOf(t, c.who, neighbours(), c.machine)
		report, err := Verify(bytes.NewReader(file))
		if err != nil || !report.OK() || report.Entries != c.entries || len(report.Leases) != 1 || report.Leases[0].Lease != c.lease || report.Leases[0].Waived == 0 {
			t.Errorf("%s: %v %+v", c.who, err, report)
		}
		for _, word := range c.never {
			if bytes.Contains(file, []byte(word)) {
				t.Errorf("%s's file speaks of %s", c.who, word)
			}
		}
	}
}

// A machine that has changed hands earns for each owner in his own leases, and neither sees the other's.
func TestEarningsOfAMachineThatChangedHands(t *testing.T) {
	n := mixNote(exchange.USDC, money.USDC, 0, false)
	n.Lease = "l-old"
	sign(&n)
	m := minuteIn(n)
	m.Supplier = "eve"
	last := n
	last.Ordinal, last.Agent, last.Gateway, last.Reason = 1, nil, nil, meter.ReasonNoEvidence
	sign(&last)
	entries := slices.Insert(world()[:7], 2, mixedAs(n, m), noted(ledger.Entry{Kind: meter.KindWaived, Ref: "l-old/1", Postings: []ledger.Posting{}}, last))
	for who, lease := range map[string]string{"bob": "l-usdc-USDC", "eve": "l-old"} {
		report, err := Verify(bytes.NewReader(earningsOf(t, who, entries, "m-1")))
		if err != nil || !report.OK() || len(report.Leases) != 1 || report.Leases[0].Lease != lease || report.Leases[0].Waived == 0 {
			t.Errorf("%s: %v %+v", who, err, report)
		}
	}
}

// Nothing of it can be changed, moved, left out or put in.
func TestEarningsTampered(t *testing.T) {
	good := earningsOf(t, "bob", world(), "m-1")
	tamper(t, good, 400, 1000)
	lines := bytes.SplitAfter(good, []byte("\n"))
	for i := range lines[:len(lines)-1] {
		if !caught(bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil)) {
			t.Errorf("line %d is missed by nobody", i+1)
		}
	}
}

// forgedHead changes the header of bob's earnings, and want is part of the problem that has to be found.
type forgedHead struct {
	change func(h *Header)
	want   string
}

func forgedHeads() map[string]forgedHead {
	other := strings.Repeat("ab", 32)
	return map[string]forgedHead{
		"another head":                     {func(h *Header) { h.Head.Seq, h.Head.Hash = 11, other }, "the header's head says another hash of entry 11"},
		"an older head":                    {func(h *Header) { h.Head.Seq = 10 }, "comes after entry 10"},
		"another anchor":                   {func(h *Header) { h.Anchor.Seq, h.Anchor.Hash = 3, other }, "the header's anchor says another hash of entry 3"},
		"another anchor, of one before":    {func(h *Header) { h.Anchor.Seq, h.Anchor.Hash = 2, other }, "the header's anchor says another hash of entry 2"},
		"an anchor of what is to come":     {func(h *Header) { h.Anchor.Seq = 13 }, "the header's anchor, of entry 13, is not of the journal"},
		"an anchor that is not the head's": {func(h *Header) { h.Anchor.Seq = 12 }, "the header's anchor, of entry 12, is not of the journal"},
		"an anchor without a head":         {func(h *Header) { h.Head = nil }, "an anchor and no head"},
	}
}

// file is the earnings with the forged header, as a dishonest group would sign it.
func (f forgedHead) file(t *testing.T) []byte {
	t.Helper()
	h := partHeader(world())
	h.Supplier = "bob"
	f.change(&h)
	var file bytes.Buffer
	err := WriteEarnings(&file, h, chained(world()), func(string) bool { return true }, public('G'), func(m []byte) []byte { return ed25519.Sign(key('G'), m) })
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// The header says how the journal stood: no entry comes after it, and where the file shows the hash of an entry that the header speaks of, it is the same.
func TestHeads(t *testing.T) {
	for what, f := range forgedHeads() {
		if report, err := Verify(bytes.NewReader(f.file(t))); err != nil || !strings.Contains(fmt.Sprint(report.Problems), f.want) {
			t.Errorf("%s: %v %v", what, err, report.Problems)
		}
	}
	report, err := Verify(bytes.NewReader(earningsOf(t, "bob", world(), "m-1")))
	if err != nil || report.Head == nil || report.Head.Seq != 12 {
		t.Errorf("%v %+v", err, report)
	}
}

// Even the group, which can sign anything, is caught where a supplier's minutes, fees and payouts do not add up.
func TestEarningsForged(t *testing.T) {
	at := func(kind, ref string) int {
		return slices.IndexFunc(world(), func(e ledger.Entry) bool { return e.Kind == kind && e.Ref == ref })
	}
	for what, c := range map[string]struct {
		change func(l []ledger.Entry) []ledger.Entry
		want   string
	}{
		"a minute left out": {func(l []ledger.Entry) []ledger.Entry {
			i := at("minute.waived", "l-usdc-USDC/1")
			return slices.Delete(l, i, i+1)
		}, "not settled yet"},
		"a minute paid short": {func(l []ledger.Entry) []ledger.Entry {
			n := mixNote(exchange.USDC, money.USDC, 0, false)
			m := minuteIn(n)
			m.SupplierFee++
			l[at("minute.charged", "l-usdc-USDC/0")] = mixedAs(n, m)
			return l
		}, "postings are not those"},
		"paid more than earned": {func(l []ledger.Entry) []ledger.Entry {
			i := at("payout.reserve", "po-1")
			l[i].Postings = moved("", "", "supplier:bob", "payout:po-1", "1 USDC").Postings
			return l
		}, "supplier:bob falls to"},
		"a payout that was not reserved": {func(l []ledger.Entry) []ledger.Entry {
			i := at("payout.paid", "po-1")
			l[i].Postings = moved("", "", "payout:po-1", "treasury:chain", "0.004 USDC").Postings
			return l
		}, "payout:po-1 falls to"},
	} {
		report, err := Verify(bytes.NewReader(earningsOf(t, "bob", c.change(world()), "m-1")))
		if err != nil || !strings.Contains(fmt.Sprint(report.Problems), c.want) {
			t.Errorf("%s: %v %v", what, err, report.Problems)
		}
	}
	alien := bytes.Replace(earningsOf(t, "bob", world(), "m-1"), []byte(`"supplier":"bob"`), []byte(`"supplier":"eve"`), 1)
	if report, err := Verify(bytes.NewReader(alien)); err != nil || !strings.Contains(fmt.Sprint(report.Problems), "is not about supplier eve") {
		t.Errorf("another's earnings: %v %v", err, report.Problems)
	}
}
