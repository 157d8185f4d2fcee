package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/wire"
)

// fakeToken is good in every fake network.
const fakeToken = "rl_access_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// fake answers as a coordinator and a gateway do, with canned machines and clusters that go one stage further each time they are
// looked at. It has no rules of its own worth the name: those are tested where they are.
type fake struct {
	coordinator, gateway *httptest.Server
	caPEM                []byte
	fingerprint          string

	mu       sync.Mutex
	free     money.Amount
	clusters []*wire.Cluster
	machine  wire.Machine
	stands   raylink.Standing // what an enrolled machine is told of itself, and silent what the leader says where that hears it no more
	silent   bool
	tokens   []wire.Token
	grown    bool             // the second one belongs to the group
	second   *httptest.Server // a coordinator that the group has grown by
	manifest string
	asked    wire.QuoteRequest // the last one
	versions wire.Versions
	journal  []byte
	money    fakeMoney
}

func startFake() (*fake, error) {
	ca, chain, err := fakeChain()
	if err != nil {
		return nil, err
	}
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := &fake{free: money.MicroUSD(10_000_000), fingerprint: client.Fingerprint(ca), money: newFakeMoney()}
	f.journal = []byte("{\"seq\":1}\n{\"seq\":2}\n") // a cut answer shows in the session
	f.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	f.machine = wire.Machine{ID: "m-aaaaaaaaaa", Name: "box", Owner: "acc-supplier22", State: "up", JoinedAt: created, Leases: 1,
		Offer: raylink.Offer{Arch: "amd64", CPUHour: 120_000, Resources: raylink.Resources{CPU: 40_000, Memory: 8 << 30}, Labels: map[string]string{"zone": "a"}},
		Used:  raylink.Resources{CPU: 10_000, Memory: 2 << 30}}
	reliability := int64(9_931)
	f.machine.Standing = raylink.Standing{State: raylink.MachineQuarantined, Reason: raylink.ReasonStageFailures, Detail: "3 leases in a row", Reliability: &reliability, Minutes: 1000, Lost: 7}
	f.machine.Host = &raylink.Host{OS: "Debian", Kernel: "6.1", Arch: "amd64", Devices: []raylink.Device{{ID: raylink.CPUDevice, Kind: raylink.DeviceCPU, Name: "Ryzen", Cores: 4, Threads: 8},
		{ID: "GPU-1", Kind: raylink.DeviceGPU, Name: "RTX 4090", Memory: 24 << 30, Fault: "Xid 79"}}, Versions: map[string]string{"runc": "1.1"}, Isolation: []raylink.Isolation{"container"}}
	f.machine.Failures = []wire.FailureCount{{Stage: "image", Reason: "no space", Count: 3, LastAt: created}}
	f.coordinator = httptest.NewUnstartedServer(f.api())
	f.coordinator.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{chain}, ClientAuth: tls.RequestClientCert}
	f.coordinator.StartTLS()
	f.second = httptest.NewUnstartedServer(f.api())
	f.second.TLS = f.coordinator.TLS.Clone()
	f.second.StartTLS()
	f.gateway = httptest.NewServer(f.jobs())
	return f, nil
}

func (f *fake) close() {
	f.coordinator.Close()
	f.second.Close()
	f.gateway.Close()
}

// fakeChain makes a CA, and a coordinator's certificate under it.
func fakeChain() (*x509.Certificate, tls.Certificate, error) {
	_, caKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fake CA"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	ca, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "coordinator:a"},
		NotBefore: from, NotAfter: to, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca, public, caKey)
	return ca, tls.Certificate{Certificate: [][]byte{leaf, raw}, PrivateKey: key}, err
}

// handler is one route: it gives a body, or an error.
type handler func(r *http.Request) (any, *raylink.Error)

func (f *fake) api() http.Handler {
	mux := http.NewServeMux()
	routes := map[string]handler{
		"GET /v1/status": f.getStatus, "GET /v1/whoami": f.getMe, "GET /v1/balance": f.getBalance,
		"GET /v1/images":          func(*http.Request) (any, *raylink.Error) { return []wire.ImagePin{}, nil },
		"GET /v1/policy/versions": f.getVersions, "PUT /v1/policy/versions": f.putVersions,
		"GET /v1/machines": f.getMachines, "GET /v1/machines/{id}": f.getMachine, "POST /v1/machines/{id}/{verb}": f.postMachine,
		"POST /v1/quotes": f.postQuote, "POST /v1/clusters": f.postCluster, "GET /v1/clusters": f.getClusters,
		"GET /v1/clusters/{id}": f.getCluster, "DELETE /v1/clusters/{id}": f.deleteCluster, "GET /v1/clusters/{id}/bill": f.getBill,
		"POST /v1/tokens": f.postToken, "GET /v1/tokens": f.getTokens, "DELETE /v1/tokens/{id}": f.deleteToken,
		"POST /v1/join-tokens": f.postJoinToken, "POST /v1/accounts": f.postAccount, "GET /v1/accounts": f.getAccounts,
		"POST /v1/accounts/{id}/grants": f.postGrant, "GET /v1/journal": nil, "GET /v1/clusters/{id}/bill/export": nil,
	}
	maps.Copy(routes, f.moneyRoutes())
	maps.Copy(routes, f.proofRoutes())
	maps.Copy(routes, f.machineRoutes())
	for pattern, h := range routes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if r.URL.Path != "/v1/status" && !isMachine(r) && r.Header.Get("Authorization") != "Bearer "+fakeToken {
				answer(w, nil, raylink.Errorf(raylink.CodeUnauthenticated, "the access token is not known, or was revoked").WithHint("`raylink login` with a new one"))
				return
			}
			if r.Method != http.MethodGet && r.URL.Path != "/v1/agent/report" && r.Header.Get("Idempotency-Key") == "" {
				answer(w, nil, raylink.Errorf(raylink.CodeInvalid, "a write without an Idempotency-Key"))
				return
			}
			if h == nil {
				_, _ = w.Write(f.journal)
				return
			}
			body, e := h(r)
			answer(w, body, e)
		})
	}
	return mux
}

func answer(w http.ResponseWriter, body any, e *raylink.Error) {
	if e != nil {
		w.WriteHeader(e.Code.HTTPStatus())
		body = e
	}
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err) // a canned value that has no JSON form
	}
}

func read[T any](r *http.Request) T {
	var body T
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		panic(err) // the CLI's own request
	}
	return body
}

// jobs is Ray's Jobs API, as a gateway shows it.
func (f *fake) jobs() http.Handler {
	const log = "epoch 1 loss 0.9\nepoch 2 loss 0.5\n"
	mux := http.NewServeMux()
	serve := func(pattern string, body any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+fakeToken {
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			answer(w, body, nil)
		})
	}
	failed := map[string]any{"submission_id": "raysubmit_bad", "status": "FAILED", "message": "exit code 1", "start_time": 1}
	good := map[string]any{"submission_id": "raysubmit_new", "status": "SUCCEEDED", "start_time": 2}
	serve("GET /c/c-aaaaaaaaaa/api/jobs/{$}", []any{failed, good})
	serve("GET /c/c-aaaaaaaaaa/api/jobs/raysubmit_new", good)
	serve("GET /c/c-aaaaaaaaaa/api/jobs/raysubmit_bad", failed)
	serve("GET /c/c-aaaaaaaaaa/api/jobs/raysubmit_new/logs", map[string]string{"logs": log})
	mux.HandleFunc("GET /c/c-aaaaaaaaaa/api/jobs/{id}/logs/tail", func(w http.ResponseWriter, r *http.Request) {
		stream, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer stream.Close(websocket.StatusNormalClosure, "")
		for line := range strings.Lines(log) {
			if stream.Write(r.Context(), websocket.MessageText, []byte(line)) != nil {
				return
			}
		}
	})
	return mux
}
