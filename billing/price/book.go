// Package price decides which price of IO is believed. A Book is a plain value for a replicated
// state: samples enter by commands, the time is an argument, and while no price can be believed it
// says why with a code that does not change.
package price

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"raylink/billing/money"
)

// Why no price is believed.
const (
	CodeNoPrice      = "no-price"           // there never was one
	CodeStale        = "price-stale"        // too few sources have spoken lately
	CodeStep         = "price-step"         // too far from the price before; until Override or Resume
	CodeBand         = "price-band"         // too far from the last hour's average; until Override or Resume
	CodeConfidence   = "price-confidence"   // the sources themselves are unsure
	CodeDisagreement = "price-disagreement" // the sources are too far apart
	CodeHalted       = "price-halted"       // by an operator; until Override or Resume
)

// HaltError says why no price is believed.
type HaltError struct {
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

func (e *HaltError) Error() string { return e.Code + ": " + e.Reason }

// AsHalt finds the HaltError in an error.
func AsHalt(err error) (*HaltError, bool) {
	var halt *HaltError
	return halt, errors.As(err, &halt)
}

// Snapshot is a believed price. Of two snapshots the one with the same ID has the same price.
type Snapshot struct {
	ID      uint64      `json:"id"` // from 1
	Price   money.Price `json:"price"`
	At      time.Time   `json:"at"`      // since when
	Sources []string    `json:"sources"` // that it is the median of, sorted
}

// Book keeps the latest sample of each source, the last believed price and an hour of history. The
// zero Book is one that listens to nobody and has no price. Its methods depend on nothing but the
// Book and their arguments; after a Set that is refused, nothing has changed but perhaps Halted.
type Book struct {
	Policy   Policy     `json:"policy"`
	Latest   []Held     `json:"latest,omitempty"`   // one for each source, sorted by it
	Believed *Snapshot  `json:"believed,omitempty"` // the last one
	Doubt    *HaltError `json:"doubt,omitempty"`    // why the latest samples, when the last of them came, were not believed
	Halted   *HaltError `json:"halted,omitempty"`   // until Override or Resume
	Past     []Point    `json:"past,omitempty"`     // believed prices of the last hour and the one before
}

// Held is a sample that counts.
type Held struct {
	Sample Sample `json:"sample"`
	Forced bool   `json:"forced,omitempty"` // by Override: enough by itself, whatever Policy says of sources
}

// Set takes in what a source said; during a halt it is kept, and believed at Resume. The error is an ErrSample for one that is malformed, not allowed,
// badly signed, from the future, stale, or not newer than the source's last (the very same once more
// is no error); or a *HaltError, which stays, when believing it would be too great a step.
func (b *Book) Set(now time.Time, s Sample) error {
	s.ObservedAt = s.ObservedAt.UTC().Round(0)
	if !slices.Contains(b.Policy.Sources, s.Source) {
		return fmt.Errorf("%w: source %.80q is not listened to", ErrSample, s.Source)
	}
	place, found := b.find(s.Source)
	if found && b.Latest[place].Sample == s {
		return nil
	}
	if err := b.Policy.check(now, s); err != nil {
		return err
	}
	if found && !s.ObservedAt.After(b.Latest[place].Sample.ObservedAt) {
		return fmt.Errorf("%w: %s spoke at %v already", ErrSample, s.Source, b.Latest[place].Sample.ObservedAt)
	}
	latest := b.with(Held{Sample: s})
	price, sources, doubt := b.belief(now, latest)
	if doubt == nil {
		if halt := b.tooFar(now, price); halt != nil {
			if b.Halted == nil {
				raised := *halt
				b.Halted = &raised
			}
			return halt
		}
	}
	b.Latest, b.Doubt = latest, doubt
	if doubt == nil && b.Halted == nil {
		b.believe(now, price, sources)
	}
	return nil
}

// Override makes the book believe an operator's sample, however far it is from the price before: it
// ends every halt, begins the hour's history anew, and forgets the samples of all other sources. It
// counts for as long as it is fresh, even where Policy does not listen to its source or wants more
// sources. The error is an ErrSample, after which nothing has changed.
func (b *Book) Override(now time.Time, s Sample) error {
	s.ObservedAt = s.ObservedAt.UTC().Round(0)
	if err := b.Policy.check(now, s); err != nil {
		return err
	}
	if place, found := b.find(s.Source); found && s.ObservedAt.Before(b.Latest[place].Sample.ObservedAt) {
		return fmt.Errorf("%w: %s spoke at %v already", ErrSample, s.Source, b.Latest[place].Sample.ObservedAt)
	}
	if !b.Policy.confident(s) {
		return fmt.Errorf("%w: confidence %v of %v is over %d basis points", ErrSample, s.Confidence, s.Price, b.Policy.MaxConfidenceBP)
	}
	b.Latest, b.Halted, b.Doubt, b.Past = []Held{{Sample: s, Forced: true}}, nil, nil, nil
	b.believe(now, s.Price, []string{s.Source})
	return nil
}

// Halt makes the book believe nothing, with the operator's reason. A halt that is there already
// gives way to it.
func (b *Book) Halt(_ time.Time, reason string) {
	b.Halted = &HaltError{Code: CodeHalted, Reason: reason}
}

// Resume ends a halt of any kind at the operator's word: the samples kept meanwhile are weighed, and
// one that is too far from the last believed price halts anew.
func (b *Book) Resume(now time.Time) {
	if b.Halted == nil {
		return
	}
	price, sources, doubt := b.belief(now, b.Latest)
	b.Halted, b.Doubt = nil, doubt
	if doubt != nil {
		return
	}
	if b.Halted = b.tooFar(now, price); b.Halted == nil {
		b.believe(now, price, sources)
	}
}

// Snapshot is the price that is believed at the time now. The error is a *HaltError.
func (b *Book) Snapshot(now time.Time) (Snapshot, error) {
	if b.Halted != nil {
		halt := *b.Halted
		return Snapshot{}, &halt
	}
	if _, _, doubt := b.belief(now, b.Latest); doubt != nil {
		return Snapshot{}, doubt
	}
	if b.Doubt != nil { // a source that disagreed may have gone stale, but what is left was not weighed yet
		doubt := *b.Doubt
		return Snapshot{}, &doubt
	}
	last, _ := b.Last()
	return last, nil
}

// Last is the last price that was believed, and whether there was one.
func (b *Book) Last() (Snapshot, bool) {
	if b.Believed == nil {
		return Snapshot{}, false
	}
	last := *b.Believed
	last.Sources = slices.Clone(last.Sources)
	return last, true
}

// find is the place of a source in Latest.
func (b *Book) find(source string) (int, bool) {
	return slices.BinarySearchFunc(b.Latest, source, func(h Held, source string) int { return cmp.Compare(h.Sample.Source, source) })
}

// with is Latest after one more sample.
func (b *Book) with(h Held) []Held {
	latest := slices.Clone(b.Latest)
	place, found := b.find(h.Sample.Source)
	if found {
		latest[place] = h
		return latest
	}
	return slices.Insert(latest, place, h)
}

// belief is the median of the samples that count, or why there is none.
func (b *Book) belief(now time.Time, latest []Held) (money.Price, []string, *HaltError) {
	var prices []money.Price
	var sources []string
	var fresh, wanted = int64(0), max(b.Policy.MinSources, 1)
	for _, h := range latest {
		if !b.Policy.fresh(now, h.Sample) || (!h.Forced && !slices.Contains(b.Policy.Sources, h.Sample.Source)) {
			continue
		}
		if fresh++; b.Policy.confident(h.Sample) {
			prices, sources = append(prices, h.Sample.Price), append(sources, h.Sample.Source)
		}
		if h.Forced {
			wanted = 1
		}
	}
	switch {
	case fresh >= wanted && int64(len(prices)) < wanted:
		return 0, nil, &HaltError{CodeConfidence, fmt.Sprintf("%d of %d sources are sure to within %d basis points, %d wanted", len(prices), fresh, b.Policy.MaxConfidenceBP, wanted)}
	case fresh < wanted && b.Believed == nil:
		return 0, nil, &HaltError{CodeNoPrice, fmt.Sprintf("%d sources have spoken, %d wanted", fresh, wanted)}
	case fresh < wanted:
		return 0, nil, &HaltError{CodeStale, fmt.Sprintf("%d sources have spoken within %v, %d wanted", fresh, b.Policy.MaxAge, wanted)}
	}
	slices.Sort(prices)
	middle := len(prices) / 2
	median := prices[middle]
	if len(prices)%2 == 0 { // the mean of the middle two, rounded down, without leaving 64 bits
		median = prices[middle-1] + (prices[middle]-prices[middle-1])/2
	}
	if lowest, highest := prices[0], prices[len(prices)-1]; !within(distance(lowest, highest), int64(median), b.Policy.MaxSpreadBP) {
		return 0, nil, &HaltError{CodeDisagreement, fmt.Sprintf("sources say from %v to %v", lowest, highest)}
	}
	return median, sources, nil
}

// tooFar says why a price must not follow those before.
func (b *Book) tooFar(now time.Time, price money.Price) *HaltError {
	if b.Believed == nil {
		return nil
	}
	if last := b.Believed.Price; !within(distance(price, last), int64(last), b.Policy.MaxStepBP) {
		return &HaltError{CodeStep, fmt.Sprintf("%v after %v is over %d basis points", price, last, b.Policy.MaxStepBP)}
	}
	if average, ok := b.Average(now); ok && !within(distance(price, average), int64(average), b.Policy.MaxHourBP) {
		return &HaltError{CodeBand, fmt.Sprintf("%v is over %d basis points from the last hour's %v", price, b.Policy.MaxHourBP, average)}
	}
	return nil
}

// believe makes the price the believed one.
func (b *Book) believe(now time.Time, price money.Price, sources []string) {
	var id uint64 = 1
	if b.Believed != nil {
		id = b.Believed.ID + 1
	}
	b.Believed = &Snapshot{ID: id, Price: price, At: now.UTC().Round(0), Sources: sources}
	b.record(now, price)
}
