package dataplane

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"raylink/raylink/overlay/wireguard"
)

// within dials from inside the sandbox.
func (n *node) within(_ context.Context, network, address string) (conn net.Conn, err error) {
	err = wireguard.InNetns(n.netns(), func() (err error) {
		conn, err = net.DialTimeout("tcp4", address, 5*time.Second)
		return err
	})
	return conn, err
}

// get asks through the proxy, which is the only way: nothing is resolved or dialled here.
func (n *node) get(t *testing.T, scheme, target string) (int, string, error) {
	t.Helper()
	proxy := &url.URL{Scheme: scheme, Host: "127.0.0.1:6398"}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), DialContext: n.within, DisableKeepAlives: true}
	transport.TLSClientConfig = insecure()
	response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get(target)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// publicServer answers at an address that passes for a public one: a local route makes it this machine's without an interface having it.
func publicServer(t *testing.T, secure bool, size int) string {
	t.Helper()
	const address = "11.22.33.44"
	if !secure {
		if out, err := exec.Command("ip", "route", "add", "local", address+"/32", "dev", "lo").CombinedOutput(); err != nil {
			t.Skipf("no address to reach: %v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("ip", "route", "del", "local", address+"/32", "dev", "lo").Run() })
	}
	listener, err := net.Listen("tcp4", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) }))
	server.Listener.Close()
	server.Listener = listener
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server.URL
}

// TestRealEgress: from a namespace with nothing but lo and the overlay, through its data plane and out.
func TestRealEgress(t *testing.T) {
	needsReal(t)
	const limit, size = 200_000, 50_000
	plain, secure := publicServer(t, false, size), publicServer(t, true, size)
	n := startNode(t, "egress", "100.64.9.2/24")
	if n.status(t).Egress != nil {
		t.Error("there is a proxy that nobody ordered")
	}
	if _, err := n.within(t.Context(), "tcp", "127.0.0.1:6398"); err == nil {
		t.Error("something answers where no proxy was ordered")
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-n.Ended()
	n.config.Egress = &Egress{Bytes: limit}
	n.start(t)
	for scheme, target := range map[string]string{"http": plain, "socks5": plain} {
		if code, text, err := n.get(t, scheme, target); err != nil || code != http.StatusOK || len(text) != size {
			t.Fatalf("%s: %d, %d bytes, %v", scheme, code, len(text), err)
		}
	}
	if code, text, err := n.get(t, "http", secure); err != nil || code != http.StatusOK || len(text) != size {
		t.Fatalf("CONNECT: %d, %d bytes, %v", code, len(text), err)
	}
	if e := n.status(t).Egress; e == nil || e.Bytes < 3*size || e.Bytes > limit || e.Opened != 3 || e.Refused != 0 {
		t.Errorf("%+v", e)
	}
	for _, host := range []string{"169.254.169.254", "127.0.0.1:22", "2130706433", "[::ffff:127.0.0.1]", "localhost", "10.0.0.1", "100.64.9.2"} {
		code, text, err := n.get(t, "http", "http://"+host+"/")
		if err != nil || code == http.StatusOK || code == http.StatusForbidden && strings.TrimSpace(text) == "" {
			t.Errorf("%s: %d %q, %v", host, code, text, err)
		}
		t.Logf("%s: %d %s", host, code, strings.TrimSpace(text))
	}
	if e := n.status(t).Egress; e.Opened != 3 || e.Refused == 0 {
		t.Errorf("%+v", e)
	}
	n.get(t, "http", plain) // is cut off in its midst
	code, text, err := n.get(t, "http", plain)
	if err != nil || code != http.StatusForbidden {
		t.Errorf("beyond the limit: %d %q, %v", code, text, err)
	}
	t.Logf("beyond the limit: %d %s; %+v", code, strings.TrimSpace(text), n.status(t).Egress)
}

// TestRealEgressIsChanged: an agent that adopts a data plane opens its way out, closes it and opens it again; a port that is taken is tried again.
func TestRealEgressIsChanged(t *testing.T) {
	needsReal(t)
	n := startNode(t, "changed", "100.64.9.3/24")
	taken, err := newOutlet(&namespace{path: n.netns()}, quiet()).listen()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := n.SetEgress(t.Context(), &Egress{}); err != nil || s.Egress != nil || !strings.Contains(s.EgressTrouble, "address already in use") {
		t.Errorf("%+v %q, %v", s.Egress, s.EgressTrouble, err)
	}
	taken.Close()
	if s, err := n.SetEgress(t.Context(), &Egress{Bytes: 7, Closed: "the owner says no"}); err != nil || s.Egress == nil || s.Egress.Limit != 7 || s.EgressTrouble != "" {
		t.Errorf("%+v %q, %v", s.Egress, s.EgressTrouble, err)
	}
	if code, text, err := n.get(t, "http", "http://8.8.8.8/"); err != nil || code != http.StatusForbidden || !strings.Contains(text, "the owner says no") {
		t.Errorf("%d %q, %v", code, text, err)
	}
	if _, err := n.SetEgress(t.Context(), &Egress{}); err != nil {
		t.Error(err)
	}
	if code, text, err := n.get(t, "http", "http://10.0.0.1/"); err != nil || code != http.StatusForbidden || !strings.Contains(text, "10.0.0.0/8") {
		t.Errorf("%d %q, %v", code, text, err)
	}
}

// insecure trusts any server: what is tried here is the way, not its end.
func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
