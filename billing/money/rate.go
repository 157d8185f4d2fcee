package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Rate is a price in micro-USD per hour. Its text and JSON form is `0.120000 USD/h`.
type Rate int64

// What the roundings below divide by.
const (
	minutesPerHour    = 60
	basisPointsPerOne = 10_000 // a fee of 2 % is 200 basis points
	tenThousandths    = 10_000 // Ray counts resources in 1/10,000 of a unit
)

// ErrNegative says that a rate, a count of minutes, a fee or a quantity was below zero.
var ErrNegative = errors.New("negative where only zero or more makes sense")

// ParseRate reads `0.120000 USD/h`, with at most six decimals; a rate is never negative.
func ParseRate(text string) (Rate, error) {
	number, found := strings.CutSuffix(text, " USD/h")
	if !found {
		return 0, fmt.Errorf("reading rate %.60q, wanted the form `0.120000 USD/h`: %w", text, ErrSyntax)
	}
	micro, err := parseFixed(number, USD.Decimals())
	if err == nil && micro < 0 {
		err = ErrNegative
	}
	if err != nil {
		return 0, fmt.Errorf("reading rate %.60q: %w", text, err)
	}
	return Rate(micro), nil
}

// String is the text form.
func (r Rate) String() string { return formatFixed(int64(r), USD.Decimals()) + " USD/h" }

// MarshalText is String, refused for a negative rate.
func (r Rate) MarshalText() ([]byte, error) {
	if r < 0 {
		return nil, fmt.Errorf("writing rate %v: %w", r, ErrNegative)
	}
	return []byte(r.String()), nil
}

// UnmarshalText is ParseRate.
func (r *Rate) UnmarshalText(text []byte) error {
	parsed, err := ParseRate(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// Accrued is what the first `minutes` charged minutes cost together, in micro-USD:
// floor(rate*minutes/60). A single minute costs Accrued(n)-Accrued(n-1), so that no rounding
// adds up, however the time is cut. One of the roundings of the house.
func (r Rate) Accrued(minutes int64) (int64, error) {
	return mulDiv(int64(r), minutes, minutesPerHour, false)
}

// AtMost is the most that any `minutes` minutes in a row can cost, in micro-USD:
// ceil(rate*minutes/60). For holds. One of the roundings of the house.
func (r Rate) AtMost(minutes int64) (int64, error) {
	return mulDiv(int64(r), minutes, minutesPerHour, true)
}

// Fee is the fee on all that has accrued so far: ceil(accrued*basisPoints/10000). Like Accrued it
// is cumulative, and a minute's fee is a difference. One of the roundings of the house.
func Fee(accrued, basisPoints int64) (int64, error) {
	return mulDiv(accrued, basisPoints, basisPointsPerOne, true)
}

// RateFor is the rate of a quantity in 1/10,000 units (as Ray counts) at a price per whole unit
// and hour: floor(perUnitHour*quantity/10000). One of the roundings of the house.
func RateFor(perUnitHour Rate, quantity int64) (Rate, error) {
	rate, err := mulDiv(int64(perUnitHour), quantity, tenThousandths, false)
	return Rate(rate), err
}

// mulDiv is a*b/divisor with a 128-bit product, rounded down, or up where roundUp says so.
func mulDiv(a, b, divisor int64, roundUp bool) (int64, error) {
	if a < 0 || b < 0 {
		return 0, fmt.Errorf("multiplying %d by %d: %w", a, b, ErrNegative)
	}
	high, low := bits.Mul64(uint64(a), uint64(b))
	if roundUp {
		var carry uint64
		low, carry = bits.Add64(low, uint64(divisor-1), 0)
		high += carry // a product of two 63-bit numbers leaves room
	}
	if high >= uint64(divisor) {
		return 0, fmt.Errorf("computing %d*%d/%d: %w", a, b, divisor, ErrOverflow)
	}
	quotient, _ := bits.Div64(high, low, uint64(divisor))
	if quotient > math.MaxInt64 {
		return 0, fmt.Errorf("computing %d*%d/%d: %w", a, b, divisor, ErrOverflow)
	}
	return int64(quotient), nil
}
