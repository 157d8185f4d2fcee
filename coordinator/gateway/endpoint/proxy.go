package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// serveProxy carries one request there and its answer back, both streamed.
func (h *handler) serveProxy(w http.ResponseWriter, r *http.Request, c *call) {
	if r.ContentLength > UploadLimit {
		h.refuseUpload(w, r)
		return
	}
	ctx, stop := h.whileGranted(r.Context(), c)
	defer stop()
	r = r.WithContext(ctx)
	switch {
	case !c.granted: // who has proven nothing asks, and sends nothing
		r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, 0, nil
	case r.Body != nil && r.Body != http.NoBody:
		r.Body = http.MaxBytesReader(w, r.Body, UploadLimit)
	}
	proxy := &httputil.ReverseProxy{
		Transport:      c.route.Transport,
		FlushInterval:  -1, // a followed log is shown as it comes
		Rewrite:        func(p *httputil.ProxyRequest) { h.outbound(p, c) },
		ModifyResponse: func(answer *http.Response) error { return h.inbound(answer, r, c) },
		ErrorHandler:   h.unanswered,
		ErrorLog:       slog.NewLogLogger(h.Log.Handler(), slog.LevelDebug),
	}
	proxy.ServeHTTP(w, r)
}

// whileGranted ends a request that lasts when the access behind it is revoked.
func (h *handler) whileGranted(ctx context.Context, c *call) (context.Context, func()) {
	if c.token == "" {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(h.Times.Probe, func() {
		<-ready
		if ctx.Err() != nil {
			return
		}
		if h.revoked(c) {
			cancel(errRevoked)
			return
		}
		timer.Reset(h.Times.Probe)
	})
	close(ready)
	return ctx, func() {
		cancel(nil)
		timer.Stop()
	}
}

// revoked says that the access which opened the call opens it no more.
func (h *handler) revoked(c *call) bool {
	if c.token == "" {
		return false
	}
	route, err := h.Upstream.Route(c.cluster)
	return err != nil || !route.allows(c.token)
}

// private are the headers that say who or where the user is; none of them leaves for the head. Hop-by-hop headers and the Forwarded
// family are dropped before.
func private() []string {
	return []string{"Authorization", "X-Ray-Authorization", "Cookie", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Via",
		"X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Original-Uri"}
}

// browserish are the headers by which Ray knows a browser. It hides secrets from browsers when they read, and refuses whatever they
// would change; since a request that gets here is proven to come from the endpoint's own page, it may change things.
func browserish() []string {
	return []string{"Origin", "Referer", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Sec-Fetch-User",
		"Access-Control-Request-Method", "Access-Control-Request-Headers"}
}

// outbound makes the request to the head.
func (h *handler) outbound(p *httputil.ProxyRequest, c *call) {
	p.Out.URL = c.at(c.route, c.rest, p.In.URL.RawQuery)
	p.Out.URL.ForceQuery = p.In.URL.ForceQuery
	p.Out.Host = ""
	for _, name := range private() {
		p.Out.Header.Del(name)
	}
	if cookies := h.cookies.known(c.cluster, p.In.Cookies()); cookies != "" {
		p.Out.Header.Set("Cookie", cookies)
	}
	if _, ok := p.Out.Header["User-Agent"]; !ok {
		p.Out.Header.Set("User-Agent", "") // or Go would put its own
	}
	if !c.granted {
		return
	}
	if c.route.Token != "" {
		p.Out.Header.Set("Authorization", "Bearer "+c.route.Token)
	}
	p.Out.Header.Del("Origin") // it names this host, which is not the head's
	p.Out.Header.Del("Referer")
	if safe(p.In.Method) {
		return
	}
	for _, name := range browserish() {
		p.Out.Header.Del(name)
	}
	if strings.HasPrefix(p.In.UserAgent(), "Mozilla") {
		p.Out.Header.Set("User-Agent", "raylink-endpoint")
	}
}

var errTokenRefused = errors.New("the head refused the cluster's own token")

// inbound makes the answer to the user.
func (h *handler) inbound(answer *http.Response, r *http.Request, c *call) error {
	if c.granted && c.route.Token != "" && tokenRefused(answer) {
		return fmt.Errorf("%w: it answered %s", errTokenRefused, answer.Status)
	}
	header := answer.Header
	// A head belongs to a tenant: it must not act for the whole host that its endpoint shares with others.
	for _, name := range []string{"Clear-Site-Data", "Strict-Transport-Security", "Service-Worker-Allowed", "Alt-Svc"} {
		header.Del(name)
	}
	h.inboundCookies(answer, r, c)
	if location := header.Get("Location"); location != "" {
		header.Set("Location", c.outside(location))
	}
	if !h.local {
		h.confine(header, r, c)
	}
	return nil
}

// tokenRefused tells Ray's own "your token is wrong" from other refusals; in the first case the user can do nothing about it.
func tokenRefused(answer *http.Response) bool {
	if answer.Header.Get(ErrorHeader) != "" || answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusForbidden {
		return false
	}
	start := make([]byte, 64)
	n, _ := io.ReadFull(answer.Body, start) // a shorter body is no error here, and a broken one shows when it is copied
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start[:n]), answer.Body), answer.Body}
	return bytes.Contains(start[:n], []byte("authentication token"))
}

// confine keeps the scripts of one cluster's pages away from the other clusters on this host, whose cookies the browser would send
// with their requests: a path alone is no border between pages of one origin.
func (h *handler) confine(header http.Header, r *http.Request, c *call) {
	header.Set("Cross-Origin-Opener-Policy", "noopener-allow-popups")
	scheme, socket := "http", "ws"
	if h.secure(r) {
		scheme, socket = "https", "wss"
	}
	own := r.Host + c.prefix + "/"
	page := scheme + "://" + own
	header.Add("Content-Security-Policy", fmt.Sprintf("connect-src %s %s://%s; frame-src %s; form-action %s; worker-src %s blob:; "+
		"base-uri %s; object-src 'none'; frame-ancestors %s", page, socket, own, page, page, page, page, page))
}

// outside is a path or URL of the head as the user sees it.
func (c *call) outside(location string) string {
	u, err := url.Parse(location)
	if err != nil || (u.Host != "" && u.Host != c.route.Base.Host) || !strings.HasPrefix(u.EscapedPath(), "/") {
		return location
	}
	path := c.outsidePath(u.EscapedPath())
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	if u.Fragment != "" {
		path += "#" + u.EscapedFragment()
	}
	return path
}

func (c *call) outsidePath(path string) string {
	base := strings.TrimSuffix(c.route.Base.EscapedPath(), "/")
	path = c.prefix + "/" + strings.TrimPrefix(strings.TrimPrefix(path, base), "/")
	if strings.HasPrefix(path, "//") { // a browser would take it for another host
		path = "/" + strings.TrimLeft(path, "/")
	}
	return path
}
