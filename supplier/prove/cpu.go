package prove

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"raylink/raylink/challenge"
	"raylink/raylink/challenge/kernel"
)

// What a coordinator may ask of a processor. The machine is its owner's, whoever the coordinator is.
const (
	maxCPUSize   = 8192    // two matrices of 64 MiB
	maxCPUMemory = 1 << 30 // bytes
	maxCPUWork   = 1 << 46 // multiply-adds: minutes on a fast machine, and the order's deadline ends it anyway
)

// cpu proves a processor, on as many threads as the agent may run at once, each of them at low priority.
type cpu struct {
	threads int
	kernel  kernel.Kernel // one thread's
	held    challenge.Held
	memory  []uint64
}

// CPU makes a prover for the machine's processor; its id does not matter. It is one of Makers.
func CPU(string) (Prover, error) {
	return &cpu{threads: runtime.GOMAXPROCS(0), kernel: kernel.New(1)}, nil
}

func (p *cpu) Begin(ctx context.Context, task challenge.Task, seed challenge.Seed) (challenge.Commitment, error) {
	if err := task.Check(); err != nil {
		return challenge.Commitment{}, fmt.Errorf("the task of a proof: %w", err)
	}
	if task.Size > maxCPUSize || task.Memory > maxCPUMemory || task.Work() > maxCPUWork {
		return challenge.Commitment{}, fmt.Errorf("a task of %d links of %d with %d bytes is more than a processor here takes on", task.Links, task.Size, task.Memory)
	}
	p.held.Task = task
	n := task.Size
	a, b := make([]int8, n*n), make([]int8, n*n)
	for link := range task.Links {
		leaves, err := p.product(ctx, link, seed, a, b)
		if err != nil {
			return challenge.Commitment{}, err
		}
		seed = challenge.Next(seed, p.held.Link(leaves))
	}
	if !task.Walks() {
		return p.held.Commitment(), nil
	}
	p.memory = make([]uint64, task.Memory/8)
	key := challenge.MemoryKey(seed)
	err := p.each(ctx, len(p.memory)/challenge.Words, func(int) func(int) {
		return func(i int) { challenge.Fill(p.memory[i*challenge.Words:(i+1)*challenge.Words], key, uint64(i)) }
	})
	return p.held.Commitment(), err
}

// product is one link: its tiles' leaves. The matrices are expanded into a and b.
func (p *cpu) product(ctx context.Context, link int, seed challenge.Seed, a, b []int8) ([]challenge.Hash, error) {
	n, edge := p.held.Task.Size, p.held.Task.Tile
	ka, kb := challenge.Keys(seed)
	err := p.each(ctx, 2*n/edge, func(int) func(int) {
		return func(i int) {
			to, key := a, ka
			if i >= n/edge {
				to, key, i = b, kb, i-n/edge
			}
			for row := i * edge; row < (i+1)*edge; row++ {
				challenge.Vector(to[row*n:(row+1)*n], key, row)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	leaves := make([]challenge.Hash, p.held.Task.TilesPerLink())
	across := n / edge
	err = p.each(ctx, len(leaves), func(int) func(int) {
		sums, digest := make([]int32, edge*edge), make([]uint32, edge)
		return func(i int) {
			row, col := i/across*edge*n, i%across*edge*n
			p.kernel.Multiply(sums, a[row:row+edge*n], b[col:col+edge*n], edge, edge, n)
			challenge.Digest(digest, sums, edge)
			leaves[i] = challenge.TileLeaf(link, i, digest)
		}
	})
	return leaves, err
}

// lanes is how many lanes a thread walks at once: their reads are in flight together.
const lanes = 16

func (p *cpu) Walk(ctx context.Context, entropy challenge.Seed) (challenge.Hash, error) {
	task := p.held.Task
	if !task.Walks() {
		return challenge.Hash{}, nil
	}
	if p.memory == nil {
		return challenge.Hash{}, errors.New("a walk before the memory is filled")
	}
	ends := make([]uint64, task.Segments)
	task.Begins(ends, entropy, 0)
	for _, s := range task.Stretches(entropy) {
		window := p.memory[s.First : s.First+s.Words]
		err := p.each(ctx, (s.To-s.From+lanes-1)/lanes, func(int) func(int) {
			return func(i int) {
				part := ends[s.From+i*lanes : min(s.From+(i+1)*lanes, s.To)]
				for range s.Steps {
					for j, x := range part {
						part[j] = challenge.Step(x, window[challenge.Place(x, s.Words)])
					}
				}
			}
		})
		if err != nil {
			return challenge.Hash{}, err
		}
	}
	return p.held.Walked(entropy, ends), nil
}

func (p *cpu) Open(ctx context.Context, entropy challenge.Seed) (challenge.Answer, error) {
	if err := ctx.Err(); err != nil {
		return challenge.Answer{}, err
	}
	return p.held.Answer(entropy), nil
}

// Close gives the memory back to the machine at once, for a tenant may be about to need it.
func (p *cpu) Close() error {
	p.memory, p.held = nil, challenge.Held{}
	debug.FreeOSMemory()
	return nil
}

// each has the threads do i = 0 to n−1 and waits for all; worker makes what one thread does. It stops early when ctx ends.
func (p *cpu) each(ctx context.Context, n int, worker func(thread int) func(i int)) error {
	var next atomic.Int64
	var all sync.WaitGroup
	for thread := range min(p.threads, n) {
		all.Go(func() {
			// The thread is never unlocked, so it ends with the goroutine, and its low priority with it.
			runtime.LockOSThread()
			yield()
			do := worker(thread)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(i)
			}
		})
	}
	all.Wait()
	return ctx.Err()
}
