package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/billing/money"
)

// The vector of billing/DESIGN.md, which an independent implementation has to reach as well.
func TestHashVector(t *testing.T) {
	entry := Entry{
		Seq: 2, At: time.Unix(0, 1_795_435_200_000_000_001).UTC(), Kind: "minute.charged", Ref: "l-1/0",
		Postings: []Posting{
			{"hold:c-1", money.MicroUSD(-17_000)}, {"supplier:bob", money.MicroUSD(16_666)}, {"fees", money.MicroUSD(334)},
		},
		Note: json.RawMessage(`{"ordinal":0}`),
		Prev: strings.Repeat("ab", 32),
	}
	design, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	entry.Hash = HashOf(entry)
	line, err := entry.MarshalLine()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(design, append([]byte("\n"), append(line, '\n')...)) {
		t.Errorf("DESIGN.md lacks the vector\n%s", line)
	}
	const want = "74c46cfcf878e6cb2238e2b6352c814e3e73e165d17be4278ff408bd44d626c7"
	if entry.Hash != want {
		t.Errorf("hash %s, want %s", entry.Hash, want)
	}
}

// Every field is in the hash, and no byte can move from one field to the next.
func TestHashCoversAllFields(t *testing.T) {
	base := func() Entry {
		return Entry{Seq: 1, At: noon, Kind: "ab", Ref: "cd", Prev: "00", Note: json.RawMessage(`1`),
			Postings: []Posting{{"a", money.MicroUSD(1)}, {"b", money.MicroUSD(-1)}}}
	}
	seen := map[string]string{HashOf(base()): "the base"}
	for what, change := range map[string]func(*Entry){
		"seq": func(e *Entry) { e.Seq++ }, "at": func(e *Entry) { e.At = e.At.Add(1) },
		"kind": func(e *Entry) { e.Kind = "ac" }, "ref": func(e *Entry) { e.Ref = "ce" },
		"shift": func(e *Entry) { e.Kind, e.Ref = "abc", "d" }, "prev": func(e *Entry) { e.Prev = "01" },
		"note": func(e *Entry) { e.Note = json.RawMessage(`2`) }, "no note": func(e *Entry) { e.Note = nil },
		"account": func(e *Entry) { e.Postings[0].Account = "c" }, "asset": func(e *Entry) { e.Postings[0].Amount.Asset = money.USDC },
		"amount": func(e *Entry) { e.Postings[0].Amount.Minor++ }, "order": func(e *Entry) { slices.Reverse(e.Postings) },
		"fewer": func(e *Entry) { e.Postings = e.Postings[:1] },
	} {
		entry := base()
		change(&entry)
		if other, found := seen[HashOf(entry)]; found {
			t.Errorf("%s hashes as %s", what, other)
		}
		seen[HashOf(entry)] = what
	}
}

func TestRefused(t *testing.T) {
	move := func(from, to string, minor int64) []Posting {
		return []Posting{{from, money.MicroUSD(-minor)}, {to, money.MicroUSD(minor)}}
	}
	good := move("treasury:x", "a", 1)
	for what, post := range map[string]func(*Ledger) (Entry, error){
		"empty kind":   func(l *Ledger) (Entry, error) { return l.Post(noon, "", "r", good, nil) },
		"space in ref": func(l *Ledger) (Entry, error) { return l.Post(noon, "k", "a b", good, nil) },
		"long ref":     func(l *Ledger) (Entry, error) { return l.Post(noon, "k", strings.Repeat("r", 201), good, nil) },
		"not ASCII":    func(l *Ledger) (Entry, error) { return l.Post(noon, "k", "r", move("treasury:x", "ä", 1), nil) },
		"zero time":    func(l *Ledger) (Entry, error) { return l.Post(time.Time{}, "k", "r", good, nil) },
		"zero posting": func(l *Ledger) (Entry, error) { return l.Post(noon, "k", "r", move("treasury:x", "a", 0), nil) },
		"unknown asset": func(l *Ledger) (Entry, error) {
			return l.Post(noon, "k", "r", []Posting{{"a", money.Amount{Minor: 1, Asset: "EUR"}}}, nil)
		},
		"bad note":  func(l *Ledger) (Entry, error) { return l.Post(noon, "k", "r", good, json.RawMessage(`{`)) },
		"huge note": func(l *Ledger) (Entry, error) { return l.Post(noon, "k", "r", good, strings.Repeat("x", MaxNote)) },
		"too many":  func(l *Ledger) (Entry, error) { return l.Post(noon, "k", "r", slices.Repeat(good, 129), nil) },
		"one-sided": func(l *Ledger) (Entry, error) { return l.Post(noon, "k", "r", good[1:], nil) },
		"wraps to zero": func(l *Ledger) (Entry, error) {
			return l.Post(noon, "k", "r", []Posting{{"a", money.MicroUSD(math.MaxInt64)}, {"b", money.MicroUSD(math.MaxInt64)}, {"c", money.MicroUSD(2)}}, nil)
		},
		"balance too high": func(l *Ledger) (Entry, error) {
			return l.Post(noon, "k", "r", move("treasury:y", "rich", math.MaxInt64), nil)
		},
	} {
		l := New()
		if _, err := l.Post(noon, "k", "first", move("treasury:x", "rich", 1), nil); err != nil {
			t.Fatal(err)
		}
		before, _ := json.Marshal(l)
		if _, err := post(l); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", what, err)
		}
		if after, _ := json.Marshal(l); !bytes.Equal(before, after) {
			t.Errorf("%s: a refusal left its mark", what)
		}
	}
	var short *InsufficientError
	_, err := New().Post(noon, "k", "r", move("tenant:ann", "a", math.MaxInt64), nil)
	if !errors.As(err, &short) || !errors.Is(err, ErrInsufficient) || short.Account != "tenant:ann" ||
		short.Needed != money.MicroUSD(math.MaxInt64) || short.Has != money.MicroUSD(0) {
		t.Errorf("got %v", err)
	}
	extreme := []Posting{{"a", money.MicroUSD(math.MinInt64)}, {"b", money.MicroUSD(math.MaxInt64)}, {"b", money.MicroUSD(1)}}
	if _, err := New().Post(noon, "k", "r", extreme, nil); err == nil {
		t.Error("the most negative amount was taken from an empty account")
	}
}

// A note survives every way in which a journal is written and read, so that its hash stays true.
func TestNoteSurvives(t *testing.T) {
	l := New()
	notes := []any{nil, json.RawMessage(nil), json.RawMessage(" { \"a\" : [ 1 , \"<&>\u2028\" ] } "), "<b>", map[string]int{"b": 1, "a": 2}, 1}
	for i, note := range notes {
		if _, err := l.Post(noon, "note", fmt.Sprint(i), nil, note); err != nil {
			t.Fatal(err)
		}
	}
	indented, err := json.MarshalIndent(l, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	back := New()
	if err := json.Unmarshal(indented, back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(l, back) {
		t.Error("came back otherwise")
	}
	for _, entry := range l.Entries(0, 100) {
		line, err := entry.MarshalLine()
		if err != nil {
			t.Fatal(err)
		}
		read, err := UnmarshalLine(line)
		if err != nil || HashOf(read) != entry.Hash {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestLoadRefusesTampering(t *testing.T) {
	l := New()
	for i := range int64(3) {
		postings, _ := Move("treasury:x", Posting{"a", money.MicroUSD(i + 1)})
		if _, err := l.Post(noon, "k", fmt.Sprint(i), postings, nil); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := json.Marshal(l)
	for _, change := range [][2]string{{`"a"`, `"b"`}, {`"seq":2`, `"seq":3`}, {`"ref":"1"`, `"ref":"9"`}, {`12:00:00Z`, `12:00:01Z`}} {
		tampered := bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(tampered, text) {
			t.Fatalf("%s is not in the journal", change[0])
		}
		if err := json.Unmarshal(tampered, New()); err == nil {
			t.Errorf("%s for %s was read", change[1], change[0])
		}
	}
}

// twin is the ledger said once more, slowly: unbounded integers, everything added up anew.
type twin struct{ entries []Entry }

func (w *twin) balance(account string, asset money.Asset) *big.Int {
	sum := new(big.Int)
	for _, entry := range w.entries {
		for _, posting := range entry.Postings {
			if posting.Account == account && posting.Amount.Asset == asset {
				sum.Add(sum, big.NewInt(posting.Amount.Minor))
			}
		}
	}
	return sum
}

// post is the error that Post is to give, and takes the entry in where there is none.
func (w *twin) post(kind, ref string, postings []Posting) error {
	for _, entry := range w.entries {
		if entry.Kind == kind && entry.Ref == ref {
			if fmt.Sprint(entry.Postings) == fmt.Sprint(postings) {
				return nil
			}
			return ErrConflict
		}
	}
	after := twin{append(slices.Clone(w.entries), Entry{Kind: kind, Ref: ref, Postings: postings})}
	total := map[money.Asset]*big.Int{money.USD: new(big.Int), money.IO: new(big.Int)}
	for _, posting := range postings {
		if posting.Amount.Minor == 0 {
			return ErrInvalid
		}
		total[posting.Amount.Asset].Add(total[posting.Amount.Asset], big.NewInt(posting.Amount.Minor))
	}
	if total[money.USD].Sign() != 0 || total[money.IO].Sign() != 0 {
		return ErrInvalid
	}
	for _, posting := range postings {
		if after.balance(posting.Account, posting.Amount.Asset).Sign() < 0 && !strings.HasPrefix(posting.Account, "treasury:") {
			return ErrInsufficient
		}
	}
	*w = after
	return nil
}

func TestAsTwin(t *testing.T) {
	accounts := rapid.SampledFrom([]string{"tenant:a", "tenant:b", "hold:c", "fees", "treasury:grants"})
	assets := rapid.SampledFrom([]money.Asset{money.USD, money.IO})
	rapid.Check(t, func(t *rapid.T) {
		l, dumb, steps := New(), &twin{}, rapid.IntRange(1, 40).Draw(t, "steps")
		for range steps {
			var postings []Posting
			for range rapid.IntRange(0, 3).Draw(t, "transfers") {
				asset, minor := assets.Draw(t, "asset"), rapid.Int64Range(0, 20).Draw(t, "minor")
				off := rapid.SampledFrom([]int64{0, 0, 0, 0, 0, 1}).Draw(t, "off by")
				postings = append(postings,
					Posting{accounts.Draw(t, "from"), money.Amount{Minor: -minor, Asset: asset}},
					Posting{accounts.Draw(t, "to"), money.Amount{Minor: minor + off, Asset: asset}})
			}
			ref := fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "ref"))
			_, err := l.Post(noon, "k", ref, postings, nil)
			if want := dumb.post("k", ref, postings); !errors.Is(err, want) {
				t.Fatalf("post %s %v: %v, want %v", ref, postings, err, want)
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				text, _ := json.Marshal(l)
				restored := New()
				if err := json.Unmarshal(text, restored); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(restored, l) {
					t.Fatal("restored is not never-stopped")
				}
				l = restored
			}
		}
		sums := map[money.Asset]int64{}
		for _, account := range l.Accounts() {
			sums[account.Balance.Asset] += account.Balance.Minor
			if want := dumb.balance(account.Name, account.Balance.Asset); want.Cmp(big.NewInt(account.Balance.Minor)) != 0 {
				t.Fatalf("%v, want %v", account, want)
			}
		}
		if sums[money.USD] != 0 || sums[money.IO] != 0 || len(l.Entries(0, math.MaxInt)) != len(dumb.entries) {
			t.Fatalf("sums %v, %d entries, want zero and %d", sums, l.entries.count, len(dumb.entries))
		}
	})
}

func TestPages(t *testing.T) {
	l := New()
	for i := range 5 {
		if _, err := l.Post(noon, "k", fmt.Sprint(i), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, page := range []struct {
		after       uint64
		limit, want int
	}{{0, 2, 2}, {3, 9, 2}, {5, 9, 0}, {99, 9, 0}, {math.MaxUint64, 1, 0}, {0, 0, 0}, {0, -1, 0}} {
		entries := l.Entries(page.after, page.limit)
		if len(entries) != page.want || (len(entries) > 0 && entries[0].Seq != page.after+1) {
			t.Errorf("%+v gives %d entries", page, len(entries))
		}
	}
	if entry, found := l.Find("k", "3"); !found || entry.Seq != 4 {
		t.Errorf("found %v, %v", entry, found)
	}
	if _, found := l.Find("k", "5"); found {
		t.Error("found what is not there")
	}
}

func TestMove(t *testing.T) {
	got, err := MinutePostings("hold:c", "supplier:s", 16_666, 334)
	want := []Posting{{"hold:c", money.MicroUSD(-17_000)}, {"supplier:s", money.MicroUSD(16_666)}, {"fees", money.MicroUSD(334)}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := MinutePostings("hold:c", "supplier:s", 0, 0); err != nil || got != nil {
		t.Errorf("nothing moved is %v, %v", got, err)
	}
	for _, parts := range [][]Posting{
		{{"a", money.MicroUSD(-1)}},
		{{"a", money.MicroUSD(1)}, {"b", money.Amount{Minor: 1, Asset: money.IO}}},
		{{"a", money.MicroUSD(math.MaxInt64)}, {"b", money.MicroUSD(1)}},
	} {
		if got, err := Move("x", parts...); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v gives %v, %v", parts, got, err)
		}
	}
}
