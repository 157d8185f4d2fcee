package cuda

import (
	"fmt"
	"testing"

	"raylink/raylink"
)

// interpreted is a fake GPU: its memory is the host's, and what it computes is the PTX itself, interpreted. It is no evidence of how a GPU behaves, only
// of what the text says.
type interpreted struct {
	kernels   map[string]*kernelCode
	backwards bool
	room      int64 // bytes that can be had
	pieces    map[uint64][]byte
	next      uint64
	launched  map[string]int
	before    func(what string) error // called before each thing that is asked; nil: nothing
	closed    bool
}

func newInterpreted(t *testing.T) *interpreted {
	t.Helper()
	kernels, err := parsePTX(source())
	if err != nil {
		t.Fatal(err)
	}
	return &interpreted{kernels: kernels, room: 1 << 30, pieces: map[uint64][]byte{}, next: 0x7f00_0000_0000, launched: map[string]int{}}
}

func (g *interpreted) open(string) (gpu, error) { return g, g.asked("open") }

func (g *interpreted) asked(what string) error {
	if g.closed {
		return fmt.Errorf("%s after it was closed", what)
	}
	if g.before != nil {
		return g.before(what)
	}
	return nil
}

// bytes implements memory.
func (g *interpreted) bytes(at uint64, n int) []byte {
	for base, piece := range g.pieces {
		if at >= base && at+uint64(n) <= base+uint64(len(piece)) {
			if at%uint64(n) != 0 {
				panic(fmt.Sprintf("%x is not aligned to %d bytes", at, n))
			}
			return piece[at-base:][:n]
		}
	}
	panic(fmt.Sprintf("%d bytes at %x are nobody's", n, at))
}

func (g *interpreted) taken() (sum int64) {
	for _, p := range g.pieces {
		sum += int64(len(p))
	}
	return sum
}

func (g *interpreted) free() (int64, int64, error) {
	return g.room - g.taken(), g.room, g.asked("free")
}

func (g *interpreted) alloc(n int64) (pointer, error) {
	if err := g.asked("alloc"); err != nil {
		return 0, err
	}
	if n > g.room-g.taken() {
		return 0, outOfMemory.say("take memory", "")
	}
	at := g.next
	g.next += uint64(n+1<<21) &^ 255 // a gap, so that whoever writes past an end is seen
	g.pieces[at] = make([]byte, n)
	for i := range g.pieces[at] {
		g.pieces[at][i] = 0xde
	}
	return pointer(at), nil
}

func (g *interpreted) release(at pointer) error {
	if _, ok := g.pieces[uint64(at)]; !ok {
		return fmt.Errorf("%x is released, and nobody's", at)
	}
	delete(g.pieces, uint64(at))
	return g.asked("release")
}

func (g *interpreted) zero(at pointer, n int64) error {
	clear(g.pieces[uint64(at)][:n])
	return g.asked("zero")
}

func (g *interpreted) write(at pointer, data []byte) error {
	copy(g.pieces[uint64(at)], data)
	return g.asked("write")
}

func (g *interpreted) read(data []byte, at pointer) error {
	copy(data, g.pieces[uint64(at)])
	return g.asked("read")
}

func (g *interpreted) launch(kernel string, across, down int, args ...uint64) error {
	if err := g.asked("launch " + kernel); err != nil {
		return err
	}
	g.launched[kernel]++
	k, ok := g.kernels[kernel]
	if !ok {
		return raylink.Errorf(raylink.CodeInternal, "no kernel %s", kernel)
	}
	return k.run(g, across, down, args, g.backwards)
}

func (g *interpreted) wait() error { return g.asked("wait") }

func (g *interpreted) close() error {
	defer func() { g.closed = true }()
	return g.asked("close")
}
