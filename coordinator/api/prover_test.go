package api

import (
	"raylink/raylink/challenge"
)

// honest is a device that computes all that it is told, in the plainest way.
type honest struct {
	task  challenge.Task
	trees []challenge.Tree
	key   uint64
	ends  []uint64
	walk  challenge.Tree
	begin []uint64
}

// compute makes all products.
func (h *honest) compute(task challenge.Task, seed challenge.Seed) challenge.Commitment {
	h.task = task
	var c challenge.Commitment
	n, edge := task.Size, task.Tile
	across := n / edge
	a, b, sums, digest := make([]int8, edge*n), make([]int8, edge*n), make([]int32, edge*edge), make([]uint32, edge)
	for link := range task.Links {
		ka, kb := challenge.Keys(seed)
		leaves := make([]challenge.Hash, task.TilesPerLink())
		for tile := range leaves {
			for r := range edge {
				challenge.Vector(a[r*n:(r+1)*n], ka, tile/across*edge+r)
				challenge.Vector(b[r*n:(r+1)*n], kb, tile%across*edge+r)
			}
			challenge.Plain{}.Multiply(sums, a, b, edge, edge, n)
			challenge.Digest(digest, sums, edge)
			leaves[tile] = challenge.TileLeaf(link, tile, digest)
		}
		h.trees = append(h.trees, challenge.NewTree(leaves))
		root := h.trees[link].Root()
		c.Roots = append(c.Roots, root)
		seed = challenge.Next(seed, root)
	}
	h.key = challenge.MemoryKey(seed)
	return c
}

// wander walks through its memory; without a walk the root is zero.
func (h *honest) wander(entropy challenge.Seed) challenge.Hash {
	if !h.task.Walks() {
		return challenge.Hash{}
	}
	memory := make([]uint64, h.task.Memory/8)
	for b := range uint64(len(memory) / challenge.Words) {
		challenge.Fill(memory[b*challenge.Words:(b+1)*challenge.Words], h.key, b)
	}
	var leaves []challenge.Hash
	for lane := range h.task.Segments {
		begin := challenge.Begin(entropy, lane)
		x := begin
		for range h.task.Lane() {
			x = challenge.Step(x, memory[challenge.Place(x, uint64(len(memory)))])
		}
		h.begin, h.ends = append(h.begin, begin), append(h.ends, x)
		leaves = append(leaves, challenge.SegmentLeaf(lane, begin, x))
	}
	h.walk = challenge.NewTree(leaves)
	return h.walk.Root()
}

// open opens what was drawn.
func (h *honest) open(entropy challenge.Seed, c challenge.Commitment, walk challenge.Hash) challenge.Answer {
	drawn := challenge.Open(entropy, c, walk)
	var a challenge.Answer
	for _, o := range h.task.Tiles(drawn) {
		a.Tiles = append(a.Tiles, challenge.OpenedTile{Link: o.Link, Tile: o.Tile, Path: h.trees[o.Link].Path(o.Tile)})
	}
	if h.task.Walks() {
		for _, lane := range h.task.Lanes(drawn) {
			a.Segments = append(a.Segments, challenge.OpenedSegment{Segment: lane, Begin: h.begin[lane], End: h.ends[lane], Path: h.walk.Path(lane)})
		}
	}
	return a
}
