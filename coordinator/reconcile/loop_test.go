package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// group applies what is proposed to one state, and notes when.
type group struct {
	mu      sync.Mutex
	s       *state.State
	times   []time.Time // of proposals
	refuse  error       // what a proposal gives instead
	perhaps func([]json.RawMessage) error
}

func (g *group) Read(f func(*state.State)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g.s)
}

func (g *group) ProposeHere(_ context.Context, commands ...json.RawMessage) ([]json.RawMessage, uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.times = append(g.times, time.Now())
	if g.refuse != nil {
		return nil, 0, g.refuse
	}
	if g.perhaps != nil {
		if err := g.perhaps(commands); err != nil {
			return nil, 0, err
		}
	}
	return g.s.Apply(g.s.Index+1, time.Now(), commands), g.s.Index, nil
}

func (g *group) apply(t *testing.T, commands ...state.Command) {
	t.Helper()
	for _, c := range commands {
		raw, err := state.Encode("test", "", c)
		if err != nil {
			t.Fatal(err)
		}
		g.mu.Lock()
		results := g.s.Apply(g.s.Index+1, time.Now(), []json.RawMessage{raw})
		g.mu.Unlock()
		if err := state.ReadResult(results[0], nil); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
}

// gateways makes n gateways whose URL the plan will want to change once they report.
func gateways(t *testing.T, g *group, n int) []raylink.GatewayID {
	t.Helper()
	var ids []raylink.GatewayID
	for i := range n {
		public := make([]byte, 32)
		public[0], public[1] = byte(i), byte(i>>8)
		hash := identity.HashToken(string(public))
		tok, err := raylink.NewID[raylink.TokenID](bytes.NewReader(public), "tok")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, identity.GatewayID(public))
		g.apply(t, &state.IssueJoinToken{ID: tok, Kind: state.JoinKindGateway, Hash: hash, TTL: time.Hour},
			&state.JoinGateway{TokenHash: hash, ID: ids[i], PublicKey: identity.EncodeKey(public), Name: "g", URL: "https://old:1"})
	}
	return ids
}

// lead runs a loop until stop, which waits for its end.
func lead(t *testing.T, g *group) (memory *Memory, stop func()) {
	t.Helper()
	memory = NewMemory()
	loop := &Loop{Group: g, Memory: memory, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { loop.Run(ctx) })
	synctest.Wait()
	return memory, func() { cancel(); done.Wait() }
}

// A report leads to its consequence at once, without waiting for the beat; and nothing more is proposed then.
func TestReportIsActedOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{s: state.New()}
		ids := gateways(t, g, 1)
		memory, stop := lead(t, g)
		defer stop()
		before := time.Now()
		memory.Gateway(ids[0], wire.GatewayReport{URL: "https://new:1"})
		synctest.Wait()
		g.Read(func(s *state.State) {
			if s.Gateways[ids[0]].URL != "https://new:1" {
				t.Errorf("the URL is still %s", s.Gateways[ids[0]].URL)
			}
		})
		if len(g.times) != 1 || !g.times[0].Equal(before) {
			t.Errorf("proposals at %v, the report came at %v", g.times, before)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(g.times) != 1 {
			t.Errorf("%d proposals where one was to be done", len(g.times))
		}
	})
}

// Time alone makes things due: a sweep comes without any report.
func TestBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{s: state.New()}
		gateways(t, g, 1) // and its join token, which is swept in the end
		_, stop := lead(t, g)
		defer stop()
		time.Sleep(26 * time.Hour)
		synctest.Wait()
		g.Read(func(s *state.State) {
			if len(s.JoinTokens) != 0 {
				t.Error("nothing was swept")
			}
		})
		if len(g.times) != 1 {
			t.Errorf("%d proposals for one sweep", len(g.times))
		}
	})
}

// A proposal that does not go through is tried again after a rest, not in a tight loop; with the term the loop ends, even while it rests.
func TestRefusedProposalRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{s: state.New(), refuse: raylink.Errorf(raylink.CodeUnavailable, "no majority")}
		ids := gateways(t, g, 1)
		memory, stop := lead(t, g)
		memory.Gateway(ids[0], wire.GatewayReport{URL: "https://new:1"})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(g.times); n < 5 || n > 11 {
			t.Errorf("%d tries in ten seconds", n)
		}
		began := time.Now()
		stop()
		if d := time.Since(began); d != 0 {
			t.Errorf("the loop ended %s after its term", d)
		}
	})
}

// A plan of hundreds of commands goes in several entries; a part that never fits does not stand in the others' way.
func TestParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{s: state.New()}
		ids := gateways(t, g, 2*entryCommands+1)
		bad := string(ids[0])
		tooLarge := 0
		g.perhaps = func(commands []json.RawMessage) error {
			if len(commands) > entryCommands {
				t.Errorf("%d commands in one entry", len(commands))
			}
			for _, c := range commands {
				if strings.Contains(string(c), bad) {
					tooLarge++
					return raylink.Errorf(raylink.CodeTooLarge, "too large")
				}
			}
			return nil
		}
		memory, stop := lead(t, g)
		defer stop()
		for _, id := range ids {
			memory.Gateway(id, wire.GatewayReport{URL: "https://new:1"})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		changed := 0
		g.Read(func(s *state.State) {
			for _, x := range s.Gateways {
				if x.URL == "https://new:1" {
					changed++
				}
			}
		})
		if tooLarge == 0 || changed < entryCommands+1 {
			t.Errorf("%d were too large, %d of %d gateways got through", tooLarge, changed, len(ids))
		}
	})
}

func TestEntriesAreCut(t *testing.T) {
	big, small := json.RawMessage(strings.Repeat("x", entryBytes-10)), json.RawMessage(strings.Repeat("y", 20))
	for _, c := range []struct {
		commands []json.RawMessage
		want     []int
	}{
		{[]json.RawMessage{small}, []int{1}},
		{[]json.RawMessage{big, small, small}, []int{1, 2}},
		{[]json.RawMessage{small, big, big}, []int{1, 1, 1}},
		{make([]json.RawMessage, 2*entryCommands+1), []int{entryCommands, entryCommands, 1}},
	} {
		var got []int
		for _, part := range entries(c.commands) {
			got = append(got, len(part))
		}
		if len(got) != len(c.want) {
			t.Errorf("parts of %v, want %v", got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("parts of %v, want %v", got, c.want)
			}
		}
	}
}

// A new term of leadership begins with an empty memory; what was given out before is nobody else's to change.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		began := time.Now()
		time.Sleep(time.Second)
		m.Agent("m-one", wire.AgentReport{Leases: []wire.LeaseReport{{Lease: "l-one"}}})
		m.Gateway("g-one", wire.GatewayReport{URL: "u"})
		seen := m.Seen()
		if !seen.Since.Equal(began) || !seen.Machines["m-one"].At.Equal(began.Add(time.Second)) || seen.Gateways["g-one"].Report.URL != "u" {
			t.Errorf("%+v", seen)
		}
		time.Sleep(time.Second)
		m.Agent("m-one", wire.AgentReport{})
		m.Reset()
		if len(seen.Machines["m-one"].Report.Leases) != 1 {
			t.Error("what was given out changed")
		}
		if now := m.Seen(); len(now.Machines)+len(now.Gateways) != 0 || !now.Since.Equal(began.Add(2*time.Second)) {
			t.Errorf("after a reset: %+v", now)
		}
	})
}

// TestMemoryKeepsWhatIsSaidOnce: a host that is not told again stays; a silence is remembered with its end.
func TestMemoryKeepsWhatIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		began := time.Now()
		m.Agent("m-one", wire.AgentReport{Host: &raylink.Host{OS: "first"}})
		time.Sleep(plan.UpFor)
		m.Agent("m-one", wire.AgentReport{})
		if got := m.Seen().Machines["m-one"]; got.Report.Host == nil || !got.Gap.IsZero() {
			t.Errorf("%+v", got)
		}
		time.Sleep(plan.UpFor + time.Second)
		m.Agent("m-one", wire.AgentReport{Host: &raylink.Host{OS: "second"}})
		for range 2 {
			if got := m.Seen().Machines["m-one"]; got.Report.Host.OS != "second" || !got.Gap.Equal(began.Add(plan.UpFor)) || !got.Back.Equal(began.Add(2*plan.UpFor+time.Second)) {
				t.Errorf("%+v", got)
			}
			m.Agent("m-one", wire.AgentReport{})
		}
	})
}

// TestMemoryKnowsWhoReturned: who was silent for too long, or paused, is known for a while after he is back; who reports all the time is not.
func TestMemoryKnowsWhoReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		hear := func(id raylink.MachineID, why raylink.Reason) { m.Agent(id, wire.AgentReport{Paused: why}) }
		hear("m-silent", "")
		hear("m-paused", raylink.ReasonPaused)
		for range 3 {
			hear("m-steady", "")
			time.Sleep(plan.UpFor)
		}
		hear("m-silent", "")
		hear("m-paused", "")
		hear("m-steady", "")
		back, seen := time.Now(), m.Seen()
		if len(seen.Returned) != 2 || !seen.Returned["m-silent"].Equal(back) || !seen.Returned["m-paused"].Equal(back) {
			t.Errorf("%v", seen.Returned)
		}
		time.Sleep(plan.ReturnFor + time.Second)
		if now := m.Seen(); len(now.Returned) != 0 || len(seen.Returned) != 2 {
			t.Errorf("later %v; what was given out is %v", now.Returned, seen.Returned)
		}
	})
}

// TestHeartbeatsWakeNobody: only what says something new wakes the loop before its beat.
func TestHeartbeatsWakeNobody(t *testing.T) {
	m := NewMemory()
	woken := func() bool {
		select {
		case <-m.news:
			return true
		default:
			return false
		}
	}
	offer, other := &raylink.Offer{Arch: "amd64"}, &raylink.Offer{Arch: "arm64"}
	leaves := time.Now()
	for i, c := range []struct {
		report wire.AgentReport
		want   bool
	}{
		{wire.AgentReport{}, true}, {wire.AgentReport{}, false}, {wire.AgentReport{Offer: offer}, true}, {wire.AgentReport{Offer: offer}, false}, {wire.AgentReport{Offer: other}, true},
		{wire.AgentReport{Offer: other, Host: &raylink.Host{}}, true}, {wire.AgentReport{Offer: other}, false}, {wire.AgentReport{Offer: other, Host: &raylink.Host{}}, false},
		{wire.AgentReport{Offer: other, Host: &raylink.Host{OS: "another"}}, true}, {wire.AgentReport{Offer: other, Paused: raylink.ReasonPaused}, true},
		{wire.AgentReport{Offer: other}, true}, {wire.AgentReport{Offer: other, Leaves: &leaves}, true}, {wire.AgentReport{Offer: other, Leaves: &leaves}, false},
		{wire.AgentReport{Offer: other, Leaves: &leaves, Leases: make([]wire.LeaseReport, 1)}, true}, {wire.AgentReport{Offer: other, Leaves: &leaves}, true},
	} {
		if m.Agent("m-one", c.report); woken() != c.want {
			t.Errorf("report %d: woken %v", i, !c.want)
		}
	}
}
