package ledger

import (
	"math"
	"slices"
	"testing"
)

// Pages are one long slice to whoever reads them, at the ends of pages as well.
func TestPagesAreOneSlice(t *testing.T) {
	const count = 2*pageSize + 3
	var p pages
	var long []uint64
	for i := range uint64(count) {
		p.add(Entry{Seq: i + 1})
		long = append(long, i+1)
	}
	for _, after := range []uint64{0, 1, pageSize - 1, pageSize, pageSize + 1, 2*pageSize - 1, 2 * pageSize, count - 1, count, count + 1, math.MaxUint64} {
		for _, limit := range []int{math.MinInt, -1, 0, 1, 2, pageSize, pageSize + 1, count, math.MaxInt} {
			var want, got []uint64
			if after < count && limit > 0 {
				want = long[after:min(count, after+min(uint64(limit), count))]
			}
			for _, e := range p.copied(after, limit) {
				got = append(got, e.Seq)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d behind %d: %d entries, want %d", limit, after, len(got), len(want))
			}
		}
		if after < count && p.at(after).Seq != after+1 {
			t.Errorf("behind %d is %d", after, p.at(after).Seq)
		}
	}
	out := p.copied(0, 2)
	out[0].Seq = 99
	if p.at(0).Seq != 1 {
		t.Error("what was handed out is the journal's own")
	}
}
