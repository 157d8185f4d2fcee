package testbed

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"time"
)

// dialTime is how long nobody's answer is waited for before a connection counts as not made; as in package client.
const dialTime = 3 * time.Second

// link carries a client's requests to the coordinators' real handlers, as far as the weather lets it.
type link struct {
	b         *Bed
	from      string
	principal string // in the certificate; empty for users
}

// RoundTrip hands the request to the coordinator that its URL names.
func (l *link) RoundTrip(request *http.Request) (*http.Response, error) {
	name, _, _ := strings.Cut(request.URL.Hostname(), ".")
	c := l.b.coordinator(name)
	if c == nil {
		return nil, fmt.Errorf("there is no coordinator %q", name)
	}
	if cut, _ := l.b.cut(l.from, name); cut {
		return nil, nobody(request.Context(), dialTime)
	}
	var body []byte
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
	}
	recorder, done, gone, cancel, err := l.serve(c, request, body)
	if err != nil {
		return nil, err
	}
	defer cancel()
	answered := false
	for {
		cut, weather := l.b.cut(l.from, name)
		if answered && !cut {
			return recorder.Result(), nil
		}
		select {
		case <-done:
			answered, done = true, nil
		case <-weather:
		case <-gone:
			return nil, errors.New("connection reset")
		case <-request.Context().Done():
			return nil, request.Context().Err()
		}
	}
}

// serve lets the coordinator's handler work in a goroutine that the bed awaits.
func (l *link) serve(c *coordinator, request *http.Request, body []byte) (recorder *httptest.ResponseRecorder, done, gone <-chan struct{}, cancel func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.up {
		return nil, nil, nil, nil, syscall.ECONNREFUSED
	}
	ctx, cancel := context.WithCancel(c.ctx)
	asked := request.Clone(ctx)
	asked.Body, asked.RequestURI = io.NopCloser(bytes.NewReader(body)), request.URL.RequestURI()
	asked.TLS = &tls.ConnectionState{}
	if l.principal != "" {
		leaf := &x509.Certificate{Subject: pkix.Name{CommonName: l.principal}, NotAfter: time.Now().Add(time.Hour)}
		asked.TLS.VerifiedChains = [][]*x509.Certificate{{leaf}}
	}
	recorder = httptest.NewRecorder()
	finished := make(chan struct{})
	handler := c.handler
	l.b.wait.Go(func() {
		defer close(finished)
		handler.ServeHTTP(recorder, asked)
	})
	return recorder, finished, c.ctx.Done(), cancel, nil
}

// cut says whether two parts cannot reach each other, and what is closed when that may have changed.
func (b *Bed) cut(one, other string) (bool, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cuts[pairOf(one, other)], b.weather
}

// nobody is the error of packets that vanish.
func nobody(ctx context.Context, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-timer.C:
		return errors.New("no answer to a dial")
	case <-ctx.Done():
		return ctx.Err()
	}
}
