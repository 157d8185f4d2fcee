// Package kernel multiplies for package challenge as fast as the processor at hand can, with the same bits as challenge.Plain. On amd64 it picks
// AVX512-VNNI or AVX2 when it runs; elsewhere, and on older processors, it is plain Go.
package kernel

import (
	"runtime"
	"sync"

	"raylink/raylink/challenge"
)

// path is one way to multiply. Dot sets out[i·cols+j] to the sum over l of a[i·stride+l]·b[j·stride+l], l < k, for rows and columns of it; k is a
// multiple of step and not 0.
type path struct {
	name       string
	rows, cols int // at most 4
	step       int
	dot        func(out *[16]int32, a, b *int8, stride, k int)

	// shifted: dot takes a's entries as if 128 had been added, so that 128 times the sum of b's is too much.
	shifted bool
}

// small is how many multiply-adds are not worth a second thread.
const small = 1 << 22

// Kernel is a challenge.Multiplier. It holds nothing but its choice, and may be used by many goroutines.
type Kernel struct {
	path    *path // nil is challenge.Plain
	threads int
}

var _ challenge.Multiplier = Kernel{}

// New is the fastest kernel here, which uses that many threads; 0 is as many as the process may run at once.
func New(threads int) Kernel {
	k := Kernel{threads: threads}
	if threads <= 0 {
		k.threads = runtime.GOMAXPROCS(0)
	}
	if all := paths(); len(all) > 0 {
		k.path = &all[0]
	}
	return k
}

// Name says which way it goes: avx512-vnni, avx2, or go.
func (k Kernel) Name() string {
	if k.path == nil {
		return "go"
	}
	return k.path.name
}

// Multiply implements challenge.Multiplier.
func (k Kernel) Multiply(c []int32, a, b []int8, m, n, depth int) {
	threads := min(k.threads, m/4)
	if threads < 2 || m*n*depth < small {
		k.part(c, a, b, m, n, depth)
		return
	}
	each := (m/threads + 3) / 4 * 4
	var all sync.WaitGroup
	for from := 0; from < m; from += each {
		all.Go(func() {
			to := min(from+each, m)
			k.part(c[from*n:to*n], a[from*depth:to*depth], b, to-from, n, depth)
		})
	}
	all.Wait()
}

// part multiplies on this thread: whole blocks and whole steps by the path, what is left over in plain Go.
func (k Kernel) part(c []int32, a, b []int8, m, n, depth int) {
	if k.path == nil || depth < k.path.step || m < k.path.rows || n < k.path.cols {
		challenge.Plain{}.Multiply(c, a, b, m, n, depth)
		return
	}
	p := k.path
	whole := depth / p.step * p.step
	rows, cols := m/p.rows*p.rows, n/p.cols*p.cols
	over := p.over(b, cols, whole, depth)
	var out [16]int32
	for i := 0; i < rows; i += p.rows {
		for j := 0; j < cols; j += p.cols {
			p.dot(&out, &a[i*depth], &b[j*depth], depth, whole)
			for r := range p.rows {
				for s := range p.cols {
					c[(i+r)*n+j+s] = out[r*p.cols+s] - over[j+s] + tail(a[(i+r)*depth+whole:(i+r+1)*depth], b[(j+s)*depth+whole:])
				}
			}
		}
	}
	for i := range m {
		from := cols
		if i >= rows {
			from = 0
		}
		for j := from; j < n; j++ {
			c[i*n+j] = tail(a[i*depth:(i+1)*depth], b[j*depth:])
		}
	}
}

// over is what dot gives too much in each column: what it gives for rows of zeros.
func (p *path) over(b []int8, cols, whole, stride int) []int32 {
	over := make([]int32, cols)
	if !p.shifted {
		return over
	}
	zeros := make([]int8, p.rows*stride)
	var out [16]int32
	for j := 0; j < cols; j += p.cols {
		p.dot(&out, &zeros[0], &b[j*stride], stride, whole)
		copy(over[j:], out[:p.cols])
	}
	return over
}

func tail(a, b []int8) int32 {
	var sum int32
	for l, v := range a {
		sum += int32(v) * int32(b[l])
	}
	return sum
}
