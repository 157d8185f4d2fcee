package kernel

import "golang.org/x/sys/cpu"

// dotVNNI is 4×4 by VPDPBUSD on 64 entries at once; a's sign bit is turned, which adds 128.
//
//go:noescape
func dotVNNI(out *[16]int32, a, b *int8, stride, k int)

// dotAVX2 is 2×4 by VPMADDWD on 16 entries widened to 16 bits: two products fit an int32 whatever they are, −128·−128 included.
//
//go:noescape
func dotAVX2(out *[16]int32, a, b *int8, stride, k int)

// paths are the ways that this processor has, the fastest first.
func paths() []path {
	var all []path
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VNNI {
		all = append(all, path{name: "avx512-vnni", rows: 4, cols: 4, step: 64, dot: dotVNNI, shifted: true})
	}
	if cpu.X86.HasAVX2 {
		all = append(all, path{name: "avx2", rows: 2, cols: 4, step: 16, dot: dotAVX2})
	}
	return all
}
