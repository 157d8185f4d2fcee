package consensus

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raylink/raylink"
)

func TestElectionPartitionHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := inMemory(t, 3, nil)
		defer g.close()
		for i, id := range g.ids { // on any node
			g.propose(g.nodes[id], line("first %d", i))
		}
		old := g.leader()
		g.net.Isolate(old.cfg.ID, g.ids...)
		// The old leader's majority is gone: it may not acknowledge anything.
		_, _, err := old.ProposeHere(g.ctx(10*time.Second), line("lost"))
		wantCode(t, "proposing without a majority", err, raylink.CodeUnavailable)
		next := g.leader(old.cfg.ID)
		if old.IsLeader() {
			t.Error("the old leader still thinks that it leads")
		}
		g.propose(next, line("second"))
		g.net.HealAll()
		g.agree(g.propose(old, line("third"))) // through the old leader, which forwards now
		for _, id := range g.ids {
			b := g.books[id]
			if _, lost := b.Seen["lost"]; lost || len(b.Lines) != 5 {
				t.Errorf("%s has %q", id, b.Lines)
			}
		}
	})
}

// TestWeather lets a seeded schedule of cuts and heals loose on writers that retry; what was acknowledged must be there at the end, once, everywhere.
func TestWeather(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { weather(t, seed) })
		})
	}
}

func weather(t *testing.T, seed uint64) {
	g := inMemory(t, 3, func(_ string, c *Config) {
		c.SnapshotEntries, c.TrailingEntries, c.SnapshotCheck = 20, 5, 5*time.Second
	})
	defer g.close()
	dice := rand.New(rand.NewPCG(seed, seed))
	ctx, stop := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	acknowledged := make([]map[string]bool, len(g.ids))
	for i, id := range g.ids {
		acknowledged[i] = map[string]bool{}
		wait.Go(func() {
			for k := 0; ctx.Err() == nil; {
				text := fmt.Sprintf("%s %d", id, k)
				once, cancel := context.WithTimeout(ctx, 3*time.Second)
				_, _, err := g.nodes[id].Propose(once, line("%s", text))
				cancel()
				if err == nil {
					acknowledged[i][text] = true
					k++
				}
				g.pause(100 * time.Millisecond)
			}
		})
	}
	changes := 0
	for last := ""; changes < 12; {
		victim := g.ids[dice.IntN(len(g.ids))]
		g.net.Isolate(victim, g.ids...)
		g.pause(time.Duration(1+dice.IntN(6)) * time.Second)
		if now := g.leader(victim).cfg.ID; now != last {
			last = now
			changes++
		}
		g.net.HealAll()
		g.pause(time.Duration(dice.IntN(4)) * time.Second)
	}
	stop()
	wait.Wait()
	g.agree(g.propose(g.nodes["n1"], line("end")))
	total, snapshots := 0, 0
	for _, texts := range acknowledged {
		for text := range texts {
			total++
			for _, id := range g.ids {
				if _, ok := g.books[id].Seen[text]; !ok {
					t.Errorf("%s lost %q, which was acknowledged", id, text)
				}
			}
		}
	}
	for _, id := range g.ids {
		if g.nodes[id].Restored() > 0 {
			snapshots++
		}
	}
	if total < 300 || snapshots == 0 {
		t.Errorf("the run is void: %d writes, %d nodes caught up from a snapshot", total, snapshots)
	}
}

const ahead = 365 * 24 * time.Hour // is what a wrong clock is

func TestWrongClock(t *testing.T) {
	skewed := func(id string, by time.Duration) func(string, *Config) {
		return func(node string, c *Config) {
			if node == id {
				c.Now = func() time.Time { return time.Now().Add(by) }
			}
		}
	}
	t.Run("a newcomer's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := inMemory(t, 1, skewed("n2", ahead))
			defer g.close()
			g.ids = append(g.ids, "n2")
			g.open("n2", false)
			wantCode(t, "adding one with a wrong clock", g.nodes["n1"].AddVoter(g.ctx(time.Minute), "n2", "n2"), raylink.CodeConflict)
			wantCode(t, "adding it by another name", g.nodes["n1"].AddVoter(g.ctx(time.Minute), "n3", "n2"), raylink.CodeConflict)
			wantCode(t, "adding nobody", g.nodes["n1"].AddVoter(g.ctx(time.Minute), "n4", "n4"), raylink.CodeUnavailable)
			wantCode(t, "adding nothing", g.nodes["n1"].AddVoter(g.ctx(time.Minute), "", ""), raylink.CodeInvalid)
			if g.propose(g.nodes["n1"], line("x")); len(g.nodes["n1"].Members()) != 1 {
				t.Error("it was added")
			}
		})
	})
	t.Run("a follower's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			joined := time.Now().Add(time.Minute)
			g := inMemory(t, 3, func(id string, c *Config) {
				if id == "n3" {
					c.Now = func() time.Time {
						if time.Now().After(joined) {
							return time.Now().Add(ahead)
						}
						return time.Now()
					}
				}
			})
			defer g.close()
			g.pause(2 * time.Minute)
			if index := g.propose(g.nodes["n3"], line("x")); g.leader().cfg.ID != "n1" || index == 0 {
				t.Error("a follower's wrong clock unseats the leader")
			}
		})
	})
}

func TestLeadersClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		jump := time.Duration(0)
		g := inMemory(t, 3, func(id string, c *Config) {
			if id == "n1" {
				c.Now = func() time.Time {
					mu.Lock()
					defer mu.Unlock()
					return time.Now().Add(jump)
				}
			}
		})
		defer g.close()
		g.propose(g.leader(), line("before"))
		mu.Lock()
		jump = ahead
		mu.Unlock()
		began := time.Now()
		_, _, err := g.nodes["n1"].ProposeHere(g.ctx(time.Minute), line("now")) // at once, before any comparison
		wantCode(t, "proposing with a clock that jumped", err, raylink.CodeUnavailable)
		g.propose(g.nodes["n1"], line("after"))
		if id := g.leader().cfg.ID; id == "n1" || time.Since(began) > 10*time.Second {
			t.Errorf("%s leads after %v", id, time.Since(began))
		}
		for _, id := range g.ids {
			g.nodes[id].Read(func(uint64) {
				if last := g.books[id].Last; last.After(time.Now()) {
					t.Errorf("%s has an entry from the future: %v", id, last)
				}
			})
		}
		mu.Lock()
		jump = 0
		mu.Unlock()
		g.pause(2 * time.Minute)
		g.agree(g.propose(g.nodes["n1"], line("healthy")))
	})
}

func TestWaitingProposalsBecomeOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := inMemory(t, 1, nil)
		n, b := g.leader(), g.books["n1"]
		b.gate = make(chan struct{})
		var wait sync.WaitGroup
		indexes := make([]uint64, 601)
		for i := range indexes {
			wait.Go(func() {
				results, index, err := n.Propose(t.Context(), line("a %d", i), line("b %d", i))
				if err != nil || len(results) != 2 {
					t.Error(i, results, err)
					return
				}
				var one, two int
				if json.Unmarshal(results[0], &one) != nil || json.Unmarshal(results[1], &two) != nil || two != one+1 {
					t.Errorf("%d: results %s, not next to one another", i, results)
				}
				indexes[i] = index
			})
			if i == 0 {
				synctest.Wait() // the first is on its way; the others queue up behind it
			}
		}
		synctest.Wait()
		close(b.gate)
		wait.Wait()
		perEntry := map[uint64]int{}
		for _, index := range indexes {
			perEntry[index] += 2
		}
		// 600 proposals of two commands, at most 256 commands an entry.
		if b.entries != 1+5 || len(perEntry) != b.entries {
			t.Errorf("%d entries, by index %v", b.entries, perEntry)
		}
		for index, commands := range perEntry {
			if commands > MaxEntryCommands {
				t.Errorf("entry %d has %d commands", index, commands)
			}
		}
		g.close()
		_, _, err := n.Propose(t.Context(), line("late"))
		wantCode(t, "proposing to a closed node", err, raylink.CodeUnavailable)
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := inMemory(t, 2, nil)
		defer g.close()
		for _, id := range g.ids {
			n := g.nodes[id]
			big := line("%s %0*d", id, MaxEntryBytes-200, 0)
			before := g.propose(n, big)
			_, _, err := n.Propose(t.Context(), line("%0*d", MaxEntryBytes, 0))
			wantCode(t, "an entry too large", err, raylink.CodeTooLarge)
			many := make([]json.RawMessage, MaxEntryCommands+1)
			for i := range many {
				many[i] = line("x")
			}
			_, _, err = n.Propose(t.Context(), many...)
			wantCode(t, "too many commands", err, raylink.CodeTooLarge)
			_, _, err = n.Propose(t.Context())
			wantCode(t, "nothing", err, raylink.CodeInvalid)
			for _, bad := range []string{"", "{", `"a","b"`, "]", "nul"} {
				_, _, err = n.Propose(t.Context(), json.RawMessage(bad))
				wantCode(t, fmt.Sprintf("%q", bad), err, raylink.CodeInvalid)
			}
			if index := g.propose(n, line("next")); index != before+1 {
				t.Errorf("refusals took %d entries", index-before-1)
			}
		}
	})
}

func TestLeaderChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := inMemory(t, 2, func(_ string, c *Config) {
			c.Check = func(command json.RawMessage) error { return json.Unmarshal(command, new(string)) }
		})
		defer g.close()
		for _, id := range g.ids {
			before := g.propose(g.nodes[id], line("x"))
			_, _, err := g.nodes[id].Propose(g.ctx(time.Minute), line("y"), json.RawMessage(`{"from":"the future"}`))
			wantCode(t, "a command that the machine does not know", err, raylink.CodeUnsupported)
			if after := g.propose(g.nodes[id], line("z")); after != before+1 {
				t.Error("it is in the log")
			}
		}
	})
}

func TestUnknownEntryHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := inMemory(t, 1, nil)
		n := g.leader()
		index := g.propose(n, line("known"))
		_, _, err := n.Propose(t.Context(), json.RawMessage(`{"from":"the future"}`))
		wantCode(t, "a command that the machine does not know", err, raylink.CodeUnavailable)
		select {
		case err := <-n.Fatal():
			if err == nil {
				t.Error("fatal without a reason")
			}
		default:
			t.Error("the node goes on")
		}
		if _, _, err := n.Propose(t.Context(), line("after")); err == nil || n.Index() != index || len(g.books["n1"].Lines) != 1 {
			t.Errorf("after what it does not know the machine applies more: %v, index %d", err, n.Index())
		}
		if err := n.Snapshot(); err == nil {
			t.Error("a halted machine is saved")
		}
		g.close()
	})
}

func TestStuckTransferIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{fatal: make(chan error, 1), log: testLogOrNone(t)}
		for range 9 {
			n.watch(errTransfer)
			time.Sleep(time.Second) // virtual
		}
		n.watch(nil)
		for range 10 {
			n.watch(errTransfer)
			time.Sleep(time.Second)
		}
		if len(n.fatal) != 0 {
			t.Error("alarm too early")
		}
		time.Sleep(time.Second)
		n.watch(errTransfer)
		if len(n.fatal) != 1 {
			t.Error("no alarm")
		}
	})
}
