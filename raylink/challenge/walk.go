package challenge

import (
	"encoding/binary"
	"math/bits"
)

// What version 2's walks are made of.
const (
	Bundle = 64 // lanes of one leaf: hashing a leaf for each would cost the host more than walking costs a fast GPU
	Rounds = 16 // stretches of each lane, each through a window that is drawn anew
)

// Begin is where a segment's lane starts, in version 1.
func Begin(entropy Seed, segment int) uint64 {
	h := tagged("begin", entropy[:], u32(segment))
	return binary.LittleEndian.Uint64(h[:8])
}

// Begins writes where the lanes from first on start.
func (t Task) Begins(dst []uint64, entropy Seed, first int) {
	if t.Version == 1 {
		for i := range dst {
			dst[i] = Begin(entropy, first+i)
		}
		return
	}
	h := tagged("lanes", entropy[:])
	x := binary.LittleEndian.Uint64(h[:8]) + uint64(first)*golden
	for i := range dst {
		x += golden
		dst[i] = Mix(x)
	}
}

// Place is the word that a lane at x reads, of that many.
func Place(x, words uint64) uint64 {
	high, _ := bits.Mul64(x, words)
	return high
}

// Step is where a lane at x goes after reading word.
func Step(x, word uint64) uint64 { return Mix((x + golden) ^ word) }

// Stretch is a part of a walk: lanes that go the same number of steps within one window of the memory. Each lane's stretches are walked in the order of
// Stretches; it goes on where it was.
type Stretch struct {
	From, To int    // the lanes, To not among them
	First    uint64 // the window's first word
	Words    uint64 // and how many it has: a lane at x reads word First + Place(x, Words)
	Steps    int    // of each lane
}

// Stretches are the parts of a task's walk. In version 1 there is one, through all the memory. In version 2 lanes and memory are cut into as many parts as
// there are windows, and in each of Rounds rounds each part of the lanes goes through a window that no other part is in, as the entropy draws it: so a device
// is within one window at a time, and who has not all of the memory at hand has to fetch most of the rest again and again.
func (t Task) Stretches(entropy Seed) []Stretch {
	if t.Version == 1 {
		return []Stretch{{To: t.Segments, Words: uint64(t.Memory / 8), Steps: t.Lane()}}
	}
	blocks := t.Memory / Block
	edge := func(of int64, i int) int64 { return of * int64(i) / int64(t.Windows) }
	out := make([]Stretch, 0, Rounds*t.Windows)
	for round := range Rounds {
		drawn := draw(Seed(tagged("round", entropy[:], u32(round))), "windows", t.Windows, t.Windows)
		for part, w := range drawn {
			first, end := edge(blocks, w)*Words, edge(blocks, w+1)*Words
			out = append(out, Stretch{From: int(edge(int64(t.Segments), part)), To: int(edge(int64(t.Segments), part+1)),
				First: uint64(first), Words: uint64(end - first), Steps: t.Lane() / Rounds})
		}
	}
	return out
}

// SegmentLeaf is the hash of a segment's end in the walk's tree, in version 1.
func SegmentLeaf(segment int, begin, end uint64) Hash {
	return tagged("segment", u32(segment), u64(begin), u64(end))
}

// BundleLeaf is the hash of where a bundle's lanes ended, in version 2.
func BundleLeaf(bundle int, ends []uint64) Hash {
	body := make([]byte, 0, 8*Bundle)
	for _, end := range ends {
		body = binary.LittleEndian.AppendUint64(body, end)
	}
	return tagged("bundle", u32(bundle), body)
}

// walkLeaves are the leaves of the walk's tree, once all lanes have ended.
func (t Task) walkLeaves(entropy Seed, ends []uint64) []Hash {
	if t.Version == 1 {
		leaves := make([]Hash, len(ends))
		for i, end := range ends {
			leaves[i] = SegmentLeaf(i, Begin(entropy, i), end)
		}
		return leaves
	}
	leaves := make([]Hash, len(ends)/Bundle)
	for i := range leaves {
		leaves[i] = BundleLeaf(i, ends[i*Bundle:(i+1)*Bundle])
	}
	return leaves
}

// openSegment opens a lane.
func (t Task) openSegment(tree Tree, entropy Seed, ends []uint64, i int) OpenedSegment {
	var begin [1]uint64
	t.Begins(begin[:], entropy, i)
	o := OpenedSegment{Segment: i, Begin: begin[0], End: ends[i]}
	if t.Version == 1 {
		o.Path = tree.Path(i)
		return o
	}
	o.Path, o.Ends = tree.Path(i/Bundle), ends[i/Bundle*Bundle:(i/Bundle+1)*Bundle]
	return o
}

// climbSegment gives the walk's root that an opened segment leads to; ok is false where its form is another.
func (t Task) climbSegment(o OpenedSegment) (root Hash, ok bool) {
	if t.Version == 1 {
		if len(o.Ends) != 0 {
			return Hash{}, false
		}
		return climb(SegmentLeaf(o.Segment, o.Begin, o.End), o.Segment, t.Segments, o.Path)
	}
	if len(o.Ends) != Bundle || o.Ends[o.Segment%Bundle] != o.End {
		return Hash{}, false
	}
	return climb(BundleLeaf(o.Segment/Bundle, o.Ends), o.Segment/Bundle, t.Segments/Bundle, o.Path)
}
