package endpoint

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

const (
	firstPause = 250 * time.Millisecond
	chunk      = 64 << 10 // bytes of a message with the rest of a log
)

// resume finds out what became of the job after its stream ended. It returns a new stream, or nil once the client has been told the end.
// empty says that the stream ended as if the job were over, and without a word.
func (t *tail) resume(ctx context.Context, empty bool) *websocket.Conn {
	lost := time.Now()
	for {
		if t.fruitless > 0 && !sleep(ctx, t.pause(t.fruitless)) {
			return nil
		}
		t.fruitless++
		route, err := t.route()
		if err != nil {
			t.end(websocket.StatusPolicyViolation, err.Error())
			return nil
		}
		state, err := t.state(ctx, route)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errFinal):
			t.end(websocket.StatusInternalError, strings.TrimSpace(err.Error()))
			return nil
		case err == nil && state.terminal():
			t.verdict(ctx, route, state)
			return nil
		case err == nil:
			if t.interrupted.IsZero() {
				t.interrupted = lost
			}
			if empty {
				t.wake(ctx, route)
			}
			if upstream, _, err := t.dial(ctx, route); err == nil {
				return upstream
			}
		case time.Since(lost) > t.h.Times.Hold:
			t.end(websocket.StatusInternalError, fmt.Sprintf("nobody could say for %v what became of the job: %v", t.h.Times.Hold, err))
			return nil
		}
		if t.interrupted.IsZero() {
			t.interrupted = lost
		}
	}
}

func (t *tail) state(ctx context.Context, route Route) (job, error) {
	if route.Down != nil {
		return job{}, route.Down
	}
	return t.ask(ctx, route)
}

// pause grows with the attempts: 250 ms, 500 ms, … Times.Retry.
func (t *tail) pause(attempt int) time.Duration {
	return min(t.h.Times.Retry, firstPause<<min(attempt, 10))
}

// verdict ends the stream of a job that is over. Ray's command then asks for the status itself, and exits 1 if the job FAILED.
func (t *tail) verdict(ctx context.Context, route Route, state job) {
	if !t.interrupted.IsZero() {
		t.skip = 0 // of a replay that broke off before it came to where the client is
		t.remainder(ctx, route)
		if state.Status != "SUCCEEDED" {
			words := fmt.Sprintf("\nraylink: the job %s: %s\nraylink: (%s was lost at %s; a driver that ran on a head ends with it)\n",
				state.Status, strings.TrimSpace(state.Message), t.h.far, t.interrupted.UTC().Format("15:04:05 UTC"))
			_ = t.forward(ctx, []byte(words)) // who has gone misses it
		}
	}
	_ = t.client.Close(websocket.StatusNormalClosure, "") // the job is over, whether or not the client hears it
}

// remainder gives the client what the log holds beyond what it has.
func (t *tail) remainder(ctx context.Context, route Route) {
	whole, err := t.log(ctx, route)
	if err != nil || int64(len(whole)) <= t.sent {
		return
	}
	have, rest := whole[:t.sent], whole[t.sent:]
	if sum := sha256.Sum256([]byte(have)); string(sum[:]) != string(t.sum.Sum(nil)) {
		return // another log than the one that was sent
	}
	for len(rest) > 0 {
		cut := min(chunk, len(rest))
		for cut < len(rest) && !utf8.RuneStart(rest[cut]) {
			cut++
		}
		if t.forward(ctx, []byte(rest[:cut])) != nil {
			return
		}
		rest = rest[cut:]
	}
}

// end closes the client's socket before the job is known to be over. Ray's command asks for the status after it, and fails.
func (t *tail) end(code websocket.StatusCode, reason string) {
	reason = finalReason + reason
	for len(reason) > 120 { // a close frame holds 123 bytes of it
		_, size := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-size]
	}
	_ = t.client.Close(code, reason)
}
