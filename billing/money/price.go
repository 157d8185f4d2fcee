package money

import (
	"errors"
	"fmt"
	"strings"
)

// Price is what one whole IO costs, in pico-USD (10^-12 USD). Its text and JSON form is
// `0.250000000000 USD/IO`. Zero stands for no price.
type Price int64

const (
	priceDecimals = 12
	priceUnit     = " USD/IO"
	// microUSD*10^6 is pico-USD, that divided by a Price is whole IO, and 10^8 of its units are one IO.
	ioPerPrice = 100_000_000_000_000
)

// ErrPrice says that a price was zero or below.
var ErrPrice = errors.New("not a price above zero")

// ParsePrice reads `0.250000000000 USD/IO`, with at most twelve decimals; a price is never negative.
func ParsePrice(text string) (Price, error) {
	number, found := strings.CutSuffix(text, priceUnit)
	if !found {
		return 0, fmt.Errorf("reading price %.60q, wanted the form `0.250000000000 USD/IO`: %w", text, ErrSyntax)
	}
	pico, err := parseFixed(number, priceDecimals)
	if err == nil && pico < 0 {
		err = ErrNegative
	}
	if err != nil {
		return 0, fmt.Errorf("reading price %.60q: %w", text, err)
	}
	return Price(pico), nil
}

// String is the text form.
func (p Price) String() string { return formatFixed(int64(p), priceDecimals) + priceUnit }

// MarshalText is String, refused for a negative price.
func (p Price) MarshalText() ([]byte, error) {
	if p < 0 {
		return nil, fmt.Errorf("writing price %v: %w", p, ErrNegative)
	}
	return []byte(p.String()), nil
}

// UnmarshalText is ParsePrice.
func (p *Price) UnmarshalText(text []byte) error {
	parsed, err := ParsePrice(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

// ToIO is how much IO, in its minor units, so many micro-USD buy at the price:
// floor(microUSD*10^14/price). One of the roundings of the house.
func ToIO(microUSD int64, p Price) (minor int64, err error) {
	if p <= 0 {
		return 0, fmt.Errorf("converting %v to IO at %v: %w", MicroUSD(microUSD), p, ErrPrice)
	}
	return mulDiv(microUSD, ioPerPrice, int64(p), false)
}

// FromIO is what so many minor units of IO are worth at the price, in micro-USD:
// floor(minor*price/10^14). One of the roundings of the house.
func FromIO(minor int64, p Price) (microUSD int64, err error) {
	if p <= 0 {
		return 0, fmt.Errorf("converting %v to USD at %v: %w", Amount{Minor: minor, Asset: IO}, p, ErrPrice)
	}
	return mulDiv(minor, int64(p), ioPerPrice, false)
}
