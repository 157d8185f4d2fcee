// Package money is integer money: amounts of an asset in its minor unit, hourly rates, and every
// rounding that Raylink does. Nothing here is a float; products are formed in 128 bits.
package money

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Asset names what an amount is counted in.
type Asset string

// The assets Raylink knows. USD is what cards and grants credit, USDC and IO are Solana tokens.
const (
	USD  Asset = "USD"
	USDC Asset = "USDC"
	IO   Asset = "IO"
)

// Errors that callers may want to tell apart with errors.Is.
var (
	ErrOverflow = errors.New("amount is out of the range of 64 bits")
	ErrAsset    = errors.New("assets differ or are unknown")
	ErrSyntax   = errors.New("not an amount of the form `12.345678 USD`")
)

// Decimals is the number of decimal places of the asset's minor unit: 6 for USD and USDC,
// 8 for IO, and -1 for an asset that Raylink does not know.
func (a Asset) Decimals() int {
	switch a {
	case USD, USDC:
		return 6
	case IO:
		return 8
	}
	return -1
}

// Amount is a number of minor units (10^-Decimals) of one asset. Its text and JSON form is
// `12.345678 USD`, always with all decimals.
type Amount struct {
	Minor int64
	Asset Asset
}

// MicroUSD is the amount of n millionths of a US dollar.
func MicroUSD(n int64) Amount { return Amount{Minor: n, Asset: USD} }

// Parse reads `12.345678 USD`: an optional minus, digits, an optional point with at most the
// asset's decimals behind it, one space, the asset. No exponent, no plus, no grouping.
func Parse(text string) (Amount, error) {
	number, asset, found := strings.Cut(text, " ")
	if !found {
		return Amount{}, fmt.Errorf("reading amount %.60q: %w", text, ErrSyntax)
	}
	decimals := Asset(asset).Decimals()
	if decimals < 0 {
		return Amount{}, fmt.Errorf("reading amount %.60q: %w", text, ErrAsset)
	}
	minor, err := parseFixed(number, decimals)
	if err != nil {
		return Amount{}, fmt.Errorf("reading amount %.60q: %w", text, err)
	}
	return Amount{Minor: minor, Asset: Asset(asset)}, nil
}

// Add is a+b; the assets must be the same and the sum must fit.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.Asset != b.Asset {
		return Amount{}, fmt.Errorf("adding %v and %v: %w", a, b, ErrAsset)
	}
	sum, err := AddMinor(a.Minor, b.Minor)
	if err != nil {
		return Amount{}, fmt.Errorf("adding %v and %v: %w", a, b, err)
	}
	return Amount{Minor: sum, Asset: a.Asset}, nil
}

// Sub is a-b; the assets must be the same and the difference must fit.
func (a Amount) Sub(b Amount) (Amount, error) {
	if a.Asset != b.Asset {
		return Amount{}, fmt.Errorf("subtracting %v from %v: %w", b, a, ErrAsset)
	}
	difference := a.Minor - b.Minor
	if (difference < a.Minor) != (b.Minor > 0) {
		return Amount{}, fmt.Errorf("subtracting %v from %v: %w", b, a, ErrOverflow)
	}
	return Amount{Minor: difference, Asset: a.Asset}, nil
}

// Neg is -a. Only the most negative amount has no counterpart.
func (a Amount) Neg() (Amount, error) { return Amount{Asset: a.Asset}.Sub(a) }

// Cmp is -1, 0 or +1 as a is less than, equal to or more than b, which must be of the same asset.
func (a Amount) Cmp(b Amount) (int, error) {
	if a.Asset != b.Asset {
		return 0, fmt.Errorf("comparing %v with %v: %w", a, b, ErrAsset)
	}
	return cmp.Compare(a.Minor, b.Minor), nil
}

// Sign is -1, 0 or +1.
func (a Amount) Sign() int { return cmp.Compare(a.Minor, 0) }

// String is the text form; an amount of an unknown asset shows its minor units, marked as such.
func (a Amount) String() string {
	if a.Asset.Decimals() < 0 {
		return fmt.Sprintf("%d minor units of unknown asset %q", a.Minor, string(a.Asset))
	}
	return formatFixed(a.Minor, a.Asset.Decimals()) + " " + string(a.Asset)
}

// MarshalText is String, refused for an asset that is not known.
func (a Amount) MarshalText() ([]byte, error) {
	if a.Asset.Decimals() < 0 {
		return nil, fmt.Errorf("writing %v: %w", a, ErrAsset)
	}
	return []byte(a.String()), nil
}

// UnmarshalText is Parse.
func (a *Amount) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// AddMinor is a+b, refused when it does not fit into 64 bits.
func AddMinor(a, b int64) (int64, error) {
	sum := a + b
	if (sum < a) != (b < 0) {
		return 0, ErrOverflow
	}
	return sum, nil
}

// parseFixed reads a decimal number exactly, as a count of 10^-decimals.
func parseFixed(text string, decimals int) (int64, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || (point && fraction == "") || len(fraction) > decimals {
		return 0, ErrSyntax
	}
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	var magnitude uint64
	for _, digit := range []byte(whole + fraction + strings.Repeat("0", decimals-len(fraction))) {
		if digit < '0' || digit > '9' {
			return 0, ErrSyntax
		}
		value := uint64(digit - '0')
		if magnitude > (limit-value)/10 {
			return 0, ErrOverflow
		}
		magnitude = magnitude*10 + value
	}
	if negative {
		return int64(-magnitude), nil
	}
	return int64(magnitude), nil
}

// formatFixed is the inverse of parseFixed, with all decimals written out.
func formatFixed(minor int64, decimals int) string {
	sign, magnitude := "", uint64(minor)
	if minor < 0 {
		sign, magnitude = "-", -magnitude
	}
	digits := fmt.Sprintf("%0*d", decimals+1, magnitude)
	point := len(digits) - decimals
	return sign + digits[:point] + "." + digits[point:]
}
