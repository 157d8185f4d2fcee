package wireguard

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/device"
)

const (
	logBurst  = 20          // lines
	logRefill = time.Second // one more line each
)

// limiter keeps a peer that sends rubbish, or 200 that cannot be reached, from filling the supplier's disk.
type limiter struct {
	mu      sync.Mutex
	lines   int
	at      time.Time
	dropped int
}

// take reports whether a line may be written and how many were dropped before it.
func (l *limiter) take(now time.Time) (bool, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if refill := int(now.Sub(l.at) / logRefill); refill > 0 {
		l.lines, l.at = min(logBurst, l.lines+refill), now
	}
	if l.lines == 0 {
		l.dropped++
		return false, 0
	}
	dropped := l.dropped
	l.lines, l.dropped = l.lines-1, 0
	return true, dropped
}

func deviceLog(log *slog.Logger) *device.Logger {
	limit := &limiter{lines: logBurst, at: time.Now()}
	errorf := func(format string, args ...any) {
		if ok, dropped := limit.take(time.Now()); ok {
			log.Warn("wireguard", "event", fmt.Sprintf(format, args...), "dropped", dropped)
		}
	}
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return &device.Logger{Verbosef: device.DiscardLogf, Errorf: errorf}
	}
	return &device.Logger{Errorf: errorf, Verbosef: func(format string, args ...any) {
		log.Debug("wireguard", "event", fmt.Sprintf(format, args...))
	}}
}
