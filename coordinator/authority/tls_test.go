package authority

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"raylink/raylink/identity"
)

// loopback is a TCP connection. (Over net.Pipe two sides that complain at the same time wait for each other.)
func loopback(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err = l.Accept()
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func shake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	near, far := loopback(t)
	return shakeOver(t, near, far, server, client)
}

// shakeOver shakes hands, passes one byte from server to client (with TLS 1.3 a client learns only then that it was refused), and gives the
// server's view.
func shakeOver(t *testing.T, near, far net.Conn, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	if err := errors.Join(near.SetDeadline(deadline), far.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	s := tls.Server(near, server)
	served := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		served <- errors.Join(err, near.Close())
	}()
	c := tls.Client(far, client)
	_, clientErr := io.ReadFull(c, make([]byte, 1))
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	serverErr := <-served
	return s.ConnectionState(), errors.Join(clientErr, serverErr)
}

func agent(t *testing.T, a *Authority, kind identity.Kind, hosts ...string) (tls.Certificate, identity.Principal) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.CertificateRequest(rand.Reader, key)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.IssueCSR(csr, kind, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	if !issued.Public.Equal(key.Public()) {
		t.Fatal("the certificate is for another key")
	}
	pair, err := identity.KeyPair(issued.PEM, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair, issued.Principal
}

func clientOf(t *testing.T, a *Authority, pair tls.Certificate) *tls.Config {
	t.Helper()
	config, err := identity.GroupTLS(a.CAPEM(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config
}

func TestAPIConnections(t *testing.T) {
	a, _ := initialised(t)
	b, _ := initialised(t)
	keeper := a.ServerCertificate("c1", "localhost", "127.0.0.1")
	server := a.ServerTLS(keeper)

	for _, kind := range []identity.Kind{identity.Machine, identity.Gateway} {
		pair, principal := agent(t, a, kind)
		state, err := shake(t, server, clientOf(t, a, pair))
		if got, ok := PrincipalOf(&state); err != nil || !ok || got != principal || got.Kind != kind {
			t.Errorf("%s connects as %v, %v, %v", principal, got, ok, err)
		}
	}
	asPeer, err := a.ClientTLS(a.ServerCertificate("c2"))
	if err != nil {
		t.Fatal(err)
	}
	state, err := shake(t, server, asPeer)
	if got, ok := PrincipalOf(&state); err != nil || !ok || got.String() != "coordinator:c2" {
		t.Errorf("c2 connects as %v, %v, %v", got, ok, err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.CAPEM())
	for _, host := range []string{"localhost", "127.0.0.1"} { // a user's ordinary client, without a certificate
		state, err = shake(t, server, &tls.Config{RootCAs: pool, ServerName: host})
		if p, ok := PrincipalOf(&state); err != nil || ok {
			t.Errorf("a user connects as %v, %v", p, err)
		}
	}
	if _, err = shake(t, server, &tls.Config{RootCAs: pool, ServerName: "elsewhere"}); err == nil {
		t.Error("the certificate is good for any host")
	}
	foreign, _ := agent(t, b, identity.Machine)
	if _, err := shake(t, server, clientOf(t, a, foreign)); err == nil {
		t.Error("a machine of another group connects")
	}
	if _, ok := PrincipalOf(nil); ok {
		t.Error("a connection without TLS has a principal")
	}
}

func TestPinned(t *testing.T) {
	a, _ := initialised(t)
	b, _ := initialised(t)
	pinned, err := PinnedTLS(a.CASHA256())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shake(t, a.ServerTLS(a.ServerCertificate("c1")), pinned); err != nil {
		t.Error("the right group is refused:", err)
	}
	if _, err := shake(t, b.ServerTLS(b.ServerCertificate("c1")), pinned); err == nil || !strings.Contains(err.Error(), "not of the group") {
		t.Error("another group gives", err)
	}
	// Another group's coordinator that shows our CA beside its own certificate.
	liar, err := b.ServerCertificate("c1").Certificate()
	if err != nil {
		t.Fatal(err)
	}
	lie := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{liar.Certificate[0], a.certificate.Raw}, PrivateKey: liar.PrivateKey}}}
	if _, err := shake(t, lie, pinned); err == nil {
		t.Error("a certificate of another CA passes beside the pinned one")
	}
	// A gateway of our own group that plays coordinator.
	pair, _ := agent(t, a, identity.Gateway, "localhost")
	pair.Certificate = append(pair.Certificate, a.certificate.Raw)
	if _, err := shake(t, &tls.Config{Certificates: []tls.Certificate{pair}}, pinned); err == nil {
		t.Error("a gateway passes as a coordinator")
	}
	if _, err := PinnedTLS("nonsense"); err == nil {
		t.Error("nonsense is pinned")
	}
}

func TestRaftPort(t *testing.T) {
	a, _ := initialised(t)
	b, _ := initialised(t)
	server := a.PeerTLS(a.ServerCertificate("c1"))
	if _, err := shake(t, server, a.PeerTLS(a.ServerCertificate("c2"))); err != nil {
		t.Fatal("a peer is refused:", err)
	}
	machine, _ := agent(t, a, identity.Machine)
	gateway, _ := agent(t, a, identity.Gateway, "localhost")
	for name, client := range map[string]*tls.Config{
		"a machine":                  clientOf(t, a, machine),
		"a gateway":                  clientOf(t, a, gateway),
		"nobody":                     {InsecureSkipVerify: true},
		"a peer of another group":    b.PeerTLS(b.ServerCertificate("c2")),
		"the same, trusting anybody": {InsecureSkipVerify: true, GetClientCertificate: b.PeerTLS(b.ServerCertificate("c2")).GetClientCertificate},
	} {
		if _, err := shake(t, server, client); err == nil {
			t.Errorf("%s is let into the Raft port", name)
		}
	}
	if _, err := shake(t, &tls.Config{Certificates: []tls.Certificate{gateway}}, a.PeerTLS(a.ServerCertificate("c2"))); err == nil {
		t.Error("a coordinator dials a gateway as its peer")
	}
}

func TestTimePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shake := func(server, client *tls.Config) (tls.ConnectionState, error) {
			near, far := net.Pipe()
			return shakeOver(t, near, far, server, client)
		}
		a, _ := initialised(t)
		pair, _ := agent(t, a, identity.Machine)
		keeper, peer := a.ServerCertificate("c1"), a.ServerCertificate("c2")
		server := a.ServerTLS(keeper)
		held, err := peer.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		state, err := shake(server, clientOf(t, a, pair))
		if _, ok := PrincipalOf(&state); err != nil || !ok {
			t.Fatal(err)
		}
		first, _ := keeper.Certificate()
		time.Sleep(15 * time.Hour) // virtual
		if again, _ := keeper.Certificate(); again != first {
			t.Error("a certificate is renewed too early")
		}
		time.Sleep(2 * time.Hour)
		if again, _ := keeper.Certificate(); again == first || !again.Leaf.NotAfter.After(first.Leaf.NotAfter) {
			t.Error("a certificate is not renewed in its last third")
		}
		time.Sleep(8 * time.Hour)
		if _, ok := PrincipalOf(&state); ok {
			t.Error("an open connection outlives its certificate")
		}
		if _, err := shake(server, clientOf(t, a, pair)); err == nil {
			t.Error("an expired certificate connects")
		}
		stale := a.PeerTLS(peer)
		stale.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return held, nil }
		if _, err := shake(a.PeerTLS(keeper), stale); err == nil {
			t.Error("an expired coordinator connects to the Raft port")
		}
		if _, err := shake(a.PeerTLS(keeper), a.PeerTLS(peer)); err != nil {
			t.Error("a renewed coordinator is refused:", err)
		}
	})
}

func TestIssueRefusals(t *testing.T) {
	a, _ := initialised(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := identity.Principal{Kind: identity.Machine, ID: string(identity.MachineID(public))}
	gateway := identity.Principal{Kind: identity.Gateway, ID: string(identity.GatewayID(public))}
	for name, r := range map[string]Request{
		"another's id":          {Public: public, Principal: identity.Principal{Kind: identity.Machine, ID: "m-aaaaaaaaaa"}},
		"another key":           {Public: other.Public(), Principal: own},
		"gateway's other key":   {Public: other.Public(), Principal: gateway},
		"a machine that serves": {Public: public, Principal: own, Hosts: []string{"localhost"}},
		"two days":              {Public: public, Principal: own, TTL: 48 * time.Hour},
		"no principal":          {Public: public},
		"many hosts":            {Public: public, Principal: gateway, Hosts: make([]string, hostLimit+1)},
	} {
		if _, err := a.Issue(r); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
	if _, err := a.Issue(Request{Public: other.Public(), Principal: gateway, Hosts: []string{"localhost"}}); err != nil {
		t.Error("a gateway gets no certificate for browsers:", err)
	}
	csr, err := identity.CertificateRequest(rand.Reader, private)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.IssueCSR(csr, identity.Coordinator); err == nil {
		t.Error("a request makes a coordinator")
	}
	csr[len(csr)-1] ^= 1
	ecdsaCSR, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, other)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"flipped": csr, "empty": nil, "noise": []byte("noise"), "ECDSA": ecdsaCSR, "huge": make([]byte, 17<<10)} {
		if _, err := a.IssueCSR(bad, identity.Machine); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
}
