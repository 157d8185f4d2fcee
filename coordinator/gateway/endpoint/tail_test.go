package endpoint_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"raylink/coordinator/gateway/endpoint"
	"raylink/coordinator/gateway/raytest"
	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/memory"
)

// bubble is a client, an endpoint and a head in virtual time, joined by an overlay in memory.
type bubble struct {
	t                  *testing.T
	head               *raytest.Head
	routes             *routes
	user, gateway, far *memory.Member
	toHead, toGateway  *endpoint.Transport
	stop               context.CancelFunc
	served             chan error
	pings              int
}

func inBubble(t *testing.T, test func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, head: raytest.New("cluster-secret"), routes: &routes{}, served: make(chan error, 1)}
		b.join()
		b.toHead = endpoint.NewTransport(b.gateway.DialContext, nil)
		b.toGateway = endpoint.NewTransport(b.user.DialContext, nil)
		b.start()
		b.routes.set(clusterA, func(r *endpoint.Route) {
			*r = endpoint.Route{Base: &url.URL{Scheme: "http", Host: "100.64.0.2:8265"}, Transport: b.toHead, Token: "cluster-secret", Access: only(alice)}
		})
		var ctx context.Context
		ctx, b.stop = context.WithCancel(t.Context())
		handler := endpoint.Handler(endpoint.Options{Upstream: b.routes, Log: slog.New(slog.DiscardHandler)})
		listener := b.listen(b.gateway, 80)
		go func() { b.served <- endpoint.Serve(ctx, listener, handler, slog.New(slog.DiscardHandler)) }()
		test(b)
		b.stop()
		if err := <-b.served; err != nil {
			t.Error(err)
		}
		b.head.Kill()
		b.toHead.CloseIdleConnections()
		b.toGateway.CloseIdleConnections()
		synctest.Wait() // a goroutine that is left over now makes the bubble panic
	})
}

// join makes three members that see one another: user .9, gateway .3, head .2.
func (b *bubble) join() {
	network := new(memory.Network)
	members, peers := make([]*memory.Member, 3), make([]overlay.Peer, 3)
	for i, host := range []string{"100.64.0.9/24", "100.64.0.3/24", "100.64.0.2/24"} {
		private, err := overlay.NewPrivateKey(rand.Reader)
		if err != nil {
			b.t.Fatal(err)
		}
		address := netip.MustParsePrefix(host)
		if members[i], err = network.Join(private, address); err != nil {
			b.t.Fatal(err)
		}
		peers[i] = overlay.Peer{PublicKey: private.Public(), Address: address.Addr(), Endpoint: members[i].Endpoint()}
	}
	for i, host := range []string{"100.64.0.9/24", "100.64.0.3/24", "100.64.0.2/24"} {
		others := append(append([]overlay.Peer{}, peers[:i]...), peers[i+1:]...)
		if err := members[i].SetMesh(overlay.Mesh{Address: netip.MustParsePrefix(host), Peers: others}); err != nil {
			b.t.Fatal(err)
		}
	}
	b.user, b.gateway, b.far = members[0], members[1], members[2]
}

func (b *bubble) listen(m *memory.Member, port uint16) net.Listener {
	listener, err := m.Listen(port)
	if err != nil {
		b.t.Fatal(err)
	}
	return listener
}

// start lets the head run, at the same address as before.
func (b *bubble) start() { b.head.Start(b.listen(b.far, 8265)) }

// follow is the client's side of a log.
type follow struct {
	conn *websocket.Conn
	text chan string
	end  chan error
	log  strings.Builder
}

func (b *bubble) dial(job string) (*follow, *http.Response, error) {
	return b.dialAt("http://100.64.0.3/c/"+clusterA, job)
}

func (b *bubble) dialAt(base, job string) (*follow, *http.Response, error) {
	c, resp, err := websocket.Dial(b.t.Context(), base+"/api/jobs/"+job+"/logs/tail", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: b.toGateway}, HTTPHeader: http.Header{"Authorization": {"Bearer " + alice}},
		OnPingReceived: func(context.Context, []byte) bool { b.pings++; return true },
	})
	if err != nil {
		return nil, resp, err
	}
	c.SetReadLimit(1 << 20)
	f := &follow{conn: c, text: make(chan string, 1024), end: make(chan error, 1)}
	go func() {
		for {
			_, data, err := c.Read(context.Background())
			if err != nil {
				f.end <- err
				return
			}
			f.text <- string(data)
		}
	}()
	return f, resp, nil
}

func (b *bubble) follow(job string) *follow {
	b.t.Helper()
	f, _, err := b.dial(job)
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}

// pass lets virtual time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// seen is all that the client has read once d has passed.
func (f *follow) seen(d time.Duration) string {
	pass(d)
	for {
		select {
		case s := <-f.text:
			f.log.WriteString(s)
		default:
			return f.log.String()
		}
	}
}

// code is how the client's socket was closed, or 0 when it is open.
func (f *follow) code() websocket.StatusCode {
	select {
	case err := <-f.end:
		f.end <- err
		return websocket.CloseStatus(err)
	default:
		return 0
	}
}

func lines(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "epoch %3d  Verlust größer als 0,1 €\n", i)
	}
	return b.String()
}

func TestTailFollowsToTheEnd(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		b.head.Append("j", lines(0, 25))
		f := b.follow("j")
		if got := f.seen(2 * time.Second); got != lines(0, 25) {
			t.Fatalf("got %q", got)
		}
		b.head.Append("j", lines(25, 30))
		b.head.Finish("j", "FAILED", "exit 1")
		if got := f.seen(5 * time.Second); got != lines(0, 30) {
			t.Errorf("got %q", got)
		}
		if f.code() != websocket.StatusNormalClosure {
			t.Errorf("closed with %d", f.code())
		}
	})
}

func TestTailOfAnUnknownJob(t *testing.T) {
	inBubble(t, func(b *bubble) {
		_, resp, err := b.dial("nope")
		if err == nil || resp == nil || resp.StatusCode != 404 {
			t.Fatalf("answered %v %v", resp, err)
		}
		if text, _ := io.ReadAll(resp.Body); string(text) != "Job nope does not exist" {
			t.Errorf("body %q", text)
		}
	})
}

func TestTailIsHeldWhileTheHeadRestartsAndResumesExactly(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		b.head.Append("j", lines(0, 13))
		f := b.follow("j")
		f.seen(2 * time.Second)
		b.head.Kill()
		if f.seen(30 * time.Second); f.code() != 0 {
			t.Fatalf("closed with %d while the head restarts", f.code())
		}
		b.head.Append("j", lines(13, 31)) // the driver runs on a worker: its log grows
		b.start()
		if got := f.seen(10 * time.Second); got != lines(0, 31) {
			t.Fatalf("after the head's return: %q", got)
		}
		b.head.Append("j", lines(31, 32))
		b.head.Finish("j", "SUCCEEDED", "")
		if got := f.seen(5 * time.Second); got != lines(0, 32) || f.code() != websocket.StatusNormalClosure {
			t.Errorf("at the end, closed with %d: %q", f.code(), got)
		}
	})
}

func TestTailWaitsForTheVerdict(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		b.head.Append("j", lines(0, 3))
		f := b.follow("j")
		f.seen(2 * time.Second)
		b.head.Append("j", lines(3, 4)) // written just before the end: only the log's file has it
		b.head.Kill()
		pass(7 * time.Second)
		b.head.Set("j", func(j *raytest.Job) { j.Agentless = true })
		b.start()
		for range 7 { // Ray lists it RUNNING for long
			if f.seen(10 * time.Second); f.code() != 0 {
				t.Fatalf("closed with %d before the verdict", f.code())
			}
		}
		b.head.Finish("j", "FAILED", "Unexpected error occurred: failed to get job supervisor.")
		got := f.seen(15 * time.Second)
		if !strings.HasPrefix(got, lines(0, 4)+"\nraylink: the job FAILED: Unexpected error occurred: failed to get job supervisor.\n") {
			t.Errorf("got %q", got)
		}
		if !strings.Contains(got, "the cluster's head was lost at 00:00:02 UTC") {
			t.Errorf("it does not say why: %q", got)
		}
		if f.code() != websocket.StatusNormalClosure {
			t.Errorf("closed with %d", f.code())
		}
	})
}

func TestTailGetsWhatALostTailLeftOut(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		b.head.Append("j", lines(0, 3))
		f := b.follow("j")
		f.seen(2 * time.Second)
		b.head.Append("j", lines(3, 2000))
		b.head.Finish("j", "SUCCEEDED", "")
		b.head.Kill()
		b.start()
		if got := f.seen(10 * time.Second); got != lines(0, 2000) {
			t.Errorf("got %d bytes of %d", len(got), len(lines(0, 2000)))
		}
		if f.code() != websocket.StatusNormalClosure {
			t.Errorf("closed with %d", f.code())
		}
	})
}

func TestTailWakesAnAgentThatDoesNotFollow(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Set("j", func(j *raytest.Job) { j.Status, j.Agentless, j.Log = "RUNNING", true, lines(0, 2) })
		f := b.follow("j") // upstream ends it at once, cleanly
		if got := f.seen(5 * time.Second); got != lines(0, 2) || f.code() != 0 {
			t.Errorf("closed with %d, got %q", f.code(), got)
		}
	})
}

func TestTailOfAJobThatIsLost(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		f := b.follow("j")
		f.seen(2 * time.Second)
		b.head.Kill()
		b.head.Forget("j")
		b.start()
		if f.seen(9 * time.Minute); f.code() != 0 {
			t.Fatalf("closed with %d too early", f.code())
		}
		if f.seen(2 * time.Minute); f.code() != websocket.StatusInternalError {
			t.Errorf("closed with %d", f.code())
		}
		var end websocket.CloseError
		if err := <-f.end; !errors.As(err, &end) || !strings.HasPrefix(end.Reason, "raylink: nobody could say for 10m0s") {
			t.Errorf("reason: %v", err)
		}
	})
}

func TestTailEndsWithTheClusterAndTheAccess(t *testing.T) {
	for name, end := range map[string]func(b *bubble){
		"revoked": func(b *bubble) { b.routes.set(clusterA, func(r *endpoint.Route) { r.Access = only(bob) }) },
		"ended":   func(b *bubble) { b.routes.remove(clusterA) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				b.head.Submit("j")
				f := b.follow("j")
				f.seen(2 * time.Second)
				end(b)
				if f.seen(6 * time.Second); f.code() != websocket.StatusPolicyViolation {
					t.Errorf("closed with %d", f.code())
				}
			})
		})
	}
}

func TestTailNoticesAHeadThatFallsSilent(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		b.head.Append("j", lines(0, 1))
		f := b.follow("j")
		f.seen(2 * time.Second)
		_ = b.far.Close() // no packet passes any more; no connection breaks
		f.seen(time.Minute)
		if f.code() != 0 {
			t.Fatalf("closed with %d", f.code())
		}
		// The cluster's head now stands elsewhere; the dead connection must have been given up.
		second := raytest.New("cluster-secret")
		second.Set("j", func(j *raytest.Job) { j.Status, j.Log = "RUNNING", lines(0, 2) })
		second.Start(b.listen(b.user, 8265))
		b.routes.set(clusterA, func(r *endpoint.Route) { r.Base = &url.URL{Scheme: "http", Host: "100.64.0.9:8265"} })
		if got := f.seen(20 * time.Second); got != lines(0, 2) {
			t.Errorf("got %q", got)
		}
		second.Kill()
	})
}

func TestTailPingsAQuietClient(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		f := b.follow("j")
		if f.seen(61 * time.Second); b.pings != 4 {
			t.Errorf("%d pings in a minute", b.pings)
		}
		_ = f.conn.CloseNow()
		synctest.Wait()
	})
}

func TestTailIsCutNotClosedWhenTheGatewayStops(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		f := b.follow("j")
		f.seen(time.Second)
		b.stop()
		if f.seen(10 * time.Second); f.code() != -1 {
			t.Errorf("closed with %d: Ray's command would think that the job is over", f.code())
		}
	})
}

func TestClientGoneEndsTheTailUpstream(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		f := b.follow("j")
		f.seen(time.Second)
		_ = f.conn.CloseNow()
		pass(10 * time.Second)
		before := len(b.head.Requests())
		pass(time.Minute)
		if after := len(b.head.Requests()); after != before {
			t.Errorf("%d requests for a client that has gone", after-before)
		}
	})
}

func TestTailThroughLocalOutlivesAGateway(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		b.head.Append("j", lines(0, 5))
		up := &routes{}
		up.set("", func(r *endpoint.Route) {
			*r = endpoint.Route{Base: &url.URL{Scheme: "http", Host: "100.64.0.3", Path: "/c/" + clusterA}, Transport: b.toGateway, Token: alice}
		})
		ctx, stop := context.WithCancel(b.t.Context())
		done := make(chan error, 1)
		listener := b.listen(b.user, 8265)
		go func() {
			done <- endpoint.Serve(ctx, listener, hostOf("localhost", endpoint.Local(endpoint.Options{Upstream: up, Log: slog.New(slog.DiscardHandler)})), slog.New(slog.DiscardHandler))
		}()
		f, _, err := b.dialAt("http://100.64.0.9:8265", "j")
		if err != nil {
			t.Fatal(err)
		}
		f.seen(2 * time.Second)
		b.stop() // the gateway ends; another one takes its place
		if err := <-b.served; err != nil {
			t.Fatal(err)
		}
		b.head.Append("j", lines(5, 9))
		pass(20 * time.Second)
		again, end := context.WithCancel(b.t.Context())
		b.stop = end
		next := b.listen(b.gateway, 80)
		handler := endpoint.Handler(endpoint.Options{Upstream: b.routes, Log: slog.New(slog.DiscardHandler)})
		go func() { b.served <- endpoint.Serve(again, next, handler, slog.New(slog.DiscardHandler)) }()
		if got := f.seen(10 * time.Second); got != lines(0, 9) {
			t.Errorf("got %q", got)
		}
		b.routes.set(clusterA, func(r *endpoint.Route) { r.Access = only() })
		if f.seen(30 * time.Second); f.code() != websocket.StatusInternalError {
			t.Errorf("after the token was revoked: closed with %d", f.code())
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// hostOf makes requests look as if they came for a loopback name: the overlay in memory knows none.
func hostOf(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = host
		next.ServeHTTP(w, r)
	})
}

func TestHeadDownAtFirstDial(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.head.Submit("j")
		b.head.Kill()
		time.AfterFunc(20*time.Second, b.start)
		f := b.follow("j") // the request is held meanwhile
		b.head.Append("j", "x\n")
		if got := f.seen(3 * time.Second); got != "x\n" {
			t.Errorf("got %q", got)
		}
		b.routes.set(clusterA, func(r *endpoint.Route) { r.Down = raylink.Errorf(raylink.CodeUnavailable, "the head is placed anew") })
		if _, resp, err := b.dial("j"); err == nil || resp.StatusCode != 503 {
			t.Errorf("while it is down: %v", err)
		}
	})
}
