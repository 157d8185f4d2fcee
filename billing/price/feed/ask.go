package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"raylink/raylink"
)

// Limits of an answer and of a file with a secret, in bytes.
const (
	MaxAnswer = 256 << 10
	maxSecret = 4 << 10
)

// NewClient is an HTTP client for Get: it follows no redirects, keeps no cookies and few connections.
func NewClient() *http.Client {
	return &http.Client{
		Timeout:       Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: Timeout / 2}).DialContext, TLSHandshakeTimeout: Timeout / 2,
			ForceAttemptHTTP2: true, MaxIdleConns: 2, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// Base reads the address of a service: https, or http on this very machine, without user, query or fragment.
func Base(text string) (*url.URL, error) {
	refuse := func(why string) (*url.URL, error) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "address of a price source %.100q %s", text, why).WithHint("write it as https://host, or https://host/path")
	}
	base, err := url.Parse(text)
	switch {
	case err != nil || base.Host == "":
		return refuse("is not a URL")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return refuse("has a user, a query or a fragment")
	case base.Scheme == "https" || base.Scheme == "http" && local(base.Hostname()):
		return base, nil
	}
	return refuse("is not https")
}

func local(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// Get asks for the address and gives back the body of a 200 answer of at most MaxAnswer bytes. Header holds pairs of names and
// values; none is sent anywhere but to that address, or named in an error.
func Get(ctx context.Context, client *http.Client, address *url.URL, header ...[2]string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", address.Host, err)
	}
	request.Header.Set("Accept", "application/json")
	for _, pair := range header {
		request.Header.Set(pair[0], pair[1])
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", address.Host, cause(err))
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer of %s: %w", address.Host, err)
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: %s answered %s", ErrAnswer, address.Host, answer.Status)
	case len(body) > MaxAnswer:
		return nil, fmt.Errorf("%w: %s sent more than %d bytes", ErrAnswer, address.Host, MaxAnswer)
	}
	return body, nil
}

// cause leaves out the URL that net/http puts before each error.
func cause(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// ReadSecret reads a small file that nobody but its owner may read or write, without the white space around it.
func ReadSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return "", raylink.Errorf(raylink.CodeForbidden, "%s may be read by others (mode %04o)", path, info.Mode().Perm()).WithHint("chmod 600 %s", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || len(text) > maxSecret {
		return "", raylink.Errorf(raylink.CodeInvalid, "%s is empty or larger than %d bytes", path, maxSecret).WithHint("put the key alone into the file")
	}
	return secret, nil
}
