package client

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"raylink/raylink"
	"raylink/raylink/wire"
)

// closedURL is the URL of a port that nothing listens on.
func closedURL(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "https://" + listener.Addr().String()
}

// notes remembers what servers were asked.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) add(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, line)
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list)
}

func TestWritesMoveOnWithOneKey(t *testing.T) {
	ca := newAuthority(t)
	var asked notes
	busy := ca.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.add("busy " + r.Header.Get("Idempotency-Key"))
		refuse(w, raylink.Errorf(raylink.CodeUnavailable, "no leader"))
	}))
	good := ca.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.add("good " + r.Header.Get("Idempotency-Key"))
		w.Header().Set("X-Raylink-Index", "7")
		reply(w, map[string]string{"name": "Ann"})
	}))
	c, err := New(Config{Coordinators: []string{closedURL(t), busy.URL, good.URL + "/"}, CAPEM: ca.pem(), Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	account, err := c.CreateAccount(t.Context(), wire.AccountRequest{Name: "Ann"})
	if err != nil || account.Name != "Ann" {
		t.Fatalf("got %v, %v", account, err)
	}
	seen := asked.all()
	if len(seen) != 2 || len(seen[0]) < 20 || strings.TrimPrefix(seen[0], "busy ") != strings.TrimPrefix(seen[1], "good ") {
		t.Fatalf("both coordinators should have seen one key: %q", seen)
	}
	if c.Coordinators()[0] != good.URL || c.Index() != 7 {
		t.Fatalf("remembered %v at index %d", c.Coordinators(), c.Index())
	}
	if _, err := c.CreateAccount(t.Context(), wire.AccountRequest{Name: "Bob"}); err != nil {
		t.Fatal(err)
	}
	if again := asked.all(); len(again) != 3 || again[2] == seen[1] {
		t.Fatalf("the second write should go to the good one at once, with a key of its own: %q", again)
	}
}

func TestRefusalIsFinal(t *testing.T) {
	ca := newAuthority(t)
	var asked notes
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.add(r.URL.Path)
		refuse(w, raylink.Errorf(raylink.CodeFunds, "the balance is 1 USD").WithHint("ask an admin"))
	})
	one, two := ca.serve(t, handler), ca.serve(t, handler)
	c, err := New(Config{Coordinators: []string{one.URL, two.URL}, CAPEM: ca.pem()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateCluster(t.Context(), wire.CreateRequest{Quote: "q-aaaaaaaaaa"})
	var e *raylink.Error
	if !errors.As(err, &e) || e.Code != raylink.CodeFunds || e.Hint != "ask an admin" {
		t.Fatalf("got %#v", err)
	}
	if got := asked.all(); len(got) != 1 {
		t.Fatalf("asked %q", got)
	}
}

func TestForeignAnswersAreNamed(t *testing.T) {
	ca := newAuthority(t)
	server := ca.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/machines" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = w.Write([]byte("<html>hello</html>"))
	}))
	c, err := New(Config{Coordinators: []string{server.URL}, CAPEM: ca.pem()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Machines(t.Context()); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "something else than expected") {
		t.Errorf("got %v", err)
	}
}

func TestReadsAskForWhatWasWritten(t *testing.T) {
	ca := newAuthority(t)
	var asked notes
	server := ca.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.add(r.Method + " " + r.URL.RequestURI())
		w.Header().Set("X-Raylink-Index", "41")
		reply(w, map[string]string{"name": "one"})
	}))
	c, err := New(Config{Coordinators: []string{server.URL}, CAPEM: ca.pem()})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { _, err := c.Cluster(t.Context(), "a b/c"); return err },
		func() error { _, err := c.DeleteCluster(t.Context(), "one"); return err },
		func() error { _, err := c.Bill(t.Context(), "one"); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"GET /v1/clusters/a%20b%2Fc", "DELETE /v1/clusters/one", "GET /v1/clusters/one/bill?min_index=41"}
	if got := asked.all(); !slices.Equal(got, want) {
		t.Fatalf("asked\n%q, want\n%q", got, want)
	}
}

func TestAnotherCAIsNotTrusted(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	server := theirs.serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("a request came through")
		reply(w, wire.Status{})
	}))
	c, err := New(Config{Coordinators: []string{server.URL}, CAPEM: ours.pem(), Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "of the CA that this client trusts") {
		t.Fatalf("got %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	ca := newAuthority(t)
	for _, c := range []Config{
		{CAPEM: ca.pem()},
		{CAPEM: ca.pem(), Coordinators: []string{"http://127.0.0.1:7443"}},
		{CAPEM: ca.pem(), Coordinators: []string{"127.0.0.1:7443"}},
		{CAPEM: []byte("no PEM"), Coordinators: []string{"https://127.0.0.1:7443"}},
	} {
		if _, err := New(c); raylink.AsError(err).Code != raylink.CodeInvalid {
			t.Errorf("%v: got %v", c.Coordinators, err)
		}
	}
}

func TestAddressesAreLearned(t *testing.T) {
	ca := newAuthority(t)
	server := ca.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply(w, wire.WhoAmI{Name: "Ann", Coordinators: []string{"https://other:7443", "https://" + r.Host}})
	}))
	var told [][]string
	c, err := New(Config{Coordinators: []string{server.URL}, CAPEM: ca.pem(), OnCoordinators: func(l []string) { told = append(told, l) }})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.WhoAmI(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{server.URL, "https://other:7443"}; !slices.Equal(c.Coordinators(), want) || len(told) != 1 {
		t.Fatalf("knows %v, told %v", c.Coordinators(), told)
	}
}

func TestJournalIsCopied(t *testing.T) {
	ca := newAuthority(t)
	server := ca.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.URL.RequestURI() + "\n"))
	}))
	c, err := New(Config{Coordinators: []string{closedURL(t), server.URL}, CAPEM: ca.pem()})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Journal(t.Context(), &out); err != nil || out.String() != "/v1/journal\n" {
		t.Fatalf("got %q, %v", out.String(), err)
	}
	out.Reset()
	for deposits, want := range map[bool]string{false: "", true: "?deposits=true"} {
		out.Reset()
		if err := c.BillFile(t.Context(), "first job", deposits, &out); err != nil || out.String() != "/v1/clusters/first%20job/bill/export"+want+"\n" {
			t.Fatalf("got %q, %v", out.String(), err)
		}
	}
	for id, want := range map[raylink.AccountID]string{"": "/v1/earnings/export\n", "acc-b": "/v1/earnings/export?account=acc-b\n"} {
		out.Reset()
		if err := c.EarningsFile(t.Context(), id, &out); err != nil || out.String() != want {
			t.Fatalf("got %q, %v", out.String(), err)
		}
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	ca := newAuthority(t)
	c, err := New(Config{Coordinators: []string{closedURL(t)}, CAPEM: ca.pem()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Machines(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}
