package price

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"raylink/billing/money"
)

// SourceAdministered is the source whose samples an operator signs.
const SourceAdministered = "administered"

// The prices that are taken at all. Beyond them products of real amounts would leave 64 bits.
const (
	MinPrice money.Price = 1_000_000             // 0.000001 USD/IO
	MaxPrice money.Price = 1_000_000_000_000_000 // 1,000 USD/IO
)

// MaxAhead is how far into the future a sample may have been observed: clocks differ.
const MaxAhead = 30 * time.Second

const (
	maxSource         = 64 // bytes of a source's name
	maxSources        = 16 // and operators
	maxMaxAge         = 24 * time.Hour
	basisPointsPerOne = 10_000
)

// What is refused; tell them apart with errors.Is.
var (
	ErrSample = errors.New("price sample refused")
	ErrPolicy = errors.New("price policy refused")
)

// Sample is what one source said the price was.
type Sample struct {
	Source     string      `json:"source"`
	Price      money.Price `json:"price"`
	Confidence money.Price `json:"confidence,omitempty"` // one sigma; 0 is unknown
	ObservedAt time.Time   `json:"observed_at"`
	Signature  string      `json:"signature,omitempty"` // administered: Ed25519 over SampleBytes, standard base64
	Key        string      `json:"key,omitempty"`       // administered: the operator's public key, standard base64
}

// SampleBytes is what an operator signs.
func SampleBytes(s Sample) []byte {
	const nanoseconds = "2006-01-02T15:04:05.000000000Z07:00" // RFC 3339 with all nine digits
	return fmt.Appendf(nil, "raylink price v1\n%s\n%v\n%v\n%s\n", s.Source, s.Price, s.Confidence, s.ObservedAt.UTC().Format(nanoseconds))
}

// Policy is what a price has to satisfy in order to be believed. Basis points are 1/10,000.
type Policy struct {
	MaxAge          time.Duration `json:"max_age"`           // of a sample, since it was observed; nanoseconds
	MaxStepBP       int64         `json:"max_step_bp"`       // from one believed price to the next
	MaxHourBP       int64         `json:"max_hour_bp"`       // from the last hour's time-weighted average
	MaxConfidenceBP int64         `json:"max_confidence_bp"` // of a sample's confidence, in its price
	MaxSpreadBP     int64         `json:"max_spread_bp"`     // from the lowest to the highest source, in the median
	MinSources      int64         `json:"min_sources"`       // fresh ones; less than 1 counts as 1
	Sources         []string      `json:"sources"`           // those that are listened to
	Operators       []string      `json:"operators"`         // public keys, standard base64
}

// Default is the policy of a house whose operators administer the price; it still lacks their keys.
func Default() Policy {
	return Policy{
		MaxAge: 10 * time.Minute, MaxStepBP: 1000, MaxHourBP: 2000, MaxConfidenceBP: 200, MaxSpreadBP: 300,
		MinSources: 1, Sources: []string{SourceAdministered},
	}
}

// Check says what is wrong with a policy that is to be used.
func (p Policy) Check() error {
	for _, basisPoints := range [...]int64{p.MaxStepBP, p.MaxHourBP, p.MaxConfidenceBP, p.MaxSpreadBP} {
		if basisPoints < 1 || basisPoints > basisPointsPerOne {
			return fmt.Errorf("%w: a limit of %d basis points is not within 1 and %d", ErrPolicy, basisPoints, basisPointsPerOne)
		}
	}
	switch {
	case p.MaxAge < time.Second || p.MaxAge > maxMaxAge:
		return fmt.Errorf("%w: max_age %v is not within 1s and %v", ErrPolicy, p.MaxAge, maxMaxAge)
	case len(p.Sources) == 0 || len(p.Sources) > maxSources || p.MinSources > int64(len(p.Sources)) || p.MinSources < 0:
		return fmt.Errorf("%w: %d of %d sources wanted; 1 to %d may be listened to", ErrPolicy, p.MinSources, len(p.Sources), maxSources)
	case len(p.Operators) > maxSources:
		return fmt.Errorf("%w: %d operators, at most %d", ErrPolicy, len(p.Operators), maxSources)
	}
	for i, source := range p.Sources {
		if !visible(source) || slices.Contains(p.Sources[:i], source) {
			return fmt.Errorf("%w: source %.80q is no name, or twice there", ErrPolicy, source)
		}
	}
	for _, key := range p.Operators {
		if raw, err := base64.StdEncoding.Strict().DecodeString(key); err != nil || len(raw) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: operator %.60q is not an Ed25519 public key in standard base64", ErrPolicy, key)
		}
	}
	return nil
}

// check judges a sample by itself, at the time now.
func (p Policy) check(now time.Time, s Sample) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrSample, fmt.Sprintf(format, args...))
	}
	switch {
	case !visible(s.Source):
		return refuse("source %.80q is not 1 to %d visible ASCII characters", s.Source, maxSource)
	case s.Price < MinPrice || s.Price > MaxPrice || s.Confidence < 0:
		return refuse("price %v with confidence %v; wanted %v to %v", s.Price, s.Confidence, MinPrice, MaxPrice)
	case s.ObservedAt.After(now.Add(MaxAhead)):
		return refuse("observed at %v, and it is %v", s.ObservedAt.UTC(), now.UTC())
	case !p.fresh(now, s):
		return refuse("observed at %v, older than %v", s.ObservedAt.UTC(), p.MaxAge)
	case s.Source == SourceAdministered && !p.signed(s):
		return refuse("not signed by an operator")
	}
	return nil
}

func visible(name string) bool {
	return name != "" && len(name) <= maxSource &&
		!slices.ContainsFunc([]byte(name), func(char byte) bool { return char <= ' ' || char > '~' })
}

// signed says whether one of the operators signed the sample.
func (p Policy) signed(s Sample) bool {
	if !slices.Contains(p.Operators, s.Key) {
		return false
	}
	key, err := base64.StdEncoding.Strict().DecodeString(s.Key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return false
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(s.Signature)
	return err == nil && ed25519.Verify(key, SampleBytes(s), signature)
}

func (p Policy) fresh(now time.Time, s Sample) bool { return now.Sub(s.ObservedAt) <= p.MaxAge }

// confident says whether the sample's confidence is narrow enough; an unknown one is.
func (p Policy) confident(s Sample) bool {
	return within(int64(s.Confidence), int64(s.Price), p.MaxConfidenceBP)
}

// within says whether a difference is at most so many basis points of the whole; none below zero.
func within(difference, whole, basisPoints int64) bool {
	high, low := bits.Mul64(uint64(difference), basisPointsPerOne)
	mostHigh, mostLow := bits.Mul64(uint64(whole), uint64(max(basisPoints, 0)))
	return high < mostHigh || (high == mostHigh && low <= mostLow)
}

// distance is |a-b|; both are above zero.
func distance(a, b money.Price) int64 { return int64(max(a, b) - min(a, b)) }
