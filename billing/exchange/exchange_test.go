package exchange

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raylink/billing/ledger"
	"raylink/billing/money"
)

var update = flag.Bool("update", false, "write what the transcript should say")

// TestTranscript reads testdata/exchange.txt aloud: each `> command` is followed by its answer.
func TestTranscript(t *testing.T) {
	const file = "testdata/exchange.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		command, isCommand := strings.CutPrefix(line, "> ")
		switch {
		case isCommand:
			out.WriteString(line + say(t, strings.Fields(command)))
		case strings.HasPrefix(line, "#") || line == "\n":
			out.WriteString(line)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != string(text) {
		t.Errorf("%s reads otherwise (-update rewrites it):\n%s", file, out.String())
	}
}

func say(t *testing.T, words []string) string {
	amount := func(i int, asset money.Asset) money.Amount {
		a, err := money.Parse(words[i] + " " + string(asset))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	price := func(i int) money.Price {
		p, err := money.ParsePrice(words[i] + " USD/IO")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var list []ledger.Posting
	var err error
	switch words[0] {
	case "minute": // purse takes use fee supplier's-fee price [halted]
		list, err = Postings(Minute{
			Cluster: "c-1", Supplier: "bob", Purse: Purse(words[1]), Takes: money.Asset(words[2]),
			Use: amount(3, money.USD).Minor, Fee: amount(4, money.USD).Minor, SupplierFee: amount(5, money.USD).Minor,
			Price: price(6), Halted: len(words) > 7,
		})
	case "resume": // purse takes amount basis-points price
		points, _ := strconv.ParseInt(words[4], 10, 64)
		asset := Purse(words[1]).Asset()
		if asset == "" {
			asset = money.USD
		}
		list, err = Resume(Paused{
			Purse: Purse(words[1]), Supplier: "bob", Takes: money.Asset(words[2]), Amount: amount(3, asset),
			SupplierFeeBasisPoints: points, Price: price(5),
		})
	default:
		t.Fatalf("no command %q", words[0])
	}
	if err != nil {
		return "  " + err.Error() + "\n"
	}
	var out strings.Builder
	for _, posting := range list {
		fmt.Fprintf(&out, "  %-26s %20v\n", posting.Account, posting.Amount)
	}
	return out.String()
}

// books adds postings up by account and asset.
func books(list []ledger.Posting) map[string]int64 {
	sums := map[string]int64{}
	for _, posting := range list {
		sums[posting.Account+" "+string(posting.Amount.Asset)] += posting.Amount.Minor
	}
	return sums
}

func toIO(micro int64, p money.Price) int64 {
	return new(big.Int).Div(new(big.Int).Mul(big.NewInt(micro), big.NewInt(100_000_000_000_000)), big.NewInt(int64(p))).Int64()
}

// twin says what each account gains by a minute, from the table in the design page alone.
func twin(m Minute) map[string]int64 {
	sums, asset := map[string]int64{}, string(m.Purse.Asset())
	waiting := map[Purse]string{Grant: "supplier-grant:bob ", Card: "supplier-card:bob ", USDC: "supplier:bob ", IO: "supplier:bob "}[m.Purse]
	priced := m.Price > 0 && !m.Halted
	var io int64
	if priced || m.Purse == IO {
		io = toIO(m.Use, m.Price)
	}
	if m.Purse == IO {
		sums["hold:c-1 IO"] -= io
	} else {
		sums["hold:c-1 "+asset] -= m.Use + m.Fee
		sums["fees "+asset] += m.Fee
	}
	switch {
	case !priced && m.Purse == IO:
		sums["supplier-paused:io:bob IO"] += io
	case !priced && m.Takes == money.IO:
		sums["supplier-paused:"+string(m.Purse)+":bob "+asset] += m.Use
	case m.Takes == money.IO:
		sums[waiting+"IO"] += io
		if m.Purse != IO {
			sums["fx:in "+asset] += m.Use
			sums["fx:in IO"] -= io
		}
	default:
		sums[waiting+"USDC"] += m.Use - m.SupplierFee
		sums["fees USDC"] += m.SupplierFee
		switch {
		case priced && m.Purse == IO:
			sums["fx:out IO"] += io
			sums["fx:out USDC"] -= m.Use
		case priced:
			sums["fx:in "+asset] += m.Use
			sums["fx:in IO"] -= io
			sums["fx:out IO"] += io
			sums["fx:out USDC"] -= m.Use
		case m.Purse != USDC:
			sums["fx:in USD"] += m.Use
			sums["fx:in USDC"] -= m.Use
		}
	}
	return sums
}

func minutes() *rapid.Generator[Minute] {
	return rapid.Custom(func(t *rapid.T) Minute {
		m := Minute{Cluster: "c-1", Supplier: "bob", Purse: rapid.SampledFrom(Purses()).Draw(t, "purse"),
			Takes: rapid.SampledFrom([]money.Asset{money.USDC, money.IO}).Draw(t, "takes"),
			Use:   rapid.Int64Range(0, 1_000_000_000).Draw(t, "use"), Halted: rapid.Bool().Draw(t, "halted"),
			Price: money.Price(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1_000_000, 1_000_000_000_000)).Draw(t, "price"))}
		m.Fee, _ = money.Fee(m.Use, m.Purse.FeeBasisPoints())
		m.SupplierFee, _ = money.Fee(m.Use, m.SupplierFeeBasisPoints())
		return m
	})
}

// Each minute gains each account what the table says, sums to zero, and takes from the hold what Cost says.
func TestPostingsAsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := minutes().Draw(t, "minute")
		list, err := Postings(m)
		cost, costErr := Cost(m)
		if m.Purse == IO && m.Price == 0 {
			if !errors.Is(err, ErrNoPrice) || !errors.Is(costErr, ErrNoPrice) {
				t.Fatalf("%v, %v", err, costErr)
			}
			return
		}
		if err != nil || costErr != nil {
			t.Fatal(err, costErr)
		}
		want, got := twin(m), books(list)
		for place := range want {
			if got[place] != want[place] {
				t.Fatalf("%s: %d, want %d\n%v", place, got[place], want[place], list)
			}
		}
		for place, minor := range got {
			if want[place] != minor {
				t.Fatalf("%s: %d, want none\n%v", place, minor, list)
			}
		}
		if len(list) > 0 {
			if err := ledger.Check(ledger.Entry{Kind: "k", Ref: "r", Postings: list}); err != nil && !strings.Contains(err.Error(), "UTC") {
				t.Fatal(err)
			}
		}
		if got["hold:c-1 "+string(cost.Asset)] != -cost.Minor || cost.Asset != m.Purse.Asset() {
			t.Fatalf("cost %v of %v", cost, list)
		}
	})
}

// A minute in a halt and its resumption at a price leave every account, fx apart, as a minute at that
// price would have: but for an IO payer, who paid at the last believed price.
func TestPausedThenResumed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := minutes().Draw(t, "minute")
		m.Halted, m.Price = false, max(m.Price, 1_000_000)
		priced, err := Postings(m)
		if err != nil {
			t.Fatal(err)
		}
		m.Halted = true
		m.SupplierFee, _ = money.Fee(m.Use, m.SupplierFeeBasisPoints())
		list, err := Postings(m)
		if err != nil {
			t.Fatal(err)
		}
		paused := books(list)[ledger.SupplierPaused(string(m.Purse), "bob")+" "+string(m.Purse.Asset())]
		if (paused != 0) && !m.Paused() {
			t.Fatalf("%v is paused of %+v", paused, m)
		}
		if paused == 0 || (m.Purse == IO && m.Takes == money.USDC) {
			return // the way there and back costs a rounding
		}
		back, err := Resume(Paused{Purse: m.Purse, Supplier: "bob", Amount: money.Amount{Minor: paused, Asset: m.Purse.Asset()},
			Takes: m.Takes, SupplierFeeBasisPoints: SupplierFeeBasisPoints(m.Takes), Price: m.Price})
		if err != nil {
			t.Fatal(err)
		}
		want, got := books(priced), books(append(list, back...))
		for place, minor := range got {
			if want[place] != minor {
				t.Fatalf("%s: %d, want %d", place, minor, want[place])
			}
		}
	})
}

func TestPurses(t *testing.T) {
	for _, p := range Purses() {
		if got, err := ParsePurse(string(p)); err != nil || got != p {
			t.Errorf("%q: %v, %v", p, got, err)
		}
	}
	for _, text := range []string{"", "usd", "USDC", "io "} {
		if got, err := ParsePurse(text); !errors.Is(err, ErrPurse) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if Card.Account("ann") != "tenant-card:ann" || IO.Account("ann") != "tenant:ann" || SupplierFeeBasisPoints(money.IO) != 0 {
		t.Error("accounts or fees")
	}
	if _, err := Cost(Minute{Purse: USDC, Takes: money.USDC, Use: math.MaxInt64, Fee: 1}); !errors.Is(err, money.ErrOverflow) {
		t.Error(err)
	}
}
