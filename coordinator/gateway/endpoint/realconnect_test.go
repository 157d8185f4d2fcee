package endpoint_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"raylink/coordinator/gateway/connect"
	"raylink/coordinator/gateway/endpoint"
	"raylink/raylink"
)

// loseGateway ends a gateway under the unmodified client, which follows a job through `raylink connect`: the other gateway takes over, and no line is
// lost or doubled.
func (r *real) loseGateway(t *testing.T) {
	listener := listen(t)
	doomed, kill := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- endpoint.Serve(doomed, listener, r.handler, slog.New(slog.DiscardHandler)) }()
	other, err := url.Parse(r.address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- connect.Run(ctx, connect.Config{Cluster: raylink.ClusterID(clusterA), Token: alice, Listen: "127.0.0.1:0",
			Gateways: []string{"http://" + listener.Addr().String(), "http://" + other.Host}}, func(url string) { ready <- url }, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		kill()
		stop()
		for _, done := range []chan error{gone, ended} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	var local string
	select {
	case local = <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	r.write("job/count.py", fmt.Sprintf(counting, 40, "0.25"))
	c, out := r.client("", "job", "submit", "--address", local, "--working-dir", r.dir+"/job", "--submission-id", "followed", "--", "python", "count.py")
	c.Env = append(os.Environ(), "PYTHONUNBUFFERED=1") // no token
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r.until("ten lines", time.Minute, func() bool { return strings.Contains(out.String(), "line 10 ") })
	kill()
	if err := c.Wait(); err != nil {
		t.Fatalf("the client ended with %v\n%s", err, out)
	}
	whole(t, out.String(), 40)
}
