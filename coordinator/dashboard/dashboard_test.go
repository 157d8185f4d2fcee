package dashboard_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"raylink/billing/money"
	"raylink/billing/payout"
	"raylink/billing/price"
	"raylink/coordinator/dashboard"
	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// coordinator is a scripted source: three accounts, each with one access token and one cluster.
type coordinator struct {
	mu       sync.Mutex
	holders  map[string]wire.WhoAmI // by the token's hash
	clusters []wire.Cluster
	machines []wire.Machine // nil: one, named after who looks
	minutes  int64          // charged on each bill
	topups   []wire.Topup
	keys     map[string]string // top-up by the key that it was opened with
	means    dashboard.Means
	checkout string // of the card company
}

func token(t *testing.T, seed string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(seed))
	s, err := identity.NewAccessToken(strings.NewReader(string(sum[:])))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newCoordinator(t *testing.T) *coordinator {
	c := &coordinator{holders: map[string]wire.WhoAmI{}, minutes: 1, keys: map[string]string{}, means: dashboard.Means{Assets: []money.Asset{money.USDC, money.IO}, Cards: true}, checkout: "https://checkout.example"}
	for _, role := range []raylink.Role{raylink.RoleAdmin, raylink.RoleTenant, raylink.RoleSupplier, raylink.RoleSigner} {
		account := raylink.AccountID("acc-" + role)
		c.holders[identity.HashToken(token(t, string(role)))] = wire.WhoAmI{Account: account, Name: "the " + string(role), Role: role}
		c.clusters = append(c.clusters, wire.Cluster{ID: raylink.ClusterID("c-of-" + role), Name: "secret-of-" + string(role), Owner: account, Phase: raylink.PhaseImage, CreatedAt: time.Now(),
			Stages:  []wire.StageTime{{Phase: raylink.PhasePlaced, At: time.Now()}, {Phase: raylink.PhaseImage, At: time.Now()}},
			PerHour: money.MicroUSD(1), Hold: money.MicroUSD(1), Spent: money.MicroUSD(0)})
	}
	return c
}

func (c *coordinator) revoke(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.holders, identity.HashToken(token))
}

func (c *coordinator) visible(account raylink.AccountID, role raylink.Role) []wire.Cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []wire.Cluster{}
	for _, cl := range c.clusters {
		if cl.Owner == account || role == raylink.RoleAdmin {
			list = append(list, cl)
		}
	}
	return list
}

func (c *coordinator) source() dashboard.Source {
	zero := money.MicroUSD(0)
	return dashboard.Source{
		Who: func(hash string) (wire.WhoAmI, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if who, ok := c.holders[hash]; ok {
				return who, nil
			}
			return wire.WhoAmI{}, raylink.Errorf(raylink.CodeUnauthenticated, "this access token is not known, expired or revoked")
		},
		Status: func(context.Context) wire.Status { return wire.Status{ID: "a", Leader: "a", Digest: "the-digest"} },
		Machines: func(_ context.Context, account raylink.AccountID, _ raylink.Role) []wire.Machine {
			if c.machines != nil {
				return c.machines
			}
			return []wire.Machine{{ID: "m-aaaaaaaaaa", Name: "seen-by-" + string(account), State: "up"}}
		},
		Clusters: c.visible,
		Cluster: func(account raylink.AccountID, role raylink.Role, ref string) (wire.Cluster, error) {
			for _, cl := range c.visible(account, role) {
				if string(cl.ID) == ref {
					return cl, nil
				}
			}
			return wire.Cluster{}, raylink.Errorf(raylink.CodeNotFound, "no cluster %q", ref)
		},
		Bill: func(id raylink.ClusterID) (wire.Bill, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			line := wire.BillLine{Lease: "l-aaaaaaaaaa", Node: "head", Charged: c.minutes, Use: zero, Fee: zero, Paid: zero}
			for m := range c.minutes {
				line.Minutes = append(line.Minutes, wire.BillMinute{Ordinal: m, Outcome: "charged", Gateway: "g-aaaaaaaaaa", Amount: zero, Fee: zero, Paid: zero, Entry: uint64(m)})
			}
			return wire.Bill{Cluster: id, Name: "bill-of-" + string(id), Lines: []wire.BillLine{line}, Use: zero, Fee: zero, Total: zero, Paid: zero, Held: zero, BalanceBefore: zero, BalanceNow: zero,
				FeePercent: "2"}, nil
		},
		Balance: func(id raylink.AccountID) (wire.Balance, error) {
			return wire.Balance{Account: id, Name: string(id), Free: wire.Sums{zero}, Held: wire.Sums{zero}, Earned: wire.Sums{zero}}, nil
		},
		Accounts: func() []wire.Account {
			return []wire.Account{{ID: "acc-tenant", Name: "the tenant", Free: wire.Sums{zero}, Held: wire.Sums{zero}, Earned: wire.Sums{zero}}}
		},
		Earnings: func(id raylink.AccountID) wire.Earnings {
			return wire.Earnings{Account: id, Lines: []payout.Line{{Amount: zero, Code: payout.NothingEarned}}, Paid: wire.Sums{zero}, Settlement: wire.Settlement{Takes: money.USDC, Minimum: zero}}
		},
		Treasury: func() wire.Treasury { return wire.Treasury{Chain: "the-treasury"} },
		Price:    func() wire.Price { return wire.Price{Halt: price.CodeNoPrice} },
		Till:     c.till(),
	}
}

// serve runs one coordinator's dashboard over TLS.
func serve(t *testing.T, c *coordinator) *httptest.Server {
	t.Helper()
	key := sha256.Sum256([]byte("group key"))
	d, err := dashboard.New(c.source(), key[:], slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	d.Routes(r)
	server := httptest.NewTLSServer(r)
	t.Cleanup(server.Close)
	return server
}

// person is a browser without a screen: it keeps cookies and follows nothing.
type person struct {
	t    *testing.T
	http *http.Client
	base string
}

func newPerson(t *testing.T, server *httptest.Server) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := *server.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &person{t: t, http: &client, base: server.URL}
}

type answer struct {
	*http.Response
	page string
}

func (p *person) do(r *http.Request) answer {
	p.t.Helper()
	a, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer a.Body.Close()
	var b strings.Builder
	if _, err := copyAll(&b, a.Body); err != nil {
		p.t.Fatal(err)
	}
	return answer{a, b.String()}
}

func (p *person) get(path string) answer {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, p.base+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(r)
}

func (p *person) post(path string, form url.Values, headers ...string) answer {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodPost, p.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return p.do(r)
}

// field is the value of the form's secret field on a page.
func field(page string) string {
	if m := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(page); m != nil {
		return m[1]
	}
	return ""
}

func (p *person) signIn(token string) answer {
	p.t.Helper()
	return p.post("/ui/sign-in", url.Values{"form": {field(p.get("/ui/sign-in").page)}, "token": {token}})
}

// as is a person who has signed in with the token of a role.
func as(t *testing.T, server *httptest.Server, role raylink.Role) *person {
	t.Helper()
	p := newPerson(t, server)
	if a := p.signIn(token(t, string(role))); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/ui" {
		t.Fatalf("signing in as %s: %s %s", role, a.Status, a.page)
	}
	return p
}
