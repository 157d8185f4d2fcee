package testbed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/raylink"
)

func TestWholeGroupAway(t *testing.T) {
	t.Parallel()
	Run(t, 3, 3, func(b *Bed) {
		b.plenty()
		id := b.Create("first", 2)
		ready := b.Ready(id)
		b.At(ready.Add(100 * time.Second))
		for _, c := range b.coordinators {
			b.Kill(c.id)
		}
		b.Advance(10 * time.Minute)
		for _, c := range b.coordinators {
			b.Restart(c.id)
		}
		b.At(ready.Add(15*time.Minute + 30*time.Second))
		b.wantCharged(b.over(id), 15)
	})
}

// TestWeather lets seeded misfortunes loose on two clusters, one of which is replaced again and again, while credit is granted. What a
// story may lose by them is not asked here; what must always hold is checked at its end.
func TestWeather(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			Run(t, 3, 4, func(b *Bed) { weather(b, rand.New(rand.NewPCG(seed, seed))) })
		})
	}
}

func weather(b *Bed, dice *rand.Rand) {
	b.plenty()
	steady, short := b.Create("steady", 2), b.Create("short", 1)
	b.Ready(steady)
	ctx, stop := context.WithCancel(b.ctx())
	var writer sync.WaitGroup
	writer.Go(func() {
		for ctx.Err() == nil {
			once, cancel := context.WithTimeout(ctx, 15*time.Second)
			_ = b.Grant(once, money.MicroUSD(1)) // refusals are part of the weather; what was acknowledged is remembered
			cancel()
			pause := time.NewTimer(3 * time.Second)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
			}
		}
	})
	names := []string{"s1", "s2", "s3", "s4", "g1", "g2"}
	for range 12 {
		victim := b.coordinators[dice.IntN(len(b.coordinators))].id
		part := names[dice.IntN(len(names))]
		lease := b.Leases(steady)[dice.IntN(3)].ID
		misfortune := dice.IntN(5)
		b.log.Info("weather", "misfortune", misfortune, "coordinator", victim, "part", part, "lease", lease)
		switch misfortune {
		case 0:
			b.Kill(victim)
		case 1:
			b.Isolate(victim)
		case 2:
			b.Kill(part)
		case 3:
			b.Cut(part, victim)
		case 4:
			b.host.FreezePlane(lease, true)
		}
		b.Advance(time.Duration(10+dice.IntN(80)) * time.Second)
		b.Heal()
		switch misfortune {
		case 0:
			b.Restart(victim)
		case 2:
			b.Restart(part)
		case 4:
			b.host.FreezePlane(lease, false)
		}
		b.Leader()
		switch b.Cluster(short).Phase {
		case raylink.PhaseReady:
			b.Delete(short)
		case raylink.PhaseEnded, raylink.PhaseFailed:
			if id, err := b.TryCreate("short", 1); err == nil {
				short = id
			}
		}
		b.Advance(time.Duration(dice.IntN(30)) * time.Second)
	}
	stop()
	writer.Wait()
}
