package cardbook_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"raylink/billing/cardbook"
	"raylink/billing/ledger"
)

// scene are facts on three accounts, each object in every state that it went through.
func scene() []cardbook.Fact {
	return []cardbook.Fact{
		paid("a1", "p1", 5000), paid("a2", "p2", 700),
		{Topup: "a2", Session: &cardbook.SessionFact{ID: "cs_p2", Status: "open"}},
		{Topup: "a3", Session: &cardbook.SessionFact{ID: "cs_p9", Status: "expired"}},
		paid("a1", "p3", 5000), // a second payment
		paid("a1", "p1", 5000, dispute("du_1", 5000, "needs_response")), paid("a1", "p1", 5000, dispute("du_1", 5000, "under_review")),
		paid("a1", "p1", 5000, dispute("du_1", 5000, "won")),
		paid("a2", "p2", 700, refund("re_1", "", 300, "pending")), paid("a2", "p2", 700, refund("re_1", "", 300, "failed")),
		paid("b1", "q1", 9000), paid("b1", "q1", 9000, dispute("du_2", 9000, "needs_response")), paid("b1", "q1", 9000, dispute("du_2", 9000, "lost")),
		paid("b2", "q2", 4000), paid("b2", "q2", 4000, dispute("du_3", 1000, "needs_response")), paid("b2", "q2", 4000, dispute("du_3", 1000, "lost")),
		paid("b0", "q0", 6000, refund("re_2", "r1.1", 2000, "pending")), paid("b0", "q0", 6000, refund("re_2", "r1.1", 2000, "succeeded")),
		paid("b0", "q0", 6000, refund("re_3", "", 1500, "succeeded")),
		paid("e1", "s1", 2000), paid("e1", "s1", 2000, dispute("du_4", 2000, "needs_response")), paid("e2", "s2", 300),
		paid("e2", "s2", 300, refund("re_4", "", 300, "succeeded"), refund("re_5", "", 100, "canceled")),
	}
}

// TestAnyOrder applies the scene in 1,000 orders, with repeats, into a state that is saved and restored on the way: the balances are the same.
func TestAnyOrder(t *testing.T) {
	want := ""
	for seed := range uint64(1000) {
		random := rand.New(rand.NewPCG(seed, 4))
		b := open(t)
		b.quick = seed >= 50
		for _, id := range []string{"a1", "a2", "a3"} {
			b.request(id, "ada", 5000)
		}
		for _, id := range []string{"b0", "b1", "b2"} {
			b.request(id, "bob", 6000)
		}
		for _, id := range []string{"e1", "e2"} {
			b.request(id, "eve", 2000)
		}
		b.apply(paid("b0", "q0", 6000))
		_, moves, err := b.book.RequestRefund(b.now, "r1", "bob", cardbook.FromCents(2000), b.ledger)
		if err != nil {
			t.Fatal(err)
		}
		b.post(moves)
		spend := []ledger.Posting{{Account: "tenant-card:bob", Amount: cardbook.FromCents(-3500)}, {Account: "supplier-card:sam", Amount: cardbook.FromCents(3500)}}
		if _, err := b.ledger.Post(b.now, "test.spend", "1", spend, nil); err != nil {
			t.Fatal(err)
		}
		facts := append(scene(), scene()...)
		random.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		stop := random.IntN(len(facts))
		for i, f := range facts {
			if b.now = b.now.Add(time.Duration(random.IntN(3)) * time.Second); i == stop {
				b.restore()
			}
			b.apply(f)
		}
		b.restore()
		got := fmt.Sprint(b.ledger.Accounts())
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("order %d ends in\n%s, the first one in\n%s", seed, got, want)
		}
	}
	// 50 + 50 + 7 for ada; bob: 60 + 90 + 40 - 20 - 35 - 90 - 10 - 15; eve: 20 frozen and 3 gone
	for _, part := range []string{"{tenant-card:ada 107.000000 USD}", "{tenant-card:bob 20.000000 USD}", "{dispute:du_4 20.000000 USD}", "{treasury:card -182.000000 USD}"} {
		if !strings.Contains(want, part) {
			t.Errorf("%s is not in %s", part, want)
		}
	}
}

// restore replaces the book by one that was read from its JSON, and checks that they are the same.
func (b *books) restore() {
	b.t.Helper()
	text, err := json.Marshal(b.book)
	if err != nil {
		b.t.Fatal(err)
	}
	restored := cardbook.New()
	if err := json.Unmarshal(text, restored); err != nil {
		b.t.Fatal(err)
	}
	again, err := json.Marshal(restored)
	if err != nil || string(again) != string(text) {
		b.t.Fatalf("restored differently (%v):\n%s\n%s", err, text, again)
	}
	for _, account := range []string{"ada", "bob", "eve"} {
		if got, want := fmt.Sprint(restored.Topups(account), restored.Disputes(account)), fmt.Sprint(b.book.Topups(account), b.book.Disputes(account)); got != want {
			b.t.Fatalf("restored in another order:\n%s\n%s", got, want)
		}
	}
	b.book = restored
}
