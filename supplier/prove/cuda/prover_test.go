package cuda

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/supplier/prove"
)

const someGPU = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"

func small() challenge.Task {
	return challenge.Task{Version: 1, Size: 96, Tile: 32, Links: 3, Openings: 9, Memory: 4 * challenge.Block, Steps: 200, Segments: 50, Checks: 7}
}

// windowed is a task of version 2, as GPUs get them.
func windowed() challenge.Task {
	t := small()
	t.Version, t.Memory, t.Windows, t.Segments = 2, 7*challenge.Block, 3, 5*challenge.Bundle
	t.Steps = t.Segments * challenge.Rounds
	return t
}

// wholeProof is everything that is said in one proof of that device.
func wholeProof(t *testing.T, p prove.Prover, uuid string, task challenge.Task) challenge.Transcript {
	t.Helper()
	tr := challenge.Transcript{Proof: "p-aaaaaaaaaa", Machine: "m-x", Device: uuid, Judge: "a", Task: task, Nonce: challenge.Seed{1}, Begun: time.Now().UTC()}
	var err error
	if tr.Commitment, err = p.Begin(t.Context(), task, tr.Seed()); err != nil {
		t.Fatal(err)
	}
	tr.Committed = time.Now().UTC()
	if task.Walks() {
		tr.Walk = challenge.Seed{2}
		if tr.WalkRoot, err = p.Walk(t.Context(), tr.Walk); err != nil {
			t.Fatal(err)
		}
		tr.Walked = time.Now().UTC()
	}
	tr.Entropy = challenge.Seed{3}
	if tr.Answer, err = p.Open(t.Context(), tr.Entropy); err != nil {
		t.Fatal(err)
	}
	return tr
}

// A whole proof, with all that a GPU would do interpreted from the PTX, is right, whatever the shape and whatever order threads run in; and it leaves
// nothing behind on the device.
func TestProofOnTheInterpretedGPU(t *testing.T) {
	flat := challenge.Task{Version: 1, Size: 160, Tile: 32, Links: 2, Openings: 50}
	wide := challenge.Task{Version: 1, Size: 160, Tile: 160, Links: 1, Openings: 1}
	least := challenge.Task{Version: 1, Size: 16, Tile: 16, Links: 5, Openings: 5, Memory: challenge.Block, Steps: 1, Segments: 1, Checks: 1}
	for name, task := range map[string]challenge.Task{"walk": small(), "windows": windowed(), "flat": flat, "a tile wider than a block": wide, "the least": least} {
		for _, backwards := range []bool{false, true} {
			t.Run(fmt.Sprint(name, backwards), func(t *testing.T) {
				g := newInterpreted(t)
				g.backwards = backwards
				p, err := newProver(someGPU, g.open)
				if err != nil {
					t.Fatal(err)
				}
				tr := wholeProof(t, p, someGPU, task)
				if err := challenge.Verify(tr, challenge.Plain{}); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(p.Close(), p.Close()); err != nil || len(g.pieces) != 0 || !g.closed {
					t.Fatalf("closed with %v, %d pieces left", err, len(g.pieces))
				}
			})
		}
	}
}

// Each kernel's bits are package challenge's, everywhere and not only where a verifier looks.
func TestKernelsAreTheirTwins(t *testing.T) {
	g := newInterpreted(t)
	const n, words = 48, 48 * 48 / 8
	at, _ := g.alloc(8 * words)
	if err := g.launch("expand", blocks(words, threads), 1, uint64(at), 1, words); err != nil {
		t.Fatal(err)
	}
	row := make([]int8, n)
	for i := range n {
		challenge.Vector(row, 1, i)
		for l, v := range row {
			if got := int8(g.pieces[uint64(at)][i*n+l]); got != v {
				t.Fatalf("entry %d of row %d is %d, want %d", l, i, got, v)
			}
		}
	}
	const count = 5
	memory, _ := g.alloc(count * challenge.Block)
	if err := errors.Join(g.launch("fill", 1, 1, uint64(memory), 7, 0, 2), g.launch("fill", 1, 1, uint64(memory), 7, 2, count-2)); err != nil {
		t.Fatal(err)
	}
	all := make([]uint64, count*challenge.Words)
	for b := range count {
		challenge.Fill(all[b*challenge.Words:(b+1)*challenge.Words], 7, uint64(b))
	}
	for i, want := range all {
		if got := binary.LittleEndian.Uint64(g.pieces[uint64(memory)][8*i:]); got != want {
			t.Fatalf("word %d of the memory is %x, want %x", i, got, want)
		}
	}
	lanes, _ := g.alloc(8 * 300)
	ends := make([]uint64, 300)
	for i := range ends {
		ends[i] = challenge.Mix(uint64(i))
		binary.LittleEndian.PutUint64(g.pieces[uint64(lanes)][8*i:], ends[i])
	}
	if err := g.launch("walk", 2, 1, uint64(memory), uint64(len(all)), uint64(lanes), 300, 17); err != nil {
		t.Fatal(err)
	}
	for i, x := range ends {
		for range 17 {
			x = challenge.Step(x, all[challenge.Place(x, uint64(len(all)))])
		}
		if got := binary.LittleEndian.Uint64(g.pieces[uint64(lanes)][8*i:]); got != x {
			t.Fatalf("lane %d ends at %x, want %x", i, got, x)
		}
	}
}

// The product's digests are those of the plain product, for matrices of extremes and of anything, in every tile; also in bands of rows.
func TestProductIsItsTwin(t *testing.T) {
	for _, s := range []struct{ n, edge int }{{16, 16}, {48, 48}, {144, 16}, {144, 48}, {144, 144}, {272, 136 / 8 * 16}} {
		for _, x := range []int{-128, 127, 0, math.MaxInt} {
			if s.n > 144 && x != math.MaxInt {
				continue
			}
			g := newInterpreted(t)
			a, b := make([]int8, s.n*s.n), make([]int8, s.n*s.n)
			challenge.Vector(a, 1, 0)
			challenge.Vector(b, 2, 0)
			if x != math.MaxInt {
				a, b = slices.Repeat([]int8{int8(x)}, s.n*s.n), slices.Repeat([]int8{-128}, s.n*s.n)
			}
			put := func(m []int8) uint64 {
				at, _ := g.alloc(int64(len(m)))
				for i, v := range m {
					g.pieces[uint64(at)][i] = byte(v)
				}
				return uint64(at)
			}
			pa, pb := put(a), put(b)
			bytes := int64(s.n * s.n / s.edge * 4)
			to, _ := g.alloc(bytes)
			_ = g.zero(to, bytes)
			for first := range blocks(s.n, across) {
				if err := g.launch("product", blocks(s.n, across), 1, pa, pb, uint64(to), uint64(s.n), uint64(s.edge), uint64(first)); err != nil {
					t.Fatal(err)
				}
			}
			digest, sums, side := make([]uint32, s.edge), make([]int32, s.edge*s.edge), s.n/s.edge
			for tile := range side * side {
				challenge.Plain{}.Multiply(sums, a[tile/side*s.edge*s.n:], b[tile%side*s.edge*s.n:], s.edge, s.edge, s.n)
				challenge.Digest(digest, sums, s.edge)
				for i, want := range digest {
					if got := binary.LittleEndian.Uint32(g.pieces[uint64(to)][4*(tile*s.edge+i):]); got != want {
						t.Fatalf("%d by %d, row %d of tile %d: %08x, want %08x", s.n, s.edge, i, tile, got, want)
					}
				}
			}
		}
	}
}

// Whatever fails on the way, the error comes out, and Close gives back what was taken; so it does where the context ends.
func TestProverLetsGo(t *testing.T) {
	task := small()
	for fails := range 40 {
		g := newInterpreted(t)
		broken, asked := errors.New("broken"), 0
		g.before = func(string) error {
			if asked++; asked == fails+1 {
				return broken
			}
			return nil
		}
		p, err := newProver(someGPU, g.open)
		if err == nil {
			_, err = p.Begin(t.Context(), task, challenge.Seed{1})
			if err == nil {
				_, err = p.Walk(t.Context(), challenge.Seed{2})
			}
			err = errors.Join(err, p.Close())
			if len(g.pieces) != 0 {
				t.Fatalf("failing at %d: %d pieces are left", fails, len(g.pieces))
			}
		}
		if asked > fails && !errors.Is(err, broken) {
			t.Fatalf("failing at %d: %v", fails, err)
		}
	}
	g := newInterpreted(t)
	ctx, cancel := context.WithCancel(t.Context())
	g.before = func(what string) error {
		if what == "launch fill" {
			cancel()
		}
		return nil
	}
	task.Memory = 2 * blocksAtOnce * challenge.Block // more than there is: it ends before
	p, _ := newProver(someGPU, g.open)
	if _, err := p.Begin(ctx, task, challenge.Seed{1}); raylink.AsError(err).Code != raylink.CodeCapacity {
		t.Fatal(err)
	}
	cancel()
	if _, err := p.Begin(ctx, small(), challenge.Seed{1}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := p.Walk(t.Context(), challenge.Seed{}); err == nil {
		t.Fatal("a walk through memory that is not filled")
	}
	if err := p.Close(); err != nil || len(g.pieces) != 0 {
		t.Fatal(err, len(g.pieces))
	}
}

// A wipe overwrites what is free, in as many pieces as it lies in, and gives it back.
func TestWipe(t *testing.T) {
	g := newInterpreted(t)
	g.room = 40<<20 + 12345
	theirs, _ := g.alloc(6 << 20)
	largest, zeroed := int64(16<<20), int64(0)
	wiped, err := wipe(t.Context(), someGPU, func(string) (gpu, error) { return &inPieces{g, largest, &zeroed}, nil })
	if want := (Wiped{Zeroed: 34 << 20, Left: 12345, Total: g.room}); err != nil || wiped != want || zeroed != want.Zeroed {
		t.Fatalf("%+v, %v, %d zeroed; want %+v", wiped, err, zeroed, want)
	}
	if len(g.pieces) != 1 || g.pieces[uint64(theirs)][0] != 0xde || !g.closed {
		t.Fatal("what others have is touched, or something is kept")
	}
}

// inPieces is a GPU whose free memory is in pieces.
type inPieces struct {
	*interpreted
	largest int64
	zeroed  *int64
}

func (g *inPieces) alloc(n int64) (pointer, error) {
	if n > g.largest {
		return 0, outOfMemory.say("take memory", "")
	}
	return g.interpreted.alloc(n)
}

func (g *inPieces) zero(at pointer, n int64) error {
	*g.zeroed += n
	return g.interpreted.zero(at, n)
}
