package invoice

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/billing/exchange"
	"raylink/billing/ledger"
	"raylink/billing/meter"
	"raylink/billing/money"
)

// town is a journal in the making.
type town struct {
	t    testing.TB
	book *ledger.Ledger
	at   time.Time
}

func newTown(t testing.TB) *town {
	return &town{t, ledger.New(), time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
}

func (w *town) post(kind, ref string, note any, postings ...ledger.Posting) {
	w.at = w.at.Add(time.Second)
	if _, err := w.book.Post(w.at, kind, ref, postings, note); err != nil {
		w.t.Fatalf("%s %s: %v", kind, ref, err)
	}
}

// move gives an amount from one account to another.
func (w *town) move(kind, ref, from, to string, amount string) {
	value, err := money.Parse(amount)
	if err != nil {
		w.t.Fatal(err)
	}
	postings, err := ledger.Move(from, ledger.Posting{Account: to, Amount: value})
	if err != nil {
		w.t.Fatal(err)
	}
	w.post(kind, ref, nil, postings...)
}

// rent is one lease of a cluster.
type rent struct {
	note  meter.MinuteNote
	meter meter.Lease
}

func (w *town) rent(cluster, lease string, purse exchange.Purse, rate money.Rate) *rent {
	fee := purse.FeeBasisPoints()
	return &rent{meter.MinuteNote{Cluster: cluster, Lease: lease, Node: "worker-" + lease, Machine: "m-" + lease, Rate: rate, FeeBasisPoints: fee, Purse: string(purse), Takes: money.IO},
		meter.Lease{Rate: rate, FeeBasisPoints: fee}}
}

func (w *town) minute(r *rent, price money.Price, id uint64, charged bool) {
	note := r.note
	note.Ordinal, note.Price, note.PriceID = r.meter.Next, price, id
	if !charged {
		note.Reason = "no evidence"
		if err := r.meter.Waive(note.Ordinal); err != nil {
			w.t.Fatal(err)
		}
		w.post(meter.KindWaived, meter.Ref(note.Lease, note.Ordinal), note)
		return
	}
	use, fee, err := r.meter.Charge(note.Ordinal)
	if err != nil {
		w.t.Fatal(err)
	}
	postings, err := exchange.Postings(exchange.Minute{Cluster: note.Cluster, Supplier: "sue", Purse: exchange.Purse(note.Purse), Takes: note.Takes, Use: use, Fee: fee, Price: price})
	if err != nil {
		w.t.Fatal(err)
	}
	w.post(meter.KindCharged, meter.Ref(note.Lease, note.Ordinal), note, postings...)
}

// november has two tenants, three of ann's clusters, and a neighbour's.
func november(t testing.TB) *town {
	w := newTown(t)
	w.move("grant", "g-1", ledger.Grants, ledger.Tenant("ann"), "50 USD")
	w.move("deposit", "s1/ata", ledger.TreasuryChain, ledger.Tenant("ann"), "100 USDC")
	w.move("deposit", "s2/ata", ledger.TreasuryChain, ledger.Tenant("ann"), "1000 IO")
	w.move("grant", "g-2", ledger.Grants, ledger.Tenant("bob"), "50 USD")
	w.move("hold", "c-usdc", ledger.Tenant("ann"), ledger.Hold("c-usdc"), "20 USDC")
	w.move("hold", "c-io", ledger.Tenant("ann"), ledger.Hold("c-io"), "100 IO")
	w.move("hold", "c-bob", ledger.Tenant("bob"), ledger.Hold("c-bob"), "20 USD")
	head, worker := w.rent("c-usdc", "l-1", exchange.USDC, 100_000), w.rent("c-usdc", "l-2", exchange.USDC, 2_345_678)
	token, bob := w.rent("c-io", "l-3", exchange.IO, 6_000_000), w.rent("c-bob", "l-4", exchange.Grant, 1_000_000)
	for i := range 90 {
		price := money.Price(250_000_000_000 + int64(i)*1_000_000)
		w.minute(head, price, uint64(i+1), true)
		w.minute(worker, price, uint64(i+1), i%10 != 0)
		w.minute(token, price, uint64(i+1), true)
		w.minute(bob, price, uint64(i+1), true)
	}
	w.move("release", "c-usdc", ledger.Hold("c-usdc"), ledger.Tenant("ann"), "1 USDC")
	w.move("withdraw", "w-1", ledger.Tenant("ann"), ledger.Payout("w-1"), "30 USDC")
	return w
}

func all(book *ledger.Ledger) iter.Seq[ledger.Entry] { return slices.Values(book.Entries(0, 1<<30)) }

func order() Order {
	return Order{Account: "ann", Issuer: Party{Name: "Ring", Lines: []string{"1 Road"}}, Customer: Party{Name: "Ann"}, IssuedAt: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		Names: map[string]string{"c-usdc": "first-job"}}
}

func build(t testing.TB, o Order, book *ledger.Ledger) Invoice {
	t.Helper()
	invoice, err := Build(o, all(book))
	if err != nil {
		t.Fatal(err)
	}
	return invoice
}

func TestWholeAccount(t *testing.T) {
	w := november(t)
	got := build(t, order(), w.book)
	var text strings.Builder
	fmt.Fprintf(&text, "%s %d-%d\n", got.Number, got.Journal.First, got.Journal.Last)
	for _, l := range got.Lines {
		fmt.Fprintln(&text, l.Cluster, l.ClusterName, l.Lease, l.Node, l.Machine, l.Purse, l.Rate, l.Charged, l.Waived, l.Use, l.Fee, l.Paid, *l.Prices)
	}
	for _, total := range got.Totals {
		fmt.Fprintln(&text, "total", total.Use, total.Fee, total.Paid)
	}
	for _, b := range got.Balances {
		fmt.Fprintln(&text, b.Before, b.Movements, b.After)
	}
	// 90 min at 0.10/h: 0.15 and 0.003. 81 min at 2.345678/h: floor(3166665.3) and its 2 % rounded up. 90 min at 6/h: 9 USD, whose IO is the sum over i<90 of floor(10^19/(250,000,000,000+i·10^6)).
	want := `ann-369 1-369
c-usdc first-job l-1 worker-l-1 m-l-1 usdc 0.100000 USD/h 90 0 0.150000 USD 0.003000 USDC 0.153000 USDC {0.250000000000 USD/IO 0.250089000000 USD/IO 1 90}
c-usdc first-job l-2 worker-l-2 m-l-2 usdc 2.345678 USD/h 81 9 3.166665 USD 0.063334 USDC 3.229999 USDC {0.250001000000 USD/IO 0.250089000000 USD/IO 2 90}
c-io  l-3 worker-l-3 m-l-3 io 6.000000 USD/h 90 0 9.000000 USD 0.00000000 IO 35.99359316 IO {0.250000000000 USD/IO 0.250089000000 USD/IO 1 90}
total 3.316665 USD 0.066334 USDC 3.382999 USDC
total 9.000000 USD 0.00000000 IO 35.99359316 IO
0.000000 USD [{grant 1 50.000000 USD}] 50.000000 USD
0.000000 USDC [{deposit 1 100.000000 USDC} {minute.charged 171 -3.382999 USDC} {withdraw 1 -30.000000 USDC}] 66.617001 USDC
0.00000000 IO [{deposit 1 1000.00000000 IO} {minute.charged 90 -35.99359316 IO}] 964.00640684 IO
`
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
	if _, hash := w.book.Head(); got.Journal.Hash != hash {
		t.Errorf("hash %s, head %s", got.Journal.Hash, hash)
	}
	again := build(t, order(), w.book)
	if !reflect.DeepEqual(got, again) {
		t.Error("the same journal gave another invoice")
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
}

func TestOneCluster(t *testing.T) {
	w := november(t)
	o := order()
	o.Cluster, o.Number = "c-io", "2026-7"
	got := build(t, o, w.book)
	if got.Number != "2026-7" || len(got.Lines) != 1 || got.Lines[0].Lease != "l-3" || len(got.Totals) != 1 || got.Journal.First != 6 {
		t.Errorf("%+v", got)
	}
	// The cluster's hold was the first thing in the period; what other clusters paid is told apart.
	if b := got.Balances[2]; b.Before.String() != "1000.00000000 IO" || len(b.Movements) != 1 {
		t.Errorf("%+v", b)
	}
	if b := got.Balances[1]; b.Before.String() != "100.000000 USDC" || b.Movements[0].Kind != OtherCharges || b.Movements[0].Entries != 171 {
		t.Errorf("%+v", b)
	}
	o.Cluster = "c-bob" // not ann's
	if got := build(t, o, w.book); len(got.Lines) != 0 || len(got.Totals) != 0 {
		t.Errorf("a neighbour's cluster: %+v", got)
	}
	if got, err := Build(order(), func(func(ledger.Entry) bool) {}); err != nil || len(got.Lines) != 0 || got.Journal.Last != 0 {
		t.Errorf("no journal: %+v, %v", got, err)
	}
}

// Any way of cutting time into periods gives invoices that add up to the whole, with balances that meet and are the ledger's.
func TestPeriodsAddUp(t *testing.T) {
	w := november(t)
	entries := w.book.Entries(0, 1<<30)
	whole := build(t, order(), w.book)
	rapid.Check(t, func(t *rapid.T) {
		cuts := rapid.SliceOfN(rapid.IntRange(1, len(entries)-1), 1, 5).Draw(t, "cuts")
		slices.Sort(cuts)
		from := time.Time{}
		paid, charged := map[money.Asset]int64{}, int64(0)
		after := map[money.Asset]int64{}
		next := uint64(1)
		for i := 0; i <= len(cuts); i++ {
			o := order()
			o.From = from
			if i < len(cuts) {
				o.To = entries[cuts[i]].At
			}
			invoice, err := Build(o, all(w.book))
			if err != nil {
				t.Fatal(err)
			}
			if invoice.Journal.First != next {
				t.Fatalf("period %d begins at entry %d, want %d", i, invoice.Journal.First, next)
			}
			for _, l := range invoice.Lines {
				charged += l.Charged
			}
			for _, total := range invoice.Totals {
				paid[total.Paid.Asset] += total.Paid.Minor
			}
			for _, b := range invoice.Balances {
				sum := b.Before.Minor
				for _, m := range b.Movements {
					sum += m.Amount.Minor
				}
				asset := b.After.Asset
				if b.Before.Minor != after[asset] || sum != b.After.Minor {
					t.Fatalf("period %d: %+v after %d", i, b, after[asset])
				}
				after[asset] = b.After.Minor
			}
			from, next = o.To, invoice.Journal.Last+1
		}
		if charged != 90+81+90 {
			t.Fatalf("%d minutes", charged)
		}
		for _, total := range whole.Totals {
			if paid[total.Paid.Asset] != total.Paid.Minor {
				t.Fatalf("paid %d of %v", paid[total.Paid.Asset], total.Paid)
			}
		}
		for asset, minor := range after {
			if kept := w.book.Balance("tenant:ann", asset) + w.book.Balance("hold:c-usdc", asset) + w.book.Balance("hold:c-io", asset); kept != minor {
				t.Fatalf("%s: %d, the ledger has %d", asset, minor, kept)
			}
		}
	})
}

// Minutes of before there were purses read as granted USD.
func TestOldNotes(t *testing.T) {
	w := newTown(t)
	w.move("grant", "g-1", ledger.Grants, ledger.Tenant("ann"), "50 USD")
	w.move("hold", "c-1", ledger.Tenant("ann"), ledger.Hold("c-1"), "10 USD")
	note := meter.MinuteNote{Cluster: "c-1", Lease: "l-1", Node: "head", Machine: "m", Rate: 6_000_000, FeeBasisPoints: 200}
	postings, err := ledger.MinutePostings(ledger.Hold("c-1"), ledger.Supplier("sue"), 100_000, 2_000)
	if err != nil {
		t.Fatal(err)
	}
	w.post(meter.KindCharged, meter.Ref("l-1", 0), note, postings...)
	got := build(t, order(), w.book)
	if l := got.Lines[0]; l.Paid.String() != "0.102000 USD" || l.Purse != exchange.Grant || l.Prices != nil {
		t.Errorf("%+v", l)
	}
}

func TestBadJournals(t *testing.T) {
	entries := november(t).book.Entries(0, 1<<30)
	charged := slices.IndexFunc(entries, func(e ledger.Entry) bool { return e.Kind == meter.KindCharged })
	for what, spoil := range map[string]func([]ledger.Entry) []ledger.Entry{
		"not from the first": func(e []ledger.Entry) []ledger.Entry { return e[1:] },
		"a gap":              func(e []ledger.Entry) []ledger.Entry { return slices.Delete(e, 3, 4) },
		"no note":            func(e []ledger.Entry) []ledger.Entry { e[charged].Note = nil; return e },
		"charged too much": func(e []ledger.Entry) []ledger.Entry {
			e[charged].Postings = slices.Clone(e[charged].Postings)
			e[charged].Postings[0].Amount.Minor--
			return e
		},
		"from another purse": func(e []ledger.Entry) []ledger.Entry {
			e[charged].Note = []byte(strings.Replace(string(e[charged].Note), `"usdc"`, `"card"`, 1))
			return e
		},
		"no such purse": func(e []ledger.Entry) []ledger.Entry {
			e[charged].Note = []byte(strings.Replace(string(e[charged].Note), `"usdc"`, `"gold"`, 1))
			return e
		},
		"another rate": func(e []ledger.Entry) []ledger.Entry {
			e[charged].Note = []byte(strings.Replace(string(e[charged].Note), `0.100000`, `0.300000`, 1))
			return e
		},
		"minutes swapped": func(e []ledger.Entry) []ledger.Entry {
			e[charged].Note = []byte(strings.Replace(string(e[charged].Note), `"ordinal":0`, `"ordinal":1`, 1))
			return e
		},
	} {
		if got, err := Build(order(), slices.Values(spoil(slices.Clone(entries)))); !errors.Is(err, ErrJournal) {
			t.Errorf("%s: %v, %v", what, got.Number, err)
		}
	}
}

// BenchmarkBuild reads a journal of which one part in eight is the account's.
func BenchmarkBuild(b *testing.B) {
	w := newTown(b)
	for i := range 8 {
		account, cluster := fmt.Sprintf("t-%d", i), fmt.Sprintf("c-%d", i)
		w.move("grant", account, ledger.Grants, ledger.Tenant(account), "1000 USD")
		w.move("hold", cluster, ledger.Tenant(account), ledger.Hold(cluster), "1000 USD")
	}
	var rents []*rent
	for i := range 8 {
		rents = append(rents, w.rent(fmt.Sprintf("c-%d", i), fmt.Sprintf("l-%d", i), exchange.Grant, 100_000))
	}
	for range 2000 {
		for _, r := range rents {
			w.minute(r, 250_000_000_000, 1, true)
		}
	}
	o := order()
	o.Account = "t-3"
	seq, _ := w.book.Head()
	for b.Loop() {
		build(b, o, w.book)
	}
	b.ReportMetric(float64(seq)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
