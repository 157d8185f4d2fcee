package meter

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
)

// Seal is a coordinator's word for a minute: the group's signature under all the minutes that were settled by one command, and the minute's way to it. So
// a minute that is shown alone, as in a bill, carries the signature without the others' minutes.
type Seal struct {
	Place     int    `json:"place"`          // among the command's minutes, from 0
	Of        int    `json:"of"`             // how many minutes the command has
	Path      []byte `json:"path,omitempty"` // hashes of the branches beside the way, 32 bytes each, from the leaf up
	Signature string `json:"signature"`      // Ed25519 by the group's key over SealBytes, standard base64
}

// ErrPath says that a seal's path does not lead from its place to a root.
var ErrPath = errors.New("the path does not lead from the minute to a root")

// SealBytes is what the group signs for the minutes of one command: how many there are, and the root of the tree over them.
func SealBytes(minutes int, root [sha256.Size]byte) []byte {
	return fmt.Appendf(nil, "raylink minutes v1\n%d\n%s\n", minutes, hex.EncodeToString(root[:]))
}

// What leads the bytes that are hashed to a leaf and to a branch, so that none can be taken for the other.
const (
	leafMark   = 0
	branchMark = 1
)

// Leaf is the hash of a minute with both sides' words; a side that is missing is nil.
func Leaf(lease string, ordinal int64, agent *Evidence, gateway *Confirmation) [sha256.Size]byte {
	d := leafDigest{Hash: sha256.New()}
	d.Write([]byte{leafMark})
	d.text(lease)
	d.number(uint64(ordinal))
	if agent != nil {
		d.word(agent.Machine, agent.Seconds, agent.RayNode, agent.Signature)
	} else {
		d.number(0)
	}
	if gateway != nil {
		d.word(gateway.Gateway, gateway.Seconds, gateway.RayNode, gateway.Signature)
	} else {
		d.number(0)
	}
	return [sha256.Size]byte(d.Sum(nil))
}

// leafDigest writes as the journal's hashes do: a number has 8 bytes, big-endian, and its length leads a text.
type leafDigest struct {
	hash.Hash
	room []byte
}

func (d *leafDigest) number(n uint64) {
	d.room = binary.BigEndian.AppendUint64(d.room[:0], n)
	d.Write(d.room)
}

func (d *leafDigest) text(s string) {
	d.room = append(binary.BigEndian.AppendUint64(d.room[:0], uint64(len(s))), s...)
	d.Write(d.room)
}

func (d *leafDigest) word(who string, seconds int, rayNode, signature string) {
	d.number(1)
	d.text(who)
	d.number(uint64(seconds))
	d.text(rayNode)
	d.text(signature)
}

func branch(left, right [sha256.Size]byte) [sha256.Size]byte {
	var both [1 + 2*sha256.Size]byte
	both[0] = branchMark
	copy(both[1:], left[:])
	copy(both[1+sha256.Size:], right[:])
	return sha256.Sum256(both[:])
}

// half is where a tree of n leaves parts: the largest power of two below n.
func half(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

// Tree is the root over the leaves, at least one, and each leaf's path to it.
func Tree(leaves [][sha256.Size]byte) (root [sha256.Size]byte, paths [][]byte) {
	paths = make([][]byte, len(leaves))
	return grow(leaves, paths), paths
}

func grow(leaves [][sha256.Size]byte, paths [][]byte) [sha256.Size]byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := half(len(leaves))
	left, right := grow(leaves[:k], paths[:k]), grow(leaves[k:], paths[k:])
	for i := range paths {
		if i < k {
			paths[i] = append(paths[i], right[:]...)
		} else {
			paths[i] = append(paths[i], left[:]...)
		}
	}
	return branch(left, right)
}

// Root is the root that a leaf's path leads to; an ErrPath where place, number and path do not go together.
func (s Seal) Root(leaf [sha256.Size]byte) ([sha256.Size]byte, error) {
	if s.Place < 0 || s.Place >= s.Of {
		return leaf, fmt.Errorf("place %d of %d: %w", s.Place, s.Of, ErrPath)
	}
	return climb(leaf, s.Place, s.Of, s.Path)
}

func climb(leaf [sha256.Size]byte, place, of int, path []byte) ([sha256.Size]byte, error) {
	if of == 1 {
		if len(path) != 0 {
			return leaf, fmt.Errorf("%d bytes too many: %w", len(path), ErrPath)
		}
		return leaf, nil
	}
	if len(path) < sha256.Size {
		return leaf, fmt.Errorf("too short: %w", ErrPath)
	}
	rest, beside := path[:len(path)-sha256.Size], [sha256.Size]byte(path[len(path)-sha256.Size:])
	k := half(of)
	if place < k {
		left, err := climb(leaf, place, k, rest)
		return branch(left, beside), err
	}
	right, err := climb(leaf, place-k, of-k, rest)
	return branch(beside, right), err
}
