package challenge

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// shared is a multiplier for tests of many small proofs. It is Plain: package kernel is held against it elsewhere.
var shared = Plain{}

// device is a prover in the plainest way, for tests, with places where it can be made to cheat.
type device struct {
	Held
	memory []uint64
	key    uint64

	skip   func(link, tile int) bool           // tiles that are guessed instead of computed
	multip func(c []int32, a, b []int8, n int) // instead of Plain
	inputs func(seed Seed) Seed                // other inputs than the seed's
}

func (d *device) begin(task Task, seed Seed) Commitment {
	d.Held = Held{Task: task}
	n, edge := task.Size, task.Tile
	a, b, c, digest := make([]int8, n*n), make([]int8, n*n), make([]int32, edge*edge), make([]uint32, edge)
	for link := range task.Links {
		from := seed
		if d.inputs != nil {
			from = d.inputs(seed)
		}
		ka, kb := Keys(from)
		for i := range n {
			Vector(a[i*n:(i+1)*n], ka, i)
			Vector(b[i*n:(i+1)*n], kb, i)
		}
		leaves := make([]Hash, task.TilesPerLink())
		for i := range leaves {
			if d.skip != nil && d.skip(link, i) {
				leaves[i] = tagged("guess", u32(i))
				continue
			}
			row, col := i/(n/edge)*edge*n, i%(n/edge)*edge*n
			if d.multip != nil {
				d.multip(c, a[row:row+edge*n], b[col:col+edge*n], n)
			} else {
				shared.Multiply(c, a[row:row+edge*n], b[col:col+edge*n], edge, edge, n)
			}
			Digest(digest, c, edge)
			leaves[i] = TileLeaf(link, i, digest)
		}
		seed = Next(seed, d.Link(leaves))
	}
	d.key = MemoryKey(seed)
	d.memory = make([]uint64, task.Memory/8)
	for i := 0; i < len(d.memory); i += Words {
		Fill(d.memory[i:i+Words], d.key, uint64(i/Words))
	}
	return d.Commitment()
}

// lane walks one lane; read gives a word of memory.
func (d *device) walk(entropy Seed, read func(place uint64) uint64) Hash {
	if !d.Task.Walks() {
		return Hash{}
	}
	ends := make([]uint64, d.Task.Segments)
	d.Task.Begins(ends, entropy, 0)
	for _, s := range d.Task.Stretches(entropy) {
		for i := s.From; i < s.To; i++ {
			for range s.Steps {
				ends[i] = Step(ends[i], read(s.First+Place(ends[i], s.Words)))
			}
		}
	}
	return d.Walked(entropy, ends)
}

func (d *device) read(place uint64) uint64 { return d.memory[place] }

// prove is a whole proof as a fair judge keeps it; random stands for the judge's dice.
func (d *device) prove(task Task, random *rand.Rand) Transcript {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	t := Transcript{Proof: "p-aaaaaaaaaa", Machine: "m-one", Device: "cpu", Judge: "a", Task: task, Nonce: roll(random), Begun: at, Committed: at.Add(time.Second)}
	t.Commitment = d.begin(task, t.Seed())
	if task.Walks() {
		t.Walk, t.Walked = roll(random), at.Add(2*time.Second)
		t.WalkRoot = d.walk(t.Walk, d.read)
	}
	t.Entropy = roll(random)
	t.Answer = d.Answer(t.Entropy)
	return t
}

func roll(random *rand.Rand) Seed {
	var s Seed
	for i := 0; i < len(s); i += 8 {
		binary.LittleEndian.PutUint64(s[i:], random.Uint64())
	}
	return s
}

func dice(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

func flat() Task { return Task{Version: 1, Size: 64, Tile: 16, Links: 2, Openings: 5} }

func walking() Task {
	t := flat()
	t.Memory, t.Steps, t.Segments, t.Checks = 3*Block, 8*12, 12, 5
	return t
}

// windowed is a task of version 2.
func windowed() Task {
	t := flat()
	t.Version, t.Memory, t.Windows, t.Segments, t.Checks = 2, 7*Block, 3, 2*Bundle, 5
	t.Steps = t.Segments * 2 * Rounds
	return t
}

func describe(t Task) string {
	return fmt.Sprintf("%d×%d, %d links, %d openings, %d bytes", t.Size, t.Size, t.Links, t.Openings, t.Memory)
}

func stringOf[T any](format string, v T) string { return fmt.Sprintf(format, v) }
