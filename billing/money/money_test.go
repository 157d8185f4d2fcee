package money

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestTextForms(t *testing.T) {
	for text, want := range map[string]Amount{
		"12.345678 USD":             {12_345_678, USD},
		"0.000001 USDC":             {1, USDC},
		"-0.000001 USDC":            {-1, USDC},
		"0.00000001 IO":             {1, IO},
		"9223372036854.775807 USD":  {math.MaxInt64, USD},
		"-9223372036854.775808 USD": {math.MinInt64, USD},
		"0.000000 USD":              {0, USD},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", text, got, err, want)
		}
		if want.String() != text {
			t.Errorf("String() = %q, want %q", want.String(), text)
		}
	}
	for short, want := range map[string]int64{"7 USD": 7_000_000, "7.5 USD": 7_500_000, "-0.25 USD": -250_000} {
		if got, err := Parse(short); err != nil || got.Minor != want {
			t.Errorf("Parse(%q) = %v, %v", short, got, err)
		}
	}
}

func TestTextRefused(t *testing.T) {
	for text, want := range map[string]error{
		"": ErrSyntax, "12": ErrSyntax, "12USD": ErrSyntax, "USD": ErrSyntax, " USD": ErrSyntax,
		"1e3 USD": ErrSyntax, "+1 USD": ErrSyntax, ".5 USD": ErrSyntax, "5. USD": ErrSyntax, "- USD": ErrSyntax,
		"1,5 USD": ErrSyntax, "1_0 USD": ErrSyntax, "--1 USD": ErrSyntax, "1.-5 USD": ErrSyntax, "0x1 USD": ErrSyntax,
		"0.0000001 USD": ErrSyntax, "0.000000001 IO": ErrSyntax,
		"1  USD": ErrAsset, "1 USD ": ErrAsset, "1 usd": ErrAsset, "1 EUR": ErrAsset,
		"9223372036854.775808 USD": ErrOverflow, "-9223372036854.775809 USD": ErrOverflow,
		"99999999999999999999999999 USD": ErrOverflow, "18446744073709.551617 USD": ErrOverflow,
	} {
		if got, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("Parse(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1 USD", "1 USD/hour", "-1 USD/h", "0.0000001 USD/h", "1 USDC/h"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("ParseRate(%q) = %v, want it refused", text, got)
		}
	}
	if _, err := json.Marshal(Amount{1, "EUR"}); err == nil {
		t.Error("an unknown asset was written")
	}
	if _, err := json.Marshal(Rate(-1)); err == nil {
		t.Error("a negative rate was written")
	}
}

func TestMixedAssets(t *testing.T) {
	dollar, token := Amount{1, USD}, Amount{1, USDC}
	_, add := dollar.Add(token)
	_, sub := dollar.Sub(token)
	_, compare := dollar.Cmp(token)
	for _, err := range []error{add, sub, compare} {
		if !errors.Is(err, ErrAsset) {
			t.Errorf("got %v, want ErrAsset", err)
		}
	}
}

func amounts() *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, math.MinInt64 + 1}))
}

// The twin: unbounded integers, and an error exactly where the result leaves 64 bits.
func TestArithmeticAsBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asset := rapid.SampledFrom([]Asset{USD, USDC, IO}).Draw(t, "asset")
		a, b := Amount{amounts().Draw(t, "a"), asset}, Amount{amounts().Draw(t, "b"), asset}
		x, y := big.NewInt(a.Minor), big.NewInt(b.Minor)
		check := func(what string, got Amount, err error, want *big.Int) {
			if want.IsInt64() != (err == nil) || (err == nil && (got.Minor != want.Int64() || got.Asset != asset)) {
				t.Fatalf("%s: got %v, %v; want %v", what, got, err, want)
			}
		}
		sum, err := a.Add(b)
		check("add", sum, err, new(big.Int).Add(x, y))
		difference, err := a.Sub(b)
		check("sub", difference, err, new(big.Int).Sub(x, y))
		negated, err := a.Neg()
		check("neg", negated, err, new(big.Int).Neg(x))
		if order, err := a.Cmp(b); err != nil || order != x.Cmp(y) || a.Sign() != x.Sign() {
			t.Fatalf("order %d, %v", order, err)
		}
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var back Amount
		if err := json.Unmarshal(text, &back); err != nil || back != a {
			t.Fatalf("%s came back as %v, %v", text, back, err)
		}
	})
}

func TestRoundingAsBig(t *testing.T) {
	positive := rapid.OneOf(rapid.Int64Min(0), rapid.Int64Range(0, 1_000_000), rapid.SampledFrom([]int64{0, 1, math.MaxInt64}))
	divide := func(a, b, divisor int64, up bool) *big.Int {
		quotient, rest := new(big.Int).QuoRem(new(big.Int).Mul(big.NewInt(a), big.NewInt(b)), big.NewInt(divisor), new(big.Int))
		if up && rest.Sign() > 0 {
			quotient.Add(quotient, big.NewInt(1))
		}
		return quotient
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := positive.Draw(t, "a"), positive.Draw(t, "b")
		check := func(what string, got int64, err error, want *big.Int) {
			if want.IsInt64() != (err == nil) || (err == nil && got != want.Int64()) {
				t.Fatalf("%s(%d, %d) = %d, %v; want %v", what, a, b, got, err, want)
			}
		}
		accrued, err := Rate(a).Accrued(b)
		check("accrued", accrued, err, divide(a, b, 60, false))
		most, err := Rate(a).AtMost(b)
		check("at most", most, err, divide(a, b, 60, true))
		fee, err := Fee(a, b)
		check("fee", fee, err, divide(a, b, 10_000, true))
		rate, err := RateFor(Rate(a), b)
		check("rate for", int64(rate), err, divide(a, b, 10_000, false))
		if back, err := ParseRate(Rate(a).String()); err != nil || back != Rate(a) {
			t.Fatalf("%v came back as %v, %v", Rate(a), back, err)
		}
	})
}

func TestNegativeRefused(t *testing.T) {
	_, minutes := Rate(1).Accrued(-1)
	_, rate := Rate(-1).AtMost(1)
	_, fee := Fee(-1, 200)
	_, quantity := RateFor(1, -1)
	for _, err := range []error{minutes, rate, fee, quantity} {
		if !errors.Is(err, ErrNegative) {
			t.Errorf("got %v, want ErrNegative", err)
		}
	}
}

// The worked example of the price list: 100 of use costs the tenant 2 on top.
func TestTwoPercentOnTop(t *testing.T) {
	use, _ := Rate(100_000_000).Accrued(60)
	fee, _ := Fee(use, 200)
	if use != 100_000_000 || fee != 2_000_000 {
		t.Errorf("use %v, fee %v", MicroUSD(use), MicroUSD(fee))
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"12.345678 USD", "-0.00000001 IO", "1e9 USD", "9223372036854.775808 USDC", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		amount, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(amount.String()); err != nil || again != amount {
			t.Errorf("%q is %v, and that is %v, %v", text, amount, again, err)
		}
	})
}
