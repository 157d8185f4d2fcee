package endpoint_test

import (
	"strings"
	"testing"

	"raylink/coordinator/gateway/endpoint"
	"raylink/raylink"
)

func TestTokens(t *testing.T) {
	g := newRig(t)
	path := "/c/" + clusterA + "/api/version"
	for _, row := range []struct {
		name    string
		headers []string
		status  int
		parts   []string
	}{
		{"bearer", []string{asAlice}, 200, []string{`"2.60.0"`}},
		{"lower case", []string{"authorization: bearer " + alice}, 200, nil},
		{"Ray's own header", []string{"X-Ray-Authorization: Bearer " + alice}, 200, nil},
		{"behind a proxy that eats the first", []string{"Authorization: Basic eDp5", "X-Ray-Authorization: Bearer " + alice}, 200, nil},
		{"cookie", []string{"Cookie: raylink-endpoint=" + alice}, 200, nil},
		{"none", nil, 401, []string{"RAY_AUTH_TOKEN", "raylink connect " + clusterA}},
		{"empty", []string{"Authorization: Bearer "}, 401, nil},
		{"Ray's own cookie does not count", []string{"Cookie: ray-authentication-token=" + alice}, 401, nil},
		{"the cluster's token", []string{"Authorization: Bearer cluster-secret"}, 401, []string{"rl_access_", "RAY_AUTH_TOKEN_PATH"}},
		{"somebody else's", []string{"Authorization: Bearer " + bob}, 403, []string{"may not use the cluster " + clusterA}},
		{"a prefix of the right one", []string{"Authorization: Bearer " + alice[:len(alice)-1]}, 403, nil},
		{"a wrong one beside a right cookie", []string{"Authorization: Bearer " + bob, "Cookie: raylink-endpoint=" + alice}, 403, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := g.ask("GET", path, "", row.headers...)
			a.want(t, row.status, row.parts...)
			if strings.Contains(a.body, "cluster-secret") {
				t.Error("the cluster's token is in the answer")
			}
		})
	}
	t.Run("unknown cluster", func(t *testing.T) { g.ask("GET", "/c/c-zzzzzzzzzz/api/version", "", asAlice).want(t, 404) })
	t.Run("somebody else's cluster", func(t *testing.T) { g.ask("GET", "/c/"+clusterB+"/api/version", "", asAlice).want(t, 403) })
}

func TestNothingOfTheUserReachesTheHead(t *testing.T) {
	g := newRig(t)
	g.ask("GET", "/c/"+clusterA+"/api/version", "", "X-Ray-Authorization: Bearer "+alice,
		"Cookie: raylink-endpoint="+alice+"; session=of-another-program; raylink_session=x", "X-Forwarded-For: 10.1.2.3", "Forwarded: for=10.1.2.3",
		"X-Real-Ip: 10.1.2.3", "Referer: https://gateway.example/c/x/", "Connection: authorization, x-ray-authorization").want(t, 200)
	r := g.head.Requests()[0]
	if got := r.Header.Get("Authorization"); got != "Bearer cluster-secret" {
		t.Errorf("Authorization upstream is %q", got)
	}
	for name, values := range r.Header {
		text := name + ": " + strings.Join(values, ",")
		for _, secret := range []string{alice, "of-another-program", "10.1.2.3", "127.0.0.1", "gateway.example", "raylink_session"} {
			if strings.Contains(text, secret) {
				t.Errorf("upstream saw %s", text)
			}
		}
	}
}

func TestRevocationCountsAtOnce(t *testing.T) {
	g := newRig(t)
	path := "/c/" + clusterA + "/api/version"
	g.ask("GET", path, "", asAlice).want(t, 200)
	g.routes.set(clusterA, func(r *endpoint.Route) { r.Access = only() })
	g.ask("GET", path, "", asAlice).want(t, 403)
}

func TestSignIn(t *testing.T) {
	g := newRig(t)
	path := "/c/" + clusterA + "/api/authenticate"
	origin := "Origin: http://" + g.addr
	a := g.ask("POST", path, "", asAlice, origin, "User-Agent: Mozilla/5.0")
	a.want(t, 200, `"authenticated"`)
	cookie := a.header.Get("Set-Cookie")
	for _, part := range []string{"raylink-endpoint=" + alice, "Path=/c/" + clusterA + "/", "HttpOnly", "SameSite=Strict"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie lacks %s: %s", part, cookie)
		}
	}
	if strings.Contains(cookie, "Secure") {
		t.Error("a Secure cookie over plain HTTP would be lost")
	}
	g.ask("POST", path, "").want(t, 401)
	g.ask("POST", path, "", "Authorization: Bearer "+bob).want(t, 403)
	g.ask("POST", path, "", asAlice, "Origin: http://evil.example").want(t, 403)
	g.ask("GET", path, "", asAlice).want(t, 405)
	if n := len(g.head.Requests()); n != 0 {
		t.Errorf("%d requests reached the head: its own sign-in gives out the cluster's token", n)
	}
}

func TestForeignPages(t *testing.T) {
	g := newRig(t)
	cookie, path := "Cookie: raylink-endpoint="+alice, "/c/"+clusterA+"/api/jobs/"
	body, own := `{"entrypoint":"x","submission_id":"s"}`, "Origin: http://"+g.addr
	const mozilla = "User-Agent: Mozilla/5.0"
	for _, row := range []struct {
		name, method, path string
		headers            []string
		status             int
	}{
		{"the endpoint's own page", "POST", path, []string{cookie, own, mozilla, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"}, 200},
		{"a foreign page", "POST", path, []string{cookie, "Origin: http://evil.example", mozilla}, 403},
		{"another port of this host", "POST", path, []string{cookie, "Origin: http://127.0.0.1:1", mozilla}, 403},
		{"a sandboxed page", "POST", path, []string{cookie, "Origin: null", mozilla}, 403},
		{"a form without an origin", "POST", path, []string{cookie, mozilla}, 403},
		{"an old browser's cross-site request", "POST", path, []string{cookie, mozilla, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 403},
		{"reading from another site", "GET", "/c/" + clusterA + "/api/version", []string{cookie, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"}, 403},
		{"a link from another site", "GET", "/c/" + clusterA + "/api/version", []string{cookie, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 200},
		{"a WebSocket of a foreign page", "GET", path + "s/logs/tail", []string{cookie, "Origin: http://evil.example", "Upgrade: websocket",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"}, 403},
		{"a program with an origin of its own", "POST", path, []string{asAlice, "Origin: http://evil.example"}, 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			send := body
			if row.method == "GET" {
				send = ""
			}
			g.ask(row.method, row.path, send, row.headers...).want(t, row.status)
		})
	}
	t.Run("Ray hides secrets from browsers", func(t *testing.T) {
		g.ask("GET", path+"s", "", cookie, own, mozilla, "Sec-Fetch-Site: same-origin").want(t, 200)
		all := g.head.Requests()
		if last := all[len(all)-1]; last.UserAgent() != "Mozilla/5.0" || last.Header.Get("Sec-Fetch-Site") == "" {
			t.Errorf("a browser that reads is not known as one upstream: %v", last.Header)
		}
	})
}

func TestWhileAssembling(t *testing.T) {
	g := newRig(t)
	g.routes.set(clusterA, func(r *endpoint.Route) {
		r.Down = raylink.Errorf(raylink.CodeUnavailable, "the cluster is at stage image: m-x fetches the image").WithHint("wait")
	})
	a := g.ask("GET", "/c/"+clusterA+"/api/version", "", asAlice)
	a.want(t, 503, "stage image", "wait")
	if a.header.Get("Retry-After") == "" || a.header.Get(endpoint.ErrorHeader) != "unavailable" {
		t.Errorf("headers: %v", a.header)
	}
	if a := g.ask("GET", "/c/"+clusterA+"/", ""); a.status != 503 || strings.Contains(a.body, "m-x") {
		t.Errorf("a stranger was told %d %s", a.status, a.body)
	}
	g.ask("GET", "/c/"+clusterA+"/api/version", "").want(t, 401)
}

func TestPublicPaths(t *testing.T) {
	g := newRig(t)
	g.ask("GET", "/c/"+clusterA+"/", "").want(t, 200, "Ray Dashboard")
	g.ask("GET", "/c/"+clusterA+"/api/authentication_mode", "").want(t, 200, `"token"`)
	g.ask("POST", "/c/"+clusterA+"/", "x").want(t, 401)
	g.ask("GET", "/c/"+clusterA+"/static", "").want(t, 401)
	for _, r := range g.head.Requests() {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s went up with the cluster's token for somebody unknown", r.URL)
		}
	}
}
