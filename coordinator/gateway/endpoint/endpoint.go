// Package endpoint is the faithful proxy of Ray's own HTTP API: exact paths, streamed bodies, log WebSockets that outlive a restart of
// the far side. Gateways serve it under /c/<cluster>/ with a user's token exchanged for the cluster's own; `raylink connect` serves
// it on the user's loopback.
//
// The head belongs to the tenant and its machine to a stranger: no credential of the user, no cookie of another site, and no address of
// the user goes there, and what comes from there is kept to its own path.
package endpoint

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"raylink/raylink"
)

// UploadLimit is how large a request's body may be, in bytes: Ray's own DASHBOARD_CLIENT_MAX_SIZE.
const UploadLimit = 100 << 20

// ErrorHeader carries the raylink.Code of an answer that is Raylink's own and not Ray's.
const ErrorHeader = "X-Raylink-Error"

// Upstream knows where each cluster's API stands.
type Upstream interface {
	// Route is where the cluster's API stands right now. It is asked for each request and each attempt to resume, and must not block.
	// The error is not_found for a cluster that is not served here, or not any more.
	Route(cluster string) (Route, error)
}

// Route is where one cluster's API stands right now, and who may use it.
type Route struct {
	Base      *url.URL          // its path, if any, stands before that of every request
	Transport http.RoundTripper // reaches Base; compression must be off in it
	Token     string            // a secret: the bearer token that Base wants

	// Access says whether an access token may use the cluster. Nil: whoever reaches the listener may (on a loopback only).
	Access func(token string) bool
	// Down says why the cluster cannot serve now; nil when it can. Only those with access are told.
	Down *raylink.Error
}

// Times are the paces of log streams and long requests. A zero is replaced by the default.
type Times struct {
	Ping  time.Duration // between pings to the client of a quiet log; 15 s
	Probe time.Duration // between looks whether the far side of a log still lives, and the user's access still holds; 5 s
	Retry time.Duration // the longest pause between two attempts to resume; 5 s
	First time.Duration // how long a log's first connection may take before the client gets an error; 60 s
	Hold  time.Duration // how long a client is held while nobody can say what became of its job; 10 min
}

func (t Times) withDefaults() Times {
	for _, d := range []struct {
		value  *time.Duration
		preset time.Duration
	}{
		{&t.Ping, 15 * time.Second}, {&t.Probe, 5 * time.Second}, {&t.Retry, 5 * time.Second},
		{&t.First, time.Minute}, {&t.Hold, 10 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.preset
		}
	}
	return t
}

// Options are what a handler needs.
type Options struct {
	Upstream Upstream
	Log      *slog.Logger
	Times    Times
	Secure   bool // users reach it over TLS, even if the handler itself is spoken to in plain text
}

type handler struct {
	Options
	local   bool   // serves one cluster at the root, with the access of whoever started it
	far     string // what is at the other end, in words
	cookies cookieNames
	tails   tailCount
}

// Handler serves /c/<cluster>/… for every cluster that the upstream knows.
func Handler(o Options) http.Handler {
	o.Times = o.Times.withDefaults()
	return &handler{Options: o, far: "the cluster's head"}
}

// Local serves one cluster, Route(""), at the root of a loopback listener. Nobody shows a token to it, so it answers requests for a
// loopback host name only, and none that a foreign web page made.
func Local(o Options) http.Handler {
	o.Times = o.Times.withDefaults()
	return &handler{Options: o, local: true, far: "the gateway"}
}

// call is one request on its way.
type call struct {
	cluster string
	prefix  string // of the user's path: /c/<cluster>, or nothing
	rest    string // what follows the prefix, escaped exactly as it came; begins with a slash
	plain   string // the same, unescaped
	route   Route
	token   string // with which access was proven; empty for an anonymous or a local call
	granted bool   // access was proven; otherwise the call may see what Ray shows to everybody
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, refusal := h.receive(w, r)
	if refusal != nil {
		h.refuse(w, r, refusal)
		return
	}
	switch {
	case c == nil: // answered
	case c.route.Down != nil && c.granted:
		h.refuse(w, r, c.route.Down)
	case c.route.Down != nil:
		h.refuse(w, r, raylink.Errorf(raylink.CodeUnavailable, "the cluster %s is not ready", c.cluster))
	case c.granted && isUpgrade(r) && c.jobTail() != "":
		h.serveTail(w, r, c)
	default:
		h.serveProxy(w, r, c)
	}
}

// receive finds out what is asked for and by whom. It returns neither a call nor an error when it has answered itself.
func (h *handler) receive(w http.ResponseWriter, r *http.Request) (*call, *raylink.Error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // an earlier request on this connection may have set them; not every writer can
	_ = control.SetWriteDeadline(time.Time{})
	c, refusal := h.parse(r)
	if refusal != nil {
		return nil, refusal
	}
	route, err := h.Upstream.Route(c.cluster)
	if err != nil {
		return nil, raylink.AsError(err)
	}
	c.route = route
	if c.plain == "/api/authenticate" {
		h.authenticate(w, r, c)
		return nil, nil
	}
	if refusal := h.admit(r, c); refusal != nil {
		return nil, refusal
	}
	if !c.granted { // the deadline is for those who have proven nothing
		_ = control.SetWriteDeadline(time.Now().Add(anonymousTime))
	}
	if c.rest == "" { // the dashboard's links are relative; nothing but a browser is ever redirected
		if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			h.redirect(w, r, c.prefix+"/")
			return nil, nil
		}
		c.rest, c.plain = "/", "/"
	}
	return c, nil
}

func (h *handler) redirect(w http.ResponseWriter, r *http.Request, to string) {
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusPermanentRedirect)
}

// parse takes the path apart without cleaning it, and refuses what an upstream could read in another way than we do.
func (h *handler) parse(r *http.Request) (*call, *raylink.Error) {
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the method %s is not served here", r.Method)
	}
	if !plainHost(r.Host) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the request names no proper host")
	}
	if h.local && !loopbackHost(r.Host) {
		return nil, raylink.Errorf(raylink.CodeForbidden, "this address answers to localhost only").
			WithHint("use http://127.0.0.1 with the port that `raylink connect` printed")
	}
	for segment := range strings.SplitSeq(r.URL.Path, "/") {
		if segment == "." || segment == ".." {
			return nil, raylink.Errorf(raylink.CodeInvalid, "the path has a segment %q", segment)
		}
	}
	if h.local {
		return &call{rest: r.URL.EscapedPath(), plain: r.URL.Path}, nil
	}
	missing := raylink.Errorf(raylink.CodeNotFound, "no cluster stands at this path").
		WithHint("an endpoint ends with /c/<cluster id>; `raylink cluster endpoint <cluster>` prints it")
	after, ok := strings.CutPrefix(r.URL.EscapedPath(), "/c/")
	if !ok {
		return nil, missing
	}
	cluster, _, _ := strings.Cut(after, "/")
	if !plainCluster(cluster) { // so its escaped and unescaped forms are equal
		return nil, missing
	}
	return &call{
		cluster: cluster, prefix: "/c/" + cluster,
		rest: after[len(cluster):], plain: strings.TrimPrefix(r.URL.Path, "/c/"+cluster),
	}, nil
}

func plainCluster(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// plainHost keeps a Host header out of answers unless it is a name or address with a port.
func plainHost(s string) bool {
	return s != "" && len(s) <= 255 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]_") == ""
}

func loopbackHost(hostport string) bool {
	host := (&url.URL{Host: hostport}).Hostname()
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// jobTail is the escaped id of the job whose log the call wants to follow, or nothing.
func (c *call) jobTail() string {
	id, ok := strings.CutPrefix(c.rest, "/api/jobs/")
	if !ok {
		return ""
	}
	if id, ok = strings.CutSuffix(id, "/logs/tail"); !ok || strings.Contains(id, "/") {
		return ""
	}
	return id
}

// at is the upstream's URL for an escaped path.
func (c *call) at(route Route, rest, rawQuery string) *url.URL {
	u := *route.Base
	escaped := strings.TrimSuffix(u.EscapedPath(), "/") + rest
	if path, err := url.PathUnescape(escaped); err == nil {
		u.Path, u.RawPath = path, escaped
	}
	u.RawQuery = rawQuery
	return &u
}

// allows is false where nobody said who may use the cluster.
func (r Route) allows(token string) bool { return r.Access != nil && r.Access(token) }
