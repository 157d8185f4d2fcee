package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"raylink/billing/verify"
	"raylink/coordinator/plan"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// A machine's certificate with another machine's id beside it, wherever it is put, changes and shows nothing of the other.
func TestIdentityIsTheCertificates(t *testing.T) {
	r := newRig(t)
	other := string(machineID("mtwo"))
	r.client("thief", r.certificate("mtwo", identity.Machine))
	own := string(machineID("mone"))
	claims := []string{"X-Machine-Id", own, "X-Raylink-Machine", own, "Machine-Id", own, "X-Forwarded-Client-Cert", "CN=machine:" + own, "Authorization", "Machine " + own}
	var before, after wire.AgentReport
	r.memory.Agent(machineID("mone"), wire.AgentReport{Started: time.Unix(1, 0)})
	before = r.memory.Seen().Machines[machineID("mone")].Report

	lie := wire.AgentReport{Leases: []wire.LeaseReport{{Lease: "l-headaaaaaa", Stage: raylink.StageGone, Failure: &raylink.Failure{Stage: "run", Reason: "stolen"}}}}
	if got := r.call("thief", "POST", "/v1/agent/report?machine="+own, lie, claims...); got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.body)
	}
	after = r.memory.Seen().Machines[machineID("mone")].Report
	if a, b := mustJSON(t, before), mustJSON(t, after); a != b {
		t.Errorf("the other machine's report is now %s", b)
	}
	if !slices.ContainsFunc(r.memory.Seen().Machines[raylink.MachineID(other)].Report.Leases, func(l wire.LeaseReport) bool { return l.Lease == "l-headaaaaaa" }) {
		t.Error("the lie is not on the liar's own page: this test shows nothing")
	}
	r.group.Read(func(s *state.State) {
		for _, c := range plan.Next(s, r.memory.Seen(), time.Now()) {
			if raw := mustJSON(t, c); strings.Contains(raw, "l-headaaaaaa") {
				t.Errorf("the lie leads to %T %s", c, raw)
			}
		}
	})
	for _, body := range []string{`{"id":"` + own + `","leases":[]}`, `{"machine":"` + own + `"}`} {
		if got := r.call("thief", "POST", "/v1/agent/report", body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	var a wire.Assignment
	r.call("thief", "GET", "/v1/agent/assignment?machine="+own, nil, claims...).into(t, &a)
	if len(a.Leases) != 0 {
		t.Errorf("it was shown %d leases of another machine", len(a.Leases))
	}
	r.call("machine", "GET", "/v1/agent/assignment", nil).into(t, &a)
	if len(a.Leases) != 1 || a.Leases[0].RayToken == "" {
		t.Errorf("the machine itself was shown %+v", a.Leases)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// A banned machine gets nothing and says nothing.
func TestBanned(t *testing.T) {
	r := newRig(t)
	r.apply(time.Now(), &state.SetMachine{ID: machineID("mone"), State: state.MachineBanned, Reason: "lies"})
	for _, request := range []string{"GET /v1/agent/assignment", "POST /v1/agent/report", "POST /v1/renew"} {
		method, path, _ := strings.Cut(request, " ")
		body := any(wire.AgentReport{})
		if path == "/v1/renew" {
			body = wire.RenewRequest{CSR: csr(t, "mone")}
		}
		got := r.call("machine", method, path, body)
		if e := got.refusal(t); got.status != http.StatusForbidden || !strings.Contains(e.Message, "lies") {
			t.Errorf("%s: %d %+v", request, got.status, e)
		}
	}
}

func TestBodies(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"good":          {`{"name":"eve"}`, 200},
		"empty":         {``, 400},
		"no JSON":       {`name=eve`, 400},
		"unknown field": {`{"name":"eve","role":"admin"}`, 400},
		"two values":    {`{"name":"eve"}{"name":"eva"}`, 400},
		"garbage":       {`{"name":"eve"} x`, 400},
		"a brace":       {`{"name":"eve"}}`, 400},
		"a bracket":     {`{"name":"eve"}]`, 400},
		"another type":  {`["eve"]`, 400},
		"too large":     {`{"name":"` + strings.Repeat("e", maxBody) + `"}`, 413},
		"name too long": {`{"name":"` + strings.Repeat("e", state.MaxName+1) + `"}`, 400},
		"terminal":      {`{"name":"\u001b[2Jeve"}`, 400},
	} {
		r.reset()
		got := r.call("admin", "POST", "/v1/accounts", c.body)
		if got.status != c.want {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		if got.status >= 400 {
			got.refusal(t)
		}
	}
}

func TestMinIndex(t *testing.T) {
	r := newRig(t)
	made := r.call("admin", "POST", "/v1/accounts", wire.AccountRequest{Name: "eve"})
	index := made.header.Get("X-Raylink-Index")
	if index == "" {
		t.Fatalf("%d: a write's answer has no index", made.status)
	}
	if got := r.call("admin", "GET", "/v1/accounts?min_index="+index, nil); got.status != 200 || !strings.Contains(string(got.body), `"eve"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := r.call("admin", "GET", "/v1/accounts?min_index=999999", nil)
	if e := got.refusal(t); got.status != 503 || e.Hint == "" {
		t.Errorf("%d %+v", got.status, e)
	}
	if got := r.call("admin", "GET", "/v1/accounts?min_index=-1", nil); got.status != 400 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A repeated write with its key gives the first answer, secrets and ids included; the key with another body is a conflict.
func TestIdempotencyKey(t *testing.T) {
	for _, c := range []struct {
		who, path   string
		body, other any
		sameAnswer  bool // to the byte
	}{
		{"admin", "/v1/accounts", wire.AccountRequest{Name: "eve"}, wire.AccountRequest{Name: "eva"}, true},
		{"admin", "/v1/accounts/acc-adaaaaaaaa/grants", `{"amount":"1.000000 USD","reason":"r"}`, `{"amount":"2.000000 USD","reason":"r"}`, true},
		{"ada", "/v1/tokens", wire.TokenRequest{Role: raylink.RoleTenant}, wire.TokenRequest{Role: raylink.RoleTenant, Label: "two"}, true},
		{"sam", "/v1/join-tokens", wire.JoinTokenRequest{Kind: "machine"}, wire.JoinTokenRequest{Kind: "machine", TTL: "2h"}, true},
		{"ada", "/v1/clusters", wire.CreateRequest{Quote: quote}, wire.CreateRequest{Quote: "q-firstaaaaa"}, true},
		{"ada", "/v1/quotes", nil, nil, true},
	} {
		r := newRig(t)
		if c.path == "/v1/quotes" {
			c.body, c.other = wire.QuoteRequest{Manifest: r.manifest}, wire.QuoteRequest{Manifest: strings.Replace(r.manifest, "name: first-job", "name: second-job", 1)}
		}
		first := r.call(c.who, "POST", c.path, c.body, "Idempotency-Key", "k1")
		again := r.call(c.who, "POST", c.path, c.body, "Idempotency-Key", "k1")
		if first.status >= 300 || again.status != first.status || !bytes.Equal(first.body, again.body) {
			t.Errorf("%s: first %d %s\nthen %d %s", c.path, first.status, first.body, again.status, again.body)
		}
		got := r.call(c.who, "POST", c.path, c.other, "Idempotency-Key", "k1")
		if e := got.refusal(t); got.status != http.StatusConflict || e.Hint == "" {
			t.Errorf("%s with another body: %d %s", c.path, got.status, got.body)
		}
		fresh := r.call(c.who, "POST", c.path, c.other, "Idempotency-Key", "k2")
		if bytes.Equal(fresh.body, first.body) {
			t.Errorf("%s: another key gives the same answer %s", c.path, fresh.body)
		}
		if got := r.call(c.who, "POST", c.path, c.other, "Idempotency-Key", strings.Repeat("k", state.MaxKey+1)); got.status != 400 && got.status != 409 {
			t.Errorf("%s: a long key gives %d %s", c.path, got.status, got.body)
		}
	}
}

// Another account's key is another key.
func TestKeysAreTheCallersOwn(t *testing.T) {
	r := newRig(t)
	var ada, bob wire.TokenAnswer
	r.call("ada", "POST", "/v1/tokens", wire.TokenRequest{Role: raylink.RoleTenant}, "Idempotency-Key", "k").into(t, &ada)
	r.call("bob", "POST", "/v1/tokens", wire.TokenRequest{Role: raylink.RoleTenant}, "Idempotency-Key", "k").into(t, &bob)
	if ada.Secret == bob.Secret || ada.Token.Account == bob.Token.Account {
		t.Error("bob was given ada's token")
	}
}

// A quote may be gone, or not be here yet, when its acceptance is repeated: the answer is the first one all the same.
func TestCreateAgainAfterTheQuote(t *testing.T) {
	r := newRig(t)
	first := r.call("ada", "POST", "/v1/clusters", wire.CreateRequest{Quote: quote}, "Idempotency-Key", "k")
	r.apply(time.Now().Add(2*time.Hour), &state.Sweep{})
	r.group.Read(func(s *state.State) {
		if s.Quotes[quote] != nil {
			t.Fatal("the quote was not swept away")
		}
	})
	if again := r.call("ada", "POST", "/v1/clusters", wire.CreateRequest{Quote: quote}, "Idempotency-Key", "k"); again.status != 201 || !bytes.Equal(first.body, again.body) {
		t.Errorf("first %d %s\nthen %d %s", first.status, first.body, again.status, again.body)
	}
}

// A token that ends issues none that outlives it: whoever finds it has it for its own time only.
func TestNoTokenOutlivesItsMaker(t *testing.T) {
	r := newRig(t)
	var short wire.TokenAnswer
	r.call("ada", "POST", "/v1/tokens", wire.TokenRequest{Role: raylink.RoleTenant, TTL: "1h"}).into(t, &short)
	r.tokens["short"] = short.Secret
	for ttl, want := range map[string]int{"": 403, "2h": 403, "30m": 200} {
		if got := r.call("short", "POST", "/v1/tokens", wire.TokenRequest{Role: raylink.RoleTenant, TTL: ttl}); got.status != want {
			t.Errorf("time to live %q: %d %s", ttl, got.status, got.body)
		}
	}
}

func TestRevokedAtOnce(t *testing.T) {
	r := newRig(t)
	var made wire.TokenAnswer
	r.call("ada", "POST", "/v1/tokens", wire.TokenRequest{Role: raylink.RoleTenant, Label: "laptop"}).into(t, &made)
	r.tokens["laptop"] = made.Secret
	if got := r.call("laptop", "GET", "/v1/whoami", nil); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if list := r.call("ada", "GET", "/v1/tokens", nil); strings.Contains(string(list.body), made.Secret) || !strings.Contains(string(list.body), string(made.Token.ID)) {
		t.Errorf("the list is %s", list.body)
	}
	if got := r.call("laptop", "DELETE", "/v1/tokens/"+string(made.Token.ID), nil); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for _, request := range []string{"GET /v1/whoami", "GET /v1/clusters", "POST /v1/tokens"} {
		method, path, _ := strings.Cut(request, " ")
		if got := r.call("laptop", method, path, wire.TokenRequest{Role: raylink.RoleTenant}); got.status != 401 {
			t.Errorf("%s: %d %s", request, got.status, got.body)
		}
	}
	for _, token := range []string{"", "rl_access_", r.tokens["ada"] + "x", strings.ToUpper(r.tokens["ada"]), "rl_join_x"} {
		if got := r.call("", "GET", "/v1/whoami", nil, "Authorization", "Bearer "+token); got.status != 401 || strings.Contains(string(got.body), r.tokens["ada"]) {
			t.Errorf("%q: %d %s", token, got.status, got.body)
		}
	}
}

// Of fifty that join with one token at a time, one gets in.
func TestJoinTokenOnce(t *testing.T) {
	r := newRig(t)
	var token wire.JoinTokenAnswer
	r.call("sam", "POST", "/v1/join-tokens", wire.JoinTokenRequest{Kind: "machine"}).into(t, &token)
	offer := raylink.Offer{Resources: raylink.Resources{CPU: raylink.Unit, Memory: 1 << 30}, Arch: "amd64"}
	join := func(name string) answer {
		return r.call("", "POST", "/v1/join", wire.JoinRequest{CSR: csr(t, name), Name: name, Offer: &offer}, "Authorization", "Bearer "+token.Secret)
	}
	answers := make([]answer, 50)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = join(fmt.Sprintf("n%d", i)) })
	}
	all.Wait()
	winner := -1
	for i, a := range answers {
		switch {
		case a.status == 200 && winner >= 0:
			t.Errorf("both %d and %d got in", winner, i)
		case a.status == 200:
			winner = i
		case a.status != 401:
			t.Errorf("%d: %d %s", i, a.status, a.body)
		default:
			if e := a.refusal(t); e.Hint == "" {
				t.Errorf("no hint: %+v", e)
			}
		}
	}
	if winner < 0 {
		t.Fatal("nobody got in")
	}
	name := fmt.Sprintf("n%d", winner)
	var joined wire.JoinAnswer
	join(name).into(t, &joined) // its answer may have been lost on the way
	if joined.ID != string(machineID(name)) || !strings.Contains(joined.Certificate, "CERTIFICATE") || len(joined.Coordinators) != 1 {
		t.Errorf("%+v", joined)
	}
	r.group.Read(func(s *state.State) {
		if m := s.Machines[machineID(name)]; len(s.Machines) != 3 || m.Owner != id[raylink.AccountID]("acc", "sam") {
			t.Errorf("%d machines; %+v", len(s.Machines), m)
		}
	})
	r.client("joined", r.certificate(name, identity.Machine))
	if got := r.call("joined", "GET", "/v1/agent/assignment", nil); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A long poll answers at once where the revision differs, at a change that concerns it, and after its wait; not at a change that does not.
func TestLongPoll(t *testing.T) {
	r := newRig(t)
	var now wire.Assignment
	r.call("machine", "GET", "/v1/agent/assignment?wait=30s", nil).into(t, &now)
	var same wire.Assignment
	r.call("machine", "GET", "/v1/agent/assignment?wait=1ms&revision="+now.Revision, nil).into(t, &same)
	if same.Revision != now.Revision || len(same.Leases) != len(now.Leases) {
		t.Errorf("after the wait: %+v", same)
	}
	r.group.watched = make(chan struct{})
	answered := make(chan answer, 1)
	go func() {
		answered <- r.call("machine", "GET", "/v1/agent/assignment?wait=30s&revision="+now.Revision, nil)
	}()
	looks := func() {
		t.Helper()
		select {
		case <-r.group.watched:
		case a := <-answered:
			t.Fatalf("answered to what is none of its business: %s", a.body)
		}
	}
	looks() // at the state, and will wait
	r.apply(time.Now(), &state.OpenAccount{ID: id[raylink.AccountID]("acc", "eve"), Name: "eve"})
	looks() // again, and finds nothing of its own
	r.apply(time.Now(), &state.EndCluster{ID: cluster, Reason: "enough"})
	looks()
	var next wire.Assignment
	(<-answered).into(t, &next)
	if next.Revision == now.Revision || len(next.Leases) != 1 || next.Leases[0].Want != raylink.WantEnd {
		t.Errorf("%+v", next)
	}
	r.group.watched = nil
	if got := r.call("machine", "GET", "/v1/agent/assignment?wait=soon", nil); got.status != 400 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// Every login, join and poll names all coordinators and all gateways, so that no single address matters; and one more gateway ends a poll.
func TestEveryAnswerNamesAllAddresses(t *testing.T) {
	r := newRig(t)
	join := func(caller string) wire.JoinAnswer { // what joining answers, renewing does: of the same making
		var a wire.JoinAnswer
		r.call(caller, "POST", "/v1/renew", wire.RenewRequest{CSR: csr(t, map[string]string{"machine": "mone", "gateway": "gate"}[caller])}).into(t, &a)
		return a
	}
	want := func(when string, coordinators, gateways []string) {
		t.Helper()
		var me wire.WhoAmI
		r.call("ada", "GET", "/v1/whoami", nil).into(t, &me)
		var agent wire.Assignment
		r.call("machine", "GET", "/v1/agent/assignment?wait=30s", nil).into(t, &agent)
		var gateway wire.GatewayAssignment
		r.call("gateway", "GET", "/v1/gateway/assignment?wait=30s", nil).into(t, &gateway)
		a, b := join("machine"), join("gateway")
		for where, got := range map[string][2][]string{"login": {me.Coordinators, me.Gateways}, "an agent's poll": {agent.Coordinators, agent.Gateways}, "a gateway's poll": {gateway.Coordinators, gateway.Gateways},
			"an agent's join": {a.Coordinators, a.Gateways}, "a gateway's join": {b.Coordinators, b.Gateways}} {
			if !slices.Equal(got[0], coordinators) || !slices.Equal(got[1], gateways) {
				t.Errorf("%s: %s names coordinators %q and gateways %q", when, where, got[0], got[1])
			}
		}
	}
	want("at first", []string{r.url}, []string{"https://127.0.0.1:8443"})
	var agent wire.Assignment
	r.call("machine", "GET", "/v1/agent/assignment?wait=30s", nil).into(t, &agent)
	r.apply(time.Now(), &state.SetGatewayURL{ID: gatewayID("gate"), URL: "https://clusters.example.org"})
	var next wire.Assignment
	r.call("machine", "GET", "/v1/agent/assignment?wait=30s&revision="+agent.Revision, nil).into(t, &next)
	if next.Revision == agent.Revision {
		t.Error("a gateway's new address is no news")
	}
	hash := identity.HashToken("join next")
	r.apply(time.Now(), &state.IssueJoinToken{ID: id[raylink.TokenID]("tok", "next"), Kind: state.JoinKindGateway, Hash: hash, TTL: time.Hour},
		&state.JoinGateway{TokenHash: hash, ID: gatewayID("next"), PublicKey: identity.EncodeKey(publicOf("next")), Name: "next", URL: "https://b.example.org"},
		&state.JoinMember{ID: "b", Raft: "b:1", API: "https://127.0.0.0:1"})
	want("when the group has grown", []string{"https://127.0.0.0:1", r.url}, []string{"https://b.example.org", "https://clusters.example.org"})
}

// The exported journal is verified by nothing but itself, and says what the bill says.
func TestJournalVerifies(t *testing.T) {
	r := newRig(t)
	export := r.call("admin", "GET", "/v1/journal", nil)
	report, err := verify.Verify(bytes.NewReader(export.body))
	if err != nil || !report.OK() || len(report.Leases) != 1 || report.Leases[0].Charged != minutes {
		t.Fatalf("%v %+v", err, report)
	}
	key, err := r.auth.SigningKey()
	if err != nil || !report.Key.Equal(key.Public()) {
		t.Errorf("the checkpoint is signed by %x (%v)", report.Key, err)
	}
	var bill wire.Bill
	r.call("ada", "GET", "/v1/clusters/ready/bill", nil).into(t, &bill)
	if bill.Use != report.Leases[0].Use || bill.Lines[0].Charged != minutes || bill.Lines[0].Minutes[0].GatewaySeconds != 55 {
		t.Errorf("the bill says %+v, the journal %+v", bill, report.Leases[0])
	}
	bad := bytes.Replace(export.body, []byte(`"seconds":55`), []byte(`"seconds":56`), 1)
	if bytes.Equal(bad, export.body) {
		t.Fatalf("nothing to tamper with in %s", export.body)
	}
	if report, err := verify.Verify(bytes.NewReader(bad)); err == nil && report.OK() {
		t.Error("a changed journal verifies")
	}
}

// Who pays can verify his own bill, which says what the journal says, and shows him nobody else's money.
func TestBillVerifies(t *testing.T) {
	r := newRig(t)
	file := r.call("ada", "GET", "/v1/clusters/ready/bill/export", nil)
	report, err := verify.Verify(bytes.NewReader(file.body))
	if err != nil || !report.OK() || report.Cluster != string(cluster) || len(report.Leases) != 1 || report.Leases[0].Charged != minutes {
		t.Fatalf("%v %+v", err, report)
	}
	if key, err := r.auth.SigningKey(); err != nil || !report.Key.Equal(key.Public()) {
		t.Errorf("the receipt is signed by %x (%v)", report.Key, err)
	}
	whole, err := verify.Verify(bytes.NewReader(r.call("admin", "GET", "/v1/journal", nil).body))
	if err != nil || whole.Leases[0] != report.Leases[0] || report.Entries >= whole.Entries {
		t.Errorf("%v: the journal says %+v in %d entries, the bill %+v in %d", err, whole.Leases, whole.Entries, report.Leases, report.Entries)
	}
	if head := report.Head; head == nil || head.Seq != whole.Seq || head.Hash != whole.Hash {
		t.Errorf("the bill was taken from %+v, the journal ends with entry %d, %s", head, whole.Seq, whole.Hash)
	}
	for query, want := range map[string]bool{"": false, "?deposits=true": true} {
		more := r.call("ada", "GET", "/v1/clusters/ready/bill/export"+query, nil)
		if report, err := verify.Verify(bytes.NewReader(more.body)); err != nil || !report.OK() || bytes.Contains(more.body, []byte(`"payer":`)) != want {
			t.Errorf("%q: %v %v", query, err, report.Problems)
		}
	}
	if bytes.Contains(file.body, []byte("treasury:")) || bytes.Contains(file.body, []byte(`"deposit"`)) {
		t.Errorf("the bill speaks of others: %s", file.body)
	}
}

// A supplier can verify what his machines have earned, minute by minute, and gets nobody else's; one who has earned nothing gets a file that says so.
func TestEarningsVerify(t *testing.T) {
	r := newRig(t)
	of := func(who string) (verify.Report, []byte) {
		file := r.call(who, "GET", "/v1/earnings/export", nil)
		report, err := verify.Verify(bytes.NewReader(file.body))
		if err != nil || !report.OK() {
			t.Fatalf("%s: %v %+v", who, err, report)
		}
		return report, file.body
	}
	his, file := of("sam")
	whole, err := verify.Verify(bytes.NewReader(r.call("admin", "GET", "/v1/journal", nil).body))
	if err != nil || his.Supplier == "" || len(his.Leases) != 1 || whole.Leases[0] != his.Leases[0] || his.Entries >= whole.Entries {
		t.Errorf("%v: the journal says %+v, his file %+v", err, whole.Leases, his.Leases)
	}
	if len(his.Accounts) == 0 || !strings.HasSuffix(his.Accounts[0].Name, his.Supplier) || his.Accounts[0].Balance.Sign() <= 0 {
		t.Errorf("he has earned %v", his.Accounts)
	}
	if bytes.Contains(file, []byte(string(machineID("mtwo")))) || bytes.Contains(file, []byte("tenant:")) {
		t.Errorf("his file speaks of others: %s", file)
	}
	if none, _ := of("bob"); none.Entries != 0 || none.Supplier == his.Supplier {
		t.Errorf("%+v", none)
	}
}

// From a manifest to a cluster that its owner sees and his machines are told of.
func TestQuoteToCluster(t *testing.T) {
	r := newRig(t)
	var q wire.Quote
	r.call("ada", "POST", "/v1/quotes", wire.QuoteRequest{Manifest: r.manifest}).into(t, &q)
	if len(q.Nodes) != 3 || q.Image == "" || q.Hold.Minor <= q.PerHour.Minor || q.Balance.Minor <= 0 {
		t.Fatalf("%+v", q)
	}
	var made wire.Cluster
	r.call("ada", "POST", "/v1/clusters", wire.CreateRequest{Quote: q.ID}).into(t, &made)
	if made.Phase != raylink.PhasePlaced || len(made.Nodes) != 3 || made.Hold != q.Hold {
		t.Errorf("%+v", made)
	}
	leases := map[raylink.LeaseID]bool{}
	for _, n := range made.Nodes {
		leases[n.Lease] = true
	}
	if len(leases) != 3 {
		t.Errorf("%d leases for three nodes", len(leases))
	}
	var a wire.Assignment
	r.call("machine", "GET", "/v1/agent/assignment", nil).into(t, &a)
	told := 0
	for _, l := range a.Leases {
		if leases[l.Lease] && l.Want == raylink.WantMesh && l.RayToken != "" {
			told++
		}
	}
	if told == 0 {
		t.Errorf("its machine is told of %+v", a.Leases)
	}
	bad := r.call("ada", "POST", "/v1/quotes", wire.QuoteRequest{Manifest: strings.Replace(r.manifest, "kind: RayCluster", "kind: RayJob", 1)})
	if e := bad.refusal(t); bad.status < 400 || bad.status >= 500 || e.Hint == "" {
		t.Errorf("%d %+v", bad.status, e)
	}
	greedy := r.call("ada", "POST", "/v1/quotes", wire.QuoteRequest{Manifest: strings.ReplaceAll(r.manifest, `cpu: "1"`, `cpu: "64"`)})
	if e := greedy.refusal(t); greedy.status != 409 || e.Code != raylink.CodeCapacity || e.Hint == "" {
		t.Errorf("%d %+v", greedy.status, e)
	}
}
