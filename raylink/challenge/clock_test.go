package challenge

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A model of a device's memory and of what reads of it cost. Reads are in flight together, so what counts is how many of a kind are served in a second;
// those of its own memory and those of the host's go on at the same time, which is the best that a cheat can do.
type memories struct {
	own         float64 // share of the memory that is the device's own; the rest is the host's, behind PCIe
	here, there float64 // reads a second of the one and of the other
	network     time.Duration
}

// walkOn has a device make the whole walk in such memories, read by read, and the judge's clock show what that takes.
func (m memories) walkOn(d *device, x *Transcript) {
	own, here, there := uint64(m.own*float64(len(d.memory))), 0, 0
	x.WalkRoot = d.walk(x.Walk, func(place uint64) uint64 {
		if place < own {
			here++
		} else {
			there++
		}
		return d.memory[place]
	})
	took := max(float64(here)/m.here, float64(there)/m.there)
	x.Walked = x.Committed.Add(m.network + time.Duration(took*float64(time.Second)))
	x.Answer = d.Answer(x.Entropy)
}

// Somebody keeps the memory, or a part of it, in the host's DRAM behind PCIe. All bits are right, whatever is opened; the clock alone tells. The clock is a
// model's, which each read of a whole walk moves on; so that the walk is short, everything here is 5,200 times slower than the real thing, the bound too: the least
// for an H100 is 5,200 million reads a second, in this world one million. PCIe's best are 1,200 million reads a second of the fifth generation and 600 of
// the fourth (doc.go).
func TestHostMemoryInPlaceOfVRAM(t *testing.T) {
	const least, world = 1, 5200.0
	rate := func(millions float64) float64 { return millions * 1e6 / world }
	task := windowed()
	task.Memory, task.Windows, task.Segments, task.Checks = 30*Block, 3, 30*Bundle, 2
	task.Steps = task.Segments * stepsGPU
	d := &device{}
	x := d.prove(task, dice(8))
	for _, c := range []struct {
		name   string
		memory memories
		slow   bool
	}{
		{"at the least, far away", memories{1, rate(5_200), 1, 300 * time.Millisecond}, false},
		{"as it should be", memories{1, rate(10_000), 1, 40 * time.Millisecond}, false},
		{"all of it in the host, PCIe 5", memories{0, rate(10_000), rate(1_200), 0}, true},
		{"all of it in the host, PCIe 4", memories{0, rate(10_000), rate(600), 0}, true},
		{"an RTX 3060: 11 of 72 GB are its own, PCIe 4", memories{11.0 / 72, rate(2_800), rate(600), 0}, true},
		{"an RTX 4090: 22 of 72 GB are its own, PCIe 4", memories{22.0 / 72, rate(7_800), rate(600), 0}, true},
		{"an RTX 5090: 29 of 72 GB are its own, PCIe 5", memories{29.0 / 72, rate(14_000), rate(1_200), 0}, true},
		{"an A100 of 40 GB, PCIe 4", memories{36.0 / 72, rate(12_000), rate(600), 0}, true},
		{"what the walk does not see: a tenth in the host, PCIe 5", memories{0.9, rate(10_000), rate(1_200), 0}, false},
	} {
		c.memory.walkOn(d, &x)
		if err := Verify(x, shared); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		t.Logf("%s: %d ms, and at most %d", c.name, x.WalkMillis(), WalkMost(task, least))
		if slow := x.WalkMillis() > WalkMost(task, least); slow != c.slow {
			t.Errorf("%s: the walk takes %d ms, at most %d are given", c.name, x.WalkMillis(), WalkMost(task, least))
		}
	}
}

// Somebody fetches whole windows into his own memory, in bulk, where PCIe is fast, and walks in what he has. He may walk the stretches in any order that keeps
// each lane's own, and always fetches what most lanes wait for. Counted here is how many windows he fetches, over many draws: the documentation's figure.
func TestFetchingWindowsCostsWhatIsStated(t *testing.T) {
	random := dice(9)
	for _, x := range []struct {
		windows, hold int
		least         float64 // windows fetched, in the mean
	}{{2, 1, 9}, {3, 1, 16}, {3, 2, 8}, {5, 1, 28}, {5, 2, 20}, {8, 2, 30}} {
		task := windowed()
		task.Memory, task.Windows = int64(x.windows)*Block, x.windows
		const draws = 200
		fetched := 0
		for range draws {
			fetched += fetches(task, task.Stretches(roll(random)), x.hold)
		}
		mean := float64(fetched) / draws
		t.Logf("%d of %d windows are held: %.1f are fetched", x.hold, x.windows, mean)
		if mean < x.least {
			t.Errorf("%d of %d windows are held: %.1f are fetched, not %.1f", x.hold, x.windows, mean, x.least)
		}
	}
}

// fetches is how many windows are fetched in all, with room for so many.
func fetches(t Task, stretches []Stretch, hold int) int {
	want := map[int][]uint64{} // of each part of the lanes, by its first: the windows that it goes through, in order
	for _, s := range stretches {
		want[s.From] = append(want[s.From], s.First)
	}
	if len(want) != t.Windows {
		panic(fmt.Sprint(len(want), " parts of the lanes"))
	}
	var held []uint64
	for n := 0; ; n++ {
		waiting := map[uint64]int{}
		for part := range want {
			for len(want[part]) > 0 && slices.Contains(held, want[part][0]) {
				want[part] = want[part][1:]
			}
			if len(want[part]) > 0 {
				waiting[want[part][0]]++
			}
		}
		if len(waiting) == 0 {
			return n
		}
		var most uint64
		for w, parts := range waiting {
			if parts > waiting[most] || parts == waiting[most] && w < most {
				most = w
			}
		}
		if held = append(held, most); len(held) > hold {
			held = held[1:]
		}
	}
}

// Version 2's stretches take each lane through its steps, in each round all windows once, and all of the memory's blocks are in one of them.
func TestStretches(t *testing.T) {
	task := windowed()
	seen, steps := map[uint64]bool{}, make([]int, task.Segments)
	all := task.Stretches(Seed{3})
	for i, s := range all {
		seen[s.First] = true
		for lane := s.From; lane < s.To; lane++ {
			steps[lane] += s.Steps
		}
		if round := all[i/task.Windows*task.Windows:][:task.Windows]; s.First%Words != 0 || s.Words%Words != 0 || sum(round) != uint64(task.Memory/8) {
			t.Errorf("stretch %d: %+v", i, s)
		}
	}
	if len(seen) != task.Windows || slices.ContainsFunc(steps, func(n int) bool { return n != task.Lane() }) {
		t.Errorf("%d windows, steps of each lane %v", len(seen), steps)
	}
	if slices.Equal(all, task.Stretches(Seed{4})) {
		t.Error("the entropy draws nothing")
	}
	begins := make([]uint64, 5)
	task.Begins(begins, Seed{3}, 7)
	for i := range begins {
		var one [1]uint64
		if task.Begins(one[:], Seed{3}, 7+i); one[0] != begins[i] {
			t.Errorf("lane %d begins in two places", 7+i)
		}
	}
}

func sum(round []Stretch) (words uint64) {
	for _, s := range round {
		words += s.Words
	}
	return words
}
