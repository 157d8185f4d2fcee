package endpoint

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/raylink/ray"
)

const (
	cookieName = "raylink-endpoint"
	cookieLife = 7 * 24 * time.Hour
	rayCookie  = "ray-authentication-token" // Ray's own, with the cluster's token: it never reaches a client
	// anonymousTime is how long an answer to somebody who has proven nothing may take.
	anonymousTime = time.Minute
	tokenPrefix   = "rl_access_"
)

// admit decides whether the call may go on: with an access token, from a loopback, or to what Ray shows to everybody.
func (h *handler) admit(r *http.Request, c *call) *raylink.Error {
	if h.local {
		if refusal := sameSite(r); refusal != nil {
			return refusal
		}
		c.granted = true
		return nil
	}
	token := bearer(r)
	if token != "" {
		if refusal := judge(c, token); refusal != nil {
			return refusal
		}
		c.token, c.granted = token, true
		return nil
	}
	for _, cookie := range r.CookiesNamed(cookieName) {
		if !c.route.allows(cookie.Value) {
			continue
		}
		if refusal := sameSite(r); refusal != nil {
			return refusal
		}
		c.token, c.granted = cookie.Value, true
		return nil
	}
	if public(r.Method, c.plain) && !isUpgrade(r) {
		return nil
	}
	return raylink.Errorf(raylink.CodeUnauthenticated, "this endpoint wants an access token of Raylink").
		WithHint("set %s=%s and %s=rl_access_… (`raylink token` makes one), or use `raylink connect %s`", ray.AuthMode, ray.AuthModeToken, ray.AuthToken, c.cluster)
}

// judge says why a token does not open the cluster, or nil.
func judge(c *call, token string) *raylink.Error {
	if c.route.allows(token) {
		return nil
	}
	if !strings.HasPrefix(token, tokenPrefix) {
		return raylink.Errorf(raylink.CodeUnauthenticated, "the token shown is not an access token of Raylink: those begin with %s", tokenPrefix).
			WithHint("set %s to yours; a token in %s or %s may be that of another cluster", ray.AuthToken, ray.AuthTokenHome, ray.AuthTokenPath)
	}
	return raylink.Errorf(raylink.CodeForbidden, "the access token shown may not use the cluster %s", c.cluster).
		WithHint("it was revoked, has expired, or is another account's; `raylink cluster list` shows what yours may use")
}

// bearer is the token that a program shows, in the two headers that Ray's clients use.
func bearer(r *http.Request) string {
	for _, name := range []string{"Authorization", "X-Ray-Authorization"} {
		for _, value := range r.Header.Values(name) {
			if scheme, token, ok := strings.Cut(strings.TrimSpace(value), " "); ok && strings.EqualFold(scheme, "bearer") {
				if token = strings.TrimSpace(token); token != "" {
					return token
				}
			}
		}
	}
	return ""
}

// public is what Ray's own server shows without a token: the dashboard's shell and health.
func public(method, path string) bool {
	if method != http.MethodGet && method != http.MethodHead {
		return false
	}
	switch path {
	case "", "/", "/favicon.ico", "/api/authentication_mode", "/api/healthz", "/api/gcs_healthz", "/api/local_raylet_healthz", "/-/healthz":
		return true
	}
	return strings.HasPrefix(path, "/static/")
}

// sameSite refuses what a foreign web page made the user's browser ask, when nothing but the browser's own habits (a cookie, being on
// this machine) speaks for the request. Programs send none of these headers and are not concerned, unless they show a browser's cookie
// and change something.
func sameSite(r *http.Request) *raylink.Error {
	refusal := raylink.Errorf(raylink.CodeForbidden, "a page of another site asked for this").
		WithHint("programs show their token in the header Authorization")
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, r.Host) {
			return refusal
		}
		return nil
	}
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case site == "same-origin":
		return nil
	case (site == "cross-site" || site == "same-site") && r.Header.Get("Sec-Fetch-Mode") != "navigate":
		return refusal
	}
	browser := site != "" || r.Header.Get("Cookie") != ""
	if browser && (!safe(r.Method) || isUpgrade(r)) {
		return refusal // browsers name the origin of every request that changes something, and of every WebSocket
	}
	return nil
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(strings.TrimSpace(r.Header.Get("Upgrade")), "websocket")
}

// authenticate stands in for Ray's own: it takes the user's token and gives the browser a cookie for this one cluster.
func (h *handler) authenticate(w http.ResponseWriter, r *http.Request, c *call) {
	var refusal *raylink.Error
	token := bearer(r)
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case r.Header.Get("Origin") != "" || h.local:
		refusal = sameSite(r)
	}
	if refusal == nil && !h.local {
		if token == "" {
			refusal = raylink.Errorf(raylink.CodeUnauthenticated, "sign in with your access token of Raylink, it begins with %s", tokenPrefix)
		} else {
			refusal = judge(c, token)
		}
	}
	if refusal != nil {
		h.refuse(w, r, refusal)
		return
	}
	if !h.local {
		http.SetCookie(w, &http.Cookie{
			Name: cookieName, Value: token, Path: c.prefix + "/", MaxAge: int(cookieLife.Seconds()),
			HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: h.secure(r),
		})
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(`{"status": "authenticated", "message": "Token is valid"}`)) // the client's loss
}

func (h *handler) secure(r *http.Request) bool { return h.Secure || r.TLS != nil }
