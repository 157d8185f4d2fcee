package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// forgery changes the story, and want is part of the problem that has to be found.
type forgery struct {
	change func([]ledger.Entry) []ledger.Entry
	want   string
}

// Places in the story.
const charged, short, silent, last, unfunded, release = 2, 4, 5, 6, 7, 8

// renote changes the note of entry i; its signatures stay.
func renote(i int, change func(*meter.MinuteNote)) func([]ledger.Entry) []ledger.Entry {
	return entry(i, func(e *ledger.Entry) {
		var n meter.MinuteNote
		if err := json.Unmarshal(e.Note, &n); err != nil {
			panic(err)
		}
		change(&n)
		e.Note, _ = json.Marshal(n)
	})
}

// resign signs the changed note as machine and gateway.
func resign(change func(*meter.MinuteNote)) func(*meter.MinuteNote) {
	return func(n *meter.MinuteNote) { change(n); sign(n) }
}

func entry(i int, change func(*ledger.Entry)) func([]ledger.Entry) []ledger.Entry {
	return func(entries []ledger.Entry) []ledger.Entry { change(&entries[i]); return entries }
}

// posted gives entry i the postings of a minute of that price.
func posted(i int, supplier string, use, fee int64) func([]ledger.Entry) []ledger.Entry {
	return entry(i, func(e *ledger.Entry) { e.Postings, _ = ledger.MinutePostings("hold:c-1", supplier, use, fee) })
}

func mustMove(from, to string, minor int64) []ledger.Posting {
	postings, err := ledger.Move(from, ledger.Posting{Account: to, Amount: money.MicroUSD(minor)})
	if err != nil {
		panic(err)
	}
	return postings
}

// Forged notes: what the minute's evidence, rate and reason say.
func forgedNotes() map[string]forgery {
	return map[string]forgery{
		"other rate":         {renote(last, func(n *meter.MinuteNote) { n.Rate++ }), "differ from its first"},
		"other fee":          {renote(last, func(n *meter.MinuteNote) { n.FeeBasisPoints++ }), "differ from its first"},
		"other cluster":      {renote(last, func(n *meter.MinuteNote) { n.Cluster = "c-2" }), "differ from its first"},
		"other machine":      {renote(last, func(n *meter.MinuteNote) { n.Machine = "m-2" }), "evidence is machine m-1's"},
		"other's signature":  {renote(charged, func(n *meter.MinuteNote) { n.Machine, n.Agent.Machine = "m-2", "m-2" }), "statement of machine m-2: signature does not fit"},
		"unknown machine":    {renote(charged, func(n *meter.MinuteNote) { n.Machine, n.Agent.Machine = "m-3", "m-3" }), "no key of it"},
		"unknown gateway":    {renote(charged, func(n *meter.MinuteNote) { n.Gateway.Gateway = "g-2" }), "no key of it"},
		"agent's seconds":    {renote(charged, func(n *meter.MinuteNote) { n.Agent.Seconds = 59 }), "statement of machine m-1: signature does not fit"},
		"gateway's seconds":  {renote(charged, func(n *meter.MinuteNote) { n.Gateway.Seconds = 59 }), "statement of gateway g-1: signature does not fit"},
		"agent's Ray node":   {renote(charged, func(n *meter.MinuteNote) { n.Agent.RayNode = "ray-b" }), "statement of machine m-1: signature does not fit"},
		"gateway's Ray node": {renote(charged, func(n *meter.MinuteNote) { n.Gateway.RayNode = "ray-b" }), "statement of gateway g-1: signature does not fit"},
		"no base64":          {renote(charged, func(n *meter.MinuteNote) { n.Agent.Signature = "zz" }), "signature does not fit"},
		"roles exchanged":    {renote(charged, func(n *meter.MinuteNote) { n.Agent.Signature = n.Gateway.Signature }), "statement of machine m-1: signature does not fit"},
		"61 seconds":         {renote(charged, resign(func(n *meter.MinuteNote) { n.Agent.Seconds = 61 })), "claims 61 seconds"},
		"too short":          {renote(charged, resign(func(n *meter.MinuteNote) { n.Agent.Seconds = 44 })), "charged, though to be waived"},
		"without evidence":   {renote(charged, func(n *meter.MinuteNote) { n.Gateway = nil }), "charged, though to be waived"},
		"reason to charge":   {renote(charged, func(n *meter.MinuteNote) { n.Reason = "why not" }), "yet with a reason"},
		"other reason":       {renote(short, func(n *meter.MinuteNote) { n.Reason = "no evidence" }), "but the evidence says"},
		"silent reason":      {renote(silent, func(n *meter.MinuteNote) { n.Reason = "" }), "but the evidence says"},
		"waived though fine": {renote(unfunded, func(n *meter.MinuteNote) { n.Reason = "no evidence" }), "though proven and paid for"},
	}
}

// Forged books: postings, order, names.
func forgedBooks() map[string]forgery {
	return map[string]forgery{
		"a micro more":     {posted(charged, "supplier:bob", 2001, 40), "postings are not those"},
		"a micro more fee": {posted(charged, "supplier:bob", 2000, 41), "postings are not those"},
		"for nothing":      {posted(charged, "supplier:bob", 0, 0), "postings are not those"},
		"to another":       {posted(last, "supplier:eve", 2000, 40), "postings are not those"},
		"to no supplier":   {posted(charged, "tenant:eve", 2000, 40), "postings are not those"},
		"not that poor": {func(entries []ledger.Entry) []ledger.Entry {
			return slices.Insert(entries, unfunded, ledger.Entry{Kind: "hold", Ref: "c-1-more", Postings: mustMove("tenant:ann", "hold:c-1", 1960)})
		}, "though proven and paid for"},
		"waived with postings": {posted(short, "supplier:bob", 2000, 40), "waived, yet with postings"},
		"charged twice":        {func(e []ledger.Entry) []ledger.Entry { return slices.Insert(e, 3, e[charged]) }, "is entry 3 already"},
		"charged and waived": {func(e []ledger.Entry) []ledger.Entry {
			again := minuteEntry(note("l-1", 0, 44, 60), 0, 0)
			return slices.Insert(e, 3, again)
		}, "settled already"},
		"a gap":              {func(e []ledger.Entry) []ledger.Entry { return slices.Delete(e, short, short+1) }, "not settled yet"},
		"other ref":          {entry(charged, func(e *ledger.Entry) { e.Ref = "l-1/7" }), "but the note is of minute 0"},
		"padded ref":         {entry(charged, func(e *ledger.Entry) { e.Ref = "l-1/00" }), "but the note is of minute 0"},
		"no note":            {entry(charged, func(e *ledger.Entry) { e.Note = nil }), "note of a minute"},
		"note of more":       {entry(charged, func(e *ledger.Entry) { e.Note = append([]byte(`{"tip":1,`), e.Note[1:]...) }), "note of a minute"},
		"from nowhere":       {entry(0, func(e *ledger.Entry) { e.Postings = e.Postings[1:] }), "not to zero"},
		"below zero":         {entry(1, func(e *ledger.Entry) { e.Postings = mustMove("tenant:ann", "hold:c-1", 10_001) }), "tenant:ann falls to -0.000001 USD"},
		"overdrawn hold":     {entry(release, func(e *ledger.Entry) { e.Postings = mustMove("hold:c-1", "tenant:ann", 81) }), "hold:c-1 falls to -0.000001 USD"},
		"charge in disguise": {entry(release, func(e *ledger.Entry) { e.Postings = mustMove("hold:c-1", "supplier:bob", 80) }), "only a charged minute may"},
		"bad account":        {entry(0, func(e *ledger.Entry) { e.Postings[0].Account = "treasury: x" }), "other than visible ASCII"},
		"balance too high": {func(e []ledger.Entry) []ledger.Entry {
			return append(e, ledger.Entry{Kind: "grant", Ref: "g-2", Postings: mustMove("treasury:x", "tenant:ann", math.MaxInt64)})
		}, "out of the range"},
	}
}

// TestForgeries are what a dishonest group could write: the chain and the checkpoint are right, and
// the content is not. Each has to be found by the rule that it breaks.
func TestForgeries(t *testing.T) {
	for _, forgeries := range []map[string]forgery{forgedNotes(), forgedBooks(), forgedPrices(), forgedMoves(), forgedSeals()} {
		for what, forgery := range forgeries {
			t.Run(what, func(t *testing.T) {
				report, err := Verify(bytes.NewReader(export(t, header(), forgery.change(wholeStory()))))
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(fmt.Sprint(report.Problems), forgery.want) {
					t.Errorf("want %q among %v", forgery.want, report.Problems)
				}
			})
		}
	}
}
