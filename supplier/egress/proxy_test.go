package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// public is the address that names of the pretended Internet lead to; connections to it come out at servers on the loopback.
const public = "93.184.216.34"

// world is a proxy between a tenant and a pretended Internet.
type world struct {
	*Proxy
	at   string // where the proxy listens
	logs *bytes.Buffer
	end  func() error // ends the proxy, and waits for it

	mu      sync.Mutex
	names   map[string][]string
	servers map[uint16]string // what is behind the ports of public
	dialled []netip.AddrPort
	asked   []string // of the resolver
}

func newWorld(t *testing.T, limit, used int64) *world {
	t.Helper()
	w := &world{logs: &bytes.Buffer{}, names: map[string][]string{"example.com": {public}}, servers: map[uint16]string{}}
	w.Proxy = New(Config{Bytes: limit, Used: used, Resolve: w.resolve, Dial: w.dial, Own: func() ([]netip.Prefix, error) { return own(), nil }},
		slog.New(slog.NewTextHandler(w.logs, nil)))
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.at = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(ctx, listener) }()
	w.end = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := w.end(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) resolve(_ context.Context, name string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, name)
	found, ok := w.names[name]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	var out []netip.Addr
	for _, text := range found {
		out = append(out, netip.MustParseAddr(text))
	}
	return out, nil
}

func (w *world) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, to)
	server := w.servers[to.Port()]
	w.mu.Unlock()
	if server == "" || to.Addr().String() != public {
		return nil, fmt.Errorf("there is nothing at %s", to)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", server)
}

// serve puts a web server behind a port of the public address.
func (w *world) serve(t *testing.T, port uint16, secure bool, handler http.HandlerFunc) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[port] = server.Listener.Addr().String()
}

// client is a tenant's program that goes through the proxy as the scheme says.
func (w *world) client(scheme string) *http.Client {
	through := &url.URL{Scheme: scheme, Host: w.at}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		Proxy: http.ProxyURL(through), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
}

// raw says something to the proxy and hears all that it answers.
func (w *world) raw(t *testing.T, say string) string {
	t.Helper()
	conn, err := net.Dial("tcp", w.at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, say)
	heard, _ := io.ReadAll(conn) // what came before a reset counts
	return string(heard)
}

func get(client *http.Client, target string) (int, string, error) {
	answer, err := client.Get(target)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

func hello(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "hello from "+r.Host+r.URL.RequestURI())
}

func TestThreeWaysOut(t *testing.T) {
	w := newWorld(t, 0, 7)
	w.serve(t, 80, false, hello)
	w.serve(t, 443, true, hello)
	for _, through := range []string{"http", "socks5", "socks5h"} {
		for target, want := range map[string]string{
			"http://example.com/a?b=c": "hello from example.com/a?b=c", "https://EXAMPLE.com./x": "hello from EXAMPLE.com./x",
			"http://" + public + "/": "hello from " + public + "/",
		} {
			if status, text, err := get(w.client(through), target); err != nil || status != 200 || text != want {
				t.Errorf("%s through %s: %d %q %v", target, through, status, text, err)
			}
		}
	}
	for _, to := range w.dialled {
		if to.Addr().String() != public {
			t.Errorf("%s was dialled", to)
		}
	}
	if count := w.Count(); count.Bytes < 9*100 || count.Opened != 9 || count.Refused+count.Failed != 0 {
		t.Errorf("%+v", count)
	}
	if w.logs.Len() > 0 {
		t.Errorf("a good connection is logged: %s", w.logs)
	}
}

// TestNoWayInside: whatever a tenant calls it, nothing but the public Internet is ever dialled, and the answer tells him nothing about the inside.
func TestNoWayInside(t *testing.T) {
	w := newWorld(t, 0, 0)
	w.names = map[string][]string{
		"router.lan": {"192.168.1.1"}, "rebind.example.com": {"169.254.169.254", "::1", "::ffff:10.0.0.1"}, "metadata.google.internal": {"169.254.169.254"},
		"localhost": {"127.0.0.1", "::1"}, "home6.example.com": {"2a02:1234:5678::99"}, "nat.example.com": {"64:ff9b::c0a8:101"}, "nothing.example.com": {},
	}
	for _, host := range []string{
		"router.lan", "rebind.example.com", "metadata.google.internal", "LOCALHOST", "localhost.", "home6.example.com", "nat.example.com", "nothing.example.com", "nobody.example.com",
		"127.0.0.1", "169.254.169.254", "10.0.0.1", "100.64.1.2", "0.0.0.0", "8.20.30.41", "[::1]", "[::ffff:127.0.0.1]", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "[fe80::1%25eth0]",
		"2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "0177.0.0.1", "127.1", "0x7f.1", "0x7f.0x0.0x0.0x1", "127.0.0.1.", "0", "1.1.1.0x1", "127.0.0.01", "a.b.0x",
	} {
		for _, say := range []string{
			"CONNECT " + strings.Replace(host, "%25", "%", 1) + ":443 HTTP/1.1\r\n\r\n", "GET http://" + host + "/?secret HTTP/1.1\r\nHost: " + public + "\r\n\r\n",
		} {
			heard := w.raw(t, say)
			inside := strings.Contains(heard, "192.168") || strings.Contains(heard, "2a02") || strings.Contains(heard, "169.254") && !strings.Contains(say, "169.254")
			if !strings.HasPrefix(heard, "HTTP/1.1 40") || inside {
				t.Errorf("%q: %q", say, heard)
			}
		}
		name := strings.Trim(strings.Replace(host, "%25", "%", 1), "[]")
		if heard := w.raw(t, "\x05\x01\x00\x05\x01\x00\x03"+string(rune(len(name)))+name+"\x01\xbb"); heard != "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00" {
			t.Errorf("SOCKS to %s: %q", host, heard)
		}
	}
	for _, port := range []int{25, 465, 587, 2525, 0} {
		if heard := w.raw(t, fmt.Sprintf("CONNECT example.com:%d HTTP/1.1\r\n\r\n", port)); !strings.HasPrefix(heard, "HTTP/1.1 403") {
			t.Errorf("port %d: %q", port, heard)
		}
	}
	if heard := w.raw(t, "\x05\x01\x00\x05\x01\x00\x04"+string(netip.MustParseAddr("::ffff:169.254.169.254").AsSlice())+"\x00\x50"); heard[3] != 2 {
		t.Errorf("SOCKS to a mapped address: %q", heard)
	}
	if len(w.dialled) > 0 {
		t.Errorf("dialled: %v", w.dialled)
	}
	for _, name := range w.asked {
		if last := name[strings.LastIndex(name, ".")+1:]; strings.Trim(last, "0123456789") == "" {
			t.Errorf("the resolver was asked for %s", name)
		}
	}
	nobody, router := w.raw(t, "CONNECT nobody.lan:1 HTTP/1.1\r\n\r\n"), w.raw(t, "CONNECT router.lan:1 HTTP/1.1\r\n\r\n")
	if strings.ReplaceAll(router, "router", "nobody") != nobody {
		t.Errorf("one can tell who lives inside: %q, %q", nobody, router)
	}
	if err := w.end(); err != nil || strings.Contains(w.logs.String(), "secret") || strings.Count(w.logs.String(), "\n") != 1 {
		t.Errorf("%v; the log: %s", err, w.logs)
	}
}

// TestAClosedProxySaysWhy: in the body, and in the only line that most programs show of a CONNECT that was refused.
func TestAClosedProxySaysWhy(t *testing.T) {
	const why = "the owner says no"
	w := newWorld(t, 0, 0)
	w.Set(0, 0, why)
	status, text, err := get(w.client("http"), "http://example.com/")
	if err != nil || status != http.StatusForbidden || text != "raylink: "+why+"\n" {
		t.Errorf("%d %q %v", status, text, err)
	}
	if _, _, err := get(w.client("http"), "https://example.com/"); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("a program that shows what it was told shows %v", err)
	}
	if heard := w.raw(t, said(t, "socks", "example.com:443")); heard != "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%q", heard)
	}
	if len(w.dialled)+len(w.asked) > 0 || w.Count().Refused != 3 {
		t.Errorf("dialled %v, asked for %v, %+v", w.dialled, w.asked, w.Count())
	}
}

// TestSetBindsWhatIsUnderWay: a tunnel that is open is cut off where nothing may pass any more, another limit holds for it, and what was used stays used.
func TestSetBindsWhatIsUnderWay(t *testing.T) {
	w := newWorld(t, 0, 100)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w.servers[443] = server.Addr().String()
	go func() { // says a little, and then nothing
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			conn.Write([]byte("hello"))
		}
	}()
	open := func() net.Conn {
		conn := w.tunnel443(t)
		if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	conn := open()
	w.Set(105, 50, "") // less used than is known changes nothing
	if count := w.Count(); count.Bytes != 105 || count.Limit != 105 || count.Open != 1 {
		t.Errorf("%+v", count)
	}
	conn.Write([]byte("x")) // one too many
	if rest, err := io.ReadAll(conn); len(rest) > 0 || w.Count().Bytes != 105 {
		t.Errorf("%q %v, %+v", rest, err, w.Count())
	}
	w.Set(0, 0, "")
	conn = open()
	w.Set(0, 0, "the owner says no")
	if rest, err := io.ReadAll(conn); len(rest) > 0 || os.IsTimeout(err) {
		t.Errorf("%q %v", rest, err)
	}
	if heard := w.raw(t, "CONNECT example.com:443 HTTP/1.1\r\n\r\n"); !strings.HasPrefix(heard, "HTTP/1.1 403 Forbidden (the owner says no)") {
		t.Errorf("%q", heard)
	}
	w.Set(0, 0, "")
	open()
}

// TestAStatusLineIsOneLine: whatever the words are.
func TestAStatusLineIsOneLine(t *testing.T) {
	if got := phrase("ask for http://…\r\nX-Mine: 1\x00"); got != "ask for http://???X-Mine: 1?" {
		t.Errorf("%q", got)
	}
	if got := phrase(strings.Repeat("x", 1000)); len(got) != phraseMax {
		t.Errorf("%d bytes", len(got))
	}
}

// TestRebinding: the address that was judged is the one that is dialled, and the next connection is judged anew.
func TestRebinding(t *testing.T) {
	w := newWorld(t, 0, 0)
	w.serve(t, 80, false, func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.names["example.com"] = []string{"127.0.0.1"} // while the first is under way
		http.Redirect(out, r, "http://example.com/latest/meta-data", http.StatusFound)
	})
	status, text, err := get(w.client("http"), "http://example.com/")
	if err != nil || status != http.StatusForbidden || !strings.Contains(text, "no address of the public Internet") {
		t.Errorf("%d %q %v", status, text, err)
	}
	w.names["example.com"] = []string{"10.0.0.1", "192.168.1.1", public, "127.0.0.1"}
	if status, _, err := get(w.client("http"), "http://example.com/"); err != nil || status != http.StatusForbidden {
		t.Errorf("%d %v", status, err)
	}
	want := netip.MustParseAddrPort(public + ":80")
	if !slices.Equal(w.dialled, []netip.AddrPort{want, want}) {
		t.Errorf("dialled: %v", w.dialled)
	}
}

func TestNothingOfTheWayIsPassedOn(t *testing.T) {
	w := newWorld(t, 0, 0)
	w.serve(t, 80, false, func(out http.ResponseWriter, r *http.Request) {
		out.Header().Set("Proxy-Authenticate", "x")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(out, "%s %s %v", r.Method, body, r.Header)
	})
	heard := w.raw(t, "POST http://example.com/ HTTP/1.1\r\nHost: other\r\nProxy-Authorization: Basic c2VjcmV0\r\nConnection: X-Mine\r\nX-Mine: 1\r\nExpect: 100-continue\r\n"+
		"X-Yours: 2\r\nContent-Length: 4\r\n\r\nbody")
	if !strings.HasPrefix(heard, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n") || !strings.HasSuffix(heard, "POST body map[Connection:[close] Content-Length:[4] X-Yours:[2]]") ||
		strings.Contains(heard, "Proxy-") {
		t.Errorf("%q", heard)
	}
	heard = w.raw(t, "GET http://example.com:80/ HTTP/1.0\r\n\r\n")
	if !strings.HasSuffix(heard, "\r\n\r\nGET  map[Connection:[close]]") {
		t.Errorf("%q", heard)
	}
}
