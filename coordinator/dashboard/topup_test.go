package dashboard_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"raylink/billing/deposit"
	"raylink/billing/money"
	"raylink/coordinator/dashboard"
	"raylink/raylink"
	"raylink/raylink/wire"
)

const payment = "solana:7WmvA1rUDhiBcGZ4tPqE9sYxKfJnLb3T5VoCdX2eHk1?amount=50&spl-token=EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v&reference=Anything1&memo="

// till is the scripted coordinator's part that takes money in.
func (c *coordinator) till() dashboard.Till {
	find := func(account raylink.AccountID, role raylink.Role, id string) (wire.Topup, error) {
		for _, t := range c.topups {
			if t.ID == id && (t.Account == account || role == raylink.RoleAdmin) {
				return t, nil
			}
		}
		return wire.Topup{}, raylink.Errorf(raylink.CodeNotFound, "no top-up %q", id)
	}
	return dashboard.Till{
		Means:  func() dashboard.Means { return c.means },
		Purses: func(raylink.AccountID) map[raylink.ClusterID]string { return nil },
		Topups: func(id raylink.AccountID) []wire.Topup {
			c.mu.Lock()
			defer c.mu.Unlock()
			var list []wire.Topup
			for _, t := range c.topups {
				if t.Account == id {
					list = append([]wire.Topup{t}, list...)
				}
			}
			return list
		},
		Topup: func(account raylink.AccountID, role raylink.Role, id string) (wire.Topup, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return find(account, role, id)
		},
		OpenTopup: func(_ context.Context, account raylink.AccountID, key string, r wire.TopupRequest) (wire.Topup, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if id, again := c.keys[key]; again {
				return find(account, raylink.RoleTenant, id)
			}
			if r.Amount.Minor < 100_000 {
				return wire.Topup{}, raylink.Errorf(raylink.CodeInvalid, "a top-up is at least 0.10").WithHint("top up more")
			}
			t := wire.Topup{ID: fmt.Sprintf("top-%d", len(c.topups)+1), Account: account, State: "open", Amount: r.Amount, Received: money.Amount{Asset: r.Amount.Asset}, OpenedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
			if t.URL = payment + t.ID; r.Card {
				t.URL = c.checkout + "/pay?session=1&of=" + t.ID
			}
			c.topups, c.keys[key] = append(c.topups, t), t.ID
			return t, nil
		},
	}
}

// form is what a browser would send of the balance page's form.
func (p *person) form(amount, asset string) url.Values {
	p.t.Helper()
	page := p.get("/ui/balance").page
	_, once, _ := strings.Cut(page, `name="once" value="`)
	once, _, _ = strings.Cut(once, `"`)
	return url.Values{"form": {field(page)}, "once": {once}, "amount": {amount}, "asset": {asset}}
}

// TestTopup pays by a transfer: the form, the page with its code, and the page once it is paid.
func TestTopup(t *testing.T) {
	c := newCoordinator(t)
	p := as(t, serve(t, c), raylink.RoleTenant)
	form := p.form("50", "usdc")
	a := p.post("/ui/topups", form)
	wantStatus(t, a, "the form", http.StatusSeeOther)
	if to := a.Header.Get("Location"); to != "/ui/topups/top-1" {
		t.Fatalf("the form leads to %q", to)
	}
	page := p.get("/ui/topups/top-1").page
	for _, want := range []string{`href="` + strings.ReplaceAll(payment, "&", "&amp;") + "top-1", "<svg ", "50.00 USDC", "Nothing has arrived yet", `data-refresh="3"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the open top-up's page lacks %q", want)
		}
	}
	if again := p.post("/ui/topups", form).Header.Get("Location"); again != "/ui/topups/top-1" || len(c.topups) != 1 {
		t.Errorf("the same form once more leads to %q, of %d top-ups", again, len(c.topups))
	}
	if other := p.post("/ui/topups", p.form("50", "usdc")).Header.Get("Location"); other != "/ui/topups/top-2" {
		t.Errorf("a new form leads to %q", other)
	}
	form.Set("asset", "io")
	if other := p.post("/ui/topups", form).Header.Get("Location"); other != "/ui/topups/top-3" {
		t.Errorf("an old window that asks for something else leads to %q", other)
	}

	c.mu.Lock()
	c.topups[0].State, c.topups[0].Received.Minor = "paid", 20_000_000
	c.topups[0].Deposits = []deposit.Deposit{{Key: "thesignature/ours", Asset: money.USDC, Amount: 20_000_000, To: "tenant:x", Via: "memo", Reasons: []deposit.Reason{deposit.Under, deposit.Late}}}
	c.mu.Unlock()
	page = p.get("/ui/topups/top-1").page
	for _, want := range []string{"It is paid and credited", "less than was asked for", "after the top-up&#39;s end", "thesignature<", `data-refresh="0"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the paid top-up's page lacks %q", want)
		}
	}
	if strings.Contains(page, "<svg") || strings.Contains(page, "solana:") {
		t.Error("the paid top-up's page asks to be paid again")
	}
	if to := p.get("/ui/balance?topup=top-1").Header.Get("Location"); to != "/ui/topups/top-1" {
		t.Errorf("a payer who comes back is sent to %q", to)
	}
}

// TestCheckout leads to the card company's page without a redirect, which browsers would refuse after a form.
func TestCheckout(t *testing.T) {
	c := newCoordinator(t)
	server := serve(t, c)
	p := as(t, server, raylink.RoleTenant)
	a := p.post("/ui/topups", p.form("25.50", "card"))
	wantStatus(t, a, "the form", http.StatusOK)
	if !strings.Contains(a.page, `<meta http-equiv="refresh" content="0; url=https://checkout.example/pay?session=1&amp;of=top-1">`) || !strings.Contains(a.page, `href="https://checkout.example/pay?session=1&amp;of=top-1"`) {
		t.Errorf("no way to the checkout: %s", a.page)
	}
	if c.topups[0].Amount != money.MicroUSD(25_500_000) {
		t.Errorf("asked for %v", c.topups[0].Amount)
	}
	c.means = dashboard.Means{Assets: []money.Asset{money.IO}}
	if page := p.get("/ui/balance").page; strings.Contains(page, `value="card"`) || strings.Contains(page, `value="usdc"`) || !strings.Contains(page, `value="io" required checked`) || !strings.Contains(page, "Cards are off") {
		t.Error("the form offers what is off, or does not say so")
	}

	// The way back is from another site: the browser keeps the session's cookie to itself, until a page of ours asks.
	r, err := http.NewRequest(http.MethodGet, server.URL+"/ui/balance?topup=top-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	back := newPerson(t, server).do(r)
	wantStatus(t, back, "the way back", http.StatusOK)
	if !strings.Contains(back.page, `content="0; url=/ui/balance?topup=top-1"`) || strings.Contains(back.page, "the tenant") {
		t.Errorf("the way back: %s", back.page)
	}
	// A page that is no checkout is not gone to.
	c.topups[0].URL = "javascript:alert(1)"
	a = p.post("/ui/topups", url.Values{"form": {field(p.get("/ui").page)}, "once": {""}, "amount": {"25.50"}, "asset": {"card"}})
	wantStatus(t, a, "an odd checkout", http.StatusServiceUnavailable)
}

// TestTopupForms sends forms as another site would, or as a hurried person does.
func TestTopupForms(t *testing.T) {
	c := newCoordinator(t)
	server := serve(t, c)
	p := as(t, server, raylink.RoleTenant)
	good := p.form("50", "usdc")
	with := func(name, value string) url.Values {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form.Set(name, value)
		return form
	}
	stranger := as(t, server, raylink.RoleAdmin)
	supplier := as(t, server, raylink.RoleSupplier)
	for what, a := range map[string]struct {
		answer
		status int
	}{
		"no secret field":         {p.post("/ui/topups", with("form", "")), http.StatusForbidden},
		"a wrong one":             {p.post("/ui/topups", with("form", base64.RawURLEncoding.EncodeToString(make([]byte, sha256.Size)))), http.StatusForbidden},
		"another session's":       {stranger.post("/ui/topups", good), http.StatusForbidden},
		"another site's":          {p.post("/ui/topups", good, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"nobody's":                {newPerson(t, server).post("/ui/topups", good), http.StatusSeeOther},
		"in the address":          {p.post("/ui/topups?"+good.Encode(), nil), http.StatusForbidden},
		"a supplier's":            {supplier.post("/ui/topups", url.Values{"form": {field(supplier.get("/ui").page)}, "amount": {"1"}, "asset": {"usdc"}}), http.StatusForbidden},
		"no amount":               {p.post("/ui/topups", with("amount", "")), http.StatusBadRequest},
		"nothing":                 {p.post("/ui/topups", with("amount", "0")), http.StatusBadRequest},
		"less than nothing":       {p.post("/ui/topups", with("amount", "-5")), http.StatusBadRequest},
		"a comma":                 {p.post("/ui/topups", with("amount", "1,5")), http.StatusBadRequest},
		"another asset behind it": {p.post("/ui/topups", with("amount", "1 USD")), http.StatusBadRequest},
		"too much for 64 bits":    {p.post("/ui/topups", with("amount", strings.Repeat("9", 24))), http.StatusBadRequest},
		"markup":                  {p.post("/ui/topups", with("amount", `"><script>alert(1)</script>`)), http.StatusBadRequest},
		"an unknown asset":        {p.post("/ui/topups", with("asset", "usd")), http.StatusBadRequest},
		"too little":              {p.post("/ui/topups", with("amount", "0.01")), http.StatusBadRequest},
		"too long":                {p.post("/ui/topups", with("amount", strings.Repeat("9", 9<<10))), http.StatusBadRequest},
	} {
		wantStatus(t, a.answer, what, a.status)
		if strings.Contains(a.page, "<script>alert") {
			t.Errorf("%s: markup is shown as it came", what)
		}
	}
	if len(c.topups) != 0 {
		t.Fatalf("%d top-ups came of it", len(c.topups))
	}
	page := p.post("/ui/topups", with("amount", "0.01")).page
	for _, want := range []string{"a top-up is at least 0.10", `value="0.01"`, `data-refresh="0"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the refused form lacks %q", want)
		}
	}
	wantStatus(t, p.post("/ui/topups", good), "the real thing", http.StatusSeeOther)
}

// TestSigner keeps a signer's access token out.
func TestSigner(t *testing.T) {
	server := serve(t, newCoordinator(t))
	a := newPerson(t, server).signIn(token(t, "signer"))
	wantStatus(t, a, "a signer", http.StatusForbidden)
	if len(a.Cookies()) > 0 && a.Cookies()[0].Name == "__Host-raylink" {
		t.Error("a signer got a session")
	}
}
