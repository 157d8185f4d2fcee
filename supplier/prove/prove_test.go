package prove

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raylink/raylink"
	"raylink/raylink/challenge"
	"raylink/raylink/challenge/kernel"
	"raylink/raylink/wire"
)

const proofA, proofB = raylink.ProofID("p-aaaaaaaaaa"), raylink.ProofID("p-bbbbbbbbbb")

func small() challenge.Task {
	return challenge.Task{Version: 1, Size: 96, Tile: 32, Links: 3, Openings: 9, Memory: 4 * challenge.Block, Steps: 200, Segments: 50, Checks: 7}
}

// judge is a coordinator that keeps what is said to it, and judges.
type judge struct {
	challenge.Transcript
	said []string
	fail map[string]error
	hold chan struct{} // if there is one, begin waits for it or for the context
}

func (j *judge) step(ctx context.Context, name, by string, id raylink.ProofID) error {
	j.said = append(j.said, fmt.Sprintf("%s %s %s", id, name, by))
	if j.hold != nil && name == "begin" {
		select {
		case <-j.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := j.fail[name]
	delete(j.fail, name)
	return err
}

func (j *judge) BeginProof(ctx context.Context, by string, id raylink.ProofID) (wire.ProofBegun, error) {
	if err := j.step(ctx, "begin", by, id); err != nil {
		return wire.ProofBegun{}, err
	}
	j.Proof, j.Machine, j.Device, j.Judge, j.Nonce = string(id), "m-x", raylink.CPUDevice, "a", challenge.Seed{1}
	j.Begun = time.Now().UTC()
	return wire.ProofBegun{Task: j.Task, Seed: j.Seed()}, nil
}

func (j *judge) CommitProof(ctx context.Context, by string, id raylink.ProofID, c wire.ProofCommit) (wire.ProofWalk, error) {
	j.Commitment, j.Committed = c.Commitment, time.Now().UTC()
	if j.Task.Walks() {
		j.Walk = challenge.Seed{2}
	}
	return wire.ProofWalk{Entropy: j.Walk}, j.step(ctx, "commit", by, id)
}

func (j *judge) WalkedProof(ctx context.Context, by string, id raylink.ProofID, w wire.ProofWalked) (wire.ProofOpen, error) {
	j.WalkRoot, j.Entropy = w.Root, challenge.Seed{3}
	if j.Task.Walks() {
		j.Walked = time.Now().UTC()
	}
	return wire.ProofOpen{Entropy: j.Entropy}, j.step(ctx, "walked", by, id)
}

func (j *judge) AnswerProof(ctx context.Context, by string, id raylink.ProofID, a wire.ProofAnswer) (wire.Proof, error) {
	j.Answer = a.Answer
	if err := j.step(ctx, "answer", by, id); err != nil {
		return wire.Proof{}, err
	}
	if err := challenge.Verify(j.Transcript, kernel.New(0)); err != nil {
		return wire.Proof{State: "failed", Detail: err.Error()}, nil
	}
	return wire.Proof{ID: id, State: "passed"}, nil
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func makers() Makers { return Makers{raylink.DeviceCPU: CPU} }

func order(id raylink.ProofID) wire.ProofOrder {
	return wire.ProofOrder{ID: id, Device: raylink.CPUDevice, Deadline: time.Now().Add(time.Minute)}
}

// The processor answers so that the verifier finds nothing, with a walk and without, whatever kernel the verifier has.
func TestTheProcessorProvesItself(t *testing.T) {
	flat := small()
	flat.Memory, flat.Steps, flat.Segments, flat.Checks = 0, 0, 0, 0
	windowed := small()
	windowed.Version, windowed.Windows, windowed.Segments = 2, 3, 5*challenge.Bundle
	windowed.Steps = windowed.Segments * challenge.Rounds
	for name, task := range map[string]challenge.Task{"walk": small(), "windows": windowed, "flat": flat, "first": challenge.TaskFor(raylink.DeviceCPU, 0, 100, 0)} {
		t.Run(name, func(t *testing.T) {
			j := &judge{Transcript: challenge.Transcript{Task: task}}
			l := NewLoop(j, makers(), quiet())
			proof, err := l.prove(t.Context(), order(proofA))
			if err != nil || proof.State != "passed" {
				t.Fatalf("%+v, %v", proof, err)
			}
			if err := challenge.Verify(j.Transcript, challenge.Plain{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A loop does what is ordered, one after the other and each once, at the coordinator that is named; what cannot be done is left.
func TestLoopDoesWhatIsOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{Transcript: challenge.Transcript{Task: small()}, fail: map[string]error{
			"commit": raylink.Errorf(raylink.CodeUnavailable, "no leader"), // the first: it is tried again
		}}
		ctx, cancel := context.WithCancel(t.Context())
		l := NewLoop(j, makers(), quiet())
		ended := make(chan struct{})
		go func() { defer close(ended); l.Run(ctx) }()
		appeal, late, gpu, odd := order(proofB), order("p-cccccccccc"), order("p-dddddddddd"), order("../x")
		appeal.By, late.Deadline, gpu.Device = "https://b:7443", time.Now(), "GPU-1"
		orders := []wire.ProofOrder{odd, late, order(proofA), gpu, appeal}
		l.Set(orders)
		for range 3 {
			time.Sleep(2 * retryAfter)
			l.Set(orders) // the same again: nothing is done twice
		}
		want := fmt.Sprint([]string{
			"p-aaaaaaaaaa begin ", "p-aaaaaaaaaa commit ", "p-aaaaaaaaaa begin ", "p-aaaaaaaaaa commit ", "p-aaaaaaaaaa walked ", "p-aaaaaaaaaa answer ",
			"p-bbbbbbbbbb begin https://b:7443", "p-bbbbbbbbbb commit https://b:7443", "p-bbbbbbbbbb walked https://b:7443", "p-bbbbbbbbbb answer https://b:7443",
		})
		cancel()
		<-ended
		if got := fmt.Sprint(j.said); got != want {
			t.Fatalf("said\n%s\nwant\n%s", got, want)
		}
	})
}

// gate is a coordinator that holds each begin until it is opened, and tells who waits.
type gate struct {
	judge
	mu    sync.Mutex
	waits []raylink.ProofID
	open  chan struct{}
}

func (g *gate) BeginProof(ctx context.Context, _ string, id raylink.ProofID) (wire.ProofBegun, error) {
	g.mu.Lock()
	g.waits = append(g.waits, id)
	slices.Sort(g.waits)
	g.mu.Unlock()
	select {
	case <-g.open:
	case <-ctx.Done():
	}
	return wire.ProofBegun{}, raylink.Errorf(raylink.CodeConflict, "it was asked to begin, and that is all this test wants")
}

// Those of a round wait for their begin together; what has another begin, or none, comes after them, wherever it stands: it can wait, and they would be late.
func TestLoopDoesARoundTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		l := NewLoop(g, Makers{raylink.DeviceCPU: CPU, raylink.DeviceGPU: CPU}, quiet())
		ended := make(chan struct{})
		go func() { defer close(ended); l.Run(ctx) }()
		soon, later := time.Now().Add(10*time.Second), time.Now().Add(20*time.Second)
		with := func(id raylink.ProofID, device string, starts *time.Time) wire.ProofOrder {
			o := order(id)
			o.Device, o.Starts = device, starts
			return o
		}
		orders := []wire.ProofOrder{with(proofA, "GPU-1", &soon), with("p-alone23456", raylink.CPUDevice, nil), with("p-later23456", "GPU-3", &later), with(proofB, "GPU-2", &soon)}
		l.Set([]wire.ProofOrder{orders[1], orders[2], orders[0], orders[3]})
		synctest.Wait()
		if got := fmt.Sprint(g.waits); got != "[p-aaaaaaaaaa p-bbbbbbbbbb]" {
			t.Errorf("at first %s wait", got)
		}
		l.Set(orders[1:]) // the first is taken back, the second goes on
		synctest.Wait()
		close(g.open)
		synctest.Wait()
		if got := fmt.Sprint(g.waits); got != "[p-aaaaaaaaaa p-alone23456 p-bbbbbbbbbb p-later23456]" {
			t.Errorf("in the end %s were asked for", got)
		}
		cancel()
		<-ended
	})
}

// A proof that is no longer ordered, or whose deadline has come, ends; so does the loop with its context.
func TestLoopLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{Transcript: challenge.Transcript{Task: small()}, hold: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		l := NewLoop(j, makers(), quiet())
		ended := make(chan struct{})
		go func() { defer close(ended); l.Run(ctx) }()
		l.Set([]wire.ProofOrder{order(proofA)})
		synctest.Wait()
		l.Set([]wire.ProofOrder{order(proofB)}) // p-a is withdrawn
		synctest.Wait()
		time.Sleep(2 * time.Minute) // p-b's deadline comes
		l.Set([]wire.ProofOrder{order("p-cccccccccc")})
		synctest.Wait()
		cancel()
		<-ended
		if got, want := fmt.Sprint(j.said), "[p-aaaaaaaaaa begin  p-bbbbbbbbbb begin  p-cccccccccc begin ]"; got != want {
			t.Fatalf("said %s, want %s", got, want)
		}
	})
}

// A prover stops when its context ends, and refuses what would be too much for a machine.
func TestTheProcessorRefuses(t *testing.T) {
	p, err := CPU("")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Begin(ended, small(), challenge.Seed{}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*challenge.Task){
		"memory":    func(t *challenge.Task) { t.Memory = 2 * maxCPUMemory },
		"malformed": func(t *challenge.Task) { t.Tile = 7 },
		"work":      func(t *challenge.Task) { t.Size, t.Tile, t.Links = 8192, 128, 1000 },
		"size":      func(t *challenge.Task) { t.Size, t.Tile = 16384, 128 },
	} {
		task := small()
		change(&task)
		if _, err := p.Begin(t.Context(), task, challenge.Seed{}); err == nil {
			t.Errorf("%s: taken on", name)
		}
	}
}

// BenchmarkProver is a whole proof by the processor: products and tiles, without a walk. The plain triple loop is in package kernel's benchmark.
func BenchmarkProver(b *testing.B) {
	task := challenge.Task{Version: 1, Size: 2048, Tile: 128, Links: 6, Openings: 64} // 103 GOP
	for b.Loop() {
		p, _ := CPU("")
		if _, err := p.Begin(b.Context(), task, challenge.Seed{1}); err != nil {
			b.Fatal(err)
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(2*float64(task.Work())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
}

// BenchmarkVerifier judges a 103-GOP proof with 64 openings, without a walk and with one of 256 MiB; and one of a GPU of 80 GB.
func BenchmarkVerifier(b *testing.B) {
	flat := challenge.Task{Version: 1, Size: 2048, Tile: 128, Links: 6, Openings: 64}
	walk := challenge.TaskFor(raylink.DeviceCPU, 1<<30, 1, 0)
	walk.Size, walk.Tile, walk.Links, walk.Openings = flat.Size, flat.Tile, flat.Links, flat.Openings
	for name, task := range map[string]challenge.Task{"products": flat, "products+walk": walk} {
		b.Run(name, func(b *testing.B) {
			j := &judge{Transcript: challenge.Transcript{Task: task}}
			if _, err := NewLoop(j, makers(), quiet()).prove(b.Context(), order(proofA)); err != nil {
				b.Fatal(err)
			}
			judges(b, j.Transcript)
		})
	}
	b.Run("a GPU of 80 GB", func(b *testing.B) { judges(b, likeAGPU(b)) })
}

func judges(b *testing.B, t challenge.Transcript) {
	for b.Loop() {
		if err := challenge.Verify(t, kernel.New(0)); err != nil {
			b.Fatal(err)
		}
	}
}

// likeAGPU is a proof by the task that a GPU of 80 GB is given, with what a verifier's cost does not grow with made small: one link of its 82, which is a
// hash, and 64 lanes of two million, which is the length of a few paths. Its memory is not there: each word that a lane reads is made anew.
func likeAGPU(b *testing.B) challenge.Transcript {
	task := challenge.TaskFor(raylink.DeviceGPU, 80<<30, 60_000_000, 0)
	if task.Size != 8192 || task.Openings != 64 || task.Checks != 8 {
		b.Fatalf("the task of a GPU of 80 GB is %+v", task)
	}
	lane := task.Lane()
	task.Links, task.Segments, task.Steps = 1, challenge.Bundle, challenge.Bundle*lane
	t := challenge.Transcript{Task: task, Proof: string(proofA), Machine: "m-x", Device: "GPU-1", Nonce: challenge.Seed{1}, Walk: challenge.Seed{2}, Entropy: challenge.Seed{3}}
	t.Begun = time.Now().UTC()
	t.Committed, t.Walked = t.Begun, t.Begun
	p := &cpu{threads: runtime.GOMAXPROCS(0), kernel: kernel.New(1), held: challenge.Held{Task: task}}
	leaves, err := p.product(b.Context(), 0, t.Seed(), make([]int8, task.Size*task.Size), make([]int8, task.Size*task.Size))
	if err != nil {
		b.Fatal(err)
	}
	key := challenge.MemoryKey(challenge.Next(t.Seed(), p.held.Link(leaves)))
	ends, block := make([]uint64, task.Segments), make([]uint64, challenge.Words)
	task.Begins(ends, t.Walk, 0)
	for _, s := range task.Stretches(t.Walk) {
		for i := s.From; i < s.To; i++ {
			for range s.Steps {
				place := s.First + challenge.Place(ends[i], s.Words)
				upto := block[:place%challenge.Words+1]
				challenge.Fill(upto, key, place/challenge.Words)
				ends[i] = challenge.Step(ends[i], upto[len(upto)-1])
			}
		}
	}
	t.Commitment, t.WalkRoot = p.held.Commitment(), p.held.Walked(t.Walk, ends)
	t.Answer = p.held.Answer(t.Entropy)
	return t
}

// BenchmarkWalk is the filling of 256 MiB and the walk through it.
func BenchmarkWalk(b *testing.B) {
	task := challenge.TaskFor(raylink.DeviceCPU, 1<<30, 1, 0)
	var walk time.Duration
	for b.Loop() {
		p, _ := CPU("")
		if _, err := p.Begin(b.Context(), task, challenge.Seed{1}); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if _, err := p.Walk(b.Context(), challenge.Seed{2}); err != nil {
			b.Fatal(err)
		}
		walk += time.Since(began)
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(task.Steps)*float64(b.N)/walk.Seconds()/1e6, "Mreads/s")
	b.ReportMetric(float64((b.Elapsed()-walk).Milliseconds())/float64(b.N), "fill-ms")
}
