package dashboard_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"raylink/raylink"
)

func copyAll(w io.Writer, r io.Reader) (int64, error) { return io.Copy(w, io.LimitReader(r, 4<<20)) }

func wantStatus(t *testing.T, a answer, what string, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s: %s, want %d; %.300s", what, a.Status, status, a.page)
	}
}

func TestSignInAndOut(t *testing.T) {
	c := newCoordinator(t)
	server := serve(t, c)
	p := newPerson(t, server)
	first := p.get("/ui/clusters/c-of-tenant")
	wantStatus(t, first, "a page without a session", http.StatusSeeOther)
	if to := first.Header.Get("Location"); to != "/ui/sign-in?next=%2Fui%2Fclusters%2Fc-of-tenant" {
		t.Errorf("sent to %q", to)
	}
	form := p.get(first.Header.Get("Location"))
	secret := token(t, "tenant")
	in := p.post("/ui/sign-in", url.Values{"form": {field(form.page)}, "token": {" " + secret + "\n"}, "next": {"/ui/clusters/c-of-tenant"}})
	wantStatus(t, in, "signing in", http.StatusSeeOther)
	if to := in.Header.Get("Location"); to != "/ui/clusters/c-of-tenant" {
		t.Errorf("after sign-in sent to %q", to)
	}
	kept := in.Cookies()[0]
	if kept.Name != "__Host-raylink" || !kept.Secure || !kept.HttpOnly || kept.SameSite != http.SameSiteStrictMode || kept.Path != "/" || kept.Domain != "" {
		t.Errorf("the session's cookie is %v", kept)
	}
	if strings.Contains(in.Header.Get("Set-Cookie"), strings.TrimPrefix(secret, "rl_access_")) {
		t.Error("the cookie holds the access token")
	}
	page := p.get("/ui/clusters/c-of-tenant")
	wantStatus(t, page, "the page asked for first", http.StatusOK)
	if strings.Contains(page.page, "rl_access_") {
		t.Error("the page holds an access token")
	}
	wantStatus(t, p.get("/ui/sign-in"), "the sign-in page of somebody signed in", http.StatusSeeOther)

	stolen := &http.Cookie{Name: kept.Name, Value: kept.Value}
	out := p.post("/ui/sign-out", url.Values{"form": {field(page.page)}})
	wantStatus(t, out, "signing out", http.StatusSeeOther)
	wantStatus(t, p.get("/ui"), "a page after that", http.StatusSeeOther)
	r, _ := http.NewRequest(http.MethodGet, server.URL+"/ui", nil)
	r.AddCookie(stolen)
	wantStatus(t, newPerson(t, server).do(r), "the old cookie, kept by somebody", http.StatusSeeOther)
	wantStatus(t, p.post("/ui/sign-out", nil), "signing out again", http.StatusSeeOther)
}

func TestWrongTokens(t *testing.T) {
	server := serve(t, newCoordinator(t))
	p := newPerson(t, server)
	for what, secret := range map[string]string{
		"nobody's token": token(t, "nobody"), "a join token": "rl_join_" + strings.Repeat("A", 43), "nothing": "", "markup": "<script>alert(1)</script>", "much": strings.Repeat("x", 4000),
	} {
		a := p.signIn(secret)
		wantStatus(t, a, what, http.StatusUnauthorized)
		if strings.Contains(a.page, "<script>alert") || (len(secret) > 20 && strings.Contains(a.page, secret)) {
			t.Errorf("%s is shown again", what)
		}
		if field(a.page) == "" {
			t.Errorf("%s: no form to try again", what)
		}
	}
	a := p.post("/ui/sign-in", url.Values{"form": {field(p.get("/ui/sign-in").page)}, "token": {strings.Repeat("x", 9<<10)}})
	wantStatus(t, a, "a form of 9 KiB", http.StatusBadRequest)
	wantStatus(t, p.get("/ui?token="+token(t, "tenant")), "a token in the address", http.StatusSeeOther)
	a = p.post("/ui/sign-in?token="+token(t, "tenant"), url.Values{"form": {field(p.get("/ui/sign-in").page)}})
	wantStatus(t, a, "a token in the form's address", http.StatusUnauthorized)
}

// TestForms sends forms as another site would.
func TestForms(t *testing.T) {
	c := newCoordinator(t)
	server := serve(t, c)
	fresh := newPerson(t, server)
	good := field(fresh.get("/ui/sign-in").page)
	secret := token(t, "tenant")
	wantStatus(t, fresh.post("/ui/sign-in", url.Values{"token": {secret}}), "no secret field", http.StatusForbidden)
	wantStatus(t, fresh.post("/ui/sign-in", url.Values{"form": {"x" + good}, "token": {secret}}), "a wrong secret field", http.StatusForbidden)
	wantStatus(t, newPerson(t, server).post("/ui/sign-in", url.Values{"form": {good}, "token": {secret}}), "another browser's field", http.StatusForbidden)
	wantStatus(t, fresh.post("/ui/sign-in", url.Values{"form": {good}, "token": {secret}}, "Sec-Fetch-Site", "same-site"), "from another port", http.StatusForbidden)
	wantStatus(t, fresh.post("/ui/sign-in", url.Values{"form": {good}, "token": {secret}}, "Sec-Fetch-Site", "same-origin"), "the real thing", http.StatusSeeOther)

	p := as(t, server, raylink.RoleTenant)
	own := field(p.get("/ui").page)
	wantStatus(t, p.post("/ui/sign-out", nil), "sign-out without the field", http.StatusForbidden)
	wantStatus(t, p.post("/ui/sign-out", url.Values{"form": {good}}), "sign-out with a sign-in form's field", http.StatusForbidden)
	wantStatus(t, p.post("/ui/sign-out", url.Values{"form": {own}}, "Sec-Fetch-Site", "cross-site"), "sign-out from another site", http.StatusForbidden)
	wantStatus(t, p.get("/ui"), "still signed in", http.StatusOK)
	wantStatus(t, p.get("/ui/sign-out"), "sign-out by a link", http.StatusNotFound)
	wantStatus(t, p.post("/ui/sign-out", url.Values{"form": {own}}), "the real sign-out", http.StatusSeeOther)
}

// TestNext looks for a way out to another site.
func TestNext(t *testing.T) {
	server := serve(t, newCoordinator(t))
	for next, want := range map[string]string{
		"/ui/machines": "/ui/machines", "/ui/clusters/c-1/bill": "/ui/clusters/c-1/bill", "": "/ui", "https://evil.example/ui/": "/ui", "//evil.example/ui/x": "/ui", "/ui/../v1/status": "/ui",
		"/ui//evil.example": "/ui", `/ui/\evil.example`: "/ui", "javascript:alert(1)": "/ui", "/v1/journal": "/ui", "/ui/sign-out": "/ui", "/ui/x\r\nSet-Cookie: a=b": "/ui", "/uix": "/ui", "/ui/a?b=c": "/ui/a",
	} {
		p := newPerson(t, server)
		a := p.post("/ui/sign-in", url.Values{"form": {field(p.get("/ui/sign-in").page)}, "token": {token(t, "tenant")}, "next": {next}})
		if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != want {
			t.Errorf("next %q leads to %q (%s), want %q", next, got, a.Status, want)
		}
	}
}

func TestRevoked(t *testing.T) {
	c := newCoordinator(t)
	one, other := serve(t, c), serve(t, c)
	p := as(t, one, raylink.RoleTenant)
	wantStatus(t, p.get("/ui"), "before", http.StatusOK)
	// Another coordinator of the group takes the same session, unasked.
	p.base = other.URL
	wantStatus(t, p.get("/ui"), "at another coordinator", http.StatusOK)
	c.revoke(token(t, "tenant"))
	wantStatus(t, p.get("/ui"), "revoked", http.StatusSeeOther)
	p.base = one.URL
	wantStatus(t, p.get("/ui"), "revoked, at the first", http.StatusSeeOther)
}

// TestForged tampers with a session's cookie.
func TestForged(t *testing.T) {
	server := serve(t, newCoordinator(t))
	p := newPerson(t, server)
	kept := p.signIn(token(t, "tenant")).Cookies()[0].Value
	for i := range kept {
		changed := []byte(kept)
		if changed[i] = 'A'; kept[i] == 'A' {
			changed[i] = 'z'
		}
		r, _ := http.NewRequest(http.MethodGet, server.URL+"/ui", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-raylink", Value: string(changed)})
		a := newPerson(t, server).do(r)
		// The last character of the encoding carries bits that mean nothing.
		if a.StatusCode == http.StatusOK && i < len(kept)-1 {
			t.Fatalf("a cookie that differs at %d was taken", i)
		}
	}
}
