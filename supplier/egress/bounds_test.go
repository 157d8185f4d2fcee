package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBytesAreCounted: both ways, to the byte, and what was used before counts. The limit holds to a buffer, which is read while another is written.
func TestBytesAreCounted(t *testing.T) {
	const before, limit = 1000, 300_000
	w := newWorld(t, limit, before)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w.servers[443] = server.Addr().String()
	go func() { // an echo
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(conn, conn); conn.(*net.TCPConn).CloseWrite() }()
		}
	}()
	conn := w.tunnel443(t)
	sent := bytes.Repeat([]byte("x"), 50_000)
	conn.Write(sent)
	if _, err := io.ReadFull(conn, make([]byte, len(sent))); err != nil {
		t.Fatal(err)
	}
	if count := w.Count(); count.Bytes != before+100_000 || count.Open != 1 || count.Limit != limit {
		t.Errorf("%+v", count)
	}
	conn.(*net.TCPConn).CloseWrite() // the echo ends as well, and the proxy tells
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
	conn = w.tunnel443(t)
	go func() {
		for range 20 {
			if _, err := conn.Write(sent); err != nil {
				return
			}
		}
	}()
	got, _ := io.Copy(io.Discard, conn)
	if count := w.Count(); count.Bytes < limit || count.Bytes > limit+bufferSize || got > limit-before-100_000 {
		t.Errorf("%+v, %d bytes came back", count, got)
	}
	if heard := w.raw(t, "CONNECT example.com:443 HTTP/1.1\r\n\r\n"); !strings.HasPrefix(heard, "HTTP/1.1 403") || !strings.Contains(heard, errSpent.Error()) {
		t.Errorf("%q", heard)
	}
}

func (w *world) tunnel443(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", w.at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n")
	want := "HTTP/1.1 200 Connection established\r\n\r\n"
	heard := make([]byte, len(want))
	if _, err := io.ReadFull(conn, heard); err != nil || string(heard) != want {
		t.Fatalf("%q, %v", heard, err)
	}
	return conn
}

func TestPlainAnswersAreCutOff(t *testing.T) {
	w := newWorld(t, 100_000, 0)
	w.serve(t, 80, false, func(out http.ResponseWriter, _ *http.Request) { out.Write(make([]byte, 1<<20)) })
	_, text, err := get(w.client("http"), "http://example.com/")
	if err == nil || len(text) > 100_000 || w.Count().Bytes != 100_000 {
		t.Errorf("%d bytes, %v, %+v", len(text), err, w.Count())
	}
}

func TestManyConnectionsWait(t *testing.T) {
	w := newWorld(t, 0, 0)
	var held []net.Conn
	for range connectionsMax {
		conn, err := net.Dial("tcp", w.at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held = append(held, conn)
	}
	late, err := net.Dial("tcp", w.at)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	io.WriteString(late, "nonsense\r\n\r\n")
	late.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := late.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatal("one more than all is answered")
	}
	held[7].Close()
	late.SetReadDeadline(time.Now().Add(10 * time.Second))
	if text, err := io.ReadAll(late); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 400") {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWhatIsNotUnderstood(t *testing.T) {
	w := newWorld(t, 0, 0)
	w.names["example.com"] = []string{"1.1.1.1"} // where nobody answers
	for say, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n":                                           "HTTP/1.1 400",
		"GET https://example.com/ HTTP/1.1\r\n\r\n":                                             "HTTP/1.1 400",
		"GET ftp://example.com/ HTTP/1.1\r\n\r\n":                                               "HTTP/1.1 400",
		"CONNECT example.com HTTP/1.1\r\n\r\n":                                                  "HTTP/1.1 400",
		"CONNECT example.com:65536 HTTP/1.1\r\n\r\n":                                            "HTTP/1.1 400",
		"CONNECT example.com:+80 HTTP/1.1\r\n\r\n":                                              "HTTP/1.1 400",
		"CONNECT user@example.com:80 HTTP/1.1\r\n\r\n":                                          "HTTP/1.1 400",
		"CONNECT ex\xc3\xa4mple.com:80 HTTP/1.1\r\n\r\n":                                        "HTTP/1.1 400",
		"CONNECT " + strings.Repeat("a.", 127) + "a:80 HTTP/1.1\r\n\r\n":                        "HTTP/1.1 400",
		"CONNECT " + strings.Repeat("a", 64) + ".com:80 HTTP/1.1\r\n\r\n":                       "HTTP/1.1 400",
		"CONNECT a..com:80 HTTP/1.1\r\n\r\n":                                                    "HTTP/1.1 400",
		"\x04\x01\x00\x50\x08\x08\x08\x08\x00\r\n\r\n":                                          "HTTP/1.1 400",
		"GET http://example.com/ HTTP/1.1\r\nX: " + strings.Repeat("x", headerMax) + "\r\n\r\n": "HTTP/1.1 431",
		"CONNECT example.com:80 HTTP/1.1\r\n\r\n":                                               "HTTP/1.1 502",
		"\x05\x01\x02": "\x05\xff",
		"\x05\x00":     "\x05\xff",
		"\x05\x02\x02\x00\x05\x02\x00\x01\x08\x08\x08\x08\x00\x50": "\x05\x00\x05\x07",
		"\x05\x01\x00\x05\x03\x00\x01\x08\x08\x08\x08\x00\x50":     "\x05\x00\x05\x07",
		"\x05\x01\x00\x05\x01\x00\x09\x08\x08\x08\x08\x00\x50":     "\x05\x00\x05\x08",
		"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50":                 "\x05\x00\x05\x08",
		"\x05\x01\x00\x05\x01\x00\x01\x08\x08\x08\x08\x00\x50":     "\x05\x00\x05\x04",
	} {
		if heard := w.raw(t, say); !strings.HasPrefix(heard, want) {
			t.Errorf("%.60q: %q, want %q", say, heard, want)
		}
	}
}

// TestPatience: in a bubble, where time passes at once.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		p := New(Config{
			Dial: func(context.Context, netip.AddrPort) (net.Conn, error) { return far, nil }, Own: func() ([]netip.Prefix, error) { return nil, nil },
		}, slog.New(slog.DiscardHandler))
		serve := func() (net.Conn, chan struct{}) {
			tenant, proxy := net.Pipe()
			done := make(chan struct{})
			go func() { p.serve(t.Context(), proxy); close(done) }()
			return tenant, done
		}
		began := time.Now()
		silent, done := serve()
		<-done
		if took := time.Since(began); took != helloWithin {
			t.Errorf("who says nothing is borne for %s", took)
		}
		silent.Close()

		began = time.Now()
		drip, done := serve()
		go func() {
			for _, err := io.WriteString(drip, "G"); err == nil; _, err = io.WriteString(drip, "G") {
				time.Sleep(time.Second)
			}
		}()
		<-done
		if took := time.Since(began); took != helloWithin {
			t.Errorf("who drips is borne for %s", took)
		}
		drip.Close()

		tenant, done := serve()
		go io.WriteString(tenant, "CONNECT 1.1.1.1:443 HTTP/1.1\r\n\r\n")
		io.ReadFull(tenant, make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n")))
		began = time.Now()
		for range 6 { // only one side speaks, for an hour
			time.Sleep(idleMax - time.Second)
			go near.Write([]byte("x"))
			if _, err := tenant.Read(make([]byte, 1)); err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
		}
		last := time.Now()
		<-done
		if took := time.Since(last); took < idleMax || took > 2*idleMax {
			t.Errorf("a tunnel in which nothing moves is kept for %s", took)
		}
	})
}

// TestEnd: with the proxy everything ends that goes through it.
func TestEnd(t *testing.T) {
	w := newWorld(t, 0, 0)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w.servers[443] = server.Addr().String()
	conn := w.tunnel443(t)
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); errors.Is(err, context.DeadlineExceeded) {
		t.Error("the tunnel outlives the proxy")
	}
	if count := w.Count(); count.Open != 0 || count.Opened != 1 {
		t.Errorf("%+v", count)
	}
	if _, err := net.Dial("tcp", w.at); err == nil {
		t.Error("the port outlives the proxy")
	}
}

// TestBlind: a proxy that does not know the owner's networks lets nobody out.
func TestBlind(t *testing.T) {
	p := New(Config{Own: func() ([]netip.Prefix, error) { return nil, errors.New("none") }}, slog.New(slog.DiscardHandler))
	if _, err := p.reach(t.Context(), "1.1.1.1", 443); err == nil || p.Count().Failed != 1 {
		t.Errorf("%v, %+v", err, p.Count())
	}
}

func TestSystem(t *testing.T) {
	own, err := networks(netip.MustParseAddr("::ffff:9.8.7.6"))
	if err != nil || Allowed(netip.MustParseAddr("9.8.7.6"), 443, own) == nil || Allowed(netip.MustParseAddr("9.8.7.7"), 443, own) != nil {
		t.Errorf("%v, %v", own, err)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil || len(addresses) == 0 {
		t.Skip("this machine has no address")
	}
	for _, address := range addresses {
		if a := netip.MustParsePrefix(address.String()).Addr(); Allowed(a, 443, own) == nil {
			t.Errorf("the machine's own %s is allowed", a)
		}
	}
	config := System(1, 2, func() netip.Addr { return netip.Addr{} })
	if config.Bytes != 1 || config.Used != 2 {
		t.Errorf("%+v", config)
	}
}

// FuzzServe: whatever a tenant says, the proxy comes to an end, and only what is allowed is dialled.
func FuzzServe(f *testing.F) {
	for _, seed := range []string{
		"", "\x05", "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x01\x00\x05\x01\x00\x03\x0aexample.co\x01\xbb", "CONNECT 8.8.8.8:443 HTTP/1.1\r\n\r\nx",
		"GET http://127.0.0.1/ HTTP/1.1\r\n\r\n", "GET http://2130706433:80/ HTTP/1.1\r\n\r\n", "\xff\xff\xff\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, say []byte) {
		p := New(Config{
			Bytes: 1 << 20,
			Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
				if _, err := netip.ParseAddr(name); err == nil {
					t.Errorf("the address %s was resolved", name)
				}
				return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, byte(len(name))}), netip.MustParseAddr("1.1.1.1")}, nil
			},
			Dial: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
				if err := Allowed(to.Addr(), to.Port(), own()); err != nil {
					t.Errorf("%s was dialled: %v", to, err)
				}
				return nil, errors.New("nobody is there")
			},
			Own: func() ([]netip.Prefix, error) { return own(), nil },
		}, slog.New(slog.DiscardHandler))
		tenant, proxy := net.Pipe()
		go func() {
			tenant.Write(say)
			tenant.Close()
		}()
		go io.Copy(io.Discard, tenant)
		p.serve(t.Context(), proxy)
	})
}
