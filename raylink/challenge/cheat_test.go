package challenge

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// caught fails the test unless the transcript is judged to be wrong.
func caught(t *testing.T, who string, x Transcript) {
	t.Helper()
	if err := Verify(x, shared); !errors.Is(err, ErrWrong) {
		t.Errorf("%s: %v", who, err)
	}
}

// Somebody computes a share of the tiles and guesses the rest. How often he passes is measured over thousands of proofs and held against (1−δ)^k, the
// bound of the documentation, and against the exact chance of drawing without replacement, within four standard deviations.
func TestSkippedTilesAreCaughtAsOftenAsStated(t *testing.T) {
	const trials = 3000
	for _, x := range []struct{ skipped, openings int }{{1, 4}, {3, 4}, {3, 8}, {8, 4}} {
		task := flat()
		task.Links, task.Openings = 2, x.openings
		n := task.Links * task.TilesPerLink() // 32
		random, passed := dice(uint64(x.skipped*100+x.openings)), 0
		cheat := &device{}
		cheat.skip = func(link, tile int) bool { return link*task.TilesPerLink()+tile < x.skipped }
		fixed := cheat.prove(task, random)
		for range trials { // the same commitment, opened by the judge's dice again and again
			fixed.Entropy = roll(random)
			fixed.Answer = cheat.Answer(fixed.Entropy)
			if Verify(fixed, shared) == nil {
				passed++
			}
		}
		bound, exact := math.Pow(1-float64(x.skipped)/float64(n), float64(x.openings)), 1.0
		for i := range x.openings {
			exact *= float64(n-x.skipped-i) / float64(n-i)
		}
		share, sigma := float64(passed)/trials, math.Sqrt(exact*(1-exact)/trials)
		if share > bound+4*sigma || math.Abs(share-exact) > 4*sigma {
			t.Errorf("%d of %d tiles skipped, %d opened: %.4f passed; (1−δ)^k is %.4f, without replacement %.4f ± %.4f", x.skipped, n, x.openings, share, bound, exact, sigma)
		}
		t.Logf("δ = %d/%d, k = %d: %.4f passed of %d; (1−δ)^k = %.4f, exact %.4f ± %.4f", x.skipped, n, x.openings, share, trials, bound, exact, sigma)
	}
}

// Somebody's arithmetic is cheaper: it drops the lowest bit of the inputs (7-bit products), rounds the sums as a float16 does, or saturates as 16 bits do.
// Every tile of it is wrong, so any opening finds it.
func TestLowerPrecisionIsCaught(t *testing.T) {
	edge := flat().Tile
	plain := func(c []int32, a, b []int8, n int) { Plain{}.Multiply(c, a, b, edge, edge, n) }
	for name, multiply := range map[string]func(c []int32, a, b []int8, n int){
		"7 bits": func(c []int32, a, b []int8, n int) {
			coarse := slices.Clone(a)
			for i := range coarse {
				coarse[i] &^= 1
			}
			plain(c, coarse, b, n)
		},
		"11 significant bits": func(c []int32, a, b []int8, n int) {
			plain(c, a, b, n)
			for i, v := range c {
				size := uint32(max(v, -v))
				if over := bits.Len32(size) - 11; over > 0 {
					c[i] = v >> over << over
				}
			}
		},
		"16 bits, saturating": func(c []int32, a, b []int8, n int) {
			plain(c, a, b, n)
			for i, v := range c {
				c[i] = min(max(v, math.MinInt16), math.MaxInt16)
			}
		},
	} {
		d := &device{multip: multiply}
		caught(t, name, d.prove(flat(), dice(1)))
	}
}

// Somebody multiplies rank-1 stand-ins (row sums by column sums), which cost n² and look like products to who checks sums or norms alone. Here each
// tile is compared bit for bit.
func TestRankOneForgeryIsCaught(t *testing.T) {
	edge := flat().Tile
	d := &device{multip: func(c []int32, a, b []int8, n int) {
		rows, cols := make([]int32, edge), make([]int32, edge)
		for i := range edge {
			for l := range n {
				rows[i] += int32(a[i*n+l])
				cols[i] += int32(b[i*n+l])
			}
		}
		for i := range edge {
			for j := range edge {
				c[i*edge+j] = rows[i] * cols[j] / int32(n)
			}
		}
	}}
	caught(t, "rank 1", d.prove(flat(), dice(1)))
}

// Somebody has the products of another seed ready, for the whole proof or from one link on: chained seeds make them fit nowhere.
func TestPrecomputedAnswersAreCaught(t *testing.T) {
	d := &device{inputs: func(Seed) Seed { return Seed{9} }}
	caught(t, "all links from a table", d.prove(flat(), dice(1)))

	// The first link honestly, all the others from the table; opened is enough that some tile of those is among them.
	first := true
	d = &device{inputs: func(seed Seed) Seed {
		if first {
			first = false
			return seed
		}
		return Seed{9}
	}}
	task := flat()
	task.Openings = 20 // of 32, of which 16 are honest
	caught(t, "the later links from a table", d.prove(task, dice(1)))
}

// Somebody answers with a transcript of another proof, of another machine's or of his other device: the seed is bound to all three. The same is what finds
// a machine that hands its challenge to another, if that one computes under its own name.
func TestReplayIsCaught(t *testing.T) {
	for name, change := range map[string]func(*Transcript){
		"another proof":   func(x *Transcript) { x.Proof = "p-bbbbbbbbbb" },
		"another machine": func(x *Transcript) { x.Machine = "m-two" },
		"another device":  func(x *Transcript) { x.Device = "GPU-1" },
		"another nonce":   func(x *Transcript) { x.Nonce[0] ^= 1 },
		"moved text":      func(x *Transcript) { x.Machine, x.Device = "m-onec", "pu" },
		"another size":    func(x *Transcript) { x.Task.Memory, x.Walk, x.WalkRoot = 4*Block, Seed{}, Hash{} },
		"other windows":   func(x *Transcript) { x.Task.Windows-- },
	} {
		d := &device{}
		x := d.prove(windowed(), dice(1))
		if err := Verify(x, shared); err != nil {
			t.Fatal(err)
		}
		change(&x)
		caught(t, name, x)
	}
}

// TestARelayedTranscriptVerifies states what bits do not show, so that nobody takes it for shown: one fast machine computes for idle ones, each with the idle one's own
// seed, and all their transcripts verify. That they are found nevertheless is the coordinators' matter, who let an owner's machines begin at one moment.
func TestARelayedTranscriptVerifies(t *testing.T) {
	fast, at := &device{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, idle := range []string{"m-idle1", "m-idle2", "m-idle3"} {
		task := flat()
		x := Transcript{Proof: "p-" + idle, Machine: idle, Device: "cpu", Judge: "a", Task: task, Nonce: Seed{byte(i)},
			Begun: at, Committed: at.Add(time.Second)}
		x.Commitment = fast.begin(task, x.Seed()) // the idle one passes its seed on, and the answer back
		x.Entropy = Seed{byte(i), 1}
		x.Answer = fast.Answer(x.Entropy)
		if err := Verify(x, shared); err != nil {
			t.Errorf("%s: %v. If bits show relays now, the documentation is to say how", idle, err)
		}
	}
}

// Somebody opens what he has and not what was drawn, changes his commitment once he knows what is opened, or answers in another order.
func TestChosenOpeningsAreCaught(t *testing.T) {
	cheat := &device{skip: func(link, tile int) bool { return link == 1 }}
	honest := &device{}
	for name, change := range map[string]func(x *Transcript){
		"those of another draw": func(x *Transcript) { x.Answer = honest.Answer(Seed{5}) },
		"one twice":             func(x *Transcript) { x.Answer.Tiles[1] = x.Answer.Tiles[0] },
		"one fewer":             func(x *Transcript) { x.Answer.Tiles = x.Answer.Tiles[1:] },
		"none":                  func(x *Transcript) { x.Answer = Answer{} },
		"another order":         func(x *Transcript) { slices.Reverse(x.Answer.Tiles) },
		"a path cut":            func(x *Transcript) { p := &x.Answer.Tiles[0].Path; *p = (*p)[1:] },
		"a path with more":      func(x *Transcript) { p := &x.Answer.Tiles[0].Path; *p = append(*p, Hash{}) },
		"another commitment":    func(x *Transcript) { x.Commitment = cheat.begin(x.Task, x.Seed()) },
		"a link fewer":          func(x *Transcript) { x.Commitment.Roots = x.Commitment.Roots[1:] },
		"no lanes":              func(x *Transcript) { x.Answer.Segments = nil },
		"another lane": func(x *Transcript) {
			x.Answer.Segments[0].Segment = (x.Answer.Segments[0].Segment + 1) % x.Task.Segments
		},
		"a lane from elsewhere": func(x *Transcript) { x.Answer.Segments[0].Begin++ },
		"a lane to elsewhere":   func(x *Transcript) { x.Answer.Segments[0].End++ },
		"another walk":          func(x *Transcript) { x.WalkRoot[3] ^= 1 },
		"a lane's neighbours":   func(x *Transcript) { x.Answer.Segments[0].Ends = append(x.Answer.Segments[0].Ends, 1) },
	} {
		for _, task := range []Task{walking(), windowed()} {
			x := honest.prove(task, dice(2))
			change(&x)
			caught(t, fmt.Sprint(name, ", version ", task.Version), x)
		}
	}
	x := honest.prove(windowed(), dice(2))
	x.Answer.Segments[0].Ends = slices.Clone(x.Answer.Segments[0].Ends)
	x.Answer.Segments[0].Ends[(x.Answer.Segments[0].Segment+1)%Bundle] ^= 1
	caught(t, "another lane of its bundle", x)
}

// Somebody grinds: he tries commitments until the openings fall where he has computed. The entropy is not known when he commits, so a lucky guess of it is
// all he has; and because the draw follows from the commitment too, guessing right is no use to him once he has to change a root for it. Here he
// grinds 200 commitments against an entropy that he believes in, and the real one draws as if he had not.
func TestGroundOpeningsAreNoBetterThanChance(t *testing.T) {
	task := Task{Version: 1, Size: 64, Tile: 16, Links: 1, Openings: 4}
	random, passed := dice(3), 0
	const trials, skipped = 300, 8 // of 16: a passing chance of 8·7·6·5/(16·15·14·13) = 0.0385
	d := &device{skip: func(_, tile int) bool { return tile < skipped }}
	x := d.prove(task, random)
	for range trials {
		leaves := slices.Clone(d.links[0].levels[0])
		for try := range 200 {
			leaves[0] = tagged("guess", u32(try))
			d.links[0] = NewTree(leaves)
			if !slices.ContainsFunc(task.Tiles(Open(x.Entropy, d.Commitment(), Hash{})), func(o Opened) bool { return o.Tile < skipped }) {
				break // against the entropy that he believes in, this one passes
			}
		}
		x.Commitment = d.Commitment()
		x.Entropy = roll(random)
		x.Answer = d.Answer(x.Entropy)
		if Verify(x, shared) == nil {
			passed++
		}
	}
	const chance = 8 * 7 * 6 * 5 / float64(16*15*14*13)
	if limit := trials*chance + 4*math.Sqrt(trials*chance*(1-chance)); float64(passed) > limit {
		t.Errorf("%d of %d ground commitments passed; by chance at most %.1f do", passed, trials, limit)
	}
}

// Somebody has not the memory that he claims and makes words up, or has filled it for another seed.
func TestMissingMemoryIsCaught(t *testing.T) {
	for name, read := range map[string]func(d *device, place uint64) uint64{
		"zeros for a third": func(d *device, place uint64) uint64 {
			if place/Words == 2 {
				return 0
			}
			return d.memory[place]
		},
		"one block for all": func(d *device, place uint64) uint64 { return d.memory[place%Words] },
		"another fill":      func(d *device, place uint64) uint64 { return d.memory[place] ^ 1 },
	} {
		for _, task := range []Task{walking(), windowed()} {
			d := &device{}
			x := d.prove(task, dice(4))
			x.WalkRoot = d.walk(x.Walk, func(place uint64) uint64 { return read(d, place) })
			x.Answer = d.Answer(x.Entropy)
			caught(t, fmt.Sprint(name, ", version ", task.Version), x)
		}
	}
}

// recompute counts what it takes to have one word of a block of which some are kept: each that is missing needs the one before it and the two that that
// one chooses. A word that was made or read is kept for the rest of this read.
func recompute(block []uint64, kept func(i int) bool, i int) (steps, reads int) {
	known := map[int]bool{}
	var need []int
	want := func(i int) {
		switch {
		case known[i]:
		case kept(i):
			reads++
		default:
			need = append(need, i)
		}
		known[i] = true
	}
	for want(i); len(need) > 0; {
		i := need[len(need)-1]
		need = need[:len(need)-1]
		steps++
		if i > 0 {
			want(i - 1)
			want(int((block[i-1] >> 32) * uint64(i) >> 32))
			want(int((block[i-1] & 0xffffffff) * uint64(i) >> 32))
		}
	}
	return steps, reads
}

// Somebody keeps a part (or keeps it behind a slow wire, which is the same to the clock) and makes the rest anew at each read. The bits are right then, and
// time alone tells: what it costs is what the documentation states. Keeping checkpoints does not get around it, for each missing word needs another one
// from anywhere in the block.
func TestRecomputingCostsWhatIsStated(t *testing.T) {
	block := make([]uint64, Words)
	Fill(block, 7, 1)
	random := dice(5)
	for _, x := range []struct {
		name  string
		kept  func(i int) bool
		least float64 // steps and reads in place of each honest read, at the least
	}{
		{"the block is not kept", func(int) bool { return false }, 3600},
		{"each fourth word is kept", func(i int) bool { return i%4 == 0 }, 300},
		{"each second word is kept", func(i int) bool { return i%2 == 0 }, 10},
		{"the first half of the block is kept", func(i int) bool { return i < Words/2 }, 1500},
		{"each fourth word is left out", func(i int) bool { return i%4 != 0 }, 2},
		{"each tenth word is left out", func(i int) bool { return i%10 != 0 }, 1.3},
	} {
		const reads = 400
		sum := 0
		for range reads {
			made, read := recompute(block, x.kept, random.IntN(Words))
			sum += made + read
		}
		mean := float64(sum) / reads
		t.Logf("%s: %.1f steps and reads in place of each read", x.name, mean)
		if mean < x.least {
			t.Errorf("%s: %.1f steps and reads in place of each read; stated are %.1f", x.name, mean, x.least)
		}
	}
}

// A judge's dice decide nothing about an honest device: it passes whatever is drawn.
func TestHonestDevicesAlwaysPass(t *testing.T) {
	for _, seed := range []uint64{0, 1, math.MaxUint64} {
		random := rand.New(rand.NewPCG(seed, 0))
		for range 20 {
			edge := 16 * (1 + random.IntN(2))
			task := Task{Version: 1, Tile: edge, Size: edge * (1 + random.IntN(4)), Links: 1 + random.IntN(4)}
			task.Openings = 1 + random.IntN(task.Links*task.TilesPerLink())
			if random.IntN(2) == 0 {
				task.Memory, task.Segments = Block*int64(1+random.IntN(3)), 1+random.IntN(20)
				task.Steps, task.Checks = task.Segments*(1+random.IntN(4)), 1+random.IntN(task.Segments)
				if random.IntN(2) == 0 {
					task.Version, task.Windows = 2, 1+random.IntN(int(task.Memory/Block))
					task.Segments *= Bundle
					task.Steps = task.Segments * Rounds
				}
			}
			d := &device{}
			x := d.prove(task, random)
			if err := Verify(x, shared); err != nil {
				t.Fatalf("%s: %v", describe(task), err)
			}
			text, err := x.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Decode(text); err != nil || Verify(again, shared) != nil {
				t.Fatalf("%s: not the same once it is written down: %v", describe(task), err)
			}
		}
	}
}
