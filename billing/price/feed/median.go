package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"raylink/billing/money"
	"raylink/billing/price"
)

// NewMedian is a source that asks several at once and answers with the middle of what they say (of an even number, the middle of
// the two in the middle, rounded down). At least `least` of them must have observed a price within maxAge. It was observed when the
// oldest of those was, and it is as uncertain as the most uncertain of them, or as half of what they differ by, if that is more:
// so sources that disagree make a price that is not believed.
func NewMedian(name string, least int, maxAge time.Duration, sources ...Source) (Source, error) {
	if least < 1 || least > len(sources) {
		return nil, fmt.Errorf("median %s: at least %d of %d sources cannot be had", name, least, len(sources))
	}
	return &median{name, least, maxAge, slices.Clone(sources)}, nil
}

type median struct {
	name    string
	least   int
	maxAge  time.Duration
	sources []Source
}

func (m *median) Name() string { return m.name }

func (m *median) Sample(ctx context.Context) (price.Sample, error) {
	samples, errs := make([]price.Sample, len(m.sources)), make([]error, len(m.sources))
	var all sync.WaitGroup
	for i, source := range m.sources {
		all.Go(func() {
			if samples[i], errs[i] = source.Sample(ctx); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", source.Name(), errs[i])
			}
		})
	}
	all.Wait()
	now := time.Now()
	var good []price.Sample
	for i, sample := range samples {
		switch {
		case errs[i] != nil:
		case sample.Price <= 0 || sample.Confidence < 0:
			errs[i] = fmt.Errorf("%s: %w: price %v with confidence %v", sample.Source, ErrAnswer, sample.Price, sample.Confidence)
		case now.Sub(sample.ObservedAt) > m.maxAge:
			errs[i] = fmt.Errorf("%s: %w: observed at %v", sample.Source, ErrNoPrice, sample.ObservedAt.UTC().Format(time.RFC3339))
		default:
			good = append(good, sample)
		}
	}
	if len(good) < m.least {
		return price.Sample{}, fmt.Errorf("%d of %d sources gave a price, at least %d needed: %w", len(good), len(m.sources), m.least, errors.Join(errs...))
	}
	return middle(m.name, good), nil
}

func middle(name string, samples []price.Sample) price.Sample {
	slices.SortFunc(samples, func(a, b price.Sample) int { return cmp.Compare(a.Price, b.Price) })
	low, high := samples[(len(samples)-1)/2].Price, samples[len(samples)/2].Price
	all := price.Sample{Source: name, Price: low + (high-low)/2, ObservedAt: samples[0].ObservedAt}
	spread := samples[len(samples)-1].Price - samples[0].Price
	all.Confidence = spread/2 + spread%2
	for _, sample := range samples {
		all.Confidence = money.Price(max(all.Confidence, sample.Confidence))
		if sample.ObservedAt.Before(all.ObservedAt) {
			all.ObservedAt = sample.ObservedAt
		}
	}
	return all
}
