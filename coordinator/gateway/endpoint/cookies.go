package endpoint

import (
	"net/http"
	"strings"
	"sync"
)

const (
	cookiesPerCluster = 16
	cookieClusters    = 4096
)

// cookieNames remembers which cookies each cluster has set, so that it gets back those and no others: browsers send a cookie to every
// port of a host, and on a loopback host those of other programs are none of a stranger's machine's business.
type cookieNames struct {
	mu    sync.Mutex
	names map[string]map[string]bool
}

func (k *cookieNames) learn(cluster, name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.names[cluster][name] {
		return true
	}
	if k.names == nil || len(k.names) >= cookieClusters {
		k.names = map[string]map[string]bool{}
	}
	if k.names[cluster] == nil {
		k.names[cluster] = map[string]bool{}
	}
	if len(k.names[cluster]) >= cookiesPerCluster {
		return false
	}
	k.names[cluster][name] = true
	return true
}

// known is the Cookie header for a cluster's head, of what the browser sent.
func (k *cookieNames) known(cluster string, sent []*http.Cookie) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var kept []string
	for _, cookie := range sent {
		if k.names[cluster][cookie.Name] {
			kept = append(kept, cookie.Name+"="+cookie.Value)
		}
	}
	return strings.Join(kept, "; ")
}

// inboundCookies keeps the head's cookies to its own path, and its token to itself.
func (h *handler) inboundCookies(answer *http.Response, r *http.Request, c *call) {
	cookies := answer.Cookies()
	answer.Header.Del("Set-Cookie")
	for _, cookie := range cookies {
		if cookie.Name == rayCookie || strings.HasPrefix(cookie.Name, "raylink") || !h.cookies.learn(c.cluster, cookie.Name) {
			continue
		}
		cookie.Domain = ""
		cookie.Path = c.outsidePath(cookie.Path)
		cookie.Secure = h.secure(r)
		if text := cookie.String(); text != "" {
			answer.Header.Add("Set-Cookie", text)
		}
	}
}
