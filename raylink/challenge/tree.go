package challenge

// Tree is a Merkle tree over leaves: a level of one node is the root; a node without a sibling goes up as it is.
type Tree struct{ levels [][]Hash }

// NewTree builds a tree; there is at least one leaf, and the slice is the tree's from then on.
func NewTree(leaves []Hash) Tree {
	t := Tree{levels: [][]Hash{leaves}}
	for level := leaves; len(level) > 1; {
		up := make([]Hash, 0, (len(level)+1)/2)
		for i := 0; i+1 < len(level); i += 2 {
			up = append(up, node(level[i], level[i+1]))
		}
		if len(level)%2 == 1 {
			up = append(up, level[len(level)-1])
		}
		t.levels = append(t.levels, up)
		level = up
	}
	return t
}

func node(left, right Hash) Hash { return tagged("node", left[:], right[:]) }

// Root is what the tree is committed to by.
func (t Tree) Root() Hash { return t.levels[len(t.levels)-1][0] }

// Path has the siblings of leaf i, from the leaf upwards.
func (t Tree) Path(i int) []Hash {
	path := []Hash{}
	for _, level := range t.levels[:len(t.levels)-1] {
		if sibling := i ^ 1; sibling < len(level) {
			path = append(path, level[sibling])
		}
		i /= 2
	}
	return path
}

// climb gives the root that leaf number i of n leads to by the path; ok is false where the path has another length than such a tree's.
func climb(leaf Hash, i, n int, path []Hash) (root Hash, ok bool) {
	for ; n > 1; i, n = i/2, (n+1)/2 {
		if i^1 >= n {
			continue
		}
		if len(path) == 0 {
			return Hash{}, false
		}
		if i%2 == 0 {
			leaf = node(leaf, path[0])
		} else {
			leaf = node(path[0], leaf)
		}
		path = path[1:]
	}
	return leaf, len(path) == 0
}
