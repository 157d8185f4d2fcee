package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	headerTime  = 10 * time.Second
	idleTime    = 2 * time.Minute
	headerLimit = 64 << 10 // bytes
	graceTime   = 2 * time.Second
)

// Serve answers on listener until ctx ends, and returns when every request is over, those that became WebSockets as well. Streams are
// cut, never closed cleanly: their jobs run on. There is a limit on the time and size of headers, and none on how long a stream lasts.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var open sync.WaitGroup
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			open.Add(1)
			defer open.Done()
			handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerLimit,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		grace, done := context.WithTimeout(base, graceTime)
		_ = server.Shutdown(grace) // what is not over by then is cut below
		done()
		err = <-ended
	}
	cut()
	_ = server.Close() // the listener is closed in any case
	open.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
