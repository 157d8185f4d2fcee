package feed

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"raylink/billing/money"
)

const (
	picoDigits  = 12 // a money.Price counts 10^-12 USD
	maxDigits   = 64 // of a number as a source writes it
	maxExponent = 64 // of ten, either way
)

// Scaled is digits×10^exponent USD per IO, exactly, as far as a money.Price reaches: the rest is rounded down, or up where roundUp
// says so. Digits are decimal digits alone. It is an ErrAnswer if it is not that, or if the price does not fit.
func Scaled(digits string, exponent int, roundUp bool) (money.Price, error) {
	if digits == "" || len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" || exponent > maxExponent || exponent < -maxExponent {
		return 0, fmt.Errorf("%w: price %.80q·10^%d", ErrAnswer, digits, exponent)
	}
	number, _ := new(big.Int).SetString(digits, 10)
	ten := big.NewInt(10)
	if shift := exponent + picoDigits; shift >= 0 {
		number.Mul(number, ten.Exp(ten, big.NewInt(int64(shift)), nil))
	} else {
		rest := new(big.Int)
		number.QuoRem(number, ten.Exp(ten, big.NewInt(int64(-shift)), nil), rest)
		if roundUp && rest.Sign() > 0 {
			number.Add(number, big.NewInt(1))
		}
	}
	if !number.IsInt64() {
		return 0, fmt.Errorf("%w: price %.80q·10^%d is out of range", ErrAnswer, digits, exponent)
	}
	return money.Price(number.Int64()), nil
}

// Number reads a JSON number, such as 0.1871 or 2.5e-7, as USD per IO: exactly, from its text, rounded down to a money.Price.
func Number(text string) (money.Price, error) {
	wrong := fmt.Errorf("%w: price %.80q", ErrAnswer, text)
	mantissa, power, hasPower := cutAny(text, "eE")
	exponent := 0
	if hasPower {
		n, err := strconv.ParseInt(power, 10, 16)
		if err != nil {
			return 0, wrong
		}
		exponent = int(n)
	}
	whole, fraction, point := strings.Cut(mantissa, ".")
	if whole == "" || point && fraction == "" || len(fraction) > maxDigits {
		return 0, wrong
	}
	return Scaled(whole+fraction, exponent-len(fraction), false)
}

func cutAny(text, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(text, chars); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}
