package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"raylink/raylink"
)

// CertificateRequest is the PKCS #10 request (DER) that an agent or gateway sends to get a certificate for its key. Its subject does not matter: the
// coordinator names the certificate after the key.
func CertificateRequest(entropy io.Reader, key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(entropy, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	return der, nil
}

// VerifyChain checks that chain[0] is a certificate of the CA in roots, valid at now for usage, and returns its principal, whose kind is one of kinds.
func VerifyChain(chain []*x509.Certificate, roots *x509.CertPool, now time.Time, usage x509.ExtKeyUsage, kinds ...Kind) (Principal, error) {
	if len(chain) == 0 {
		return Principal{}, errors.New("the peer showed no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return Principal{}, fmt.Errorf("verifying the peer's certificate: %w", err)
	}
	p, err := ParsePrincipal(chain[0].Subject.CommonName)
	if err != nil {
		return Principal{}, fmt.Errorf("reading the peer's certificate: %w", err)
	}
	if !slices.Contains(kinds, p.Kind) {
		return Principal{}, fmt.Errorf("the peer is %s, wanted is a %v", p, kinds)
	}
	return p, nil
}

// PinnedTLS is a client's configuration for talking to a coordinator when all that is known is the CA's SHA-256, from a join token: the server must show
// that very CA and a coordinator's certificate under it. The host name does not matter: every coordinator of the group is equally trusted.
func PinnedTLS(caSHA256 string, now func() time.Time) (*tls.Config, error) {
	if !isSHA256(caSHA256) {
		return nil, fmt.Errorf("%q is not a SHA-256 in lower-case hex", caSHA256)
	}
	return clientTLS(now, func(shown []*x509.Certificate) (*x509.CertPool, error) {
		for _, c := range shown {
			if sum := sha256.Sum256(c.Raw); c.IsCA && Equal(hex.EncodeToString(sum[:]), caSHA256) {
				roots := x509.NewCertPool()
				roots.AddCert(c)
				return roots, nil
			}
		}
		return nil, raylink.Errorf(raylink.CodeUnauthenticated, "the server is not of the group that the join token belongs to").
			WithHint("check the URL, or ask an admin of that network for a new join token")
	}, Coordinator), nil
}

// GroupTLS is a client's configuration for talking to the group's coordinators once the CA is known (PEM); the server is checked by its principal and not by
// its host name. Add GetClientCertificate to show a certificate of one's own.
func GroupTLS(caPEM []byte, now func() time.Time) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return nil, errors.New("the CA is not a certificate in PEM")
	}
	return clientTLS(now, func([]*x509.Certificate) (*x509.CertPool, error) { return roots, nil }, Coordinator), nil
}

func clientTLS(now func() time.Time, roots func(shown []*x509.Certificate) (*x509.CertPool, error), kinds ...Kind) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // replaced, not left out: VerifyConnection checks chain, time, usage and principal on every connection
		VerifyConnection: func(state tls.ConnectionState) error {
			pool, err := roots(state.PeerCertificates)
			if err != nil {
				return err
			}
			_, err = VerifyChain(state.PeerCertificates, pool, now(), x509.ExtKeyUsageServerAuth, kinds...)
			return err
		},
	}
}

// KeyPair joins a certificate (PEM) with the key it was issued for, as crypto/tls wants it.
func KeyPair(certificatePEM []byte, key ed25519.PrivateKey) (tls.Certificate, error) {
	block, _ := pem.Decode(certificatePEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return tls.Certificate{}, errors.New("the certificate is not PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the certificate: %w", err)
	}
	public, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok || !public.Equal(key.Public()) {
		return tls.Certificate{}, errors.New("the certificate belongs to another key")
	}
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key, Leaf: leaf}, nil
}
