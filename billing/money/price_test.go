package money

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestPriceText(t *testing.T) {
	for text, want := range map[string]Price{
		"0.250000000000 USD/IO": 250_000_000_000, "0.000000000001 USD/IO": 1, "0.000000000000 USD/IO": 0,
		"9223372.036854775807 USD/IO": math.MaxInt64,
	} {
		got, err := ParsePrice(text)
		if err != nil || got != want || want.String() != text {
			t.Errorf("ParsePrice(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	if got, err := ParsePrice("0.25 USD/IO"); err != nil || got != 250_000_000_000 {
		t.Errorf("short form: %v, %v", got, err)
	}
	for text, want := range map[string]error{
		"0.25": ErrSyntax, "0.25 USD": ErrSyntax, "0.25 USD/io": ErrSyntax, "-0.25 USD/IO": ErrNegative, "1e3 USD/IO": ErrSyntax,
		"0.0000000000001 USD/IO": ErrSyntax, "9223372.036854775808 USD/IO": ErrOverflow, "": ErrSyntax,
	} {
		if got, err := ParsePrice(text); !errors.Is(err, want) {
			t.Errorf("ParsePrice(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	if _, err := json.Marshal(Price(-1)); err == nil {
		t.Error("a negative price was written")
	}
	var note struct {
		Price Price `json:"price,omitempty"`
	}
	if text, err := json.Marshal(note); err != nil || string(text) != "{}" {
		t.Errorf("no price is written as %s, %v", text, err)
	}
}

// The twin: unbounded integers, and an error exactly where the result leaves 64 bits.
func TestConversionAsBig(t *testing.T) {
	amount := rapid.OneOf(rapid.Int64Min(0), rapid.Int64Range(0, 1_000_000_000), rapid.SampledFrom([]int64{0, 1, math.MaxInt64}))
	prices := rapid.OneOf(rapid.Int64Min(1), rapid.Int64Range(1, 1_000_000_000_000), rapid.SampledFrom([]int64{1, math.MaxInt64}))
	scale := big.NewInt(100_000_000_000_000)
	rapid.Check(t, func(t *rapid.T) {
		a, p := amount.Draw(t, "amount"), prices.Draw(t, "price")
		check := func(what string, got int64, err error, want *big.Int) {
			if want.IsInt64() != (err == nil) || (err == nil && got != want.Int64()) || (err != nil && !errors.Is(err, ErrOverflow)) {
				t.Fatalf("%s(%d, %d) = %d, %v; want %v", what, a, p, got, err, want)
			}
		}
		minor, err := ToIO(a, Price(p))
		check("ToIO", minor, err, new(big.Int).Div(new(big.Int).Mul(big.NewInt(a), scale), big.NewInt(p)))
		if err == nil { // there and back never makes more
			if back, err := FromIO(minor, Price(p)); err != nil || back > a {
				t.Fatalf("%d at %d came back as %d, %v", a, p, back, err)
			}
		}
		micro, err := FromIO(a, Price(p))
		check("FromIO", micro, err, new(big.Int).Div(new(big.Int).Mul(big.NewInt(a), big.NewInt(p)), scale))
		if back, err := ParsePrice(Price(p).String()); err != nil || back != Price(p) {
			t.Fatalf("%v came back as %v, %v", Price(p), back, err)
		}
	})
}

func TestConversionRefused(t *testing.T) {
	_, toNothing := ToIO(1, 0)
	_, toNegative := ToIO(1, -1)
	_, fromNothing := FromIO(1, 0)
	for _, err := range []error{toNothing, toNegative, fromNothing} {
		if !errors.Is(err, ErrPrice) {
			t.Errorf("got %v, want ErrPrice", err)
		}
	}
	_, to := ToIO(-1, 1)
	_, from := FromIO(-1, 1)
	for _, err := range []error{to, from} {
		if !errors.Is(err, ErrNegative) {
			t.Errorf("got %v, want ErrNegative", err)
		}
	}
}

// The worked example: 100 USD at 0.25 are 400 IO.
func TestFourHundredIO(t *testing.T) {
	minor, err := ToIO(100_000_000, 250_000_000_000)
	if err != nil || minor != 400_00000000 {
		t.Errorf("%v, %v", Amount{minor, IO}, err)
	}
	if micro, err := FromIO(minor, 250_000_000_000); err != nil || micro != 100_000_000 {
		t.Errorf("%v, %v", MicroUSD(micro), err)
	}
}
