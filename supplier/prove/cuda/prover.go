package cuda

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"raylink/raylink/challenge"
	"raylink/supplier/prove"
)

// How much one launch does at most. Between two launches it is seen whether the proof is still wanted; a launch is to last a tenth of a second or so.
const (
	sumsAtOnce   = 1 << 40 // multiply-adds
	blocksAtOnce = 1 << 18 // of memory that are filled: as many threads as a large GPU runs at once
	readsAtOnce  = 1 << 28 // of a walk
)

type prover struct {
	gpu    gpu
	held   challenge.Held
	taken  []pointer // all that is to be released
	memory pointer   // 0: not filled
}

// GPU makes a prover for the NVIDIA GPU with this UUID. It is one of prove.Makers.
func GPU(device string) (prove.Prover, error) { return newProver(device, open) }

func newProver(device string, open opener) (prove.Prover, error) {
	g, err := open(device)
	if err != nil {
		return nil, err
	}
	return &prover{gpu: g}, nil
}

// take allocates what Close, or giveBack, releases.
func (p *prover) take(bytes int64) (pointer, error) {
	at, err := p.gpu.alloc(bytes)
	if err == nil {
		p.taken = append(p.taken, at)
	}
	return at, err
}

func (p *prover) giveBack() error {
	var all error
	for _, at := range p.taken {
		all = errors.Join(all, p.gpu.release(at))
	}
	p.taken, p.memory = nil, 0
	return all
}

func (p *prover) Begin(ctx context.Context, task challenge.Task, seed challenge.Seed) (challenge.Commitment, error) {
	if err := task.Check(); err != nil {
		return challenge.Commitment{}, fmt.Errorf("the task of a proof: %w", err)
	}
	p.held.Task = task
	n := int64(task.Size)
	var on product
	for _, space := range []struct {
		at    *pointer
		bytes int64
	}{{&on.a, n * n}, {&on.b, n * n}, {&on.digests, n * n / int64(task.Tile) * 4}} {
		var err error
		if *space.at, err = p.take(space.bytes); err != nil {
			return challenge.Commitment{}, err
		}
	}
	digests := make([]byte, n*n/int64(task.Tile)*4)
	for link := range task.Links {
		if err := p.product(ctx, seed, on); err != nil {
			return challenge.Commitment{}, err
		}
		if err := p.gpu.read(digests, on.digests); err != nil {
			return challenge.Commitment{}, err
		}
		seed = challenge.Next(seed, p.held.Link(leaves(link, task.Tile, digests)))
	}
	if err := p.giveBack(); err != nil { // the memory that follows may be nearly all there is
		return challenge.Commitment{}, err
	}
	if task.Walks() {
		if err := p.fill(ctx, challenge.MemoryKey(seed)); err != nil {
			return challenge.Commitment{}, err
		}
	}
	return p.held.Commitment(), nil
}

// product is where one link is made.
type product struct{ a, b, digests pointer }

// product makes one link's digests.
func (p *prover) product(ctx context.Context, seed challenge.Seed, on product) error {
	n, edge := p.held.Task.Size, p.held.Task.Tile
	ka, kb := challenge.Keys(seed)
	words := n / 8 * n
	for _, matrix := range []struct {
		at  pointer
		key uint64
	}{{on.a, ka}, {on.b, kb}} {
		if err := p.gpu.launch("expand", blocks(words, threads), 1, uint64(matrix.at), matrix.key, uint64(words)); err != nil {
			return err
		}
	}
	if err := p.gpu.zero(on.digests, int64(n)*int64(n)/int64(edge)*4); err != nil {
		return err
	}
	side := blocks(n, across)
	band := max(1, sumsAtOnce/(across*n*n))
	for first := 0; first < side; first += band {
		if err := ctx.Err(); err != nil {
			return err
		}
		down := min(band, side-first)
		if err := p.gpu.launch("product", side, down, uint64(on.a), uint64(on.b), uint64(on.digests), uint64(n), uint64(edge), uint64(first)); err != nil {
			return err
		}
		if err := p.gpu.wait(); err != nil {
			return err
		}
	}
	return nil
}

// leaves hashes a link's digests, tile after tile, on all processors: on a fast GPU this is a good part of the time otherwise.
func leaves(link, edge int, digests []byte) []challenge.Hash {
	out := make([]challenge.Hash, len(digests)/(4*edge))
	spread(len(out), func(from, to int) {
		digest := make([]uint32, edge)
		for tile := from; tile < to; tile++ {
			for i := range digest {
				digest[i] = binary.LittleEndian.Uint32(digests[4*(tile*edge+i):])
			}
			out[tile] = challenge.TileLeaf(link, tile, digest)
		}
	})
	return out
}

func (p *prover) fill(ctx context.Context, key uint64) error {
	at, err := p.take(p.held.Task.Memory)
	if err != nil {
		return err
	}
	all := int(p.held.Task.Memory / challenge.Block)
	for first := 0; first < all; first += blocksAtOnce {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := uint64(min(first+blocksAtOnce, all) - first)
		if err := p.gpu.launch("fill", blocks(int(to), threads), 1, uint64(at), key, uint64(first), to); err != nil {
			return err
		}
		if err := p.gpu.wait(); err != nil {
			return err
		}
	}
	p.memory = at
	return nil
}

func (p *prover) Walk(ctx context.Context, entropy challenge.Seed) (challenge.Hash, error) {
	task := p.held.Task
	if !task.Walks() {
		return challenge.Hash{}, nil
	}
	if p.memory == 0 {
		return challenge.Hash{}, errors.New("a walk before the memory is filled")
	}
	ends, lanes := make([]uint64, task.Segments), make([]byte, 8*task.Segments)
	spread(task.Segments, func(from, to int) {
		task.Begins(ends[from:to], entropy, from)
		for i := from; i < to; i++ {
			binary.LittleEndian.PutUint64(lanes[8*i:], ends[i])
		}
	})
	at, err := p.take(int64(len(lanes)))
	if err != nil {
		return challenge.Hash{}, err
	}
	if err := p.gpu.write(at, lanes); err != nil {
		return challenge.Hash{}, err
	}
	for _, s := range task.Stretches(entropy) {
		if err := p.stretch(ctx, s, at); err != nil {
			return challenge.Hash{}, err
		}
	}
	if err := p.gpu.read(lanes, at); err != nil {
		return challenge.Hash{}, err
	}
	for i := range ends {
		ends[i] = binary.LittleEndian.Uint64(lanes[8*i:])
	}
	return p.held.Walked(entropy, ends), nil
}

// stretch walks one part of the walk; lanes is where all of its lanes are.
func (p *prover) stretch(ctx context.Context, s challenge.Stretch, lanes pointer) error {
	for first, band := s.From, max(1, readsAtOnce/s.Steps); first < s.To; first += band {
		if err := ctx.Err(); err != nil {
			return err
		}
		count := min(band, s.To-first)
		if err := p.gpu.launch("walk", blocks(count, threads), 1, uint64(p.memory)+8*s.First, s.Words, uint64(lanes)+8*uint64(first), uint64(count), uint64(s.Steps)); err != nil {
			return err
		}
		if err := p.gpu.wait(); err != nil {
			return err
		}
	}
	return nil
}

func (p *prover) Open(ctx context.Context, entropy challenge.Seed) (challenge.Answer, error) {
	if err := ctx.Err(); err != nil {
		return challenge.Answer{}, err
	}
	return p.held.Answer(entropy), nil
}

// Close gives the GPU's memory back at once, for a tenant may be about to need it.
func (p *prover) Close() error {
	if p.gpu == nil {
		return nil
	}
	err := errors.Join(p.giveBack(), p.gpu.close())
	p.gpu, p.held = nil, challenge.Held{}
	return err
}

// blocks is how many of that size cover n.
func blocks(n, size int) int { return (n + size - 1) / size }

// spread does 0 to n−1 in parts, one for each processor, and waits for all.
func spread(n int, do func(from, to int)) {
	each := max(blocks(n, runtime.GOMAXPROCS(0)), 1)
	var all sync.WaitGroup
	for from := 0; from < n; from += each {
		all.Go(func() { do(from, min(from+each, n)) })
	}
	all.Wait()
}
