package meter

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func leavesOf(n int) (leaves [][sha256.Size]byte) {
	for i := range n {
		leaves = append(leaves, Leaf("l-1", int64(i), nil, nil))
	}
	return leaves
}

// Each leaf's path leads to the root, from its own place and by its own path only.
func TestPaths(t *testing.T) {
	for n := 1; n <= 40; n++ {
		leaves := leavesOf(n)
		root, paths := Tree(leaves)
		if want := twinRoot(leaves); root != want {
			t.Fatalf("%d leaves: root %x, the twin's %x", n, root, want)
		}
		for i, leaf := range leaves {
			for place := -1; place <= n; place++ {
				got, err := Seal{Place: place, Of: n, Path: paths[i]}.Root(leaf)
				if (err == nil && got == root) != (place == i) {
					t.Errorf("leaf %d of %d at place %d: %v", i, n, place, err)
				}
			}
			for j := range leaves {
				if got, err := (Seal{Place: i, Of: n, Path: paths[i]}).Root(leaves[j]); (err == nil && got == root) != (i == j) {
					t.Errorf("leaf %d of %d by the path of leaf %d: %v", j, n, i, err)
				}
			}
			for _, path := range [][]byte{append(bytes.Clone(paths[i]), make([]byte, sha256.Size)...), append([]byte{0}, paths[i]...), paths[i][:max(len(paths[i])-1, 0)]} {
				if _, err := (Seal{Place: i, Of: n, Path: path}).Root(leaf); !errors.Is(err, ErrPath) && len(path) != len(paths[i]) {
					t.Errorf("leaf %d of %d with a path of %d bytes: %v", i, n, len(path), err)
				}
			}
		}
	}
}

// twinRoot is the same tree, built level by level: what stands alone at the end of a level moves up as it is.
func twinRoot(level [][sha256.Size]byte) [sha256.Size]byte {
	for len(level) > 1 {
		var up [][sha256.Size]byte
		for i := 0; i+1 < len(level); i += 2 {
			up = append(up, sha256.Sum256(append(append([]byte{1}, level[i][:]...), level[i+1][:]...)))
		}
		if len(level)%2 == 1 {
			up = append(up, level[len(level)-1])
		}
		level = up
	}
	return level[0]
}

// No two different minutes have one leaf, wherever a field's letters move to its neighbour.
func TestLeafTellsMinutesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab\n]{0,2}`)
		draw := func(name string) (string, [sha256.Size]byte) {
			lease, ordinal := text.Draw(t, name+" lease"), rapid.Int64Range(0, 2).Draw(t, name+" ordinal")
			var agent *Evidence
			var gateway *Confirmation
			if rapid.Bool().Draw(t, name+" agent") {
				agent = &Evidence{Machine: text.Draw(t, "machine"), Seconds: rapid.IntRange(0, 2).Draw(t, "seconds"), RayNode: text.Draw(t, "node"), Signature: text.Draw(t, "signature")}
			}
			if rapid.Bool().Draw(t, name+" gateway") {
				gateway = &Confirmation{Gateway: text.Draw(t, "gateway"), Seconds: rapid.IntRange(0, 2).Draw(t, "seconds"), RayNode: text.Draw(t, "node"), Signature: text.Draw(t, "signature")}
			}
			return fmt.Sprintf("%q %d %q %q", lease, ordinal, fmt.Sprint(agent), fmt.Sprint(gateway)), Leaf(lease, ordinal, agent, gateway)
		}
		one, leaf := draw("one")
		two, other := draw("two")
		if (one == two) != (leaf == other) {
			t.Errorf("%s and %s: same leaf %v", one, two, leaf == other)
		}
	})
}

func TestSealBytes(t *testing.T) {
	root, _ := Tree(leavesOf(1))
	if got, want := string(SealBytes(1, root)), fmt.Sprintf("raylink minutes v1\n1\n%x\n", leavesOf(1)[0]); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
