package api

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// These tests replay what befell io.net in April 2024: one credential was enough to write every device's record under an id in a header, 1.8 million
// machines that did not exist tried to join, and when all credentials were changed at once, 590,000 connections of honest machines were cut.

// fleet is a coordinator with many machines, asked in process: a request comes with the certificate that a TLS handshake would have proven.
type fleet struct {
	*rig
	ids   []raylink.MachineID
	certs []*x509.Certificate
	keys  []ed25519.PrivateKey
	began time.Time // of the last beats
}

func newFleet(t *testing.T, size int) *fleet {
	f := &fleet{rig: newRig(t)}
	offer := raylink.Offer{Resources: raylink.Resources{CPU: raylink.Unit, Memory: 1 << 30}, Arch: "amd64", CPUHour: 1}
	for i := range size {
		name := fmt.Sprintf("fleet-%d", i)
		hash := identity.HashToken("join " + name)
		token, err := raylink.NewID[raylink.TokenID](rand.Reader, "tok")
		if err != nil {
			t.Fatal(err)
		}
		f.apply(time.Now(), &state.IssueJoinToken{ID: token, Kind: state.JoinKindMachine, Account: id[raylink.AccountID]("acc", "sam"), Hash: hash, TTL: time.Hour},
			&state.JoinMachine{TokenHash: hash, ID: machineID(name), PublicKey: identity.EncodeKey(publicOf(name)), Name: name, Offer: offer})
		leaf, err := x509.ParseCertificate(f.certificate(name, identity.Machine).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		f.ids, f.certs, f.keys = append(f.ids, machineID(name)), append(f.certs, leaf), append(f.keys, keyOf(name))
	}
	return f
}

// ask sends a request with a certificate, or with none.
func (f *fleet) ask(cert *x509.Certificate, method, path string, body any, headers ...string) *httptest.ResponseRecorder {
	text, err := json.Marshal(body)
	if err != nil {
		f.t.Error(err)
	}
	request := proven(cert, httptest.NewRequest(method, path, bytes.NewReader(text)))
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	got := httptest.NewRecorder()
	f.handler.ServeHTTP(got, request)
	return got
}

// proven is a request as TLS hands it on that has seen a certificate, or none.
func proven(cert *x509.Certificate, request *http.Request) *http.Request {
	request.TLS = &tls.ConnectionState{HandshakeComplete: true}
	if cert != nil {
		request.TLS.PeerCertificates, request.TLS.VerifiedChains = []*x509.Certificate{cert}, [][]*x509.Certificate{{cert}}
	}
	return request
}

// beats has every machine report, and says for how many that did not work.
func (f *fleet) beats(mark int) (refused int) {
	f.began = time.Now()
	for i, cert := range f.certs {
		if f.ask(cert, "POST", "/v1/agent/report", wire.AgentReport{Started: time.Unix(int64(mark), int64(i))}).Code != http.StatusNoContent {
			refused++
		}
	}
	return refused
}

// stands fails the test unless each machine's last word is its own, of that mark, and each was up when they were asked for it: how long the rest of the
// test takes is the test machine's affair.
func (f *fleet) stands(mark int) {
	f.t.Helper()
	seen := f.memory.Seen()
	for i, machine := range f.ids {
		if got := seen.Machines[machine].Report.Started; !got.Equal(time.Unix(int64(mark), int64(i))) || !seen.Up(machine, f.began) {
			f.t.Fatalf("machine %d: its last word is of %v", i, got)
		}
	}
}

func (f *fleet) digest() (sum string, index uint64) {
	f.group.Read(func(s *state.State) { sum, index = s.Digest(), s.Index })
	return sum, index
}

// One stolen credential writes on its own machine's page, whatever ids stand in headers, queries and bodies.
func TestIncidentOneStolenCredential(t *testing.T) {
	f := newFleet(t, 200)
	f.beats(1)
	before, index := f.digest()
	thief := f.certs[0]
	for i, victim := range f.ids[1:] {
		v := string(victim)
		claims := []string{"X-Machine-Id", v, "X-Device-Id", v, "X-User-Id", "acc-admin", "X-Raylink-Machine", v, "X-Ssl-Client-S-Dn", "CN=machine:" + v, "Authorization", "Bearer " + v}
		f.ask(thief, "POST", "/v1/agent/report?machine="+v+"&id="+v, wire.AgentReport{Started: time.Unix(1, 0)}, claims...)
		for _, body := range []any{map[string]any{"id": v, "leases": []int{}}, map[string]any{"machine": v, "offer": nil}} {
			if got := f.ask(thief, "POST", "/v1/agent/report", body, claims...); got.Code != http.StatusBadRequest {
				t.Fatalf("%v: %d %s", body, got.Code, got.Body)
			}
		}
		request, err := identity.CertificateRequest(rand.Reader, f.keys[i+1]) // overheard: it shows that its sender had the key once
		if err != nil {
			t.Fatal(err)
		}
		if got := f.ask(thief, "POST", "/v1/renew", wire.RenewRequest{CSR: request}, claims...); got.Code != http.StatusForbidden {
			t.Fatalf("renewing for another key: %d %s", got.Code, got.Body)
		}
		if got := f.ask(thief, "POST", "/v1/machines/"+v+"/ban", wire.MachineAction{Reason: "mine"}, claims...); got.Code != http.StatusUnauthorized {
			t.Fatalf("banning: %d %s", got.Code, got.Body)
		}
	}
	f.stands(1)
	if after, now := f.digest(); after != before || now != index {
		t.Errorf("the state moved from %d to %d", index, now)
	}
}

// 100,000 machines that do not exist ask to join, with tokens that are made up, used, expired, for something else, or none. Nothing of it reaches the log, and
// the honest go on meanwhile.
func TestIncidentFakeJoins(t *testing.T) {
	const fakes = 100_000
	f := newFleet(t, 50)
	sum := f.auth.CASHA256()
	text := func(hash ...string) string {
		made, err := identity.NewJoinToken(rand.Reader, sum)
		if err != nil {
			t.Fatal(err)
		}
		if len(hash) > 0 {
			made = hash[0]
		}
		return "Bearer " + made
	}
	used, err := identity.NewJoinToken(rand.Reader, sum)
	if err != nil {
		t.Fatal(err)
	}
	secret, _, err := identity.ParseJoinToken(used)
	if err != nil {
		t.Fatal(err)
	}
	offer := raylink.Offer{Resources: raylink.Resources{CPU: raylink.Unit, Memory: 1 << 30}, Arch: "amd64"}
	f.apply(time.Now(), &state.IssueJoinToken{ID: "tok-usedaaaaaa", Kind: state.JoinKindMachine, Account: id[raylink.AccountID]("acc", "sam"), Hash: identity.HashToken(secret), TTL: time.Hour},
		&state.JoinMachine{TokenHash: identity.HashToken(secret), ID: machineID("first"), PublicKey: identity.EncodeKey(publicOf("first")), Name: "first", Offer: offer})
	f.beats(1)
	before, index := f.digest()

	request := wire.JoinRequest{CSR: csr(t, "fake"), Name: "fake", Offer: &offer}
	shown := []string{text(), text(used), "", "Bearer rl_join_" + sum, text(), text(f.tokens["sam"])}
	var in atomic.Int64
	var all sync.WaitGroup
	for part := range 4 {
		all.Go(func() {
			for i := part; i < fakes; i += 4 {
				path, body := "/v1/join", any(request)
				if i%10 == 9 {
					path, body = "/v1/group/join", wire.GroupJoinRequest{ID: "fake", Raft: "127.0.0.1:2", API: "https://127.0.0.1:3"}
				}
				if f.ask(nil, "POST", path, body, "Authorization", shown[i%len(shown)], "X-Forwarded-For", "10.0.0.1").Code != http.StatusUnauthorized {
					in.Add(1)
				}
			}
		})
	}
	refused := f.beats(2) // in the midst of it
	all.Wait()
	if in.Load() != 0 || refused != 0 {
		t.Errorf("%d fakes were not refused for their token, %d honest machines were not heard", in.Load(), refused)
	}
	f.stands(2)
	if after, now := f.digest(); after != before || now != index {
		t.Errorf("the log moved from %d to %d", index, now)
	}
}

// Every certificate is renewed at once, twice, while everybody reports with the one that he has: nobody is cut off, and the plan draws no conclusion.
func TestIncidentEverybodyRenews(t *testing.T) {
	f := newFleet(t, 500)
	f.beats(1)
	for mark := 2; mark < 4; mark++ {
		var all sync.WaitGroup
		fresh := make([]*x509.Certificate, len(f.certs))
		for i := range f.certs {
			all.Go(func() {
				got := f.ask(f.certs[i], "POST", "/v1/renew", wire.RenewRequest{CSR: csr(t, fmt.Sprintf("fleet-%d", i))})
				var a wire.JoinAnswer
				if err := json.Unmarshal(got.Body.Bytes(), &a); err != nil || got.Code != http.StatusOK || a.ID != string(f.ids[i]) {
					t.Errorf("machine %d: %d %s", i, got.Code, got.Body)
					return
				}
				pair, err := identity.KeyPair([]byte(a.Certificate), f.keys[i])
				if err != nil {
					t.Error(err)
					return
				}
				if fresh[i], err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
					t.Error(err)
				}
			})
		}
		if refused := f.beats(mark); refused != 0 { // the old ones stay good until they end
			t.Errorf("%d machines were not heard while they renewed", refused)
		}
		all.Wait()
		f.stands(mark)
		if t.Failed() {
			return
		}
		f.certs = fresh
	}
	f.group.Read(func(s *state.State) {
		for _, c := range plan.Next(s, f.memory.Seen(), f.began) {
			if raw := mustJSON(t, c); bytes.Contains([]byte(raw), []byte("machine")) {
				t.Errorf("the plan concludes %T %s", c, raw)
			}
		}
	})
}
