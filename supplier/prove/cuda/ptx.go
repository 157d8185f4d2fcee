package cuda

import (
	"fmt"
	"strings"
)

// The kernels' shapes. They are part of the text below, so that host and device cannot disagree.
const (
	across    = 128 // rows and columns of C that one block of the product makes
	depth     = 16  // bytes of each row that it takes at once: every size is a multiple of it
	threads   = 256 // of a block, in all kernels
	perThread = 8   // rows and columns of C that one thread makes
	golden    = "0x9e3779b97f4a7c15"
)

// source is the kernels in PTX. It is for compute capability 6.1 and PTX 6.0, which the driver compiles for whatever GPU is there; dp4a has been since 6.1.
// Few kinds of instruction are used, and all arguments are .u64, so that the package's tests can interpret the text itself. PTX has no macros: what
// repeats is written out here. The instructions are those of NVIDIA's "Parallel Thread Execution ISA"; the formulas are FORMAT.md's.
func source() string {
	return ".version 6.0\n.target sm_61\n.address_size 64\n" + expandText() + productText() + fillText() + walkText()
}

// entry is the frame of a kernel whose parameters are all 64 bits wide.
func entry(name string, params []string, body string) string {
	for i, p := range params {
		params[i] = ".param .u64 " + p
	}
	return fmt.Sprintf("\n.visible .entry %s(%s)\n{\n%s}\n", name, strings.Join(params, ", "), body)
}

// mix permutes the 64 bits in x; t is used up.
const mix = `shr.u64 t, x, 30;
xor.b64 x, x, t;
mul.lo.u64 x, x, 0xbf58476d1ce4e5b9;
shr.u64 t, x, 27;
xor.b64 x, x, t;
mul.lo.u64 x, x, 0x94d049bb133111eb;
shr.u64 t, x, 31;
xor.b64 x, x, t;
`

// number puts this thread's number within the launch into i, and ends threads that are not below count.
const number = `mov.u32 r, %ctaid.x;
mov.u32 s, %ntid.x;
mul.wide.u32 i, r, s;
mov.u32 r, %tid.x;
cvt.u64.u32 t, r;
add.u64 i, i, t;
ld.param.u64 t, [count];
setp.ge.u64 p, i, t;
@p ret;
`

// expandText writes word i of a matrix, mix(key + (i+1)·golden): a thread a word.
func expandText() string {
	return entry("expand", []string{"to", "key", "count"}, `.reg .pred p;
.reg .b32 r, s;
.reg .b64 i, t, x, at;
`+number+`ld.param.u64 x, [key];
add.u64 t, i, 1;
mul.lo.u64 t, t, `+golden+`;
add.u64 x, x, t;
`+mix+`ld.param.u64 at, [to];
cvta.to.global.u64 at, at;
shl.b64 t, i, 3;
add.u64 at, at, t;
st.global.u64 [at], x;
ret;
`)
}

// fillText makes block first+i of the memory: a thread a block, word by word, as nothing else is possible.
func fillText() string {
	return entry("fill", []string{"memory", "key", "first", "count"}, `.reg .pred p;
.reg .b32 r, s, w;
.reg .b64 i, t, x, y, at, base, step, key1;
`+number+`ld.param.u64 t, [first];
add.u64 i, i, t;
ld.param.u64 base, [memory];
cvta.to.global.u64 base, base;
shl.b64 t, i, 16;
add.u64 base, base, t;
ld.param.u64 x, [key];
add.u64 t, i, 1;
mul.lo.u64 t, t, `+golden+`;
add.u64 x, x, t;
`+mix+`st.global.u64 [base], x;
mov.u64 at, base;
mov.u64 step, 0;
mov.u32 w, 1;
NEXT:
add.u64 step, step, `+golden+`;
shr.u64 t, x, 32;
cvt.u32.u64 r, t;
mul.hi.u32 r, r, w;
mul.wide.u32 t, r, 8;
add.u64 t, base, t;
ld.global.u64 y, [t];
cvt.u32.u64 r, x;
mul.hi.u32 r, r, w;
mul.wide.u32 t, r, 8;
add.u64 t, base, t;
ld.global.u64 t, [t];
xor.b64 x, x, y;
xor.b64 t, t, step;
add.u64 x, x, t;
`+mix+`add.u64 at, at, 8;
st.global.u64 [at], x;
add.u32 w, w, 1;
setp.lt.u32 p, w, 8192;
@p bra NEXT;
ret;
`)
}

// walkText leads lane i from where lanes has it so many steps through the memory: a thread a lane.
func walkText() string {
	return entry("walk", []string{"memory", "words", "lanes", "count", "steps"}, `.reg .pred p;
.reg .b32 r, s;
.reg .b64 i, t, x, at, base, size, left;
`+number+`ld.param.u64 at, [lanes];
cvta.to.global.u64 at, at;
shl.b64 t, i, 3;
add.u64 at, at, t;
ld.param.u64 base, [memory];
cvta.to.global.u64 base, base;
ld.param.u64 size, [words];
ld.param.u64 left, [steps];
ld.global.u64 x, [at];
NEXT:
mul.hi.u64 t, x, size;
shl.b64 t, t, 3;
add.u64 t, base, t;
ld.global.u64 t, [t];
add.u64 x, x, `+golden+`;
xor.b64 x, x, t;
`+mix+`sub.u64 left, left, 1;
setp.ne.u64 p, left, 0;
@p bra NEXT;
st.global.u64 [at], x;
ret;
`)
}

// productText multiplies and digests: C itself is never stored. A block makes 128×128 of it. Half its threads load a row of A each, half a column of B,
// 16 bytes at a time, ahead of the sums that are being made of the 16 bytes before; a thread makes 8×8 sums, 8 rows that stand together by two
// times 4 columns 64 apart, so that neighbours read neighbouring words. A tile's edge is a multiple of 16, so 8 rows and 4 columns are of one tile each;
// what lies beyond the matrix is loaded as zero and not added. Each thread adds its part of a row's digest, which is a sum, and order-free.
func productText() string {
	var b strings.Builder
	b.WriteString(`.reg .pred p, isb, inside, more;
.reg .b32 t, lane, bx, by, tx, ty, n, edge, k, line, r, s, to, pa, pb, row, col, tiles, x, sum;
.reg .b32 v<4>, a<8>, b<8>, c<64>, f<4>;
.reg .b64 from, other, at, rows, w;
.shared .align 16 .b8 stage[4096];
mov.u32 t, %tid.x;
mov.u32 bx, %ctaid.x;
mov.u32 by, %ctaid.y;
ld.param.u64 w, [first];
cvt.u32.u64 r, w;
add.u32 by, by, r;
ld.param.u64 w, [size];
cvt.u32.u64 n, w;
ld.param.u64 w, [tile];
cvt.u32.u64 edge, w;
and.b32 lane, t, 127;
setp.ge.u32 isb, t, 128;
selp.b32 line, bx, by, isb;
shl.b32 line, line, 7;
add.u32 line, line, lane;
setp.lt.u32 inside, line, n;
ld.param.u64 from, [a_rows];
ld.param.u64 other, [b_columns];
selp.b64 from, other, from, isb;
cvta.to.global.u64 from, from;
mul.wide.u32 w, line, n;
add.u64 from, from, w;
mov.u32 r, stage;
and.b32 s, t, 128;
shl.b32 s, s, 4;
add.u32 to, r, s;
shl.b32 s, lane, 2;
add.u32 to, to, s;
and.b32 tx, t, 15;
shr.u32 ty, t, 4;
shl.b32 s, ty, 5;
add.u32 pa, r, s;
shl.b32 s, tx, 4;
add.u32 pb, r, s;
mov.u32 k, 0;
`)
	for i := range perThread * perThread {
		fmt.Fprintf(&b, "mov.u32 c%d, 0;\n", i)
	}
	for i := range depth / 4 {
		fmt.Fprintf(&b, "mov.u32 v%d, 0;\n", i)
	}
	b.WriteString("@inside ld.global.v4.u32 {v0, v1, v2, v3}, [from];\nDEEPER:\nbar.sync 0;\n")
	for i := range depth / 4 {
		fmt.Fprintf(&b, "st.shared.u32 [to+%d], v%d;\n", 4*across*i, i)
	}
	fmt.Fprintf(&b, `bar.sync 0;
add.u64 from, from, %d;
add.u32 k, k, %d;
setp.lt.u32 more, k, n;
and.pred p, more, inside;
@p ld.global.v4.u32 {v0, v1, v2, v3}, [from];
`, depth, depth)
	sums(&b)
	b.WriteString("@more bra DEEPER;\n")
	digests(&b)
	return entry("product", []string{"a_rows", "b_columns", "sums", "size", "tile", "first"}, b.String())
}

// sums adds what is staged to the thread's 8×8 sums.
func sums(b *strings.Builder) {
	for k := range depth / 4 {
		at := 4 * across * k
		fmt.Fprintf(b, "ld.shared.v4.u32 {a0, a1, a2, a3}, [pa+%d];\nld.shared.v4.u32 {a4, a5, a6, a7}, [pa+%d];\n", at, at+16)
		fmt.Fprintf(b, "ld.shared.v4.u32 {b0, b1, b2, b3}, [pb+%d];\nld.shared.v4.u32 {b4, b5, b6, b7}, [pb+%d];\n", at+2048, at+2048+256)
		for i := range perThread {
			for j := range perThread {
				fmt.Fprintf(b, "dp4a.s32.s32 c%d, a%d, b%d, c%d;\n", i*perThread+j, i, j, i*perThread+j)
			}
		}
	}
}

// digests folds the thread's sums and adds them to their tiles' rows.
func digests(b *strings.Builder) {
	b.WriteString(`shl.b32 row, by, 7;
shl.b32 s, ty, 3;
add.u32 row, row, s;
setp.ge.u32 p, row, n;
@p ret;
div.u32 tiles, n, edge;
ld.param.u64 rows, [sums];
cvta.to.global.u64 rows, rows;
`)
	for half := range 2 {
		fmt.Fprintf(b, `shl.b32 col, bx, 7;
shl.b32 s, tx, 2;
add.u32 col, col, s;
add.u32 col, col, %d;
setp.ge.u32 p, col, n;
@p ret;
div.u32 r, row, edge;
mul.lo.u32 r, r, tiles;
div.u32 s, col, edge;
add.u32 r, r, s;
mul.lo.u32 r, r, edge;
rem.u32 s, row, edge;
add.u32 r, r, s;
mul.wide.u32 w, r, 4;
add.u64 at, rows, w;
rem.u32 s, col, edge;
add.u32 s, s, 1;
mul.lo.u32 f0, s, 0x9e3779b9;
add.u32 f1, f0, 0x9e3779b9;
add.u32 f2, f1, 0x9e3779b9;
add.u32 f3, f2, 0x9e3779b9;
`, half*across/2)
		for i := range perThread {
			b.WriteString("mov.u32 sum, 0;\n")
			for j := range perThread / 2 {
				fmt.Fprintf(b, "add.u32 x, c%d, f%d;\n", i*perThread+half*perThread/2+j, j)
				b.WriteString(fold)
			}
			fmt.Fprintf(b, "red.global.add.u32 [at+%d], sum;\n", 4*i)
		}
	}
	b.WriteString("ret;\n")
}

// fold adds the finalizer of x to sum; s is used up.
const fold = `shr.u32 s, x, 16;
xor.b32 x, x, s;
mul.lo.u32 x, x, 0x85ebca6b;
shr.u32 s, x, 13;
xor.b32 x, x, s;
mul.lo.u32 x, x, 0xc2b2ae35;
shr.u32 s, x, 16;
xor.b32 x, x, s;
add.u32 sum, sum, x;
`
