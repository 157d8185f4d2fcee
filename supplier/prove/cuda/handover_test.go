package cuda

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestHandovers: in a hundred handovers of a GPU the next tenant finds nothing of what the one before wrote, however the memory lay in pieces. Without the wipe
// he finds it each time: so the test would see it.
func TestHandovers(t *testing.T) {
	const pages, handovers = 5, 100
	r := rand.New(rand.NewPCG(1, 2))
	g := &remembering{interpreted: newInterpreted(t), memory: make([]byte, pages*leastPiece), used: make([]bool, pages), random: r}
	for i := range handovers {
		secret := fmt.Appendf(nil, "tenant %d was here", i)
		g.tenant(t, func(memory []byte) { copy(memory, bytes.Repeat(secret, len(memory)/len(secret))) })
		found := 0
		look := func(memory []byte) {
			if bytes.Contains(memory, secret) {
				found++
			}
		}
		if g.tenant(t, look); found == 0 {
			t.Fatalf("handover %d: nothing is found without a wipe either: the memory forgets by itself", i)
		}
		wiped, err := wipe(t.Context(), someGPU, g.open)
		if err != nil || wiped.Zeroed != pages*leastPiece || wiped.Total != wiped.Zeroed {
			t.Fatalf("handover %d: %+v, %v", i, wiped, err)
		}
		found = 0
		if g.tenant(t, look); found != 0 {
			t.Fatalf("handover %d: the next tenant finds %d pieces of the last one's data", i, found)
		}
	}
}

// TestWipeBesideSomebody: what somebody else holds is neither touched nor counted as cleared, so that the caller can tell that his is not all.
func TestWipeBesideSomebody(t *testing.T) {
	g := &remembering{interpreted: newInterpreted(t), memory: make([]byte, 8*leastPiece), used: make([]bool, 8), random: rand.New(rand.NewPCG(1, 2))}
	at, err := g.alloc(leastPiece)
	if err != nil {
		t.Fatal(err)
	}
	copy(g.pieces[uint64(at)], "theirs")
	wiped, err := wipe(t.Context(), someGPU, g.open)
	if want := (Wiped{Zeroed: 7 * leastPiece, Total: 8 * leastPiece}); err != nil || wiped != want {
		t.Errorf("%+v, %v; want %+v", wiped, err, want)
	}
	if !bytes.HasPrefix(g.pieces[uint64(at)], []byte("theirs")) {
		t.Error("what others hold is overwritten")
	}
}

// remembering is a GPU whose memory keeps what was written when it is given back, as a real one's does, and gives it anew wherever there is room.
type remembering struct {
	*interpreted
	memory []byte
	used   []bool // by page
	random *rand.Rand
}

func (g *remembering) open(string) (gpu, error) {
	g.closed = false
	return g, nil
}

func (g *remembering) free() (int64, int64, error) {
	return int64(len(g.memory)) - g.taken(), int64(len(g.memory)), nil
}

func (g *remembering) alloc(n int64) (pointer, error) {
	want := int(n / leastPiece) // whole pages are all that is asked for here
	for _, from := range g.random.Perm(len(g.used)) {
		if room := g.used[from:min(from+want, len(g.used))]; len(room) == want && !slices.Contains(room, true) {
			for i := range room {
				room[i] = true
			}
			at := 0x7f00_0000_0000 + uint64(from)*leastPiece
			g.pieces[at] = g.memory[from*leastPiece:][:n]
			return pointer(at), nil
		}
	}
	return 0, outOfMemory.say("take memory", "")
}

func (g *remembering) release(at pointer) error {
	from := int(uint64(at)-0x7f00_0000_0000) / leastPiece
	for i := range len(g.pieces[uint64(at)]) / leastPiece {
		g.used[from+i] = false
	}
	return g.interpreted.release(at)
}

// tenant takes all memory that there is, in pieces of any size, does something with it, and gives it back.
func (g *remembering) tenant(t *testing.T, do func(memory []byte)) {
	t.Helper()
	g.closed = false
	var taken []pointer
	for free := int64(len(g.memory)); free > 0; free = int64(len(g.memory)) - g.taken() {
		at, err := g.alloc((1 + g.random.Int64N(free/leastPiece)) * leastPiece)
		if isFull(err) {
			at, err = g.alloc(leastPiece) // it is in several places
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, at)
		do(g.pieces[uint64(at)])
	}
	for _, at := range taken {
		if err := g.release(at); err != nil {
			t.Fatal(err)
		}
	}
}
