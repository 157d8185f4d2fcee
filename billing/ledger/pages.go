package ledger

// pageSize is how many entries a page has: to make one takes some 20 µs.
const pageSize = 1024

// pages keep entries in their order, in pages that never move. In one long slice each of its growths would copy the whole journal, and whoever posts would
// stand still for it: 50 ms for a million entries.
type pages struct {
	list  [][]Entry
	count uint64
}

func (p *pages) add(e Entry) {
	if p.count == uint64(len(p.list))*pageSize {
		p.list = append(p.list, make([]Entry, 0, pageSize))
	}
	last := &p.list[len(p.list)-1]
	*last = append(*last, e)
	p.count++
}

// at is the entry with so many before it. There is one.
func (p *pages) at(before uint64) Entry { return p.list[before/pageSize][before%pageSize] }

// copied are at most limit entries that follow the first `after` ones, in a slice of their own.
func (p *pages) copied(after uint64, limit int) []Entry {
	if after >= p.count || limit <= 0 {
		return nil
	}
	n := min(uint64(limit), p.count-after)
	out := make([]Entry, 0, n)
	for n > uint64(len(out)) {
		next := after + uint64(len(out))
		page := p.list[next/pageSize][next%pageSize:]
		out = append(out, page[:min(uint64(len(page)), n-uint64(len(out)))]...)
	}
	return out
}
