package feed

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raylink/billing/money"
)

func TestNumber(t *testing.T) {
	for text, want := range map[string]money.Price{
		"0.25": 250_000_000_000, "1": 1_000_000_000_000, "0.187123456789": 187_123_456_789, "0.1871234567899999": 187_123_456_789,
		"2.5e-7": 250_000, "2.5E-7": 250_000, "25e-2": 250_000_000_000, "1e+2": 100_000_000_000_000, "0": 0, "0.0": 0, "1e-13": 0,
		"9223372.036854775807": math.MaxInt64, "0e60": 0,
		"0.1": 100_000_000_000, "0.3": 300_000_000_000, // a float would not be exact
	} {
		if got, err := Number(text); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "-0", "+1", ".5", "5.", "1e", "e1", "1e1.5", "1e99", "1e-99", "1e999999999999", "NaN", "Infinity", "0x1", "1_0", " 1", "\"1\"",
		"9223372.036854775808", "1e60", "null", "true", "1.2.3", "1e2e3", strings.Repeat("1", 65), "0." + strings.Repeat("1", 65)} {
		if got, err := Number(text); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
}

func TestScaledRounds(t *testing.T) {
	for _, row := range []struct {
		digits   string
		exponent int
		down, up money.Price
	}{
		{"18412345", -8, 184_123_450_000, 184_123_450_000}, {"1", -12, 1, 1}, {"1", -13, 0, 1}, {"19", -13, 1, 2}, {"20", -13, 2, 2}, {"0", -13, 0, 0}, {"1", 6, 1e18, 1e18},
	} {
		down, err := Scaled(row.digits, row.exponent, false)
		up, err2 := Scaled(row.digits, row.exponent, true)
		if err != nil || err2 != nil || down != row.down || up != row.up {
			t.Errorf("%+v: %d, %v and %d, %v", row, down, err, up, err2)
		}
	}
}

// The twin: rationals, over whatever encoding/json takes for a number.
func TestNumberAsRational(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(0|[1-9][0-9]{0,8})(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "text")
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s is not JSON", text)
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatal(text)
		}
		exact.Mul(exact, new(big.Rat).SetInt64(1_000_000_000_000))
		want := new(big.Int).Quo(exact.Num(), exact.Denom())
		got, err := Number(text)
		if err == nil && (!want.IsInt64() || want.Int64() != int64(got)) {
			t.Fatalf("%s is %d, want %v", text, got, want)
		}
		if _, power, has := cutAny(text, "eE"); err != nil && want.IsInt64() && !(has && len(strings.TrimLeft(power, "+-0")) >= 2) {
			t.Fatalf("%s was refused: %v", text, err)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"0.25", "1e-7", "", "9223372.036854775807", "1e64", "-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := Number(text); err == nil && got < 0 {
			t.Errorf("%q is %d", text, got)
		}
	})
}
