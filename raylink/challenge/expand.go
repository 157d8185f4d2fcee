package challenge

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// golden is 2^64 divided by the golden ratio, odd: the step of the counters.
const golden = 0x9e3779b97f4a7c15

// What stands before everything that is hashed, so that no hash of one kind is one of another.
const domain = "raylink/challenge/1/"

// tagged hashes the domain, a tag, a zero byte and the parts.
func tagged(tag string, parts ...[]byte) Hash {
	h := sha256.New()
	h.Write([]byte(domain + tag))
	h.Write([]byte{0})
	for _, p := range parts {
		h.Write(p)
	}
	return Hash(h.Sum(nil))
}

func u32(v int) []byte    { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }
func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// text puts a string's length before it, so that two strings in a row cannot be cut elsewhere.
func text(s string) []byte { return append(u32(len(s)), s...) }

// Bind is the seed that a device computes from: it follows from the coordinator's nonce, and from whose proof of what it is.
func Bind(nonce Seed, proof, machine, device string, task Task) Seed {
	parts := [][]byte{nonce[:], text(proof), text(machine), text(device)}
	for _, v := range []int{task.Version, task.Size, task.Tile, task.Links, task.Openings, int(task.Memory), task.Steps, task.Segments, task.Checks} {
		parts = append(parts, u64(uint64(v)))
	}
	if task.Version > 1 {
		parts = append(parts, u64(uint64(task.Windows)))
	}
	return Seed(tagged("bind", parts...))
}

// Next is the seed after a link: of the next product, and after the last link of the memory's content.
func Next(seed Seed, root Hash) Seed { return Seed(tagged("next", seed[:], root[:])) }

// Keys are the generators' keys of a link's two matrices.
func Keys(seed Seed) (a, b uint64) {
	h := tagged("inputs", seed[:])
	return binary.LittleEndian.Uint64(h[:8]), binary.LittleEndian.Uint64(h[8:16])
}

// Mix is the generator's permutation of 64 bits: SplitMix64's (Steele, Lea and Flood, 2014, with Stafford's thirteenth constants).
func Mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// Vector writes a row of the first matrix, or a column of the second: number i of those with the key, len(dst) entries, a multiple of 8. Word w of the
// whole matrix is Mix(key + (w+1)·golden); its bytes, the lowest first, are eight entries in two's complement.
func Vector(dst []int8, key uint64, i int) {
	x := key + uint64(i)*uint64(len(dst)/8)*golden
	for len(dst) >= 8 {
		x += golden
		w := Mix(x)
		d := dst[:8]
		d[0], d[1], d[2], d[3] = int8(w), int8(w>>8), int8(w>>16), int8(w>>24)
		d[4], d[5], d[6], d[7] = int8(w>>32), int8(w>>40), int8(w>>48), int8(w>>56)
		dst = dst[8:]
	}
}

// Digest folds a tile's sums, row by row, into 32 bits a row: the sum over j of fold(c[j] + (j+1)·0x9e3779b9). It is order-free and cheap on every
// device, and has no shortcut: it is not linear, so each sum has to be known.
func Digest(dst []uint32, c []int32, edge int) {
	for i := range edge {
		var sum uint32
		var step uint32
		for _, v := range c[i*edge : (i+1)*edge] {
			step += 0x9e3779b9
			sum += fold(uint32(v) + step)
		}
		dst[i] = sum
	}
}

// fold is the finalizer of MurmurHash3 (Appleby, public domain).
func fold(x uint32) uint32 {
	x ^= x >> 16
	x *= 0x85ebca6b
	x ^= x >> 13
	x *= 0xc2b2ae35
	return x ^ x>>16
}

// TileLeaf is the hash of one tile's digest in its link's tree.
func TileLeaf(link, tile int, digest []uint32) Hash {
	body := make([]byte, 0, 4*len(digest))
	for _, v := range digest {
		body = binary.LittleEndian.AppendUint32(body, v)
	}
	return tagged("tile", u32(link), u32(tile), body)
}

// Block is the size of a block of the memory, in bytes; Words is that in words of 64 bits.
const (
	Block = 64 << 10
	Words = Block / 8
)

// MemoryKey is the key of the memory's content, from the seed after the last link.
func MemoryKey(after Seed) uint64 {
	h := tagged("memory", after[:])
	return binary.LittleEndian.Uint64(h[:8])
}

// Fill makes the first len(dst) words of block number b: each depends on the one before and on two earlier ones which that chooses. Two, because with one
// only every second word would have to be kept: whoever needs another one finds its predecessor, and the other dependence soon ends.
func Fill(dst []uint64, key uint64, b uint64) {
	prev := Mix(key + (b+1)*golden)
	dst[0] = prev
	for i := 1; i < len(dst); i++ {
		j, k := (prev>>32)*uint64(i)>>32, (prev&0xffffffff)*uint64(i)>>32
		prev = Mix((prev ^ dst[j]) + (dst[k] ^ uint64(i)*golden))
		dst[i] = prev
	}
}

// Open is what decides the openings: the entropy, and all that was committed to.
func Open(entropy Seed, commitment Commitment, walk Hash) Seed {
	parts := [][]byte{entropy[:], walk[:]}
	for i := range commitment.Roots {
		parts = append(parts, commitment.Roots[i][:])
	}
	return Seed(tagged("open", parts...))
}

// Opened is one tile that was drawn.
type Opened struct{ Link, Tile int }

// Tiles draws the tiles that are opened from what Open says, in this order, none twice.
func (t Task) Tiles(open Seed) []Opened {
	drawn := draw(open, "tiles", t.Openings, t.Links*t.TilesPerLink())
	out := make([]Opened, len(drawn))
	for i, n := range drawn {
		out[i] = Opened{n / t.TilesPerLink(), n % t.TilesPerLink()}
	}
	return out
}

// Lanes draws the segments that are opened.
func (t Task) Lanes(open Seed) []int { return draw(open, "segments", t.Checks, t.Segments) }

// draw takes k different numbers below n; k ≤ n. Number i of the stream is the first eight bytes of a hash, modulo n: n is below 2^27, so that no
// number is likelier than another by more than 2^-37.
func draw(open Seed, what string, k, n int) []int {
	seen := make(map[int]bool, k)
	out := make([]int, 0, k)
	for i := 0; len(out) < k; i++ {
		h := tagged(what, open[:], u32(i))
		v := int(binary.LittleEndian.Uint64(h[:8]) % uint64(n))
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

// MarshalText is lower-case hexadecimal.
func (s Seed) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads 64 lower-case hexadecimal digits.
func (s *Seed) UnmarshalText(b []byte) error { return unhex(s[:], b) }

// String is lower-case hexadecimal.
func (s Seed) String() string { return hex.EncodeToString(s[:]) }

// MarshalText is lower-case hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads 64 lower-case hexadecimal digits.
func (h *Hash) UnmarshalText(b []byte) error { return unhex(h[:], b) }

// String is lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

func unhex(dst, src []byte) error {
	if len(src) != 2*len(dst) {
		return fmt.Errorf("a seed or hash has %d hexadecimal digits, not %d", 2*len(dst), len(src))
	}
	for _, c := range src {
		if c >= 'A' && c <= 'F' {
			return errors.New("a seed or hash is written in lower case")
		}
	}
	_, err := hex.Decode(dst, src)
	return err
}
