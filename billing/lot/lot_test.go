package lot

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

var start = time.Date(2026, 11, 24, 0, 30, 0, 0, time.UTC)

func usdc(minor int64) money.Amount { return money.Amount{Minor: minor, Asset: money.USDC} }

func add(t *testing.T, b *Book, origin Origin, supplier string, minor int64, at time.Time) {
	t.Helper()
	if err := b.Add(origin, supplier, usdc(minor), at); err != nil {
		t.Fatal(err)
	}
}

// parts are who got what, in order.
func parts(entries []ledger.Entry) []string {
	var list []string
	for _, e := range entries {
		list = append(list, fmt.Sprintf("%s %s %d", e.Ref, e.Postings[3].Account, e.Postings[3].Amount.Minor))
	}
	return list
}

func TestReleaseInOrder(t *testing.T) {
	b := NewBook()
	add(t, b, Grant, "late", 7, start.Add(time.Hour))
	add(t, b, Grant, "z", 10, start)
	add(t, b, Grant, "a", 5, start)
	add(t, b, Grant, "z", 10, start.Add(time.Minute))
	if !b.Ready(start, Grant, money.USDC, 1) || b.Ready(start, Grant, money.USDC, 0) || b.Ready(start, Grant, money.IO, 1) {
		t.Error("ready at the wrong time")
	}
	if got := parts(b.Release(start, Grant, money.USDC, 22)); !reflect.DeepEqual(got, []string{"grant/1 supplier:z 20", "grant/2 supplier:a 2"}) {
		t.Errorf("first %v", got)
	}
	if minor, _ := b.Held(Grant, "a", money.USDC); minor != 3 {
		t.Errorf("held %d", minor)
	}
	entries := b.Release(start, Grant, money.USDC, 100)
	if got := parts(entries); !reflect.DeepEqual(got, []string{"grant/3 supplier:a 3", "grant/4 supplier:late 7"}) {
		t.Errorf("second %v", got)
	}
	want := []ledger.Posting{{Account: "lot:grants", Amount: usdc(-3)}, {Account: "fx:in", Amount: usdc(3)}, {Account: "supplier-grant:a", Amount: usdc(-3)}, {Account: "supplier:a", Amount: usdc(3)}}
	if !reflect.DeepEqual(entries[0].Postings, want) {
		t.Errorf("postings %v", entries[0].Postings)
	}
	if b.Release(start, Grant, money.USDC, 100) != nil || len(b.Queues) != 0 {
		t.Errorf("something remains: %v", b.Queues)
	}
}

func TestCardsRestSevenDays(t *testing.T) {
	b := NewBook()
	add(t, b, Card, "a", 5, start)
	end := start.Truncate(time.Hour).Add(time.Hour).Add(7 * 24 * time.Hour)
	if b.Ready(end.Add(-1), Card, money.USDC, 10) || b.Release(end.Add(-1), Card, money.USDC, 10) != nil {
		t.Error("released early")
	}
	if minor, from := b.Held(Card, "a", money.USDC); minor != 5 || !from.Equal(end) {
		t.Errorf("held %d until %v", minor, from)
	}
	if err := b.Freeze(end, "a", "disputed"); err != nil {
		t.Fatal(err)
	}
	if b.Ready(end, Card, money.USDC, 10) || b.Release(end, Card, money.USDC, 10) != nil {
		t.Error("released while frozen")
	}
	b.Unfreeze("a")
	if got := parts(b.Release(end, Card, money.USDC, 10)); !reflect.DeepEqual(got, []string{"card/1 supplier:a 5"}) {
		t.Errorf("released %v", got)
	}
}

func TestRefusals(t *testing.T) {
	b := NewBook()
	for _, err := range []error{
		b.Add("gift", "a", usdc(1), start), b.Add(Grant, "", usdc(1), start), b.Add(Grant, "a", usdc(0), start), b.Add(Grant, "a", usdc(-1), start),
		b.Add(Grant, "a", money.MicroUSD(1), start), b.Freeze(start, "a", ""),
	} {
		if err == nil {
			t.Error("taken")
		}
	}
	if !reflect.DeepEqual(b, NewBook()) {
		t.Errorf("changed: %+v", b)
	}
}

// Whatever the order: what is added is released or held, never more than the funds, and a restored book goes on as the one that never stopped.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, now, added, released := NewBook(), start, int64(0), int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "hours")) * time.Hour)
			if rapid.Bool().Draw(t, "add") {
				minor := rapid.Int64Range(1, 100).Draw(t, "minor")
				if err := b.Add(Card, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "supplier"), usdc(minor), now.Add(-time.Duration(rapid.IntRange(0, 9).Draw(t, "ago"))*time.Hour)); err != nil {
					t.Fatal(err)
				}
				added += minor
				continue
			}
			text, _ := json.Marshal(b)
			twin := NewBook()
			if err := json.Unmarshal(text, twin); err != nil {
				t.Fatal(err)
			}
			funds, sum := rapid.Int64Range(0, 150).Draw(t, "funds"), int64(0)
			entries := b.Release(now, Card, money.USDC, funds)
			for _, e := range entries {
				sum += e.Postings[3].Amount.Minor
			}
			if !reflect.DeepEqual(parts(entries), parts(twin.Release(now, Card, money.USDC, funds))) || sum > funds {
				t.Fatalf("released %d of %d: %v", sum, funds, parts(entries))
			}
			released += sum
		}
		held := int64(0)
		for _, supplier := range []string{"a", "b", "c"} {
			minor, _ := b.Held(Card, supplier, money.USDC)
			held += minor
		}
		if added != released+held {
			t.Fatalf("added %d, released %d, held %d", added, released, held)
		}
	})
}

// A book that is added to another is as if everything in it had been added there.
func TestAddAll(t *testing.T) {
	both, one, other := NewBook(), NewBook(), NewBook()
	for i, a := range []struct {
		origin   Origin
		supplier string
		asset    money.Asset
		at       time.Time
	}{
		{Grant, "z", money.USDC, start}, {Card, "a", money.IO, start}, {Grant, "a", money.USDC, start.Add(time.Hour)},
		{Grant, "a", money.USDC, start}, {Grant, "z", money.USDC, start}, {Card, "b", money.USDC, start}, {Card, "b", money.IO, start.Add(time.Hour)}, {Card, "a", money.IO, start},
	} {
		to := one
		if i > 2 {
			to = other
		}
		for _, b := range []*Book{both, to} {
			if err := b.Add(a.origin, a.supplier, money.Amount{Minor: int64(i + 1), Asset: a.asset}, a.at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := one.AddAll(other); err != nil || !reflect.DeepEqual(one, both) {
		got, _ := json.Marshal(one)
		want, _ := json.Marshal(both)
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
