package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// key is one of a few fixed key pairs.
func key(name byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{name}, ed25519.SeedSize))
}

func public(name byte) ed25519.PublicKey { return key(name).Public().(ed25519.PublicKey) }

func header() Header {
	return Header{
		ExportedAt: noon.Add(time.Hour), GroupKey: public('G'),
		Machines: map[string]ed25519.PublicKey{"m-1": public('1'), "m-2": public('2')},
		Gateways: map[string]ed25519.PublicKey{"g-1": public('g')},
	}
}

// note is minute `ordinal` of a lease of cluster c-1, signed by machine m-1 and gateway g-1; a count
// of seconds below zero is a side that keeps silent.
func note(lease string, ordinal int64, agent, gateway int) meter.MinuteNote {
	n := meter.MinuteNote{
		Cluster: "c-1", Lease: lease, Node: "head", Machine: "m-1", Ordinal: ordinal,
		Rate: 120_001, FeeBasisPoints: 200,
	}
	if agent >= 0 {
		n.Agent = &meter.Evidence{Seconds: agent, RayNode: "ray-a", Machine: "m-1"}
	}
	if gateway >= 0 {
		n.Gateway = &meter.Confirmation{Gateway: "g-1", Seconds: gateway, RayNode: "ray-a"}
	}
	_, n.Reason = n.Verdict()
	sign(&n)
	return n
}

// sign signs what the note claims, as m-1, g-1 and a coordinator.
func sign(n *meter.MinuteNote) {
	if n.Agent != nil {
		message := minuteBytes(n.Lease, n.Ordinal, n.Agent.Seconds, n.Agent.RayNode)
		n.Agent.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key('1'), message))
	}
	if n.Gateway != nil {
		message := confirmBytes(n.Lease, n.Ordinal, n.Gateway.Seconds, n.Gateway.RayNode)
		n.Gateway.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key('g'), message))
	}
	seal('G', beside(n, "l-before"), n, beside(n, "l-behind"))
}

// seal lets a coordinator sign for the minutes that one command settles. What he signs is the group's key's, if it is G; who checks it looks at place and path.
func seal(by byte, minutes ...*meter.MinuteNote) {
	var leaves [][sha256.Size]byte
	for _, n := range minutes {
		leaves = append(leaves, meter.Leaf(n.Lease, n.Ordinal, n.Agent, n.Gateway))
	}
	root, paths := meter.Tree(leaves)
	signature := base64.StdEncoding.EncodeToString(ed25519.Sign(key(by), meter.SealBytes(len(minutes), root)))
	for i, n := range minutes {
		n.Coordinator = &meter.Seal{Place: i, Of: len(minutes), Path: paths[i], Signature: signature}
	}
}

// beside is the same minute of another lease, of which nothing else is said.
func beside(n *meter.MinuteNote, lease string) *meter.MinuteNote {
	return &meter.MinuteNote{Lease: lease, Ordinal: n.Ordinal}
}

// minuteEntry is the minute as an entry without its place in the chain.
func minuteEntry(n meter.MinuteNote, use, fee int64) ledger.Entry {
	kind := meter.KindWaived
	postings := []ledger.Posting{}
	if charge, _ := n.Verdict(); charge && n.Reason == "" {
		kind = meter.KindCharged
		postings, _ = ledger.MinutePostings(ledger.Hold(n.Cluster), ledger.Supplier("bob"), use, fee)
	}
	text, _ := json.Marshal(n)
	return ledger.Entry{Kind: kind, Ref: meter.Ref(n.Lease, n.Ordinal), Postings: postings, Note: text}
}

// story is a journal with everything in it: two leases of c-1, minutes charged and waived for each
// reason; the hold suffices for all but the last minute of l-2.
func story() []ledger.Entry {
	move := func(kind, ref, from, to string, minor int64) ledger.Entry {
		postings, _ := ledger.Move(from, ledger.Posting{Account: to, Amount: money.MicroUSD(minor)})
		return ledger.Entry{Kind: kind, Ref: ref, Postings: postings, Note: json.RawMessage(`"for the \u003cdemo\u003e"`)}
	}
	unfunded := note("l-2", 1, 60, 60)
	unfunded.Reason = meter.ReasonUnfunded
	return []ledger.Entry{
		move("grant", "g-1", ledger.Grants, ledger.Tenant("ann"), 10_000),
		move("hold", "c-1", ledger.Tenant("ann"), ledger.Hold("c-1"), 6_200),
		minuteEntry(note("l-1", 0, 60, 60), 2000, 40),
		minuteEntry(note("l-2", 0, 45, 45), 2000, 40),
		minuteEntry(note("l-1", 1, 44, 60), 0, 0),
		minuteEntry(note("l-1", 2, 60, -1), 0, 0),
		minuteEntry(note("l-1", 3, 60, 55), 2000, 40),
		minuteEntry(unfunded, 0, 0),
		move("release", "c-1", ledger.Hold("c-1"), ledger.Tenant("ann"), 80),
	}
}

// chained gives the entries their places, times and hashes, without asking a ledger.
func chained(entries []ledger.Entry) journal {
	entries = slices.Clone(entries)
	prev := ""
	for i := range entries {
		e := &entries[i]
		e.Seq, e.At, e.Prev = uint64(i+1), noon.Add(time.Duration(i)*time.Second), prev
		e.Hash = ledger.HashOf(*e)
		prev = e.Hash
	}
	return entries
}

// journal is entries that nothing has checked.
type journal []ledger.Entry

func (j journal) Entries(after uint64, limit int) []ledger.Entry {
	if after >= uint64(len(j)) {
		return nil
	}
	return j[after:min(uint64(len(j)), after+uint64(limit))]
}

// export writes the entries as the group would, whatever they are.
func export(t testing.TB, h Header, entries []ledger.Entry) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := Write(&file, h, chained(entries), public('G'), func(m []byte) []byte { return ed25519.Sign(key('G'), m) }); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// The story is one that a real ledger takes, and its export is the same.
func TestStoryIsALedgers(t *testing.T) {
	books := ledger.New()
	for i, e := range wholeStory() {
		if _, err := books.Post(noon.Add(time.Duration(i)*time.Second), e.Kind, e.Ref, e.Postings, e.Note); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	err := Write(&file, header(), books, public('G'), func(m []byte) []byte { return ed25519.Sign(key('G'), m) })
	if err != nil || !bytes.Equal(file.Bytes(), export(t, header(), wholeStory())) {
		t.Errorf("exports differ: %v", err)
	}
	report, err := Verify(&file)
	if err != nil || !slices.Equal(report.Accounts, books.Accounts()) {
		t.Errorf("%v, accounts %v, want %v", err, report.Accounts, books.Accounts())
	}
}

func TestReport(t *testing.T) {
	report, err := Verify(bytes.NewReader(export(t, header(), story())))
	if err != nil || !report.OK() {
		t.Fatal(err, report.Problems)
	}
	if !report.Key.Equal(public('G')) || report.Entries != 9 || report.Seq != 9 || fmt.Sprint(report.Sums) != "[0.000000 USD]" {
		t.Errorf("%+v", report)
	}
	want := `[{"lease":"l-1","cluster":"c-1","node":"head","machine":"m-1","rate":"0.120001 USD/h","charged":2,"waived":2,"use":"0.004000 USD","fee":"0.000080 USD"},` +
		`{"lease":"l-2","cluster":"c-1","node":"head","machine":"m-1","rate":"0.120001 USD/h","charged":1,"waived":1,"use":"0.002000 USD","fee":"0.000040 USD"}]`
	if got, err := json.Marshal(report.Leases); err != nil || string(got) != want {
		t.Errorf("leases %s", got)
	}
	empty, err := Verify(bytes.NewReader(export(t, header(), nil)))
	if err != nil || !empty.OK() || empty.Entries != 0 {
		t.Errorf("empty journal: %v, %+v", err, empty)
	}
}
