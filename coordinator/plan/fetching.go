package plan

import (
	"fmt"
	"time"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// Fetching is how far the machines of a cluster have come with fetching its image, as their last reports say. It stays out of the log.
func Fetching(s *state.State, seen Seen, cluster raylink.ClusterID) map[raylink.LeaseID]wire.Progress {
	out := map[raylink.LeaseID]wire.Progress{}
	if c := s.Clusters[cluster]; c == nil || c.Phase != raylink.PhaseImage {
		return out
	}
	for _, l := range s.ClusterLeases(cluster) {
		if r, ok := seen.lease(l.Machine, l.ID); ok && r.Progress != nil && r.Progress.Total > 0 {
			out[l.ID] = *r.Progress
		}
	}
	return out
}

// FetchWords says it to people, with the mean speed since the fetch began: "1.20 of 3.40 GB, 12.0 MB/s". The figures are an agent's own word.
func FetchWords(p wire.Progress, now time.Time) string {
	done, total := max(p.Done, 0), max(p.Total, 0)
	text := fmt.Sprintf("%d of %d MB", done/1_000_000, total/1_000_000)
	if total >= 1_000_000_000 {
		text = fmt.Sprintf("%s of %s GB", hundredths(done, 1_000_000_000), hundredths(total, 1_000_000_000))
	}
	if seconds := int64(now.Sub(p.Since) / time.Second); seconds > 0 {
		text += fmt.Sprintf(", %s MB/s", hundredths(done/seconds, 1_000_000))
	}
	return text
}

// hundredths is n in a unit, with two decimals.
func hundredths(n, unit int64) string {
	return fmt.Sprintf("%d.%02d", n/unit, n%unit/(unit/100))
}
