package price

import (
	"math/bits"
	"time"

	"raylink/billing/money"
)

// The window of the average, and the grain of its history: within one grain the last price counts,
// so that the history is at most Window/Grain points and two more, however many samples come.
const (
	Window = time.Hour
	Grain  = 15 * time.Second
)

// Point is a believed price and since when.
type Point struct {
	At    time.Time   `json:"at"` // a multiple of Grain
	Price money.Price `json:"price"`
}

// record adds a believed price to the history and forgets what no average can need any more.
func (b *Book) record(now time.Time, price money.Price) {
	at := now.UTC().Truncate(Grain)
	if last := len(b.Past) - 1; last >= 0 && !at.After(b.Past[last].At) {
		b.Past[last].Price = price
		return
	}
	b.Past = append(b.Past, Point{at, price})
	// The newest point at or before the window's beginning is the price at that beginning.
	begin := 0
	for begin+1 < len(b.Past) && !b.Past[begin+1].At.After(at.Add(-Window)) {
		begin++
	}
	b.Past = append([]Point(nil), b.Past[begin:]...)
}

// Average is the time-weighted average of the believed prices of the last hour, or of as much of it
// as there is, rounded down, and whether there is any. Weights are milliseconds.
func (b *Book) Average(now time.Time) (money.Price, bool) {
	if len(b.Past) == 0 {
		return 0, false
	}
	var sumHigh, sumLow, total uint64
	for i, point := range b.Past {
		from, to := point.At, now
		if begin := now.Add(-Window); from.Before(begin) {
			from = begin
		}
		if i+1 < len(b.Past) {
			to = b.Past[i+1].At
		}
		weight := to.Sub(from).Milliseconds()
		if weight <= 0 {
			continue
		}
		high, low := bits.Mul64(uint64(point.Price), uint64(weight))
		var carry uint64
		sumLow, carry = bits.Add64(sumLow, low, 0)
		sumHigh, _ = bits.Add64(sumHigh, high, carry)
		total += uint64(weight)
	}
	if total == 0 { // the only prices are of this very moment
		return b.Past[len(b.Past)-1].Price, true
	}
	average, _ := bits.Div64(sumHigh, sumLow, total) // an average of 63-bit numbers is one
	return money.Price(average), true
}
