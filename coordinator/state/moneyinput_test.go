package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

// bench is a state that is put back after each command that changed it.
type bench struct {
	t     *testing.T
	saved []byte
	s     *State
	now   time.Time
	still string
}

func newBench(t *testing.T, w *world) *bench {
	var b bytes.Buffer
	if err := w.s.Save(&b); err != nil {
		t.Fatal(err)
	}
	k := &bench{t: t, saved: b.Bytes(), now: w.now}
	k.back()
	k.still = still(k.s)
	return k
}

func (k *bench) back() {
	k.s = New()
	if err := k.s.Load(bytes.NewReader(k.saved)); err != nil {
		k.t.Fatal(err)
	}
}

// put applies one command and says what is wrong with what it did; a command that cannot be written cannot enter the log.
func (k *bench) put(what string, c Command) (taken bool) {
	k.t.Helper()
	raw, err := Encode("account:x", "", c)
	if err != nil {
		return false
	}
	if _, _, err := Decode(raw); err != nil {
		k.t.Errorf("%s: can be written and not be read, so every replica stops: %v", what, err)
		return false
	}
	index := k.s.Index + 1
	results := k.s.Apply(index, k.now, []json.RawMessage{raw})
	err = ReadResult(results[0], nil)
	if err != nil {
		if e := raylink.AsError(err); e.Code == raylink.CodeInternal {
			k.t.Errorf("%s: code %s: %.200s", what, e.Code, e.Message)
		}
		if still(k.s) != k.still {
			k.t.Errorf("%s: the refusal (%.200v) changed the state", what, err)
			k.back()
		}
		return false
	}
	if still(k.s) == k.still {
		return true
	}
	even(k.t, k.s)
	var b bytes.Buffer
	if err := k.s.Save(&b); err != nil {
		k.t.Fatalf("%s: cannot be saved any more: %v", what, err)
	}
	again := New()
	if err := again.Load(&b); err != nil {
		k.t.Errorf("%s: cannot be restored any more: %v", what, err)
	} else if again.Digest() != k.s.Digest() {
		k.t.Errorf("%s: a restored replica is another one", what)
	}
	k.back()
	return true
}

// TestEveryKindDoes: the rich world takes a command of every kind, so that what follows begins at something that works.
func TestEveryKindDoes(t *testing.T) {
	w := rich(t)
	even(t, w.s)
	export(t, w.s)
	k := newBench(t, w)
	have := map[string]bool{}
	for _, c := range doable(w) {
		have[c.kind()] = true
		if !k.put(c.kind(), c) {
			t.Errorf("%s was refused", c.kind())
		}
	}
	for _, c := range kinds() {
		if !have[c.kind()] {
			t.Errorf("no command of kind %s", c.kind())
		}
	}
	for _, c := range doable(w) { // once more on one state: the order of the list is one that goes
		w.do("x", "", c)
		even(t, w.s)
	}
	export(t, w.s)
}

// TestEveryFieldBad puts the worst into each field of a command of every kind, one field at a time: nothing panics, a refusal changes nothing, and
// what is taken leaves a state that sums to zero and can be restored. Each 17th of them is tried, and all with RAYLINK_REAL=1.
func TestEveryFieldBad(t *testing.T) {
	t.Parallel()
	w := rich(t)
	k := newBench(t, w)
	step, tried, taken := 17, 0, 0
	if os.Getenv("RAYLINK_REAL") != "" {
		step = 1
	}
	for _, c := range doable(w) {
		worst(reflect.ValueOf(c).Elem(), c.kind(), func(what string) {
			if tried++; tried%step == 0 && k.put(what, c) {
				taken++
			}
		})
	}
	t.Logf("%d, each %dth tried, %d of those taken", tried, step, taken)
	if tried < 4000 || taken > tried/step/2 {
		t.Errorf("%d tried, %d taken", tried, taken)
	}
}

// worst sets each value below v to bad ones, calls try each time, and puts the good one back.
func worst(v reflect.Value, path string, try func(string)) {
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	set := func(what string, bad reflect.Value) {
		v.Set(bad)
		try(path + " = " + what)
		v.Set(old)
	}
	switch v.Interface().(type) {
	case time.Time:
		for _, at := range []time.Time{{}, noon.Add(-1e6 * time.Hour), noon.Add(1e6 * time.Hour), time.Unix(0, math.MinInt64), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
			noon.In(time.FixedZone("x", 3600))} {
			set(at.String(), reflect.ValueOf(at))
		}
		return
	case netip.AddrPort:
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			worst(v.Elem(), path, try)
		}
		set("nil", reflect.Zero(v.Type()))
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() { // the log carries no others
				worst(v.Field(i), path+"."+f.Name, try)
			}
		}
	case reflect.String:
		for _, bad := range []string{"", " ", "x", "a b", "a\nb", "é", "a\xffb", strings.Repeat("a", 97), strings.Repeat("a", 201), strings.Repeat("z", 100<<10), "../..", "io", "IO", "USD",
			"acc-samaaaaaaa", "acc-nobodyaaaa", "sig-lost", "p1", "c-freshaaaaa", address("ours USDC"), address("samw"), "11111111111111111111111111111111"} {
			set(fmt.Sprintf("%.40q", bad), reflect.ValueOf(bad).Convert(v.Type()))
		}
	case reflect.Int, reflect.Int64:
		for _, n := range []int64{0, 1, -1, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, 100_000_000_000_000_000, 1 << 53} {
			set(fmt.Sprint(n), reflect.ValueOf(n).Convert(v.Type()))
		}
	case reflect.Uint64:
		set("0", reflect.ValueOf(uint64(0)))
		set("greatest", reflect.ValueOf(uint64(math.MaxUint64)))
	case reflect.Bool:
		set(fmt.Sprint(!v.Bool()), reflect.ValueOf(!v.Bool()))
	case reflect.Map:
		worstMap(v, set)
	case reflect.Slice:
		worstSlice(v, path, set, try)
	}
}

func worstMap(v reflect.Value, set func(string, reflect.Value)) {
	set("nil", reflect.Zero(v.Type()))
	set("empty", reflect.MakeMap(v.Type()))
	for _, key := range []string{"", "USD", "GOLD", strings.Repeat("k", 300)} {
		foreign := reflect.MakeMap(v.Type())
		value := reflect.New(v.Type().Elem()).Elem()
		if value.Kind() == reflect.Int64 {
			value.SetInt(-7)
		}
		foreign.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), value)
		set("foreign key "+key, foreign)
	}
	if v.Type().Elem().Kind() != reflect.Int64 {
		return
	}
	for _, key := range v.MapKeys() {
		for _, n := range []int64{0, -1, math.MaxInt64, math.MinInt64} {
			part := reflect.MakeMap(v.Type())
			part.SetMapIndex(key, reflect.ValueOf(n))
			set(fmt.Sprint("only ", key, ":", n), part)
		}
	}
}

func worstSlice(v reflect.Value, path string, set func(string, reflect.Value), try func(string)) {
	set("nil", reflect.Zero(v.Type()))
	if v.Len() == 0 {
		return
	}
	set("twice", reflect.AppendSlice(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, 0), v), v))
	many := reflect.MakeSlice(v.Type(), 0, 0)
	for range 1100 {
		many = reflect.Append(many, v.Index(0))
	}
	set("1100 times", many)
	for i := range min(v.Len(), 2) {
		worst(v.Index(i), fmt.Sprint(path, "[", i, "]"), try)
	}
}

// TestNothingTwice sends every command of the list twice and then in the other order: money moves at most once, and sums stay zero.
func TestNothingTwice(t *testing.T) {
	for _, c := range doable(rich(t)) {
		switch c.(type) {
		case *ProposeBuyback, *MakeBatch, *RunPayouts, *SettleMinutes, *BurnBought, *ReleaseLot, *RecordSwap, *ObserveDeposit, *AssignSuspense, *RecordOutcome, *RequestPayout,
			*ChangePayout, *TakeCardFact, *RefundCard, *RefuseCardRefund, *ResumeEarnings, *CloseCluster, *GrantCredit:
		default:
			continue
		}
		w := rich(t)
		w.do("a", "", c)
		seq, _ := w.s.Ledger.Head()
		w.do("b", "", c)
		if again, _ := w.s.Ledger.Head(); again != seq {
			t.Errorf("%s: done twice: %+v", c.kind(), w.s.Ledger.Entries(seq, 10))
		}
	}
}

// TestOverflow fills the books to the brim: what would leave 64 bits is refused whole.
func TestOverflow(t *testing.T) {
	w := rich(t)
	for i := range 200 {
		before := still(w.s)
		o := w.seen(fmt.Sprint("flood-", i), "IO", 100_000_000_000_000_000)
		if i%2 == 0 {
			o.Senders = []string{address("adaw")}
		}
		if err := w.try(&ObserveDeposit{Observation: o}); err != nil && still(w.s) != before {
			t.Fatalf("deposit %d: the refusal (%v) changed the state", i, err)
		}
	}
	even(t, w.s)
	for i := range 3 {
		before := still(w.s)
		if err := w.try(&GrantCredit{ID: fmt.Sprint("brim-", i), Account: acc("ada"), Amount: usd("9000000000000"), Reason: "x"}); err != nil && still(w.s) != before {
			t.Errorf("the refused grant (%v) changed the state", err)
		}
	}
	w.settleAll("paidio", 2)
	w.settleAll("paidgrant", 2)
	even(t, w.s)
	export(t, w.s)
	if !slices.Equal(w.s.Ledger.Accounts(), reload(t, w.s).Ledger.Accounts()) {
		t.Error("the restored books differ")
	}
}
