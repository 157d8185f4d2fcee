package catalogue

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"raylink/billing/money"
	"raylink/raylink"
)

// Entry is one model.
type Entry struct {
	Name      string // canonical; the value of ray.io/accelerator-type
	Vendor    string // nvidia, amd, intel, apple, arm, ampere
	Kind      raylink.DeviceKind
	Aliases   []string   // further names under which Ray programs ask for it
	MemoryMin int64      // bytes that such a GPU shows at least; 0 for processors
	MemoryMax int64      // and at most
	CoresMax  int        // physical cores that one socket of such a processor has at most; 0 for GPUs
	RateMin   int64      // millions of int8 multiply-adds in a second that a proof shows at least: of a GPU, or of one thread of a processor
	RateMax   int64      // and at most
	Watts     int        // board power of a GPU, package power of a processor
	Price     money.Rate // hint: per hour of a GPU, or of one core

	patterns [][]string
}

// entries is the table, read once. Nothing writes to it.
var entries = mustParse(table)

// All is a copy of the catalogue, in the table's order.
func All() []Entry { return slices.Clone(entries) }

// Find gives the entry of a canonical name.
func Find(name string) (Entry, bool) {
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		return Entry{}, false
	}
	return entries[i], true
}

// nameLimit is how much of a name is looked at, in bytes. Real ones are under 100.
const nameLimit = 256

// Match finds the model that a device's name stands for: the entry with the longest pattern in the name, and of equal ones that whose memory fits.
// A name that has one of the words that make another model of it (Ti, SUPER, Laptop, Max, …) never matches without that word.
func Match(d raylink.Device) (Entry, bool) {
	if len(d.Name) > nameLimit {
		return Entry{}, false
	}
	name := words(d.Name)
	best, length := -1, 0
	for i, e := range entries {
		if e.Kind != d.Kind {
			continue
		}
		n := e.longest(name)
		if n > length || n > 0 && n == length && !entries[best].fits(d.Memory) && e.fits(d.Memory) {
			best, length = i, n
		}
	}
	if best < 0 {
		return Entry{}, false
	}
	return entries[best], true
}

func (e Entry) fits(memory int64) bool {
	return e.Kind != raylink.DeviceGPU || memory >= e.MemoryMin && memory <= e.MemoryMax
}

// longest is the number of words of the longest pattern that the name has in one piece; 0 if it has none.
func (e Entry) longest(name []string) int {
	length := 0
	for _, p := range e.patterns {
		if len(p) > length && has(name, p) {
			length = len(p)
		}
	}
	return length
}

func has(name, pattern []string) bool {
	for at := 0; at+len(pattern) <= len(name); at++ {
		if !equal(name[at:at+len(pattern)], pattern) {
			continue
		}
		rest := slices.Concat(name[:at], name[at+len(pattern):])
		if !slices.ContainsFunc(rest, another) {
			return true
		}
	}
	return false
}

func equal(name, pattern []string) bool {
	for i, p := range pattern {
		if ok, err := path.Match(p, name[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// part is the end of the name of a vGPU, as NVIDIA's "Virtual GPU Software User Guide" has them: the GiB that it has of a GPU, whose licence it takes (GRID A100-40C),
// and what sets it apart from others of that size (T4-2B4; of a slice, A100-1-5CME).
var part = regexp.MustCompile("^[0-9]{1,3}[abcq](4|me|nome|meall|gfx)?$")

// another says that a word beside a model's name makes it another model, or a part of one.
func another(word string) bool {
	return part.MatchString(word) || slices.Contains([]string{"grid", "ti", "super", "laptop", "mobile", "d", "max", "maxq", "ultra", "ada", "blackwell", "vgpu", "xt", "xtx", "gre", "threadripper"}, word)
}

// words cuts a name into lower-case words: at every sign that is no letter or digit, without (R), (TM) and what says nothing.
func words(name string) []string {
	name = strings.NewReplacer("(r)", " ", "(tm)", " ", "max-q", "maxq", "super™", "super").Replace(strings.ToLower(name))
	fields := strings.FieldsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	if slices.Contains(fields, "ryzen") { // a Ryzen PRO is the same chip
		fields = slices.DeleteFunc(fields, func(w string) bool { return w == "pro" })
	}
	return fields
}

// Band is between which rates a proof of this device must lie, in millions of int8 multiply-adds in a second. A processor's grows with its threads:
// a part of them may be all that a machine has, and two may share one core. known is false where the catalogue has no such model.
func Band(d raylink.Device) (least, most int64, known bool) {
	e, ok := Match(d)
	if !ok {
		return 0, 0, false
	}
	if e.Kind == raylink.DeviceGPU {
		return e.RateMin, e.RateMax, true
	}
	threads := int64(min(max(d.Threads, 1), maxThreads))
	// The half: other work of the machine, and threads that share a core.
	return max(e.RateMin*threads/2, 1), e.RateMax * threads, true
}

// Labels are Ray's labels of a node with such a device, beside which Ray guesses none.
func (e Entry) Labels() map[string]string {
	return map[string]string{raylink.LabelAccelerator: e.Name}
}

// Resources are Ray's resources of a node with such a device, in 1/10,000: `accelerator_type:<name>` is what Ray's own accelerator_type= asks for.
func (e Entry) Resources() map[string]int64 {
	out := map[string]int64{"accelerator_type:" + e.Name: raylink.Unit}
	for _, a := range e.Aliases {
		out["accelerator_type:"+a] = raylink.Unit
	}
	return out
}

func mustParse(table string) []Entry {
	var out []Entry
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parse(line)
		if err != nil {
			panic(fmt.Sprintf("the catalogue's line %q: %v", line, err)) // the table is ours, and tested
		}
		out = append(out, e)
	}
	return out
}

// parse reads one line: name, vendor, kind, memory in MiB or most cores, rates in thousands of millions, watts, price, patterns, aliases.
func parse(line string) (Entry, error) {
	f := strings.Split(line, "|")
	if len(f) != 9 {
		return Entry{}, fmt.Errorf("it has %d columns, not 9", len(f))
	}
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	e := Entry{Name: f[0], Vendor: f[1], Kind: raylink.DeviceKind(f[2]), Aliases: strings.Fields(f[8])}
	size, most, err := span(f[3])
	if err != nil {
		return e, err
	}
	if e.Kind == raylink.DeviceGPU {
		e.MemoryMin, e.MemoryMax = size<<20, most<<20
	} else {
		e.CoresMax = int(most)
	}
	if e.RateMin, e.RateMax, err = span(f[4]); err != nil {
		return e, err
	}
	e.RateMin, e.RateMax = e.RateMin*1000, e.RateMax*1000
	if e.Watts, err = strconv.Atoi(f[5]); err != nil {
		return e, err
	}
	if e.Price, err = money.ParseRate(f[6] + " USD/h"); err != nil {
		return e, err
	}
	for p := range strings.SplitSeq(f[7], ";") {
		e.patterns = append(e.patterns, strings.Fields(p))
	}
	return e, nil
}

// span reads "a-b".
func span(text string) (low, high int64, err error) {
	a, b, ok := strings.Cut(text, "-")
	if !ok {
		return 0, 0, fmt.Errorf("%q is no span", text)
	}
	if low, err = strconv.ParseInt(a, 10, 64); err != nil {
		return 0, 0, err
	}
	if high, err = strconv.ParseInt(b, 10, 64); err != nil {
		return 0, 0, err
	}
	if low < 0 || high < low {
		return 0, 0, fmt.Errorf("%q is no span", text)
	}
	return low, high, nil
}
