package endpoint_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"raylink/coordinator/gateway/endpoint"
)

// mirror is an upstream that shows the exact request line it got, and can be told what to answer.
func mirror(t *testing.T, g *rig, handler http.HandlerFunc) {
	t.Helper()
	listener := listen(t)
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	g.routes.set(clusterA, func(r *endpoint.Route) { r.Base = &url.URL{Scheme: "http", Host: listener.Addr().String()} })
}

func TestPathsStayExact(t *testing.T) {
	g := newRig(t)
	mirror(t, g, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })
	for path, want := range map[string]string{
		"/api/jobs/":                      "/api/jobs/",
		"/api/jobs":                       "/api/jobs",
		"/api/jobs//x":                    "/api/jobs//x",
		"/api/jobs/a%2Fb/logs":            "/api/jobs/a%2Fb/logs",
		"/api/v0/logs/file?a=1;b=2&c=%zz": "/api/v0/logs/file?a=1;b=2&c=%zz",
		"/api/x?":                         "/api/x?",
		"/api/%E2%82%AC+%20~":             "/api/%E2%82%AC+%20~",
		"/...":                            "/...",
		"//evil.example/x":                "//evil.example/x",
	} {
		g.ask("GET", "/c/"+clusterA+path, "", asAlice).want(t, 200)
		if got := g.ask("GET", "/c/"+clusterA+path, "", asAlice).body; got != want {
			t.Errorf("%s arrived as %s", path, got)
		}
	}
}

func TestPathsOutsideAreRefused(t *testing.T) {
	g := newRig(t)
	for path, status := range map[string]int{
		"/c/../" + clusterA + "/api/version":             400,
		"/c/" + clusterA + "/../" + clusterB + "/":       400,
		"/c/" + clusterA + "/static/../api/version":      400,
		"/c/" + clusterA + "/static/%2e%2e/api/version":  400,
		"/c/" + clusterA + "/static%2f..%2fapi%2fversio": 400,
		"/c/" + clusterA + "/./api/version":              400,
		"/c//api/version":                                404,
		"/c/":                                            404,
		"/":                                              404,
		"/api/version":                                   404,
		"/c/%63-aaaaaaaaaa/api/version":                  404,
		"/c/C-AAAAAAAAAA/api/version":                    404,
		"//c/" + clusterA + "/api/version":               404,
		"/c/" + strings.Repeat("c", 65) + "/":            404,
	} {
		if a := g.ask("GET", path, "", asAlice); a.status != status {
			t.Errorf("%s answered %d, want %d", path, a.status, status)
		}
	}
	if n := len(g.head.Requests()); n != 0 {
		t.Errorf("%d requests reached the head", n)
	}
}

func TestOnlyBrowsersAreRedirected(t *testing.T) {
	g := newRig(t)
	a := g.ask("GET", "/c/"+clusterA+"?x=1", "", "Accept: text/html,*/*")
	if a.status != 308 || a.header.Get("Location") != "/c/"+clusterA+"/?x=1" {
		t.Errorf("a browser got %d to %s", a.status, a.header.Get("Location"))
	}
	g.ask("GET", "/c/"+clusterA, "", "Accept: */*").want(t, 200, "Ray Dashboard")
	g.ask("POST", "/c/"+clusterA, "x", asAlice, "Accept: text/html").want(t, 200)
}

func TestAnswersAreKeptToTheirPath(t *testing.T) {
	g := newRig(t)
	a := g.ask("GET", "/c/"+clusterA+"/api/authentication_mode", "")
	if got := a.header.Values("Set-Cookie"); len(got) != 1 || got[0] != "theme=dark; Path=/c/"+clusterA+"/" {
		t.Errorf("cookies: %q", got)
	}
	csp := a.header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "connect-src http://"+g.addr+"/c/"+clusterA+"/ ws://"+g.addr+"/c/"+clusterA+"/;") {
		t.Errorf("pages may speak to others: %q", csp)
	}
	a = g.ask("GET", "/c/"+clusterA+"/redirect", "", asAlice, "Cookie: theme=dark; other=1")
	if got := a.header.Get("Location"); got != "/c/"+clusterA+"/new/home?x=1" {
		t.Errorf("redirected to %s", got)
	}
	all := g.head.Requests()
	if got := all[len(all)-1].Header.Get("Cookie"); got != "theme=dark" {
		t.Errorf("the head got the cookies %q, want its own alone", got)
	}
	mirror(t, g, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Clear-Site-Data", `"*"`)
		w.Header().Set("Service-Worker-Allowed", "/")
		w.Header().Set("Location", r.Header.Get("X-To"))
		http.SetCookie(w, &http.Cookie{Name: "raylink-endpoint", Value: "fixed"})
	})
	a = g.ask("GET", "/c/"+clusterA+"/x", "", asAlice, "X-To: https://elsewhere.example/y")
	if a.header.Get("Clear-Site-Data")+a.header.Get("Service-Worker-Allowed")+a.header.Get("Set-Cookie") != "" {
		t.Errorf("a head acts for the whole host: %v", a.header)
	}
	if got := a.header.Get("Location"); got != "https://elsewhere.example/y" {
		t.Errorf("redirected to %s", got)
	}
}

func TestRefusalOfTheClustersTokenIsNotTheUsersFault(t *testing.T) {
	g := newRig(t)
	for _, token := range []string{"wrong", ""} {
		g.routes.set(clusterA, func(r *endpoint.Route) { r.Token = "stale" + token })
		g.ask("GET", "/c/"+clusterA+"/api/version", "", asAlice).want(t, 503, "yours is fine")
	}
}

func TestUploads(t *testing.T) {
	g := newRig(t)
	path := "/c/" + clusterA + "/api/packages/gcs/_ray_pkg_0123456789abcdef.zip"
	put := func(size int64, chunked bool) answer {
		var body io.Reader = io.LimitReader(zeros{}, size)
		if chunked {
			body = struct{ io.Reader }{body}
		}
		request, err := http.NewRequestWithContext(t.Context(), "PUT", "http://"+g.addr+path, body)
		if err != nil {
			t.Fatal(err)
		}
		if !chunked {
			request.ContentLength = size
		}
		request.Header.Set("Authorization", "Bearer "+alice)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(request)
		if err != nil {
			t.Fatalf("putting %d bytes (chunked %v): %v", size, chunked, err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{status: resp.StatusCode, body: string(text), header: resp.Header}
	}
	put(endpoint.UploadLimit, false).want(t, 200)
	if got := g.head.Package("/api/packages/gcs/_ray_pkg_0123456789abcdef.zip"); got != endpoint.UploadLimit {
		t.Fatalf("the head got %d bytes", got)
	}
	put(3<<20, true).want(t, 200)
	put(endpoint.UploadLimit+1, false).want(t, 413, "working_dir", "https://")
	put(endpoint.UploadLimit+1, true).want(t, 413, "working_dir")
	if got := g.head.Package("/api/packages/gcs/_ray_pkg_0123456789abcdef.zip"); got != 3<<20 {
		t.Errorf("a refused upload left %d bytes", got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestSmuggling(t *testing.T) {
	g := newRig(t)
	start := "POST /c/" + clusterA + "/api/jobs/ HTTP/1.1\r\nHost: " + g.addr + "\r\n" + asAlice + "\r\nConnection: close\r\n"
	for name, rest := range map[string]string{
		"two lengths":           "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
		"odd encoding":          "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"space before colon":    "Content-Length : 3\r\n\r\nabc",
		"a header of nothing":   ": 1\r\nContent-Length: 4\r\n\r\nabcd",
		"newline in a header":   "X-A: 1\x00\r\n\r\n",
		"length that overflows": "Content-Length: 99999999999999999999\r\n\r\n",
	} {
		if a := g.raw(start+rest, "POST"); a.status < 400 {
			t.Errorf("%s answered %d", name, a.status)
		}
	}
	g.raw("GET /c/"+clusterA+"/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET").want(t, 400)
	g.ask("GET", "/c/"+clusterA+"/", "", "Host: evil;script-src").want(t, 400)
	g.ask("CONNECT", "/c/"+clusterA+"/", "", asAlice).want(t, 400)
	if n := len(g.head.Requests()); n != 0 {
		t.Fatalf("%d requests reached the head", n)
	}
	// Both a length and chunks: the chunks count, and the head sees one request and no second one inside it.
	body := "26\r\n" + `{"entrypoint":"x","submission_id":"s"}` + "\r\n0\r\n\r\n"
	a := g.raw(start+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"+body, "POST")
	if all := g.head.Requests(); len(all) > 1 || a.status == 200 && (len(all) != 1 || all[0].ContentLength > 0) {
		t.Errorf("answered %d; the head saw %d requests", a.status, len(all))
	}
}

func TestHeaderLimits(t *testing.T) {
	g := newRig(t)
	a := g.ask("GET", "/c/"+clusterA+"/", "", "X-Long: "+strings.Repeat("x", 128<<10))
	a.want(t, 431)
}

func TestClientGoneEndsTheRequestUpstream(t *testing.T) {
	g := newRig(t)
	begun, ended := make(chan bool), make(chan bool)
	mirror(t, g, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first line\n")
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
		close(ended)
	})
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /c/%s/api/v0/logs/stream HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", clusterA, g.addr, asAlice)
	<-begun
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "first line\n" {
		t.Fatalf("a stream is held back: %q %v", line, err)
	}
	_ = conn.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the request goes on upstream")
	}
}

func TestHeadThatDoesNotAnswer(t *testing.T) {
	g := newRig(t)
	g.head.Kill()
	g.ask("GET", "/c/"+clusterA+"/api/version", "", asAlice).want(t, 503, "restarting")
	mirror(t, g, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	g.ask("POST", "/c/"+clusterA+"/api/jobs/", "{}", asAlice).want(t, 502, "not known")
}

func TestOtherWebSocketsPass(t *testing.T) {
	g := newRig(t)
	c, _, err := websocket.Dial(t.Context(), "http://"+g.addr+"/c/"+clusterA+"/api/echo",
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + alice}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != "hello" {
		t.Errorf("came back: %q %v", got, err)
	}
	_ = c.CloseNow()
	if _, resp, err := websocket.Dial(t.Context(), "http://"+g.addr+"/c/"+clusterA+"/api/echo", nil); err == nil || resp.StatusCode != 401 {
		t.Errorf("without a token: %v", err)
	}
}

func TestLocal(t *testing.T) {
	g := newRig(t)
	transport := endpoint.NewTransport(new(net.Dialer).DialContext, nil)
	t.Cleanup(transport.CloseIdleConnections)
	routes := &routes{}
	routes.set("", func(r *endpoint.Route) {
		*r = endpoint.Route{Base: &url.URL{Scheme: "http", Host: g.addr, Path: "/c/" + clusterA + "/"}, Transport: transport, Token: alice}
	})
	addr := serve(t, endpoint.Local(endpoint.Options{Upstream: routes, Log: slog.New(slog.DiscardHandler)}))
	l := &rig{t: t, addr: addr}
	_, port, _ := strings.Cut(addr, ":")
	l.ask("GET", "/api/version", "").want(t, 200, "2.60.0")
	l.ask("GET", "/api/version", "", "Host: localhost:"+port).want(t, 200)
	l.ask("GET", "/api/version", "", "Host: evil.example:"+port).want(t, 403, "localhost")
	l.ask("GET", "/api/version", "", "Host: 127.0.0.1.evil.example").want(t, 403)
	l.ask("GET", "/api/version", "", "Origin: http://evil.example").want(t, 403)
	l.ask("POST", "/api/jobs/", `{"submission_id":"s"}`, "Origin: http://"+addr, "User-Agent: Mozilla/5.0").want(t, 200)
	l.ask("POST", "/api/jobs/", `{"submission_id":"s"}`, "Sec-Fetch-Site: cross-site").want(t, 403)
	l.ask("POST", "/api/jobs/", `{"submission_id":"s"}`).want(t, 200)
	if got := l.ask("GET", "/redirect", "").header.Get("Location"); got != "/new/home?x=1" {
		t.Errorf("redirected to %s", got)
	}
	a := l.ask("POST", "/api/authenticate", "")
	if a.want(t, 200); a.header.Get("Set-Cookie") != "" {
		t.Error("the access token is in a cookie")
	}
	if got := l.ask("GET", "/api/authentication_mode", "").header.Get("Set-Cookie"); got != "theme=dark; Path=/" {
		t.Errorf("cookie: %q", got)
	}
}
