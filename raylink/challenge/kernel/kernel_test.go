package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"raylink/raylink/challenge"
)

// every is all kernels that can be had here, the plain one included.
func every() []Kernel {
	all := []Kernel{{threads: 2}}
	for _, p := range paths() {
		all = append(all, Kernel{path: &p, threads: 2})
	}
	return all
}

func same(t *testing.T, k Kernel, a, b []int8, m, n, depth int) {
	t.Helper()
	want, got := make([]int32, m*n), make([]int32, m*n)
	challenge.Plain{}.Multiply(want, a, b, m, n, depth)
	k.Multiply(got, a, b, m, n, depth)
	if !slices.Equal(want, got) {
		t.Fatalf("%s differs from its twin at %d×%d×%d", k.Name(), m, n, depth)
	}
}

// Whatever the shape, with edges that fit no block and depths that fit no step, the bits are the twin's.
func TestKernelIsItsTwin(t *testing.T) {
	for _, k := range every() {
		for _, seed := range []uint64{0, 1, math.MaxUint64} {
			random := rand.New(rand.NewPCG(seed, seed))
			for range 60 {
				m, n, depth := 1+random.IntN(19), 1+random.IntN(19), 1+random.IntN(300)
				a, b := make([]int8, m*depth), make([]int8, n*depth)
				for i := range a {
					a[i] = int8(random.Uint32())
				}
				for i := range b {
					b[i] = int8(random.Uint32())
				}
				same(t, k, a, b, m, n, depth)
			}
		}
	}
}

// Sums at the ends of what can be: every pair of extreme entries, at the greatest depth that is exact.
func TestKernelAtTheExtremes(t *testing.T) {
	const deepest = 131071
	for _, k := range every() {
		for _, x := range []int8{-128, 127, -1, 0} {
			for _, y := range []int8{-128, 127, -1, 0} {
				a, b := slices.Repeat([]int8{x}, 4*deepest), slices.Repeat([]int8{y}, 4*deepest)
				c := make([]int32, 16)
				k.Multiply(c, a, b, 4, 4, deepest)
				for _, v := range c {
					if int64(v) != int64(x)*int64(y)*deepest {
						t.Fatalf("%s: %d·%d·%d is %d", k.Name(), x, y, deepest, v)
					}
				}
			}
		}
	}
}

// A product that is worth several threads is the twin's as well.
func TestKernelInParallel(t *testing.T) {
	const m, n, depth = 70, 66, 1030
	a, b := make([]int8, m*depth), make([]int8, n*depth)
	challenge.Vector(a[:len(a)/8*8], 1, 0)
	challenge.Vector(b[:len(b)/8*8], 2, 0)
	for _, k := range every() {
		k.threads = 3
		same(t, k, a, b, m, n, depth)
	}
}

// BenchmarkKernel is one tile of 128×128 at a depth of 2048 on one thread, side by side with the plain triple loop ("go").
func BenchmarkKernel(b *testing.B) {
	const edge, depth = 128, 2048
	x, y, c := make([]int8, edge*depth), make([]int8, edge*depth), make([]int32, edge*edge)
	challenge.Vector(x, 1, 0)
	challenge.Vector(y, 2, 0)
	for _, k := range every() {
		k.threads = 1
		b.Run(k.Name(), func(b *testing.B) {
			for b.Loop() {
				k.Multiply(c, x, y, edge, edge, depth)
			}
			b.ReportMetric(2*edge*edge*depth*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
		})
	}
}
