package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
)

// Limits of every client. A coordinator that takes longer to accept a connection than dialTimeout is passed over.
const (
	dialTimeout    = 3 * time.Second
	requestTimeout = 30 * time.Second
	retryRounds    = 5 // over all coordinators; with the pauses between them about six seconds
	firstPause     = 200 * time.Millisecond
	longestPause   = 3 * time.Second
	answerLimit    = 64 << 20 // bytes of one JSON answer; a long bill with its minutes is some MB
	errorLimit     = 64 << 10
)

// Config says whom a client talks to, whom it trusts, and how it proves who it is.
type Config struct {
	Coordinators []string // base URLs, https://host:port; at least one
	CAPEM        []byte   // the group's CA: nothing else is trusted; FetchCA gets it by its SHA-256
	Token        string   // access token; empty for agents and gateways

	// Certificate is asked at each handshake, so that a renewed one is used at once. Nil where a token is enough.
	Certificate func() (*tls.Certificate, error)

	// Transport carries the requests instead of TCP and TLS, for networks that exist only in memory (package testbed). Nil is the network.
	Transport http.RoundTripper

	// OnCoordinators is told when an answer brought another list of coordinators. Nil is fine. It must not call the client.
	OnCoordinators func([]string)
}

// Client calls the API of whichever coordinator answers. It may be used by many goroutines.
type Client struct {
	http  *http.Client
	token string
	index atomic.Uint64 // the highest index that an answer to a write carried

	answered       atomic.Bool
	onCoordinators func([]string)
	mu             sync.Mutex
	coordinators   []string // the one that answered last stands first
}

// New makes a client; it does not connect. Plain HTTP is refused: tokens and secrets travel here.
func New(c Config) (*Client, error) {
	urls, err := cleanURLs(c.Coordinators)
	if err != nil {
		return nil, err
	}
	trust, err := identity.GroupTLS(c.CAPEM, time.Now)
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the group's CA certificate is missing: %v", err).
			WithHint("`raylink login URL` fetches it; RAYLINK_CA names a file that holds it")
	}
	verify := trust.VerifyConnection
	trust.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state); err != nil {
			return &distrusted{err}
		}
		return nil
	}
	if c.Certificate != nil {
		trust.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Certificate() }
	}
	var transport http.RoundTripper = &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       trust,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: requestTimeout + maxWait,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   4,
	}
	if c.Transport != nil {
		transport = c.Transport
	}
	return &Client{
		http:           &http.Client{Transport: transport, CheckRedirect: noRedirect},
		token:          c.Token,
		coordinators:   urls,
		onCoordinators: c.OnCoordinators,
	}, nil
}

// noRedirect keeps a bearer token from following a redirect to somewhere else.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Coordinators are the URLs that the client knows; the one that answered last stands first.
func (c *Client) Coordinators() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.coordinators)
}

// Index is the index of this client's latest write, 0 before the first; reads ask for at least that.
func (c *Client) Index() uint64 { return c.index.Load() }

// Close drops idle connections. Calls in flight are ended by their contexts.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// learn takes a list of coordinators from an answer. An empty or unusable list changes nothing. The address that answered stays, even
// where the list does not have it: behind a tunnel or another name it may be the only one that can be reached from here.
func (c *Client) learn(list []string) {
	urls, err := cleanURLs(list)
	if err != nil {
		return
	}
	c.mu.Lock()
	known := c.coordinators
	urls = slices.DeleteFunc(urls, func(u string) bool { return u == known[0] })
	urls = append([]string{known[0]}, urls...)
	changed := !sameSet(known, urls)
	if changed {
		c.coordinators = urls
	}
	c.mu.Unlock()
	if changed && c.onCoordinators != nil {
		c.onCoordinators(slices.Clone(urls))
	}
}

// prefer puts the coordinator that answered first.
func (c *Client) prefer(base string) {
	c.answered.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.coordinators, base); i > 0 {
		moved := append([]string{base}, slices.Delete(slices.Clone(c.coordinators), i, i+1)...)
		c.coordinators = moved
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// CheckURL refuses what is not the URL of a coordinator.
func CheckURL(raw string) error {
	_, err := cleanURLs([]string{raw})
	return err
}

// cleanURLs checks base URLs and brings them into one form, without a slash at the end.
func cleanURLs(list []string) ([]string, error) {
	var urls []string
	for _, raw := range list {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%q is not the URL of a coordinator", raw).
				WithHint("write it as https://host:7443")
		}
		if u.Scheme != "https" {
			return nil, raylink.Errorf(raylink.CodeInvalid, "coordinators are spoken to over https only, not %q", raw).
				WithHint("write it as https://%s", u.Host)
		}
		base := strings.TrimRight("https://"+u.Host+u.Path, "/")
		if !slices.Contains(urls, base) {
			urls = append(urls, base)
		}
	}
	if len(urls) == 0 {
		return nil, raylink.Errorf(raylink.CodeInvalid, "no coordinator is known").
			WithHint("`raylink login https://HOST:7443` first, or set RAYLINK_URL")
	}
	return urls, nil
}

// newKey mints an idempotency key.
func newKey() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // crypto/rand's Read never returns an error
	return hex.EncodeToString(raw[:])
}

// sleep waits d, or less when ctx ends first, and then says why.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
