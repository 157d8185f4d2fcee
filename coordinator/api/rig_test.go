package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/meter"
	"raylink/billing/money"
	"raylink/billing/wallet"
	"raylink/coordinator/authority"
	"raylink/coordinator/consensus"
	"raylink/coordinator/reconcile"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// fake is a group of one: what is proposed is applied. Nothing in it waits, so an index that is not there yet is a deadline that has passed.
type fake struct {
	mu      sync.RWMutex
	s       *state.State
	moved   chan struct{}
	watched chan struct{} // told of each call of Changed; nil for nobody
	calls   map[string]consensus.Handler
	voters  []string
	ahead   time.Duration // how far the leader's clock is ahead of this coordinator's
}

func (f *fake) Read(see func(*state.State)) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	see(f.s)
}

func (f *fake) Propose(_ context.Context, commands ...json.RawMessage) ([]json.RawMessage, uint64, error) {
	return f.at(time.Now().Add(f.ahead), commands...)
}

func (f *fake) at(now time.Time, commands ...json.RawMessage) ([]json.RawMessage, uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	results := f.s.Apply(f.s.Index+1, now, commands)
	close(f.moved)
	f.moved = make(chan struct{})
	return results, f.s.Index, nil
}

func (f *fake) CallLeader(ctx context.Context, method string, body []byte) ([]byte, error) {
	return f.calls[method](ctx, body)
}

func (f *fake) WaitIndex(_ context.Context, index uint64) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.s.Index < index {
		return context.DeadlineExceeded
	}
	return nil
}

func (f *fake) Barrier(context.Context) (uint64, error) { return 0, nil }

func (f *fake) Changed() <-chan struct{} {
	if f.watched != nil {
		f.watched <- struct{}{}
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.moved
}

func (f *fake) Leader() string          { return "a" }
func (f *fake) Voters() map[string]bool { return map[string]bool{"a": true} }
func (f *fake) Restored() uint64        { return 0 }
func (f *fake) AddVoter(_ context.Context, id, _ string) error {
	f.voters = append(f.voters, id)
	return nil
}

// rig is a coordinator's API over real TLS, with one of everything in its state.
type rig struct {
	t        testing.TB
	group    *fake
	auth     *authority.Authority
	memory   *reconcile.Memory
	server   *Server
	handler  http.Handler
	url      string
	fixture  []byte // the state to begin with
	tokens   map[string]string
	callers  map[string]*http.Client
	manifest string
}

const (
	quote   = raylink.QuoteID("q-openaaaaaa")
	cluster = raylink.ClusterID("c-readyaaaaa")
	minutes = 3 // settled ones of the cluster, of 5 that are over
)

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(name string) ed25519.PublicKey  { return keyOf(name).Public().(ed25519.PublicKey) }
func machineID(name string) raylink.MachineID { return identity.MachineID(publicOf(name)) }
func gatewayID(name string) raylink.GatewayID { return identity.GatewayID(publicOf(name)) }

func id[T ~string](prefix, name string) T { return T(prefix + "-" + (name + "aaaaaaaaaa")[:10]) }

func newRig(t testing.TB) *rig {
	t.Helper()
	auth, err := authority.Init(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("../../examples/first-job/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, auth: auth, memory: reconcile.NewMemory(), tokens: map[string]string{}, callers: map[string]*http.Client{}, manifest: string(manifest),
		group: &fake{s: state.New(), moved: make(chan struct{}), calls: map[string]consensus.Handler{}}}
	told := &Told{}
	(&Leader{Group: r.group, Memory: r.memory, Told: told}).Register(func(method string, h consensus.Handler) { r.group.calls[method] = h })
	log := slog.New(slog.DiscardHandler)
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	r.server = &Server{ID: "a", Version: "test", Group: r.group, Roster: r.group, Authority: auth, Log: log, Metrics: metrics, Told: told}
	r.handler = r.server.Handler()
	server := httptest.NewUnstartedServer(r.handler)
	keeper := auth.ServerCertificate("a", "127.0.0.1")
	server.TLS = auth.ServerTLS(keeper)
	own, err := keeper.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	server.TLS.Certificates = []tls.Certificate{*own} // or httptest puts one of its own there
	server.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	server.StartTLS()
	t.Cleanup(server.Close)
	r.url = server.URL
	r.populate()
	r.client("", nil)
	r.client("machine", r.certificate("mone", identity.Machine))
	r.client("gateway", r.certificate("gate", identity.Gateway, "127.0.0.1"))
	r.client("coordinator", own)
	return r
}

func (r *rig) client(name string, own *tls.Certificate) {
	trust, err := identity.GroupTLS(r.auth.CAPEM(), time.Now)
	if err != nil {
		r.t.Fatal(err)
	}
	if own != nil {
		trust.Certificates = []tls.Certificate{*own}
	}
	transport := &http.Transport{TLSClientConfig: trust}
	r.t.Cleanup(transport.CloseIdleConnections)
	r.callers[name] = &http.Client{Transport: transport}
}

func csr(t testing.TB, name string) []byte {
	t.Helper()
	der, err := identity.CertificateRequest(rand.Reader, keyOf(name))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (r *rig) certificate(name string, kind identity.Kind, hosts ...string) *tls.Certificate {
	issued, err := r.auth.IssueCSR(csr(r.t, name), kind, hosts...)
	if err != nil {
		r.t.Fatal(err)
	}
	pair, err := identity.KeyPair(issued.PEM, keyOf(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return &pair
}

// apply puts commands into the state at a time; none may be refused.
func (r *rig) apply(now time.Time, commands ...state.Command) {
	r.t.Helper()
	for _, c := range commands {
		raw, err := state.Encode("test", "", c)
		if err != nil {
			r.t.Fatal(err)
		}
		results, _, _ := r.group.at(now, raw)
		if err := state.ReadResult(results[0], nil); err != nil {
			r.t.Fatalf("%s: %v", raw, err)
		}
	}
}

// populate makes one of everything: ada's cluster runs on sam's machine, and a quote of hers is open.
func (r *rig) populate() {
	began := time.Now().Add(-6 * time.Minute)
	r.apply(began, &state.JoinMember{ID: "a", Raft: "127.0.0.1:1", API: r.url})
	for name, role := range map[string]raylink.Role{"admin": raylink.RoleAdmin, "ada": raylink.RoleTenant, "bob": raylink.RoleTenant, "sam": raylink.RoleSupplier, "sue": raylink.RoleSupplier} {
		token, err := identity.NewAccessToken(rand.Reader)
		if err != nil {
			r.t.Fatal(err)
		}
		r.tokens[name] = token
		r.apply(began, &state.OpenAccount{ID: id[raylink.AccountID]("acc", name), Name: name},
			&state.IssueToken{ID: id[raylink.TokenID]("tok", name), Account: id[raylink.AccountID]("acc", name), Role: role, Hash: identity.HashToken(token)})
	}
	ada := id[raylink.AccountID]("acc", "ada")
	r.apply(began, &state.GrantCredit{ID: "g", Account: ada, Amount: money.MicroUSD(50_000_000), Reason: "credit"},
		&state.IssueToken{ID: id[raylink.TokenID]("tok", "spare"), Account: ada, Role: raylink.RoleTenant, Hash: identity.HashToken("spare")})
	offer := raylink.Offer{Resources: raylink.Resources{CPU: 16 * raylink.Unit, Memory: 64 << 30}, Arch: "amd64", CPUHour: 60_000}
	for name, owner := range map[string]string{"mone": "sam", "mtwo": "sue"} {
		hash := identity.HashToken("join " + name)
		r.apply(began, &state.IssueJoinToken{ID: id[raylink.TokenID]("tok", name), Kind: state.JoinKindMachine, Account: id[raylink.AccountID]("acc", owner), Hash: hash, TTL: time.Hour},
			&state.JoinMachine{TokenHash: hash, ID: machineID(name), PublicKey: identity.EncodeKey(publicOf(name)), Name: name, Offer: offer})
		r.memory.Agent(machineID(name), wire.AgentReport{})
	}
	hash := identity.HashToken("join gate")
	r.apply(began, &state.IssueJoinToken{ID: id[raylink.TokenID]("tok", "gate"), Kind: state.JoinKindGateway, Hash: hash, TTL: time.Hour},
		&state.JoinGateway{TokenHash: hash, ID: gatewayID("gate"), PublicKey: identity.EncodeKey(publicOf("gate")), Name: "gate", URL: "https://127.0.0.1:8443"})
	r.run(began, ada)
	r.apply(began, &state.SetTreasury{Treasury: treasury(), Rules: deposit.DefaultRules(), Cluster: "local"},
		&state.OpenTopup{ID: "top-paid", Account: ada, Asset: money.USDC, Reference: address("reference"), Expected: 2_000_000, TTL: time.Hour},
		&state.ObserveDeposit{Observation: deposit.Observation{Signature: "sig", Account: address("ours"), Mint: address("usdc"), Program: address("token"), Decimals: 6,
			Delta: 2_000_000, References: []string{address("reference")}, Witnesses: []string{"first"}}})
	var b bytes.Buffer
	if err := r.group.s.Save(&b); err != nil {
		r.t.Fatal(err)
	}
	r.fixture = b.Bytes()
}

// treasury is where the rig's network takes USDC. It holds some.
func treasury() deposit.Treasury {
	return deposit.Treasury{{Asset: money.USDC, Mint: address("usdc"), Program: address("token"), Decimals: 6, Account: address("ours"), Wallet: address("wallet")}}
}

// address is a made-up address on the chain.
func address(name string) string {
	sum := sha256.Sum256([]byte(name))
	return wallet.Encode(sum[:])
}

// run makes the cluster, takes it to ready and settles its first minutes with genuine evidence; and leaves a quote open.
func (r *rig) run(began time.Time, ada raylink.AccountID) {
	spec := raylink.ClusterSpec{Name: "ready", RayVersion: "2.60.0", Image: "rayproject/ray:2.60.0", Head: raylink.NodeGroup{Name: "headgroup", Replicas: 1}}
	node := state.QuoteNode{Node: "ready-headgroup", Role: raylink.NodeHead, Group: "headgroup", Machine: machineID("mone"), Resources: raylink.Resources{CPU: raylink.Unit, Memory: 1 << 30}, Rate: 60_000}
	lease := raylink.LeaseID("l-headaaaaaa")
	first := id[raylink.QuoteID]("q", "first")
	r.apply(began, &state.MakeQuote{ID: first, Owner: ada, Spec: spec, Image: "raylink/worker", Nodes: []state.QuoteNode{node}},
		&state.CreateCluster{ID: cluster, Owner: ada, Quote: first, Leases: []raylink.LeaseID{lease}},
		&state.AdvanceCluster{ID: cluster, Phase: raylink.PhaseReady},
		&state.RecordGateway{Cluster: cluster, Gateway: gatewayID("gate")})
	settle := &state.SettleMinutes{}
	for k := range int64(minutes) {
		settle.Minutes = append(settle.Minutes, state.SettleMinute{Lease: lease, Ordinal: k,
			Agent:   &meter.Evidence{Seconds: 60, RayNode: "ray", Machine: string(machineID("mone")), Signature: identity.Sign(keyOf("mone"), identity.MinuteBytes(string(lease), k, 60, "ray"))},
			Gateway: &meter.Confirmation{Seconds: 55, RayNode: "ray", Gateway: string(gatewayID("gate")), Signature: identity.Sign(keyOf("gate"), identity.ConfirmBytes(string(lease), k, 55, "ray"))}})
	}
	spec.Name = "open"
	r.apply(began.Add(5*time.Minute), settle, &state.MakeQuote{ID: quote, Owner: ada, Spec: spec, Image: "raylink/worker", Nodes: []state.QuoteNode{node}})
}

// reset puts the state back to what populate made.
func (r *rig) reset() {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	if err := r.group.s.Load(bytes.NewReader(r.fixture)); err != nil {
		r.t.Fatal(err)
	}
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if a.status >= 300 {
		t.Fatalf("%d: %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

func (a answer) refusal(t *testing.T) raylink.Error {
	t.Helper()
	var e raylink.Error
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil || e.Code.HTTPStatus() != a.status || e.Message == "" {
		t.Errorf("%d with %q is no error in the house's form (%v)", a.status, a.body, err)
	}
	return e
}

// call sends a request as a caller: "", a user's name, or machine, gateway, coordinator. A body that is no string is sent as JSON.
func (r *rig) call(who, method, path string, body any, headers ...string) answer {
	r.t.Helper()
	text, isText := body.(string)
	if !isText && body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			r.t.Error(err)
		}
		text = string(raw)
	}
	request, err := http.NewRequest(method, r.url+path, strings.NewReader(text))
	if err != nil {
		r.t.Error(err)
		return answer{}
	}
	client := r.callers[who]
	if client == nil {
		client = r.callers[""]
		request.Header.Set("Authorization", "Bearer "+r.tokens[who])
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	got, err := client.Do(request)
	if err != nil {
		r.t.Error(err)
		return answer{}
	}
	defer got.Body.Close()
	raw, err := io.ReadAll(got.Body)
	if err != nil {
		r.t.Error(err)
	}
	return answer{got.StatusCode, got.Header, raw}
}

// ecdsaRequest is a certificate request for a key that browsers know.
func ecdsaRequest(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
