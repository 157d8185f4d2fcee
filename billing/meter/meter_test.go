package meter

import (
	"encoding/json"
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

	"raylink/billing/money"
)

var update = flag.Bool("update", false, "write what the transcript should say")

// TestTranscript reads testdata/meter.txt aloud: each `> command` is followed by its answer.
func TestTranscript(t *testing.T) {
	const file = "testdata/meter.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var lease Lease
	for line := range strings.Lines(string(text)) {
		command, isCommand := strings.CutPrefix(line, "> ")
		switch {
		case isCommand:
			out.WriteString(line)
			if answer := say(t, &lease, strings.Fields(command)); answer != "" {
				out.WriteString(answer + "\n")
			}
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

func say(t *testing.T, lease *Lease, words []string) string {
	number := func(i int) int64 {
		n, err := strconv.ParseInt(words[i], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	rate := func(word string) money.Rate {
		r, err := money.ParseRate(word + " USD/h")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	switch words[0] {
	case "lease": // rate basis points
		*lease = Lease{Rate: rate(words[1]), FeeBasisPoints: number(2)}
		return ""
	case "charge":
		amount, fee, err := lease.Charge(number(1))
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("use %v, fee %v", money.MicroUSD(amount), money.MicroUSD(fee))
	case "waive":
		if err := lease.Waive(number(1)); err != nil {
			return err.Error()
		}
		return "waived"
	case "total":
		return fmt.Sprintf("%d charged, %d waived, use %v, fee %v", lease.Charged, lease.Waived, money.MicroUSD(lease.Accrued), money.MicroUSD(lease.Fees))
	case "cost": // minutes basis points rates
		var rates []money.Rate
		for _, word := range words[3:] {
			rates = append(rates, rate(word))
		}
		cost, err := Cost(rates, number(2), number(1))
		if err != nil {
			return err.Error()
		}
		return money.MicroUSD(cost).String()
	case "verdict":
		charge, reason := Verdict(int(number(1)), int(number(2)))
		return fmt.Sprintf("charge: %v %s", charge, reason)
	}
	t.Fatalf("no command %q", words[0])
	return ""
}

func rates() *rapid.Generator[money.Rate] {
	return rapid.Custom(func(t *rapid.T) money.Rate {
		return money.Rate(rapid.OneOf(rapid.Int64Range(0, 200), rapid.Int64Range(0, 50_000_000)).Draw(t, "rate"))
	})
}

// Whatever is waived between them, n charged minutes cost what n minutes cost at once, by unbounded
// integers; a hold suffices for any stretch of them and is hardly more.
func TestAnyPartitionSameTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, points := rates().Draw(t, "rate"), rapid.Int64Range(0, 10_000).Draw(t, "basis points")
		lease := Lease{Rate: rate, FeeBasisPoints: points}
		minutes := rapid.IntRange(1, 300).Draw(t, "minutes")
		from := rapid.IntRange(0, minutes-1).Draw(t, "hold from")
		var use, fees, stretch, held, heldMinutes int64
		for ordinal := range int64(minutes) {
			if rapid.IntRange(0, 3).Draw(t, "waive") == 0 {
				if err := lease.Waive(ordinal); err != nil {
					t.Fatal(err)
				}
				continue
			}
			amount, fee, err := lease.Charge(ordinal)
			if err != nil || amount < 0 || fee < 0 {
				t.Fatalf("minute %d: %d, %d, %v", ordinal, amount, fee, err)
			}
			use, fees = use+amount, fees+fee
			if ordinal >= int64(from) {
				stretch, heldMinutes = stretch+amount+fee, heldMinutes+1
			}
		}
		wantUse := new(big.Int).Div(big.NewInt(int64(rate)*lease.Charged), big.NewInt(60))
		wantFee := new(big.Int).Div(new(big.Int).Add(new(big.Int).Mul(wantUse, big.NewInt(points)), big.NewInt(9_999)), big.NewInt(10_000))
		if use != wantUse.Int64() || fees != wantFee.Int64() || use != lease.Accrued || fees != lease.Fees {
			t.Fatalf("use %d and fee %d of %d minutes, want %v and %v", use, fees, lease.Charged, wantUse, wantFee)
		}
		if lease.Charged+lease.Waived != int64(minutes) || lease.Next != int64(minutes) {
			t.Fatalf("%+v is not %d minutes", lease, minutes)
		}
		held, err := Cost([]money.Rate{rate}, points, heldMinutes)
		if err != nil || held < stretch || held > stretch+3 {
			t.Fatalf("hold of %d, %v for %d", held, err, stretch)
		}
	})
}

func TestEachOrdinalOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lease := Lease{Rate: 60, FeeBasisPoints: 200}
		settled := map[int64]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			ordinal := rapid.Int64Range(-2, 20).Draw(t, "ordinal")
			before := lease
			var err error
			if rapid.Bool().Draw(t, "charge") {
				_, _, err = lease.Charge(ordinal)
			} else {
				err = lease.Waive(ordinal)
			}
			var want error
			switch {
			case settled[ordinal] || ordinal < 0:
				want = ErrSettled
			case ordinal > 0 && !settled[ordinal-1]:
				want = ErrGap
			default:
				settled[ordinal] = true
			}
			if !errors.Is(err, want) || (err != nil && lease != before) {
				t.Fatalf("minute %d: %v, want %v; %+v", ordinal, err, want, lease)
			}
		}
	})
}

func TestOverflowChangesNothing(t *testing.T) {
	lease := Lease{Rate: math.MaxInt64, FeeBasisPoints: 200, Next: 60, Charged: 60, Accrued: math.MaxInt64}
	before := lease
	if _, _, err := lease.Charge(60); !errors.Is(err, money.ErrOverflow) || lease != before {
		t.Errorf("%v, %+v", err, lease)
	}
	if cost, err := Cost([]money.Rate{math.MaxInt64, math.MaxInt64}, 0, 60); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("cost %d, %v", cost, err)
	}
}

func TestNoteVerdict(t *testing.T) {
	enough, little := &Evidence{Seconds: 45}, &Confirmation{Seconds: 44}
	for _, try := range []struct {
		note   MinuteNote
		charge bool
		reason string
	}{
		{MinuteNote{}, false, ReasonNoEvidence},
		{MinuteNote{Agent: enough}, false, ReasonNoEvidence},
		{MinuteNote{Gateway: &Confirmation{Seconds: 60}}, false, ReasonNoEvidence},
		{MinuteNote{Agent: enough, Gateway: little}, false, "the gateway saw 44 s of 60, at least 45 needed"},
		{MinuteNote{Agent: enough, Gateway: &Confirmation{Seconds: 45}}, true, ""},
	} {
		if charge, reason := try.note.Verdict(); charge != try.charge || reason != try.reason {
			t.Errorf("%+v: %v %q", try.note, charge, reason)
		}
	}
	if Ref("l-1", 7) != "l-1/7" {
		t.Error(Ref("l-1", 7))
	}
}

// The supplier's fee is cumulative over what he took in USDC, by unbounded integers, and an error changes nothing.
func TestSupplierFeeCumulative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := rapid.Int64Range(0, 10_000).Draw(t, "basis points")
		var lease Lease
		var use, fees int64
		for range rapid.IntRange(1, 50).Draw(t, "minutes") {
			minute := rapid.Int64Range(0, 3000).Draw(t, "use")
			fee, err := lease.SupplierFee(minute, points)
			if err != nil || fee < 0 || fee > minute {
				t.Fatalf("fee %d of %d, %v", fee, minute, err)
			}
			use, fees = use+minute, fees+fee
		}
		want := new(big.Int).Div(new(big.Int).Add(new(big.Int).Mul(big.NewInt(use), big.NewInt(points)), big.NewInt(9_999)), big.NewInt(10_000))
		if fees != want.Int64() || lease.SupplierAccrued != use || lease.SupplierFees != fees {
			t.Fatalf("%d of %d, want %v; %+v", fees, use, want, lease)
		}
		before := lease
		if _, err := lease.SupplierFee(-1, points); !errors.Is(err, money.ErrNegative) || lease != before {
			t.Fatalf("%v, %+v", err, lease)
		}
		if _, err := lease.SupplierFee(math.MaxInt64, 10_001); !errors.Is(err, money.ErrOverflow) || lease != before {
			t.Fatalf("%v, %+v", err, lease)
		}
		if fee, err := lease.SupplierFee(0, 0); err != nil || fee != 0 || lease != before {
			t.Fatalf("lowered: %d, %v, %+v", fee, err, lease)
		}
	})
}

// A lease and a note of before read and write as they did.
func TestOldFormsUnchanged(t *testing.T) {
	for _, try := range []struct {
		value any
		want  string
	}{
		{Lease{Rate: 1}, `{"rate":"0.000001 USD/h","fee_basis_points":0,"next":0,"charged":0,"waived":0,"accrued":0,"fees":0}`},
		{MinuteNote{Cluster: "c"}, `{"cluster":"c","lease":"","node":"","machine":"","ordinal":0,"rate":"0.000000 USD/h","fee_basis_points":0}`},
		{MinuteNote{Purse: "io", Takes: money.USDC, SupplierFeeBasisPoints: 200, Price: 1, PriceID: 7, PriceHalt: "price-stale"},
			`{"cluster":"","lease":"","node":"","machine":"","ordinal":0,"rate":"0.000000 USD/h","fee_basis_points":0,` +
				`"purse":"io","takes":"USDC","supplier_fee_basis_points":200,"price":"0.000000000001 USD/IO","price_id":7,"price_halt":"price-stale"}`},
	} {
		if text, err := json.Marshal(try.value); err != nil || string(text) != try.want {
			t.Errorf("%s, %v\nwant %s", text, err, try.want)
		}
	}
}
