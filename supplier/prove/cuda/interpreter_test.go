package cuda

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// An interpreter of as much PTX as the kernels use, written from NVIDIA's "Parallel Thread Execution ISA". It knows no warps: a block's threads run one
// after the other, each until the next barrier. Whoever reads what was never written reads garbage.

// kernelCode is one kernel, compiled.
type kernelCode struct {
	name   string
	params map[string]int
	slots  map[string]int // registers, immediates and special registers
	fresh  []uint64       // what a thread's slots hold at first
	narrow map[int]bool   // registers of 32 bits
	shared map[string]int // where each shared array begins
	size   int            // of shared memory
	labels map[string]int
	code   []instruction
}

type instruction struct {
	text  string
	guard int // slot of a predicate, or −1
	do    func(t *thread)
}

type thread struct {
	slots  []uint64
	pc     int
	block  *blockRun
	waits  bool
	done   bool
	params []uint64
}

type blockRun struct {
	shared []byte
	memory memory
}

// memory is a device's.
type memory interface {
	// bytes is so much of it from there on; it panics where that was not allocated, or is not aligned.
	bytes(at uint64, n int) []byte
}

// parsePTX reads all kernels of a text.
func parsePTX(text string) (out map[string]*kernelCode, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("PTX: %v", r)
		}
	}()
	out = map[string]*kernelCode{}
	for _, part := range strings.Split(text, ".visible .entry ")[1:] {
		head, body, _ := strings.Cut(part, "{\n")
		name, list, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(head), ")"), "(")
		k := &kernelCode{name: name, params: map[string]int{}, slots: map[string]int{}, narrow: map[int]bool{}, shared: map[string]int{}, labels: map[string]int{}}
		for i, p := range strings.Split(list, ", ") {
			k.params[strings.TrimPrefix(p, ".param .u64 ")] = i
		}
		for _, name := range []string{"%tid.x", "%ctaid.x", "%ctaid.y", "%ntid.x"} {
			k.slot(name, 0)
		}
		for line := range strings.Lines(body) {
			k.line(strings.TrimSpace(line))
		}
		out[name] = k
	}
	return out, nil
}

func (k *kernelCode) slot(name string, value uint64) int {
	if _, twice := k.slots[name]; twice {
		panic(name + " is declared twice")
	}
	k.slots[name] = len(k.fresh)
	k.fresh = append(k.fresh, value)
	return k.slots[name]
}

func (k *kernelCode) line(line string) {
	switch label, isLabel := strings.CutSuffix(line, ":"); {
	case isLabel:
		k.labels[label] = len(k.code)
	case line == "}" || line == "":
	case strings.HasPrefix(line, ".reg "):
		k.declare(strings.TrimSuffix(line, ";"))
	case strings.HasPrefix(line, ".shared .align 16 .b8 "):
		name, size, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, ".shared .align 16 .b8 "), "];"), "[")
		n, err := strconv.Atoi(size)
		if err != nil {
			panic(err)
		}
		k.shared[name] = k.size
		k.slot(name, uint64(k.size))
		k.size += n
	default:
		rest, ok := strings.CutSuffix(line, ";")
		if !ok {
			panic("no semicolon: " + line)
		}
		k.instruct(rest)
	}
}

func (k *kernelCode) declare(line string) {
	f := strings.SplitN(line, " ", 3)
	for _, name := range strings.Split(f[2], ", ") {
		all := []string{name}
		if stem, count, many := strings.Cut(strings.TrimSuffix(name, ">"), "<"); many {
			n, _ := strconv.Atoi(count)
			all = all[:0]
			for i := range n {
				all = append(all, stem+strconv.Itoa(i))
			}
		}
		for _, name := range all {
			garbage := uint64(0xdeadbeefdeadbeef)
			if f[1] == ".b32" {
				garbage &= 0xffffffff
			}
			if s := k.slot(name, garbage); f[1] == ".b32" {
				k.narrow[s] = true
			}
		}
	}
}

// operand is the slot of a register or an immediate.
func (k *kernelCode) operand(s string) int {
	if at, ok := k.slots[s]; ok {
		return at
	}
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		panic("no such operand: " + s)
	}
	return k.slot(s, v)
}

func (k *kernelCode) instruct(line string) {
	in := instruction{text: line, guard: -1}
	if strings.HasPrefix(line, "@") {
		guard, rest, _ := strings.Cut(line[1:], " ")
		in.guard, line = k.operand(guard), rest
	}
	op, args, _ := strings.Cut(line, " ")
	in.do = k.compile(op, args)
	k.code = append(k.code, in)
}

// split cuts arguments at commas outside braces.
func split(args string) []string {
	var out []string
	for args != "" {
		end := strings.Index(args, ", ")
		if strings.HasPrefix(args, "{") {
			end = strings.Index(args, "}") + 1
			if end == len(args) {
				end = -1
			}
		}
		if end < 0 {
			return append(out, args)
		}
		out, args = append(out, args[:end]), strings.TrimPrefix(args[end:], ", ")
	}
	return out
}

func (k *kernelCode) compile(op, args string) func(*thread) {
	switch {
	case op == "ret":
		return func(t *thread) { t.done = true }
	case op == "bar.sync":
		return func(t *thread) { t.waits = true }
	case op == "bra":
		return func(t *thread) {
			to, ok := k.labels[args]
			if !ok {
				panic("no label " + args)
			}
			t.pc = to
		}
	case op == "ld.param.u64":
		a := split(args)
		d, p := k.operand(a[0]), strings.Trim(a[1], "[]")
		i, ok := k.params[p]
		if !ok {
			panic("no parameter " + p)
		}
		return func(t *thread) { t.slots[d] = t.params[i] }
	case strings.HasPrefix(op, "ld."), strings.HasPrefix(op, "st."), strings.HasPrefix(op, "red."):
		return k.access(op, split(args))
	}
	var s [4]int
	for i, a := range split(args) {
		s[i] = k.operand(a)
	}
	f := arithmetic(op)
	d, a, b, c := s[0], s[1], s[2], s[3]
	if k.narrow[d] {
		return func(t *thread) { t.slots[d] = f(t.slots[a], t.slots[b], t.slots[c]) & 0xffffffff }
	}
	return func(t *thread) { t.slots[d] = f(t.slots[a], t.slots[b], t.slots[c]) }
}

// access is a load, a store or an addition in memory.
func (k *kernelCode) access(op string, args []string) func(*thread) {
	f := strings.Split(op, ".")
	size := map[string]int{"u32": 4, "u64": 8}[f[len(f)-1]]
	where, what := args[0], args[1]
	if f[0] == "ld" {
		where, what = what, where
	}
	register, offset, _ := strings.Cut(strings.Trim(where, "[]"), "+")
	at, plus := k.operand(register), uint64(0)
	if offset != "" {
		plus, _ = strconv.ParseUint(offset, 10, 64)
	}
	var values []int
	for _, v := range strings.Split(strings.Trim(what, "{}"), ", ") {
		values = append(values, k.operand(v))
	}
	if size == 0 || f[0] == "ld" && len(values) != map[bool]int{true: 4, false: 1}[f[2] == "v4"] {
		panic("no such access: " + op)
	}
	return func(t *thread) {
		var b []byte
		if from, n := t.slots[at]+plus, size*len(values); f[1] == "shared" {
			if from%uint64(n) != 0 {
				panic("shared memory is not aligned")
			}
			b = t.block.shared[from : from+uint64(n)]
		} else {
			b = t.block.memory.bytes(from, n)
		}
		for i, v := range values {
			cell := b[i*size : (i+1)*size]
			switch {
			case f[0] == "ld" && size == 4:
				t.slots[v] = uint64(binary.LittleEndian.Uint32(cell))
			case f[0] == "ld":
				t.slots[v] = binary.LittleEndian.Uint64(cell)
			case f[0] == "red":
				binary.LittleEndian.PutUint32(cell, binary.LittleEndian.Uint32(cell)+uint32(t.slots[v]))
			case size == 4:
				binary.LittleEndian.PutUint32(cell, uint32(t.slots[v]))
			default:
				binary.LittleEndian.PutUint64(cell, t.slots[v])
			}
		}
	}
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// arithmetic is what an instruction does with its sources; a result for a register of 32 bits is cut by whoever stores it.
func arithmetic(op string) func(a, b, c uint64) uint64 {
	switch op {
	case "mov.u32", "mov.u64", "cvt.u32.u64", "cvt.u64.u32", "cvta.to.global.u64":
		return func(a, _, _ uint64) uint64 { return a }
	case "add.u32", "add.u64":
		return func(a, b, _ uint64) uint64 { return a + b }
	case "sub.u64":
		return func(a, b, _ uint64) uint64 { return a - b }
	case "mul.lo.u32", "mul.lo.u64", "mul.wide.u32":
		return func(a, b, _ uint64) uint64 { return a * b }
	case "mul.hi.u32":
		return func(a, b, _ uint64) uint64 { return a * b >> 32 }
	case "mul.hi.u64":
		return func(a, b, _ uint64) uint64 { high, _ := bits.Mul64(a, b); return high }
	case "div.u32":
		return func(a, b, _ uint64) uint64 { return a / b }
	case "rem.u32":
		return func(a, b, _ uint64) uint64 { return a % b }
	case "and.b32", "and.pred":
		return func(a, b, _ uint64) uint64 { return a & b }
	case "xor.b32", "xor.b64":
		return func(a, b, _ uint64) uint64 { return a ^ b }
	case "shl.b32", "shl.b64":
		return func(a, b, _ uint64) uint64 { return a << b }
	case "shr.u32", "shr.u64":
		return func(a, b, _ uint64) uint64 { return a >> b }
	case "setp.lt.u32":
		return func(a, b, _ uint64) uint64 { return truth(a < b) }
	case "setp.ge.u32", "setp.ge.u64":
		return func(a, b, _ uint64) uint64 { return truth(a >= b) }
	case "setp.ne.u64":
		return func(a, b, _ uint64) uint64 { return truth(a != b) }
	case "selp.b32", "selp.b64":
		return func(a, b, c uint64) uint64 {
			if c != 0 {
				return a
			}
			return b
		}
	case "dp4a.s32.s32":
		return func(a, b, c uint64) uint64 {
			sum := int32(c)
			for i := range 4 {
				sum += int32(int8(a>>(8*i))) * int32(int8(b>>(8*i)))
			}
			return uint64(uint32(sum))
		}
	}
	panic("no such instruction: " + op)
}

// run is a launch. Backwards has the last block and the last thread of each go first: whoever relies on an order is found out.
func (k *kernelCode) run(m memory, across, down int, args []uint64, backwards bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("kernel %s: %v", k.name, r)
		}
	}()
	if len(args) != len(k.params) {
		panic("another number of arguments")
	}
	for n := range across * down {
		if backwards {
			n = across*down - 1 - n
		}
		b := &blockRun{shared: []byte(strings.Repeat("\xde", k.size)), memory: m}
		all := make([]*thread, threads)
		for i := range all {
			t := &thread{slots: append([]uint64(nil), k.fresh...), block: b, params: args}
			for name, v := range map[string]int{"%tid.x": i, "%ctaid.x": n % across, "%ctaid.y": n / across, "%ntid.x": threads} {
				t.slots[k.slots[name]] = uint64(v)
			}
			all[i] = t
		}
		for k.round(all, backwards) {
		}
	}
	return nil
}

// round runs each thread of a block up to the next barrier. It says whether there was one.
func (k *kernelCode) round(all []*thread, backwards bool) bool {
	waiting := 0
	for i := range all {
		t := all[i]
		if backwards {
			t = all[len(all)-1-i]
		}
		k.step(t)
		if t.waits {
			waiting++
			t.waits = false
		}
	}
	if waiting != 0 && waiting != len(all) {
		panic("a barrier that some threads do not reach")
	}
	return waiting > 0
}

func (k *kernelCode) step(t *thread) {
	for !t.done && !t.waits {
		in := &k.code[t.pc]
		t.pc++
		if in.guard < 0 || t.slots[in.guard] != 0 {
			in.do(t)
		}
	}
}
