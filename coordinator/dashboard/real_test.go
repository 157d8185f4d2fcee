package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
	"raylink/coordinator/dashboard/browser"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// open is a real browser for one test.
func open(t *testing.T) (context.Context, *browser.Browser) {
	t.Helper()
	if os.Getenv("RAYLINK_REAL") != "1" {
		t.Skip("needs Chromium: set RAYLINK_REAL=1")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	b, err := browser.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctx, b
}

// must ends the test at an error.
func must(t *testing.T) func(error) {
	return func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestBrowser signs in with a real browser and watches a cluster become ready, first with the page's script, then without.
func TestBrowser(t *testing.T) {
	ctx, b := open(t)
	c := newCoordinator(t)
	server := serve(t, c)
	must := must(t)
	secret := token(t, "tenant")
	must(b.Navigate(ctx, server.URL+"/"))
	must(b.Fill(ctx, "#token", token(t, "nobody")))
	must(b.Click(ctx, "section button"))
	must(b.WaitText(ctx, "[role=alert]", "not known, expired or revoked"))
	must(b.Fill(ctx, "#token", secret))
	must(b.Click(ctx, "section button"))
	must(b.WaitText(ctx, "h1", "Overview"))
	must(b.Click(ctx, `td a, th a`))
	must(b.WaitText(ctx, ".strip .now", "image"))

	for _, p := range raylink.Phases()[2:] {
		c.advance(p)
		if p == raylink.PhaseReady {
			break
		}
		must(b.WaitText(ctx, ".strip .now", string(p)))
	}
	must(b.WaitText(ctx, "#title .badge", "ready"))
	must(b.WaitText(ctx, "#way", "after"))
	must(b.WaitText(ctx, "#endpoint", "ray job submit --address https://localhost:8443/c/c-of-tenant"))
	if at, err := b.Address(ctx); err != nil || at != server.URL+"/ui/clusters/c-of-tenant" || strings.Contains(at, "rl_access") {
		t.Errorf("the window is at %q (%v)", at, err)
	}
	for _, complaint := range b.Complaints() {
		if !strings.Contains(complaint, "401") { // the wrong token's answer
			t.Errorf("the browser complains: %s", complaint)
		}
	}

	c.warn("look here")
	must(b.WaitText(ctx, "#warning", "look here"))
	c.revoke(secret)
	must(b.WaitText(ctx, "h1", "Sign in"))
}

// TestOpenPage leaves a page open: what its reader opened stays open while it changes, and a coordinator that is gone is said to be.
func TestOpenPage(t *testing.T) {
	ctx, b := open(t)
	must := must(t)
	c := newCoordinator(t)
	server := serve(t, c)
	must(b.Navigate(ctx, server.URL+"/ui/clusters/c-of-tenant/bill"))
	must(b.Fill(ctx, "#token", token(t, "tenant")))
	must(b.Click(ctx, "section button"))
	must(b.Click(ctx, "summary"))
	must(b.WaitText(ctx, "details table", "g-aaaaaaaaaa"))
	c.mu.Lock()
	c.minutes = 2
	c.mu.Unlock()
	must(b.WaitText(ctx, "#lines", "2 min"))
	must(b.WaitText(ctx, "details[open] summary", "2 minutes"))
	server.CloseClientConnections()
	server.Close()
	must(b.WaitText(ctx, "#lost:not([hidden])", "does not answer"))
}

// TestWithoutScripts does the same in a browser that runs no script: the page is fetched again by itself.
func TestWithoutScripts(t *testing.T) {
	ctx, b := open(t)
	c := newCoordinator(t)
	server := serve(t, c)
	must := must(t)
	must(b.Scripts(ctx, false))
	must(b.Navigate(ctx, server.URL+"/ui/clusters/c-of-tenant"))
	must(b.Fill(ctx, "#token", token(t, "tenant")))
	must(b.Click(ctx, "section button"))
	must(b.WaitText(ctx, ".strip .now", "image"))
	c.advance(raylink.PhaseReady)
	must(b.WaitText(ctx, "#title .badge", "ready"))
	must(b.Click(ctx, ".who button"))
	must(b.WaitText(ctx, "h1", "Sign in"))
}

// TestBrowserTopup pays by a transfer and by card: what was typed outlives the page's own looks, the browser goes to the card company from a form, and
// finds its session again when it comes back from there.
func TestBrowserTopup(t *testing.T) {
	ctx, b := open(t)
	must := must(t)
	c := newCoordinator(t)
	c.topups = append(c.topups, wire.Topup{ID: "top-before", Account: "acc-tenant", State: "open", Amount: money.Amount{Asset: money.IO}, Received: money.Amount{Asset: money.IO}})
	server := serve(t, c)
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<h1>Checkout</h1><a href="%s/ui/balance?topup=top-3">Pay</a>`, server.URL)
	}))
	defer shop.Close()
	c.checkout = shop.URL
	must(b.Navigate(ctx, server.URL+"/ui/balance"))
	must(b.Fill(ctx, "#token", token(t, "tenant")))
	must(b.Click(ctx, "section button"))
	must(b.Fill(ctx, "#amount", "7.5"))
	c.settle(0)
	must(b.WaitText(ctx, "#topups", "paid"))
	must(b.Click(ctx, "#topup button"))
	must(b.WaitText(ctx, "h1", "Top-up of 7.50 USDC"))
	must(b.WaitText(ctx, "#pay", "Scan the code"))
	c.settle(1)
	must(b.WaitText(ctx, "#state", "It is paid and credited"))

	must(b.Navigate(ctx, server.URL+"/ui/balance"))
	must(b.Fill(ctx, "#amount", "20"))
	must(b.Click(ctx, `input[value="card"]`))
	must(b.Click(ctx, "#topup button"))
	must(b.WaitText(ctx, "h1", "Checkout"))
	must(b.Click(ctx, "a"))
	must(b.WaitText(ctx, "h1", "Top-up of 20.00 USD"))
	for _, complaint := range b.Complaints() {
		if !strings.Contains(complaint, shop.URL) { // it has no icon
			t.Errorf("the browser complains: %s", complaint)
		}
	}
}

// settle pays a top-up.
func (c *coordinator) settle(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topups[i].State = "paid"
}

// advance brings the tenant's cluster into a phase.
func (c *coordinator) advance(p raylink.Phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl, now := &c.clusters[1], time.Now()
	cl.Phase, cl.Stages = p, append(cl.Stages, wire.StageTime{Phase: p, At: now})
	if p == raylink.PhaseReady {
		cl.ReadyAt, cl.Endpoints = &now, []string{"https://localhost:8443/c/" + string(cl.ID)}
	}
}

func (c *coordinator) warn(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clusters[1].Warning = text
}
