package supplier

import (
	"slices"
	"testing"
	"time"

	"raylink/raylink/wire"
)

func TestTally(t *testing.T) {
	ready := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return ready.Add(time.Duration(s * float64(time.Second))) }
	always := func(float64) bool { return true }
	for _, c := range []struct {
		name  string
		looks func(yield func(float64) bool)
		alive func(float64) bool
		want  []part
	}{
		{"every second", every(1, 0, 125), always, []part{{0, 60}, {1, 60}}},
		{"not on the second", every(0.7, 0.3, 61), always, []part{{0, 60}}},
		{"the assignment came late", every(1, 3.2, 61), always, []part{{0, 60}}},
		{"dead for twenty seconds", every(1, 0, 61), func(s float64) bool { return s < 10 || s >= 30 }, []part{{0, 39}}},
		{"never alive", every(1, 0, 61), func(float64) bool { return false }, []part{{0, 0}}},
		{"a short blindness counts", slices.Values([]float64{0, 1, 5.5, 10, 14, 18, 22, 26, 30, 34, 38, 42, 46, 50, 54, 58, 60}), always, []part{{0, 60}}},
		{"a long blindness does not", slices.Values([]float64{0, 1, 2, 30, 34, 38, 42, 46, 50, 54, 58, 60}), always, []part{{0, 32}}},
		{"blind for two minutes", slices.Values([]float64{0, 1, 2, 150}), always, []part{{0, 2}, {1, 0}}},
		{"first seen in the third minute", every(1, 130, 181), always, []part{{2, 50}}},
		{"before ready", every(1, -20, 61), always, []part{{0, 60}}},
		{"the clock went back", slices.Values([]float64{0, 4, 8, 4, 5, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60}), always, []part{{0, 60}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tl tally
			var got []part
			for s := range c.looks {
				got = append(got, tl.look(at(s), ready, c.alive(s))...)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("minutes are %v, wanted %v", got, c.want)
			}
		})
	}
}

func every(step, from, to float64) func(yield func(float64) bool) {
	return func(yield func(float64) bool) {
		for i := 0; from+float64(i)*step <= to; i++ {
			if !yield(from + float64(i)*step) {
				return
			}
		}
	}
}

func TestSettle(t *testing.T) {
	tl := tally{Open: 5, Alive: 7 * time.Second, Records: []wire.MinuteRecord{{Ordinal: 2}, {Ordinal: 3}, {Ordinal: 4}}}
	if tl.settle(2) || len(tl.Records) != 3 {
		t.Errorf("nothing is settled, yet it changed to %+v", tl)
	}
	if !tl.settle(4) || len(tl.Records) != 1 || tl.Open != 5 || tl.Alive != 7*time.Second {
		t.Errorf("settled through 4 it is %+v", tl)
	}
	if !tl.settle(9) || len(tl.Records) != 0 || tl.Open != 9 || tl.Alive != 0 {
		t.Errorf("settled beyond what was counted it is %+v", tl)
	}
}
