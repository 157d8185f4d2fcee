package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
)

// Fingerprint is the SHA-256 of a CA certificate's DER form, in hex: what join tokens carry and `raylink login` shows.
func Fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// FetchCA asks a coordinator for its group's CA, which it sends in its TLS chain. With a pin, the SHA-256 in hex, the CA is the one
// certificate of the chain with that sum; without, the chain's last, and whoever asked has to compare its Fingerprint. In both cases
// the server must prove to be a coordinator under that CA. Nothing secret is sent. It returns the CA in PEM and its SHA-256.
func FetchCA(ctx context.Context, coordinator, pin string) (caPEM []byte, sum string, err error) {
	urls, err := cleanURLs([]string{coordinator})
	if err != nil {
		return nil, "", err
	}
	u, err := url.Parse(urls[0])
	if err != nil {
		return nil, "", fmt.Errorf("reading the URL of the coordinator: %w", err)
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	var ca *x509.Certificate
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: dialTimeout},
		Config: &tls.Config{
			MinVersion:         tls.VersionTLS13,
			ServerName:         u.Hostname(),
			InsecureSkipVerify: true, // VerifyConnection does it, against the pinned CA in place of the system's
			VerifyConnection: func(state tls.ConnectionState) (err error) {
				ca, err = anchored(state.PeerCertificates, u.Hostname(), pin)
				return err
			},
		},
	}
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		if e := raylink.AsError(err); e.Code != raylink.CodeInternal {
			return nil, "", e
		}
		return nil, "", raylink.Errorf(raylink.CodeUnavailable, "no coordinator answers at %s: %v", urls[0], err).
			WithHint("is the address right, and does a coordinator run there?")
	}
	connection.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), Fingerprint(ca), nil
}

// anchored finds the CA in a presented chain and verifies a coordinator's leaf against it alone.
func anchored(chain []*x509.Certificate, host, pin string) (*x509.Certificate, error) {
	var ca *x509.Certificate
	for _, candidate := range chain {
		if candidate.IsCA && (pin == "" || Fingerprint(candidate) == strings.ToLower(pin)) {
			ca = candidate
		}
	}
	if ca == nil {
		return nil, raylink.Errorf(raylink.CodeForbidden, "the server at %s does not show the CA that was expected", host).
			WithHint("the token or --ca-sha256 is of another network, or somebody sits in between; ask the admin for the fingerprint")
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := identity.VerifyChain(chain, roots, time.Now(), x509.ExtKeyUsageServerAuth, identity.Coordinator); err != nil {
		return nil, raylink.Errorf(raylink.CodeForbidden, "the server at %s shows that CA but is no coordinator of it: %v", host, err).
			WithHint("give the URL of a coordinator's API; port 7443 unless it was started with another")
	}
	return ca, nil
}
