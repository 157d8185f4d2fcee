package ledger

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"raylink/billing/money"
)

// What is posted to a draft and taken over is what had been posted to the ledger itself: the same answers, the same journal. Until it is taken the ledger stays
// as it is.
func TestDraft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drafted, plain := New(), New()
		for range rapid.IntRange(1, 6).Draw(t, "drafts") {
			before := fmt.Sprint(drafted.Entries(0, 99), drafted.Accounts())
			draft := drafted.Draft()
			for range rapid.IntRange(0, 5).Draw(t, "posts") {
				at := noon.Add(1)
				kind, ref := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "kind"), fmt.Sprint(rapid.IntRange(1, 9).Draw(t, "ref"))
				from, to := rapid.SampledFrom([]string{Grants, "x", "y"}).Draw(t, "from"), rapid.SampledFrom([]string{"x", "y", FxIn}).Draw(t, "to")
				moves, err := Move(from, Posting{to, money.MicroUSD(rapid.Int64Range(0, 3).Draw(t, "amount"))})
				if err != nil {
					t.Fatal(err)
				}
				one, errOne := draft.Post(at, kind, ref, moves, "x")
				two, errTwo := plain.Post(at, kind, ref, moves, "x")
				if !reflect.DeepEqual(one, two) || fmt.Sprint(errOne) != fmt.Sprint(errTwo) {
					t.Errorf("drafted %+v, %v; posted %+v, %v", one, errOne, two, errTwo)
				}
				alike(t, draft, plain)
			}
			if after := fmt.Sprint(drafted.Entries(0, 99), drafted.Accounts()); after != before {
				t.Errorf("a draft changed the ledger from %s to %s", before, after)
			}
			drafted.Take(draft)
			if !reflect.DeepEqual(drafted, plain) {
				t.Errorf("taken over it is %+v, posted %+v", drafted, plain)
			}
		}
	})
}

// alike wants all that a draft can be asked to be the same as of a ledger.
func alike(t *rapid.T, draft, plain *Ledger) {
	seq, head := draft.Head()
	if wantSeq, want := plain.Head(); seq != wantSeq || head != want {
		t.Errorf("head %d %s, want %d %s", seq, head, wantSeq, want)
	}
	for _, account := range []string{Grants, FxIn, "x", "y", "z"} {
		if got, want := draft.Balance(account, money.USD), plain.Balance(account, money.USD); got != want {
			t.Errorf("%s holds %d, want %d", account, got, want)
		}
	}
	for i := range 10 {
		one, found := draft.Find("a", fmt.Sprint(i))
		two, want := plain.Find("a", fmt.Sprint(i))
		if found != want || !reflect.DeepEqual(one, two) {
			t.Errorf("a %d: %+v, want %+v", i, one, two)
		}
	}
}

// A draft of a ledger that has gone on is not taken over.
func TestStaleDraft(t *testing.T) {
	l := New()
	draft := l.Draft()
	for _, to := range []*Ledger{draft, l} {
		if _, err := to.Post(noon, "a", "1", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if recover() == nil || l.entries.count != 1 {
			t.Error("it was taken over")
		}
	}()
	l.Take(draft)
}
