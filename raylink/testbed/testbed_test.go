package testbed

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// plenty is credit for any of these stories: 10 USD; a node costs a tenth of a cent a minute, and 2 % of it.
func (b *Bed) plenty() { b.must(b.Grant(b.ctx(), money.MicroUSD(10_000_000))) }

// over ends a cluster whose minutes are to be looked at, and gives its bill.
func (b *Bed) over(id raylink.ClusterID) wire.Bill {
	b.t.Helper()
	b.Delete(id)
	b.Until("it is over", 5*time.Minute, func() bool { return b.Cluster(id).Phase.Over() })
	return b.Bill(id)
}

// wantCharged wants each node to be charged so many minutes and none to be waived.
func (b *Bed) wantCharged(bill wire.Bill, minutes int64) {
	b.t.Helper()
	for _, line := range bill.Lines {
		if line.Charged != minutes || line.Waived != 0 {
			b.t.Errorf("%s: %d minutes charged, %d waived, not %d and none: %v", line.Node, line.Charged, line.Waived, minutes, waived(line))
		}
	}
	if want := int64(len(bill.Lines)) * minutes * 1000; bill.Use.Minor != want || bill.Fee.Minor != want/50 {
		b.t.Errorf("the bill is %s and a fee of %s", bill.Use, bill.Fee)
	}
}

func waived(line wire.BillLine) map[int64]string {
	found := map[int64]string{}
	for _, m := range line.Minutes {
		if m.Outcome == "waived" {
			found[m.Ordinal] = m.Reason
		}
	}
	return found
}

func TestTwoHoursAndTheirBill(t *testing.T) {
	t.Parallel()
	Run(t, 3, 3, func(b *Bed) {
		b.plenty()
		id := b.Create("first", 2)
		ready := b.Ready(id)
		if took := ready.Sub(b.Cluster(id).CreatedAt); took > 15*time.Second {
			t.Errorf("ready after %v", took)
		}
		b.At(ready.Add(2*time.Hour + 30*time.Second))
		b.wantCharged(b.over(id), 120)
	})
}

func TestLeadersDie(t *testing.T) {
	t.Parallel()
	Run(t, 3, 3, func(b *Bed) {
		b.plenty()
		id := b.Create("first", 2)
		ready := b.Ready(id)
		for deaths := 1; deaths <= 20; deaths++ {
			b.At(ready.Add(time.Duration(deaths)*3*time.Minute - 3*time.Second)) // a minute ends without a leader
			dead := b.Leader()
			b.Kill(dead)
			b.must(b.Grant(b.ctx(), money.MicroUSD(1)))
			b.Advance(15 * time.Second)
			b.Restart(dead)
		}
		b.At(ready.Add(time.Hour + 30*time.Second))
		b.wantCharged(b.over(id), 60)
		restored := uint64(0)
		for _, c := range b.coordinators {
			restored = max(restored, c.node.Restored())
		}
		if restored == 0 {
			t.Error("the story is void: nobody began at a snapshot")
		}
	})
}

func TestGatewayAndAgentDie(t *testing.T) {
	t.Parallel()
	Run(t, 1, 3, func(b *Bed) {
		b.plenty()
		id := b.Create("first", 2)
		ready := b.Ready(id)
		_, started := b.host.Count()
		b.At(ready.Add(150 * time.Second))
		b.Kill("g1")
		b.At(ready.Add(210 * time.Second))
		for name := range b.machines {
			b.Kill(name)
			b.Restart(name)
		}
		b.At(ready.Add(450 * time.Second))
		b.Restart("g1")
		b.At(ready.Add(10*time.Minute + 30*time.Second))
		b.wantCharged(b.over(id), 10)
		if _, now := b.host.Count(); now != started {
			t.Errorf("%d containers were started again because agents were", now-started)
		}
	})
}

func TestLeaderCutOff(t *testing.T) {
	for name, away := range map[string]time.Duration{"for two minutes": 2 * time.Minute, "for ten minutes": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Run(t, 3, 3, func(b *Bed) {
				b.plenty()
				id := b.Create("first", 2)
				ready := b.Ready(id)
				b.At(ready.Add(70 * time.Second))
				old := b.Leader()
				b.Isolate(old)
				granted := 0
				for cut := time.Now(); time.Since(cut) < away; b.Advance(5 * time.Second) {
					ctx, cancel := context.WithTimeout(b.ctx(), 20*time.Second)
					if b.Grant(ctx, money.MicroUSD(1)) == nil {
						granted++
					}
					cancel()
				}
				if b.Leader(old) == old || granted < int(away/(10*time.Second)) {
					t.Errorf("only %d writes were taken meanwhile", granted)
				}
				if up := b.Up(); up != 3 {
					t.Errorf("%d machines are up while one coordinator is cut off", up)
				}
				b.Heal()
				b.At(ready.Add(away + 3*time.Minute + 30*time.Second))
				b.wantCharged(b.over(id), int64(away/time.Minute)+3)
			})
		})
	}
}

func TestDataPlaneStandsStill(t *testing.T) {
	t.Parallel()
	Run(t, 3, 3, func(b *Bed) {
		b.plenty()
		id := b.Create("first", 2)
		ready := b.Ready(id)
		victim := b.Leases(id)[1]
		b.At(ready.Add(5*time.Minute + 10*time.Second))
		b.Freeze(victim.ID)
		b.Advance(100 * time.Second) // minute 5 has 10 good seconds, minute 6 has 10
		b.Thaw(victim.ID)
		b.At(ready.Add(10*time.Minute + 30*time.Second))
		for _, line := range b.over(id).Lines {
			lost := waived(line)
			if line.Lease != victim.ID {
				if line.Charged != 10 || len(lost) != 0 {
					t.Errorf("%s: %d minutes charged, waived %v", line.Node, line.Charged, lost)
				}
				continue
			}
			if line.Charged != 8 || len(lost) != 2 || lost[5] == "" || lost[6] == "" || strings.Contains(lost[5], "no evidence") {
				t.Errorf("the one that stood still: %d minutes charged, waived %v", line.Charged, lost)
			}
		}
	})
}

func TestBalanceRunsOut(t *testing.T) {
	t.Parallel()
	Run(t, 1, 2, func(b *Bed) {
		b.must(b.Grant(b.ctx(), money.MicroUSD(2*1020*75))) // 75 minutes of two nodes
		id := b.Create("first", 1)
		ready := b.Ready(id)
		b.Until("it is warned", 90*time.Minute, func() bool { return strings.Contains(b.Cluster(id).Warning, "balance") })
		warned := time.Now()
		b.Until("it ends", 30*time.Minute, func() bool { return b.Cluster(id).Phase.Over() })
		c := b.Cluster(id)
		if c.Phase != raylink.PhaseEnded || !strings.Contains(c.Reason, "balance") {
			t.Errorf("it is %s: %s", c.Phase, c.Reason)
		}
		if used := c.EndingAt.Sub(ready); used < 73*time.Minute || used > 76*time.Minute {
			t.Errorf("it ended after %v", used)
		}
		if notice := c.EndingAt.Sub(warned); notice < 9*time.Minute {
			t.Errorf("the warning came only %v before", notice)
		}
		for _, line := range b.Bill(id).Lines {
			if line.Waived != 0 {
				t.Errorf("%s has minutes nobody paid: %v", line.Node, waived(line))
			}
		}
		if left := b.Balance(); left < 0 || left > 2*1020*2 {
			t.Errorf("%d are left", left)
		}
	})
}

func TestLeadersClock(t *testing.T) {
	t.Parallel()
	Run(t, 3, 3, func(b *Bed) {
		b.plenty()
		id := b.Create("first", 2)
		ready := b.Ready(id)
		b.At(ready.Add(70 * time.Second))
		old := b.Leader()
		b.SetClock(old, 365*24*time.Hour)
		if _, _, err := b.coordinator(old).node.ProposeHere(b.ctx(), nil); err == nil {
			t.Error("it still proposes")
		}
		b.Until("another leads", 15*time.Second, func() bool { return !b.coordinator(old).node.IsLeader() && b.Leader(old) != old })
		b.must(b.Grant(b.ctx(), money.MicroUSD(1)))
		b.At(ready.Add(5*time.Minute + 30*time.Second))
		b.Read(func(s *state.State) {
			if s.Now.After(time.Now()) {
				t.Errorf("the group believes that it is %v", s.Now)
			}
		})
		b.wantCharged(b.over(id), 5)
	})
}

func TestSilentMachine(t *testing.T) {
	t.Parallel()
	Run(t, 3, 3, func(b *Bed) {
		b.plenty()
		id := b.Create("first", 2)
		ready := b.Ready(id)
		b.At(ready.Add(130 * time.Second))
		silent := b.Leases(id)[2]
		for name, machine := range b.machines {
			if machine == silent.Machine {
				b.Kill(name)
			}
		}
		b.Advance(20 * time.Second)
		if up := b.Up(); up != 2 {
			t.Errorf("%d machines are up, of which one is silent", up)
		}
		b.At(ready.Add(250 * time.Second))
		b.Delete(id)
		b.UntilPhase(id, raylink.PhaseEnded, 7*time.Minute)
		for _, line := range b.Bill(id).Lines {
			lost := waived(line)
			switch {
			case line.Lease != silent.ID && (line.Charged != 4 || len(lost) != 0):
				t.Errorf("%s: %d minutes charged, waived %v", line.Node, line.Charged, lost)
			case line.Lease == silent.ID && (line.Charged != 2 || !slices.Equal([]string{lost[2], lost[3]}, []string{"no evidence", "no evidence"})):
				t.Errorf("the silent one: %d minutes charged, waived %v", line.Charged, lost)
			}
		}
		if present, _ := b.host.Count(); present != 1 {
			t.Errorf("%d containers are there, not the silent machine's alone", present)
		}
	})
}
