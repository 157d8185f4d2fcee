package state

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raylink/raylink"
)

// TestBudget lets proofs of random lengths and ends be asked for all the time. A twin that keeps every interval and looks at every hour that begins or ends
// with one finds none that had more than 20 s; and the budget is not simply never used.
func TestBudget(t *testing.T) {
	most := time.Duration(0)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.machine("mone", w.account("sam", ""), offerOf(4, 8, "1"))
		policy := DefaultProofPolicy()
		policy.Work = time.Millisecond
		policy.Compute, policy.Walk = time.Duration(rapid.IntRange(10, 9000).Draw(t, "compute"))*time.Millisecond, time.Duration(rapid.IntRange(10, 9000).Draw(t, "walk"))*time.Millisecond
		w.must(&JoinMember{ID: "n1", Raft: "n1:1", API: "https://n1:1"}, &SetProofPolicy{Policy: policy})
		type interval struct{ from, to time.Time }
		var worked []interval
		for i := range rapid.IntRange(1, 120).Draw(t, "tries") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 1200).Draw(t, "pause")) * time.Second)
			open := openOf("x", "mone", raylink.CPUDevice)
			open.ID = raylink.ProofID(fmt.Sprintf("p-aaaaaaaa%c%c", 'a'+i/20, 'a'+i%20))
			open.Task = task(rapid.Bool().Draw(t, "walks"))
			if w.try(open) != nil {
				continue
			}
			took := func(what string, limit time.Duration) bool { // and says whether it was in time
				d := min(time.Duration(rapid.IntRange(1, 11000).Draw(t, what))*time.Millisecond, limit+time.Millisecond)
				w.now = w.now.Add(d)
				return d <= limit
			}
			w.must(&BeginProof{ID: open.ID, Machine: open.Machine, Nonce: seedOf(1)})
			began := w.now
			ok := took("computing", policy.Compute)
			if ok {
				c := commitOf("x", "mone", 1)
				c.ID = open.ID
				w.must(c)
				if open.Task.Walks() {
					ok = took("walking", policy.Walk)
				}
			}
			worked = append(worked, interval{began, w.now})
			if !ok {
				worked[len(worked)-1].to = w.now.Add(-time.Millisecond) // it works until its deadline
				w.must(&ExpireProof{ID: open.ID, Machine: open.Machine})
				continue
			}
			j := judgeOf("x", "mone")
			j.ID = open.ID
			w.must(&WalkProof{ID: open.ID, Machine: open.Machine}, j)
		}
		for _, edge := range worked {
			for _, from := range []time.Time{edge.from, edge.to, edge.from.Add(-time.Hour), edge.to.Add(-time.Hour)} {
				to, sum := from.Add(time.Hour), time.Duration(0)
				for _, i := range worked {
					begin, end := i.from, i.to
					if begin.Before(from) {
						begin = from
					}
					if end.After(to) {
						end = to
					}
					sum += max(end.Sub(begin), 0)
				}
				if most = max(most, sum); sum > 20*time.Second {
					t.Fatalf("%s of the device's time in the hour from %s", sum, from)
				}
			}
		}
	})
	if most < 12*time.Second {
		t.Errorf("never more than %s was used: the property shows nothing", most)
	}
}

// TestLottery: over many devices and hours about as many are drawn as the policy says, at moments all over the hour, the same when asked again, and
// others with another draw.
func TestLottery(t *testing.T) {
	drawn, hours, early, moved := 0, 0, 0, 0
	for d := range 200 {
		p := &Proven{Draw: seedOf(byte(d + 1))}
		other := &Proven{Draw: seedOf(byte(d + 2))}
		for h := range 100 {
			now := noon.Add(time.Duration(h)*time.Hour + 17*time.Minute)
			hours++
			at, ok := p.Drawn(now, 50)
			if later, again := p.Drawn(now.Add(time.Minute), 50); again != ok || !later.Equal(at) {
				t.Fatal("it is drawn otherwise a minute later")
			}
			if _, with := other.Drawn(now, 50); with != ok {
				moved++
			}
			if !ok {
				continue
			}
			drawn++
			if at.Before(now.Truncate(time.Hour)) || !at.Before(now.Truncate(time.Hour).Add(time.Hour)) {
				t.Fatalf("drawn at %s for the hour of %s", at, now)
			}
			if at.Minute() < 30 {
				early++
			}
		}
	}
	if drawn < hours*4/100 || drawn > hours*6/100 || early < drawn*2/5 || early > drawn*3/5 || moved < drawn {
		t.Errorf("%d of %d hours are drawn, %d of them in the first half; %d otherwise by another draw", drawn, hours, early, moved)
	}
	if _, ok := (&Proven{}).Drawn(noon, 1000); ok {
		t.Error("a device without a draw is drawn")
	}
}

// TestTheNextProofCannotBeForeseen: when a device is proven again follows from its judge's draw alone, which no machine is told, and falls everywhere between the
// policy's two times alike.
func TestTheNextProofCannotBeForeseen(t *testing.T) {
	const draws, parts = 5000, 10
	policy := DefaultProofPolicy()
	var in [parts]int
	for i := range draws {
		known := Proven{Draw: seedOf(byte(i))}
		known.Draw[1], known.Draw[2] = byte(i>>8), 1
		wait := known.drawn("next", policy.Most-policy.Least)
		if again := known.drawn("next", policy.Most-policy.Least); again != wait {
			t.Fatalf("one draw says %s, then %s", wait, again)
		}
		in[int(wait*parts/(policy.Most-policy.Least))]++
	}
	for part, n := range in {
		if n < draws/parts*8/10 || n > draws/parts*12/10 { // more than four standard deviations
			t.Errorf("%d of %d draws fall into part %d of %d", n, draws, part, parts)
		}
	}
}
