package reconcile

import (
	"encoding/json"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
)

// check looks at the signatures of all words that the look will ask for: on all cores, while nobody holds the state, and each only once as long as it is
// reported. A look takes 50 µs for one that was forgotten here.
func (l *Loop) check(seen *plan.Seen) {
	var words []state.Word
	l.Group.Read(func(s *state.State) { words = plan.Words(s, *seen, time.Now()) })
	seen.Checked = make(map[state.Word]bool, len(words))
	var fresh []state.Word
	for _, w := range words {
		if _, twice := seen.Checked[w]; twice {
			continue
		}
		holds, known := l.checked[w]
		if !known {
			fresh = append(fresh, w)
		}
		seen.Checked[w] = holds
	}
	holds := make([]bool, len(fresh))
	spread(len(fresh), func(i int) { holds[i] = fresh[i].Holds() })
	for i, w := range fresh {
		seen.Checked[w] = holds[i]
	}
	l.checked = seen.Checked
}

// encode signs the settled minutes among the steps, whose words check has looked at, and encodes all.
func (l *Loop) encode(steps []state.Command) ([]json.RawMessage, error) {
	commands, errs := make([]json.RawMessage, len(steps)), make([]error, len(steps))
	spread(len(steps), func(i int) {
		if settle, ok := steps[i].(*state.SettleMinutes); ok && l.Key != nil {
			settle.Sign(l.Key)
		}
		commands[i], errs[i] = state.Encode("leader", "", steps[i])
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return commands, nil
}

// spread does something for each of 0 to n-1 on all cores.
func spread(n int, do func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}
