package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"raylink/billing/card/cardfake"
	"raylink/raylink/client"
	"raylink/raylink/wire"
)

// The secrets of the card company that the sessions in testdata/live use.
const (
	cardKey    = "sk_test_live0session"
	cardSecret = "whsec_live0session"
)

// companyKey is where a session keeps its card company.
type companyKey struct{}

// company is a card company beside one coordinator.
type company struct {
	*cardfake.Fake
	forger *cardfake.Fake // signs with another secret
	server *httptest.Server
	api    string // of the coordinator: HOST:PORT
	data   string // its directory
}

// TestCoordinator plays the sessions in testdata/live: each runs a coordinator as users run one, a process with its flags, real TLS and a log on the disk.
func TestCoordinator(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "live"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// awake waits until the coordinator knows its first admin.
			"awake": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(soon(ts.Value(companyKey{}).(*company).awake))
			},
			// pay FILE [disputed] opens the page that a top-up names, and pays there as a browser does; with a card whose holder disputes it at once.
			"pay": func(ts *testscript.TestScript, _ bool, args []string) {
				var t wire.Topup
				ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &t))
				with := cardfake.CardGood
				if len(args) > 1 {
					with = cardfake.CardDisputed
				}
				ts.Check(ts.Value(companyKey{}).(*company).browse(t.URL, t.ID, with))
			},
			// judge won|lost ends the disputes that are open.
			"judge": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(ts.Value(companyKey{}).(*company).judge(args[0] == "won"))
			},
			// webhook genuine|forged posts all that has happened to the coordinator's own URL.
			"webhook": func(ts *testscript.TestScript, neg bool, args []string) {
				c := ts.Value(companyKey{}).(*company)
				sender := c.Fake
				if args[0] == "forged" {
					sender = c.forger
				}
				if err := sender.Deliver(context.Background(), "https://"+c.api+"/v1/cards/webhook", c.Events()...); (err != nil) != neg {
					ts.Fatalf("delivering: %v", err)
				}
			},
			"becomes": becomes,
			// refunded CENTS waits until the company has made one refund of that many, and no other.
			"refunded": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(soon(func() error { return ts.Value(companyKey{}).(*company).refunded(args[0]) }))
			},
		},
		Setup: func(e *testscript.Env) error {
			c, err := newCompany(e)
			if err != nil {
				return err
			}
			e.Values[companyKey{}] = c
			startSources(e)
			e.Setenv("API", c.api)
			e.Setenv("CARDS", c.server.URL)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			return nil
		},
	})
}

func newCompany(e *testscript.Env) (*company, error) {
	c := &company{data: filepath.Join(e.WorkDir, "data")}
	raft := ""
	for _, into := range []*string{&c.api, &raft} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		*into = l.Addr().String()
		defer l.Close() // not before both are chosen
	}
	e.Setenv("RAFT", raft)
	for name, text := range map[string]string{"key": cardKey, "secrets": "whsec_not0used0yet\n" + cardSecret + "\n"} {
		if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	caller := &http.Client{Transport: c, Timeout: 10 * time.Second}
	for into, secret := range map[**cardfake.Fake]string{&c.Fake: cardSecret, &c.forger: "whsec_somebody0else"} {
		fake, err := cardfake.New(cardfake.Config{Key: cardKey, Secret: secret, Client: caller})
		if err != nil {
			return nil, err
		}
		*into = fake
	}
	c.server = httptest.NewServer(c.Fake)
	e.Defer(c.server.Close)
	return c, nil
}

// RoundTrip calls the coordinator over TLS, as one that trusts its group.
func (c *company) RoundTrip(r *http.Request) (*http.Response, error) {
	ca, err := os.ReadFile(filepath.Join(c.data, "authority", "ca.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return (&http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}).RoundTrip(r)
}

func (c *company) awake() error {
	token, err := os.ReadFile(filepath.Join(c.data, "admin.token"))
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(c.data, "authority", "ca.pem"))
	if err != nil {
		return err
	}
	caller, err := client.New(client.Config{Coordinators: []string{"https://" + c.api}, CAPEM: ca, Token: strings.TrimSpace(string(token))})
	if err != nil {
		return err
	}
	defer caller.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := caller.StatusOf(ctx, "https://"+c.api)
	if err == nil && st.Leader == "" {
		err = fmt.Errorf("nobody leads")
	}
	if err == nil {
		_, err = caller.WhoAmI(ctx)
	}
	return err
}

// browse pays on a top-up's page, which leads back to the coordinator's.
func (c *company) browse(page, topup, with string) error {
	browser := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	got, err := browser.PostForm(page, url.Values{"card": {with}})
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if to := got.Header.Get("Location"); got.StatusCode != http.StatusSeeOther || to != "https://"+c.api+"/ui/balance?topup="+topup {
		text, _ := io.ReadAll(got.Body)
		return fmt.Errorf("%s, then to %q: %s", got.Status, to, text)
	}
	return nil
}

// judge ends the disputes that are open.
func (c *company) judge(won bool) error {
	disputes, err := c.list("disputes")
	if err != nil {
		return err
	}
	ended := 0
	for _, d := range disputes {
		if d.Status != "needs_response" {
			continue
		}
		if err := c.CloseDispute(d.ID, won); err != nil {
			return err
		}
		ended++
	}
	if ended == 0 {
		return fmt.Errorf("no dispute is open among %+v", disputes)
	}
	return nil
}

func (c *company) refunded(cents string) error {
	refunds, err := c.list("refunds")
	if err != nil {
		return err
	}
	if len(refunds) != 1 || refunds[0].Amount.String() != cents || refunds[0].Status != "succeeded" {
		return fmt.Errorf("the card company has the refunds %+v", refunds)
	}
	return nil
}

// object is what refunds and disputes have in common.
type object struct {
	ID     string      `json:"id"`
	Amount json.Number `json:"amount"`
	Status string      `json:"status"`
}

// list asks the company for all of its objects of a kind.
func (c *company) list(kind string) ([]object, error) {
	r, err := http.NewRequest(http.MethodGet, c.server.URL+"/v1/"+kind, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+cardKey)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	var list struct {
		Data []object `json:"data"`
	}
	err = json.NewDecoder(got.Body).Decode(&list)
	return list.Data, err
}
