package price

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/billing/money"
)

// twin is the book said once more, slowly: it keeps all that was ever believed, looks at each second
// of the hour, and reckons in unbounded integers.
type twin struct {
	policy       Policy
	latest       map[string]Sample
	forced       string // source of the last override, until it speaks again
	halted       string // code
	doubt        string // code
	ids          uint64
	price        money.Price
	past         []Point // since the last override, in order, at the times of belief
	everBelieved bool
}

func far(a, b money.Price, basisPoints int64) bool { // is a over so many basis points away from b?
	difference := new(big.Int).Abs(new(big.Int).Sub(big.NewInt(int64(a)), big.NewInt(int64(b))))
	return new(big.Int).Mul(difference, big.NewInt(10_000)).Cmp(new(big.Int).Mul(big.NewInt(int64(b)), big.NewInt(basisPoints))) > 0
}

// belief is the median of what counts, or a code.
func (w *twin) belief(now time.Time, latest map[string]Sample) (money.Price, string) {
	var prices []money.Price
	fresh, wanted := 0, max(1, int(w.policy.MinSources))
	for source, sample := range latest {
		if now.Sub(sample.ObservedAt) > w.policy.MaxAge || (source != w.forced && !slices.Contains(w.policy.Sources, source)) {
			continue
		}
		if source == w.forced {
			wanted = 1
		}
		fresh++
		if !far(sample.Price+sample.Confidence, sample.Price, w.policy.MaxConfidenceBP) {
			prices = append(prices, sample.Price)
		}
	}
	if fresh < wanted && !w.everBelieved {
		return 0, CodeNoPrice
	}
	if fresh < wanted {
		return 0, CodeStale
	}
	if len(prices) < wanted {
		return 0, CodeConfidence
	}
	slices.Sort(prices)
	low, high := prices[(len(prices)-1)/2], prices[len(prices)/2]
	median := money.Price(new(big.Int).Div(new(big.Int).Add(big.NewInt(int64(low)), big.NewInt(int64(high))), big.NewInt(2)).Int64())
	spread := int64(prices[len(prices)-1] - prices[0])
	if far(median+money.Price(spread), median, w.policy.MaxSpreadBP) {
		return 0, CodeDisagreement
	}
	return median, ""
}

// average looks at each second of the last hour.
func (w *twin) average(now time.Time) money.Price {
	sum, seconds := new(big.Int), int64(0)
	for second := now.Add(-time.Hour); second.Before(now); second = second.Add(time.Second) {
		var at money.Price
		for _, point := range w.past {
			if !point.At.Truncate(15 * time.Second).After(second) {
				at = point.Price
			}
		}
		if at > 0 {
			sum.Add(sum, big.NewInt(int64(at)))
			seconds++
		}
	}
	if seconds == 0 {
		return w.past[len(w.past)-1].Price
	}
	return money.Price(sum.Div(sum, big.NewInt(seconds)).Int64())
}

func (w *twin) tooFar(now time.Time, price money.Price) string {
	switch {
	case !w.everBelieved:
		return ""
	case far(price, w.price, w.policy.MaxStepBP):
		return CodeStep
	case far(price, w.average(now), w.policy.MaxHourBP):
		return CodeBand
	}
	return ""
}

func (w *twin) believe(now time.Time, price money.Price) {
	w.ids, w.price, w.everBelieved = w.ids+1, price, true
	w.past = append(w.past, Point{now, price})
}

// set is what Set has to say: "" or a code, or "refused".
func (w *twin) set(now time.Time, s Sample) string {
	before, spoke := w.latest[s.Source]
	switch {
	case !slices.Contains(w.policy.Sources, s.Source):
		return "refused"
	case spoke && before == s:
		return ""
	case s.Price < 1_000_000 || s.Price > 1_000_000_000_000_000 || s.Confidence < 0, s.ObservedAt.Sub(now) > 30*time.Second,
		now.Sub(s.ObservedAt) > w.policy.MaxAge, spoke && !s.ObservedAt.After(before.ObservedAt):
		return "refused"
	}
	latest := map[string]Sample{s.Source: s}
	for source, sample := range w.latest {
		if source != s.Source {
			latest[source] = sample
		}
	}
	forced := w.forced
	if forced == s.Source {
		w.forced = ""
	}
	price, doubt := w.belief(now, latest)
	if doubt == "" {
		if halt := w.tooFar(now, price); halt != "" {
			w.forced = forced
			if w.halted == "" {
				w.halted = halt
			}
			return halt
		}
	}
	w.latest, w.doubt = latest, doubt
	if doubt == "" && w.halted == "" {
		w.believe(now, price)
	}
	return ""
}

func (w *twin) override(now time.Time, s Sample) string {
	before, spoke := w.latest[s.Source]
	if s.Price < 1_000_000 || s.Price > 1_000_000_000_000_000 || s.ObservedAt.Sub(now) > 30*time.Second || now.Sub(s.ObservedAt) > w.policy.MaxAge ||
		(spoke && s.ObservedAt.Before(before.ObservedAt)) || far(s.Price+s.Confidence, s.Price, w.policy.MaxConfidenceBP) {
		return "refused"
	}
	w.latest, w.forced, w.halted, w.doubt, w.past = map[string]Sample{s.Source: s}, s.Source, "", "", nil
	w.believe(now, s.Price)
	return ""
}

func (w *twin) resume(now time.Time) {
	if w.halted == "" {
		return
	}
	price, doubt := w.belief(now, w.latest)
	w.halted, w.doubt = "", doubt
	if doubt == "" {
		if w.halted = w.tooFar(now, price); w.halted == "" {
			w.believe(now, price)
		}
	}
}

func (w *twin) snapshot(now time.Time) string {
	if w.halted != "" {
		return w.halted
	}
	if _, doubt := w.belief(now, w.latest); doubt != "" {
		return doubt
	}
	if w.doubt != "" {
		return w.doubt
	}
	return fmt.Sprint(w.ids, w.price)
}

// code is an error as the twin says it.
func code(err error) string {
	if halt, ok := AsHalt(err); ok {
		return halt.Code
	}
	if errors.Is(err, ErrSample) {
		return "refused"
	}
	return fmt.Sprint(err)
}

func TestBookAsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := Default()
		policy.Sources = []string{"a", "b", "c"}
		policy.MinSources = rapid.Int64Range(0, 2).Draw(t, "min sources")
		told, dumb := &story{book: Book{Policy: policy}, now: noon}, &twin{policy: policy, latest: map[string]Sample{}}
		level := int64(250_000_000_000)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			told.now = told.now.Add(time.Second * time.Duration(rapid.SampledFrom([]int{0, 0, 1, 4, 20, 60, 200, 700}).Draw(t, "wait")))
			move := rapid.SampledFrom([]int64{0, 0, 10, -10, 100, -100, 300, -300, 900, -900, 1100, 5000}).Draw(t, "move")
			sample := Sample{
				Source: rapid.SampledFrom([]string{"a", "a", "b", "c", "d"}).Draw(t, "source"), Price: money.Price(level + level/10_000*move),
				Confidence: money.Price(rapid.SampledFrom([]int64{0, 0, 0, level / 60, level / 40, -1}).Draw(t, "confidence")),
				ObservedAt: told.now.Add(time.Second * time.Duration(rapid.SampledFrom([]int{0, 0, 0, -1, 30, 31, -600, -601}).Draw(t, "observed"))),
			}
			before := jsonOf(t, told.book)
			got, want, what := "", "", rapid.SampledFrom([]string{"set", "set", "set", "set", "set", "set", "override", "halt", "resume", "drift"}).Draw(t, "what")
			switch what {
			case "set":
				got, want = code(told.book.Set(told.now, sample)), dumb.set(told.now, sample)
			case "override":
				if sample.Confidence < 0 {
					sample.Confidence = 0
				}
				got, want = code(told.book.Override(told.now, sample)), dumb.override(told.now, sample)
			case "halt":
				told.book.Halt(told.now, "why not")
				dumb.halted = CodeHalted
			case "resume":
				told.book.Resume(told.now)
				dumb.resume(told.now)
			case "drift":
				level = max(level+level/10_000*move, 1_000_000_000)
			}
			if got == "<nil>" {
				got = ""
			}
			if got != want {
				t.Fatalf("%s %+v: %q, want %q", what, sample, got, want)
			}
			if got == "refused" && jsonOf(t, told.book) != before {
				t.Fatalf("%s: a refusal left its mark", what)
			}
			agree(t, told, dumb)
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				told.restart(t)
			}
		}
	})
}

// agree compares what the two say of the price.
func agree(t *rapid.T, told *story, dumb *twin) {
	snapshot, err := told.book.Snapshot(told.now)
	got := fmt.Sprint(snapshot.ID, snapshot.Price)
	if err != nil {
		got = code(err)
	}
	if want := dumb.snapshot(told.now); got != want {
		t.Fatalf("snapshot %q (%v), want %q\n%+v", got, err, want, told.book)
	}
	last, found := told.book.Last()
	if found != dumb.everBelieved || (found && (last.Price != dumb.price || last.ID != dumb.ids)) {
		t.Fatalf("last %v, want %d %v", last, dumb.ids, dumb.price)
	}
	if average, ok := told.book.Average(told.now); ok != dumb.everBelieved || (ok && average != dumb.average(told.now)) {
		t.Fatalf("average %v, want %v\n%+v", average, dumb.average(told.now), told.book.Past)
	}
}

func jsonOf(t *rapid.T, b Book) string {
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// However often a source speaks, the history stays small, and the average right at extreme prices.
func TestHistoryIsBounded(t *testing.T) {
	policy := Default()
	policy.Sources, policy.MaxStepBP, policy.MaxHourBP = []string{"a"}, 10_000, 10_000
	book := Book{Policy: policy}
	for second := range 3 * 3600 {
		now := noon.Add(time.Duration(second) * time.Second)
		if err := book.Set(now, Sample{Source: "a", Price: MaxPrice - money.Price(second%2), ObservedAt: now}); err != nil {
			t.Fatal(err)
		}
	}
	if most := int(Window/Grain) + 2; len(book.Past) > most || len(book.Past) < most-2 || len(book.Latest) != 1 {
		t.Errorf("%d points, %d samples", len(book.Past), len(book.Latest))
	}
	book.Past = []Point{{noon, math.MaxInt64}}
	if average, ok := book.Average(noon.Add(1000 * time.Hour)); !ok || average != math.MaxInt64 {
		t.Errorf("average %v", average)
	}
}

// Only an operator's signature over exactly these bytes makes an administered price.
func TestSignedSamples(t *testing.T) {
	good := signed("olga", Sample{Source: SourceAdministered, Price: 250_000_000_000, Confidence: 1, ObservedAt: noon})
	want := "raylink price v1\nadministered\n0.250000000000 USD/IO\n0.000000000001 USD/IO\n2026-11-23T12:00:00.000000000Z\n"
	if got := string(SampleBytes(good)); got != want {
		t.Errorf("signs %q, want %q", got, want)
	}
	policy := Default()
	policy.Operators = []string{"", "zz", public("olga")}
	for what, change := range map[string]func(*Sample){
		"price": func(s *Sample) { s.Price++ }, "confidence": func(s *Sample) { s.Confidence = 0 }, "time": func(s *Sample) { s.ObservedAt = s.ObservedAt.Add(-1) },
		"no signature": func(s *Sample) { s.Signature = "" }, "no key": func(s *Sample) { s.Key = "" }, "short key": func(s *Sample) { s.Key = "zz" },
		"other key": func(s *Sample) { s.Key = public("eve") }, "other's": func(s *Sample) { *s = signed("eve", *s) },
		"no base64": func(s *Sample) { s.Signature = strings.ReplaceAll(s.Signature, "=", "") },
	} {
		forged, book := good, Book{Policy: policy}
		change(&forged)
		if err := book.Set(noon, forged); !errors.Is(err, ErrSample) {
			t.Errorf("%s: %v", what, err)
		}
		if err := book.Override(noon, forged); !errors.Is(err, ErrSample) {
			t.Errorf("%s, override: %v", what, err)
		}
	}
	book := Book{Policy: policy}
	eastern := good
	eastern.ObservedAt = good.ObservedAt.In(time.FixedZone("east", 3600))
	for _, sample := range []Sample{good, eastern, good} {
		if err := book.Set(noon, sample); err != nil {
			t.Fatal(err)
		}
	}
	if last, _ := book.Last(); last.ID != 1 {
		t.Errorf("the same sample counted %d times", last.ID)
	}
}

// A snapshot that was handed out, and an error, are the caller's own.
func TestNothingShared(t *testing.T) {
	policy := Default()
	policy.Sources = []string{"a"}
	book := Book{Policy: policy}
	if err := book.Set(noon, Sample{Source: "a", Price: MinPrice, ObservedAt: noon}); err != nil {
		t.Fatal(err)
	}
	last, _ := book.Last()
	last.Sources[0] = "x"
	if again, _ := book.Last(); !reflect.DeepEqual(again.Sources, []string{"a"}) {
		t.Error("a caller changed the book")
	}
}

func TestPolicyCheck(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for what, change := range map[string]func(*Policy){
		"age": func(p *Policy) { p.MaxAge = 0 }, "long age": func(p *Policy) { p.MaxAge = 25 * time.Hour }, "step": func(p *Policy) { p.MaxStepBP = 0 },
		"band": func(p *Policy) { p.MaxHourBP = 10_001 }, "confidence": func(p *Policy) { p.MaxConfidenceBP = -1 }, "spread": func(p *Policy) { p.MaxSpreadBP = 0 },
		"too many wanted": func(p *Policy) { p.MinSources = 2 }, "none": func(p *Policy) { p.Sources = nil }, "twice": func(p *Policy) { p.Sources = []string{"a", "a"} },
		"no name": func(p *Policy) { p.Sources = []string{"a b"} }, "no key": func(p *Policy) { p.Operators = []string{"zz"} },
		"many": func(p *Policy) { p.Operators = slices.Repeat([]string{key}, 17) },
	} {
		policy := Default()
		policy.Operators = []string{key}
		if err := policy.Check(); err != nil {
			t.Fatal(err)
		}
		if change(&policy); !errors.Is(policy.Check(), ErrPolicy) {
			t.Errorf("%s is a policy", what)
		}
	}
}
