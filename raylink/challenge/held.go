package challenge

// Held is what a prover keeps of what it committed to, so that it can open whatever is drawn. The zero Held with a Task is one that has done nothing.
type Held struct {
	Task Task

	links   []Tree
	walk    Tree
	entropy Seed
	ends    []uint64
}

// Link takes the leaves of the next link's tiles (TileLeaf, row-major), and gives the root.
func (h *Held) Link(leaves []Hash) Hash {
	t := NewTree(leaves)
	h.links = append(h.links, t)
	return t.Root()
}

// Commitment is what the links are committed to by.
func (h *Held) Commitment() Commitment {
	c := Commitment{Roots: make([]Hash, len(h.links))}
	for i, t := range h.links {
		c.Roots[i] = t.Root()
	}
	return c
}

// Walked takes where each segment's lane ended, and gives the walk's root. Without a walk it is the zero Hash.
func (h *Held) Walked(entropy Seed, ends []uint64) Hash {
	if !h.Task.Walks() {
		return Hash{}
	}
	h.entropy, h.ends = entropy, ends
	h.walk = NewTree(h.Task.walkLeaves(entropy, ends))
	return h.walk.Root()
}

// Answer opens what the entropy draws. All links are done, and the walk if there is one.
func (h *Held) Answer(entropy Seed) Answer {
	var root Hash
	if h.Task.Walks() {
		root = h.walk.Root()
	}
	open := Open(entropy, h.Commitment(), root)
	answer := Answer{Tiles: []OpenedTile{}}
	for _, at := range h.Task.Tiles(open) {
		answer.Tiles = append(answer.Tiles, OpenedTile{Link: at.Link, Tile: at.Tile, Path: h.links[at.Link].Path(at.Tile)})
	}
	if !h.Task.Walks() {
		return answer
	}
	for _, i := range h.Task.Lanes(open) {
		answer.Segments = append(answer.Segments, h.Task.openSegment(h.walk, h.entropy, h.ends, i))
	}
	return answer
}
