package consensus

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"raylink/coordinator/consensus/pipenet"
)

// BenchmarkPropose measures commands through three nodes with bolt stores on disk, for one caller and for many: many commands that wait share one
// entry, which is what makes the difference.
func BenchmarkPropose(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			leader := benchGroup(b)
			work := make(chan int)
			var all sync.WaitGroup
			b.ResetTimer()
			for range callers {
				all.Go(func() {
					for i := range work {
						if _, _, err := leader.Propose(b.Context(), line("add %d", i)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			for i := range b.N {
				work <- i
			}
			close(work)
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
		})
	}
}

// benchGroup is the leader of a group of three.
func benchGroup(b *testing.B) *Node {
	b.Helper()
	network, dir := pipenet.New(), b.TempDir()
	var leader *Node
	for i, id := range []string{"n1", "n2", "n3"} {
		layer, err := network.Listen(id)
		if err != nil {
			b.Fatal(err)
		}
		node, err := Open(Config{ID: id, Stream: layer, Dir: filepath.Join(dir, id)}, newBook(), i == 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := node.Close(); err != nil {
				b.Error(err)
			}
		})
		if i == 0 {
			leader = node
			for !leader.IsLeader() {
				<-time.After(10 * time.Millisecond)
			}
			continue
		}
		if err := leader.AddVoter(b.Context(), id, node.mux.advertise); err != nil {
			b.Fatal(err)
		}
	}
	return leader
}
