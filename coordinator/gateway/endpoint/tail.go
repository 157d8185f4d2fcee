package endpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"raylink/raylink"
)

const (
	dialTime     = 20 * time.Second
	writeTime    = 5 * time.Second
	messageLimit = 32 << 20 // bytes of one message of a log; Ray sends ten lines, and its own parts take 4 MiB of each other
	clientLimit  = 4 << 10  // bytes of one message from a client, which has nothing to say
	tailsAll     = 4096     // logs followed at once, of all clusters
	tailsCluster = 256      // and of one
	finalReason  = "raylink: "
)

var errClientGone = errors.New("the client has gone")

// tail is one client that follows the log of one job. The client's socket is held whatever happens upstream: a lost socket makes
// Ray's command exit 1, and a clean close makes it exit 0, while the job goes on in both cases. So the socket is closed cleanly only
// once Ray has said what became of the job. Ray's tail always starts at the log's first byte, so resuming is skipping what was sent.
type tail struct {
	h    *handler
	call *call
	id   string // the job's, escaped

	client *websocket.Conn
	leave  context.CancelCauseFunc

	sent        int64     // bytes of the log that the client has
	sum         hash.Hash // SHA-256 over them
	skip        int64     // bytes of the present replay that the client already has
	fresh       bool      // something new came since the last break
	interrupted time.Time // when the stream was first seen to break off; zero while it has not
	fruitless   int       // attempts to resume since something new came
}

func (h *handler) serveTail(w http.ResponseWriter, r *http.Request, c *call) {
	if !h.tails.enter(c.cluster) {
		h.refuse(w, r, raylink.Errorf(raylink.CodeUnavailable, "too many logs are being followed").WithHint("at most %d of one cluster", tailsCluster))
		return
	}
	defer h.tails.exit(c.cluster)
	t := &tail{h: h, call: c, id: c.jobTail(), sum: sha256.New()}
	upstream := t.first(w, r)
	if upstream == nil {
		return
	}
	client, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // sameSite has looked at the origin
	if err != nil {
		_ = upstream.CloseNow()
		return // Accept has answered
	}
	t.client = client
	client.SetReadLimit(clientLimit)
	ctx, leave := context.WithCancelCause(r.Context())
	t.leave = leave
	var own sync.WaitGroup
	own.Go(func() { t.listen(ctx) })
	own.Go(func() { t.attend(ctx) })
	t.run(ctx, upstream)
	leave(nil)
	_ = client.CloseNow() // a stream that ended well is closed already
	own.Wait()
}

// first connects upstream before the client is upgraded, so that what Ray says of an unknown job arrives as the answer it is. A head that is just restarting
// is waited for.
func (t *tail) first(w http.ResponseWriter, r *http.Request) *websocket.Conn {
	ctx, cancel := context.WithTimeout(r.Context(), t.h.Times.First)
	defer cancel()
	for attempt := 0; ; attempt++ {
		route, err := t.route()
		if err != nil {
			t.h.refuse(w, r, raylink.AsError(err))
			return nil
		}
		upstream, answer, err := t.dial(ctx, route)
		if err == nil {
			return upstream
		}
		if answer != nil && answer.StatusCode >= 400 && answer.StatusCode < 500 && !tokenRefused(answer) {
			pass(w, answer)
			return nil
		}
		if !sleep(ctx, t.pause(attempt)) {
			if answer != nil && answer.StatusCode >= 500 {
				pass(w, answer)
			} else {
				t.h.unanswered(w, r, err)
			}
			return nil
		}
	}
}

// pass gives the client an answer of the upstream that was no upgrade.
func pass(w http.ResponseWriter, answer *http.Response) {
	for _, name := range []string{"Content-Type", ErrorHeader, "Retry-After"} {
		if value := answer.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the WebSocket library has read its first 1,024 bytes, which are in memory
}

// route is where the cluster stands now; an error is for good.
func (t *tail) route() (Route, error) {
	route, err := t.h.Upstream.Route(t.call.cluster)
	if err != nil {
		return Route{}, err
	}
	if t.call.token != "" && !route.allows(t.call.token) {
		return Route{}, errRevoked
	}
	return route, nil
}

func (t *tail) dial(ctx context.Context, route Route) (*websocket.Conn, *http.Response, error) {
	if route.Down != nil {
		return nil, nil, route.Down
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	client := &http.Client{Transport: route.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	upstream, answer, err := websocket.Dial(ctx, t.call.at(route, t.call.rest, "").String(),
		&websocket.DialOptions{HTTPClient: client, HTTPHeader: t.header(route)})
	if err != nil {
		if answer != nil && answer.Body == nil {
			answer.Body = http.NoBody
		}
		return nil, answer, fmt.Errorf("following the log of job %s: %w", t.id, err)
	}
	upstream.SetReadLimit(messageLimit)
	return upstream, nil, nil
}

// run forwards and resumes until the job is over, the client has gone, or nobody can say what became of the job.
func (t *tail) run(ctx context.Context, upstream *websocket.Conn) {
	for upstream != nil {
		err := t.pump(ctx, upstream)
		if ctx.Err() != nil {
			return
		}
		var closed websocket.CloseError
		if errors.As(err, &closed) && closed.Code == websocket.StatusInternalError && strings.HasPrefix(closed.Reason, finalReason) {
			_ = t.client.Close(closed.Code, closed.Reason) // a gateway's last word
			return
		}
		clean := websocket.CloseStatus(err) == websocket.StatusNormalClosure
		if !clean && t.interrupted.IsZero() {
			t.interrupted = time.Now()
		}
		t.h.Log.Debug("log stream broke off", "cluster", t.call.cluster, "job", t.id, "clean", clean, "sent_bytes", t.sent, "cause", err)
		upstream = t.resume(ctx, clean && !t.fresh)
	}
}

// pump forwards messages until upstream ends or breaks, and says how.
func (t *tail) pump(ctx context.Context, upstream *websocket.Conn) error {
	ctx, stop := context.WithCancel(ctx)
	var own sync.WaitGroup
	own.Go(func() { t.watch(ctx, upstream) })
	defer own.Wait()
	defer stop()
	defer func() { _ = upstream.CloseNow() }() // its end is known already
	t.skip, t.fresh = t.sent, false
	for {
		kind, message, err := upstream.Read(ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageText {
			continue // Ray sends none
		}
		if err := t.forward(ctx, message); err != nil {
			return err
		}
	}
}

// forward gives the client what it does not have yet of a message.
func (t *tail) forward(ctx context.Context, message []byte) error {
	if t.skip >= int64(len(message)) {
		t.skip -= int64(len(message))
		return nil
	}
	message = message[t.skip:]
	t.skip = 0
	// A text frame that is not UTF-8 would make the client hang up.
	if err := t.client.Write(ctx, websocket.MessageText, bytes.ToValidUTF8(message, []byte("\uFFFD"))); err != nil {
		t.leave(errClientGone)
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	t.sent += int64(len(message))
	t.sum.Write(message)
	t.fresh, t.fruitless = true, 0
	return nil
}

// listen notices when the client goes.
func (t *tail) listen(ctx context.Context) {
	for {
		_, message, err := t.client.Reader(ctx)
		if err == nil {
			_, err = io.Copy(io.Discard, message)
		}
		if err != nil {
			t.leave(errClientGone)
			return
		}
	}
}

// attend keeps the client's connection alive through whatever forgets quiet ones, and cuts it when the access is revoked. A missing
// pong means nothing: a client that is paused reads nothing.
func (t *tail) attend(ctx context.Context) {
	pings, looks := time.NewTicker(t.h.Times.Ping), time.NewTicker(t.h.Times.Probe)
	defer pings.Stop()
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pings.C:
			ping(ctx, t.client)
		case <-looks.C:
			if t.h.revoked(t.call) {
				// Not by a normal close: the job may run on.
				_ = t.client.Close(websocket.StatusPolicyViolation, finalReason+"the access token was revoked, or the cluster has ended")
				t.leave(errRevoked)
				return
			}
		}
	}
}

// watch finds out that a connection is dead which its other end could not close any more: a ping makes a head that was restarted at
// the same address answer with a reset, and a head that answers nothing twice in a row is not waited for.
func (t *tail) watch(ctx context.Context, upstream *websocket.Conn) {
	ticker := time.NewTicker(t.h.Times.Probe)
	defer ticker.Stop()
	for silent := 0; silent < 2; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ping(ctx, upstream)
		if t.alive(ctx) {
			silent = 0
		} else {
			silent++
		}
	}
	_ = upstream.CloseNow() // pump's Read ends
}

// alive says whether the far side answers anything at all.
func (t *tail) alive(ctx context.Context) bool {
	route, err := t.route()
	if err != nil || route.Down != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.call.at(route, "/api/version", "").String(), nil)
	if err != nil {
		return false
	}
	request.Header = t.header(route)
	answer, err := route.Transport.RoundTrip(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	_ = answer.Body.Close()
	return true
}

// ping does not wait long for the pong: Ray's server never reads from a log's socket.
func ping(ctx context.Context, c *websocket.Conn) {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	_ = c.Ping(ctx) // who reads finds a broken connection
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// tailCount bounds how many logs are followed at once.
type tailCount struct {
	mu    sync.Mutex
	all   int
	count map[string]int
}

func (n *tailCount) enter(cluster string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all >= tailsAll || n.count[cluster] >= tailsCluster {
		return false
	}
	if n.count == nil {
		n.count = map[string]int{}
	}
	n.all++
	n.count[cluster]++
	return true
}

func (n *tailCount) exit(cluster string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all--
	if n.count[cluster]--; n.count[cluster] == 0 {
		delete(n.count, cluster)
	}
}
