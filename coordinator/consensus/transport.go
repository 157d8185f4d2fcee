package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// plainHeartbeats makes heartbeats take the way of every other message, through Consumer to raft's main goroutine. The fast path that it leaves out may raise
// the term of a node whose main goroutine still leads, which then stores entries under a term that it was never elected for (hashicorp/raft #695). The price:
// a heartbeat can wait behind a slow disk, so the heartbeat timeout must exceed the disk's worst stall.
type plainHeartbeats struct{ *raft.NetworkTransport }

// SetHeartbeatHandler does nothing, which is its whole point.
func (plainHeartbeats) SetHeartbeatHandler(func(raft.RPC)) {}

// sink passes raft's log lines on to slog; its errors are warnings to us, since it goes on after each.
type sink struct{ log *slog.Logger }

// Accept is called by hclog.
func (s sink) Accept(name string, level hclog.Level, message string, args ...any) {
	to := slog.LevelDebug
	switch {
	case level >= hclog.Warn:
		to = slog.LevelWarn
	case level == hclog.Info:
		to = slog.LevelInfo
	}
	for i, arg := range args {
		if err, ok := arg.(error); ok && routine(err) {
			to = slog.LevelDebug
		}
		if f, ok := arg.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(strings.TrimSpace(fmt.Sprint(f[0])), f[1:]...)
		}
	}
	s.log.Log(context.Background(), to, name+": "+message, args...)
}

// routine errors are how raft notices that a connection was closed or that nothing has happened.
func routine(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, raft.ErrNothingNewToSnapshot)
}

func bridge(log *slog.Logger, name string) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: name, Level: hclog.Off})
	l.RegisterSink(sink{log})
	return l
}
