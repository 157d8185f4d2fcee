package endpoint

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	idleUpstream   = 30 * time.Second
	headerUpstream = 256 << 10 // bytes of an answer's headers
)

// Transport reaches an upstream. Requests that change something get a connection of their own: on a kept one that the other side has
// just closed they would be lost, with nobody knowing whether they arrived.
type Transport struct {
	kept, fresh *http.Transport
}

// NewTransport dials with dial; trust is nil for the system's CAs, and for plain HTTP.
func NewTransport(dial func(ctx context.Context, network, address string) (net.Conn, error), trust *tls.Config) *Transport {
	made := func() *http.Transport {
		return &http.Transport{DialContext: dial, TLSClientConfig: trust, TLSHandshakeTimeout: 10 * time.Second,
			DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: idleUpstream, MaxResponseHeaderBytes: headerUpstream}
	}
	t := &Transport{kept: made(), fresh: made()}
	t.fresh.DisableKeepAlives = true
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if safe(r.Method) {
		return t.kept.RoundTrip(r)
	}
	return t.fresh.RoundTrip(r)
}

// CloseIdleConnections closes what is kept and not in use.
func (t *Transport) CloseIdleConnections() { t.kept.CloseIdleConnections() }
