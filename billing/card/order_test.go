package card_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raylink/billing/card"
	"raylink/billing/card/cardfake"
	"raylink/billing/cardbook"
	"raylink/billing/ledger"
)

// story lets the fake live through top-ups, refunds and disputes of two accounts; after each step `step` is called.
func story(b *bench, step func()) {
	t := b.t
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		step()
	}
	one, two, three := b.topup("t1", "ada", 5000), b.topup("t2", "ada", 2500), b.topup("t3", "bob", 10000)
	four := b.topup("t4", "bob", 300)
	step()
	must(b.fake.Pay(one, cardfake.CardGood))
	must(b.fake.Pay(three, cardfake.CardSlow))
	must(b.fake.Settle(three, true))
	must(b.fake.Pay(two, cardfake.CardDisputed))
	must(b.fake.Expire(four))
	paid := map[string]string{}
	contested := ""
	for _, topup := range []string{one, two, three} {
		fact, err := b.client.Fetch(t.Context(), card.Object{Kind: card.KindSession, ID: topup})
		must(err)
		paid[topup] = fact.Payment.ID
		if fact, err = b.client.Fetch(t.Context(), card.Object{Kind: card.KindPayment, ID: fact.Payment.ID}); err == nil && len(fact.Disputes) > 0 {
			contested = fact.Disputes[0].ID
		}
	}
	must(b.fake.CloseDispute(contested, false))
	b.fake.SlowRefunds(true)
	first, err := b.fake.RefundOutside(paid[one], 1000)
	must(err)
	second, err := b.fake.RefundOutside(paid[one], 500)
	must(err)
	must(b.fake.SettleRefund(first, "succeeded"))
	must(b.fake.SettleRefund(second, "failed"))
	won, err := b.fake.Dispute(paid[three], 10000)
	must(err)
	must(b.fake.CloseDispute(won, true))
}

// TestEventsInAnyOrder collects what the provider answered to each event after each step of the story (so facts as old as they can be), and applies it in
// 1,000 orders with repeats: the balances are those of the story told in order.
func TestEventsInAnyOrder(t *testing.T) {
	b := newBench(t)
	facts := map[string]cardbook.Fact{} // by what they say
	story(b, func() {
		seen := map[card.Object]bool{}
		for _, event := range b.fake.Events() {
			notice, err := card.Open(event.Body, b.fake.Sign(event, time.Now()), []string{testSecret}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if notice.Ignored || seen[notice.Object] {
				continue
			}
			seen[notice.Object] = true
			fact, err := b.client.Fetch(t.Context(), notice.Object)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := json.Marshal(fact)
			facts[string(text)] = fact
		}
	})
	var list []cardbook.Fact
	for _, fact := range facts {
		list = append(list, fact)
	}
	if len(list) < 15 {
		t.Fatalf("only %d different facts", len(list))
	}
	before, err := json.Marshal(b.book)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(1000) {
		random := rand.New(rand.NewPCG(seed, 7))
		b.ledger, b.book = ledger.New(), cardbook.New()
		if err := json.Unmarshal(before, b.book); err != nil {
			t.Fatal(err)
		}
		for _, repeat := range []int{1, 2} {
			order := random.Perm(len(list) * repeat)
			for _, place := range order {
				b.apply(list[place%len(list)])
			}
		}
		b.want("tenant-card:ada", 4000)
		b.want("tenant-card:bob", 10000)
		b.want("treasury:card", -14000)
		b.want("treasury:card-loss", 0)
		if got := len(b.ledger.Accounts()); got != 3 {
			t.Fatalf("order %d: %s", seed, b.accounts())
		}
	}
}

// TestStoryByEvents hears each event as it comes, some twice, and once at the end all of them backwards.
func TestStoryByEvents(t *testing.T) {
	b := newBench(t)
	heard := 0
	story(b, func() {
		heard = b.hearAll(heard)
		b.hearAll(max(0, heard-2))
	})
	events := b.fake.Events()
	for i := len(events) - 1; i >= 0; i-- {
		if err := b.hear(events[i].Body, b.fake.Sign(events[i], time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	b.want("tenant-card:ada", 4000)
	b.want("tenant-card:bob", 10000)
	b.want("treasury:card", -14000)
	if got, _ := b.book.Topup("t4"); got.State != cardbook.Expired {
		t.Errorf("t4: %+v", got)
	}
	if forged := b.hear(events[0].Body, sign(events[0].Body, "whsec_guess", time.Now())); !errors.Is(forged, card.ErrSignature) {
		t.Errorf("forged: %v", forged)
	}
}

func TestReadSecretFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := card.ReadKey(write("key", "sk_live_secretsecret\n", 0o600))
	if err != nil || !key.Live() {
		t.Fatalf("key: %v, %v", key, err)
	}
	text, err := json.Marshal(map[string]any{"key": key})
	if err != nil || strings.Contains(string(text), "secretsecret") {
		t.Errorf("JSON shows %s", text)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		if shown := fmt.Sprintf(verb, key); shown != "live key" {
			t.Errorf("%s shows %s", verb, shown)
		}
	}
	for name, path := range map[string]string{
		"open to all":  write("open", "sk_test_1234", 0o644),
		"public key":   write("public", "pk_test_1234", 0o600),
		"empty":        write("empty", "", 0o600),
		"long":         write("long", "sk_test_"+strings.Repeat("x", 5000), 0o600),
		"not there":    filepath.Join(dir, "none"),
		"a directory":  dir,
		"with a space": write("space", "sk_test_12 34", 0o600),
	} {
		if _, err := card.ReadKey(path); err == nil || strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: %v", name, err)
		}
	}
	secrets, err := card.ReadSecrets(write("hooks", "whsec_newnew\nwhsec_oldold\n", 0o600))
	if err != nil || len(secrets) != 2 || secrets[1] != "whsec_oldold" {
		t.Fatalf("secrets: %v, %v", secrets, err)
	}
	for name, path := range map[string]string{
		"none": write("nohooks", "\n", 0o600), "a key": write("akey", "sk_test_1234", 0o600), "too many": write("many", strings.Repeat("whsec_newnew\n", 9), 0o600),
	} {
		if _, err := card.ReadSecrets(path); err == nil {
			t.Errorf("secrets, %s: accepted", name)
		}
	}
}
