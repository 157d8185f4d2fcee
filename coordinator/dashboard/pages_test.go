package dashboard_test

import (
	"net/http"
	"strings"
	"testing"

	"raylink/billing/money"
	"raylink/raylink"
	"raylink/raylink/wire"
)

func TestHeaders(t *testing.T) {
	server := serve(t, newCoordinator(t))
	p := as(t, server, raylink.RoleAdmin)
	for _, path := range []string{"/ui", "/ui/group", "/ui/clusters/none", "/ui/assets/none"} {
		h := p.get(path).Header
		for name, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
	}
	if to := p.get("/").Header.Get("Location"); to != "/ui" {
		t.Errorf("/ leads to %q", to)
	}
}

// TestAssets loads what the pages name, without signing in.
func TestAssets(t *testing.T) {
	p := newPerson(t, serve(t, newCoordinator(t)))
	page := p.get("/ui/sign-in").page
	for file, kind := range map[string]string{"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		_, rest, ok := strings.Cut(page, "/ui/assets/"+file)
		if !ok {
			t.Fatalf("the page does not name %s", file)
		}
		version, _, _ := strings.Cut(rest, `"`)
		a := p.get("/ui/assets/" + file + version)
		if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), kind) || !strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %s %s %s", file, a.Status, a.Header.Get("Content-Type"), a.Header.Get("Cache-Control"))
		}
		if a := p.get("/ui/assets/" + file + "?v=old"); a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s of another version is kept: %s", file, a.Header.Get("Cache-Control"))
		}
	}
	if strings.Contains(page, "http://") || strings.Contains(page, "https://") {
		t.Error("the page names another site")
	}
}

// TestRoles asks for every page in every role.
func TestRoles(t *testing.T) {
	c := newCoordinator(t)
	for _, role := range []string{"admin", "tenant"} {
		c.topups = append(c.topups, wire.Topup{ID: "top-of-" + role, Account: raylink.AccountID("acc-" + role), State: "open", Amount: money.Amount{Asset: money.USDC}, Received: money.Amount{Asset: money.USDC}})
	}
	server := serve(t, c)
	const ok, no, none = http.StatusOK, http.StatusForbidden, http.StatusNotFound
	for _, c := range []struct {
		path                    string
		admin, tenant, supplier int
	}{
		{"/ui", ok, ok, ok}, {"/ui/machines", ok, ok, ok}, {"/ui/balance", ok, ok, ok},
		{"/ui/clusters", ok, ok, no}, {"/ui/clusters/c-of-tenant", ok, ok, no}, {"/ui/clusters/c-of-tenant/bill", ok, ok, no},
		{"/ui/clusters/c-of-admin", ok, none, no}, {"/ui/clusters/c-of-admin/bill", ok, none, no},
		{"/ui/balance?account=acc-admin", ok, no, no}, {"/ui/balance?account=acc-tenant", ok, ok, no},
		{"/ui/group", ok, no, no}, {"/ui/accounts", ok, no, no}, {"/ui/treasury", ok, no, no},
		{"/ui/earnings", ok, ok, ok}, {"/ui/earnings?account=acc-admin", ok, no, no}, {"/ui/earnings?account=acc-supplier", ok, no, ok},
		{"/ui/topups", http.StatusSeeOther, http.StatusSeeOther, http.StatusSeeOther}, {"/ui/topups/top-of-tenant", ok, ok, no}, {"/ui/topups/top-of-admin", ok, none, no}, {"/ui/topups/none", none, none, no},
	} {
		for role, want := range map[raylink.Role]int{raylink.RoleAdmin: c.admin, raylink.RoleTenant: c.tenant, raylink.RoleSupplier: c.supplier} {
			a := as(t, server, role).get(c.path)
			wantStatus(t, a, string(role)+" "+c.path, want)
			if role != raylink.RoleAdmin && (strings.Contains(a.page, "secret-of-admin") || strings.Contains(a.page, "the-digest") || strings.Contains(a.page, "the-treasury") || strings.Contains(a.page, `href="/ui/group"`)) {
				t.Errorf("%s sees what is not his on %s", role, c.path)
			}
			if role == raylink.RoleTenant && a.StatusCode == ok && strings.Contains(a.page, "secret-of-supplier") {
				t.Errorf("a tenant sees another's cluster on %s", c.path)
			}
		}
	}
	if page := as(t, server, raylink.RoleTenant).get("/ui/clusters").page; !strings.Contains(page, "secret-of-tenant") {
		t.Error("a tenant does not see his own cluster")
	}
}

// TestMachinesStand: the page of machines says where each stands, why, and what its owner can do; hostile words of a machine stay words.
func TestMachinesStand(t *testing.T) {
	c := newCoordinator(t)
	reliability := int64(9_931)
	c.machines = []wire.Machine{
		{ID: "m-aaaaaaaaaa", Name: "box", State: "down", Standing: raylink.Standing{State: raylink.MachineQuarantined, Reason: raylink.ReasonStageFailures, Detail: "<b>three</b>", Reliability: &reliability, Lost: 7},
			Host:     &raylink.Host{Devices: []raylink.Device{{Kind: raylink.DeviceGPU, Name: "<i>RTX</i>", Memory: 24 << 30, Fault: "Xid 79"}}},
			Failures: []wire.FailureCount{{Stage: "image", Reason: "<u>full</u>", Count: 3}}},
		{ID: "m-bbbbbbbbbb", Name: "old", State: "up"},
	}
	page := as(t, serve(t, c), raylink.RoleAdmin).get("/ui/machines").page
	for _, want := range []string{"quarantined", "several leases in a row failed on it", "comes back by itself", "99.31 %", "7 minutes lost", "&lt;b&gt;three", "&lt;i&gt;RTX", "Xid 79", "3 × <bdi>image: &lt;u&gt;full"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Count(page, "<bdi>up</bdi>") != 1 {
		t.Errorf("a machine of an earlier release has no state:\n%s", page)
	}
}
