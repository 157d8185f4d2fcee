package authority

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"raylink/raylink/identity"
)

func (a *Authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// ServerTLS is the API's side: it shows k's certificate and asks for the client's. Who shows none is let in as nobody (users have access tokens); who shows a
// bad one is refused in the handshake. Identity then comes from PrincipalOf alone.
func (a *Authority) ServerTLS(k *Keeper) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      a.pool(),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.Certificate() },
	}
}

// ClientTLS is for one coordinator's requests to another's API.
func (a *Authority) ClientTLS(k *Keeper) (*tls.Config, error) {
	config, err := identity.GroupTLS(a.CAPEM(), time.Now)
	if err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return k.Certificate() }
	return config, nil
}

// PeerTLS is for the Raft port, both sides: each shows a coordinator's certificate of this CA, or there is no connection. It goes by the principal, not by
// the host name, so that a coordinator may be reached by any address.
func (a *Authority) PeerTLS(k *Keeper) *tls.Config {
	roots := a.pool()
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // replaced, not left out: VerifyConnection does it on both sides
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.Certificate() },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return k.Certificate() },
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := identity.VerifyChain(state.PeerCertificates, roots, time.Now(), x509.ExtKeyUsageServerAuth, identity.Coordinator)
			return err
		},
	}
}

// PinnedTLS is a client's configuration when all it knows is the CA's SHA-256, from a join token: identity.PinnedTLS with the machine's clock.
func PinnedTLS(caSHA256 string) (*tls.Config, error) { return identity.PinnedTLS(caSHA256, time.Now) }

// PrincipalOf is who stands at the other end of a connection accepted with ServerTLS, now: from the chain that was verified, and not expired since. ok is
// false for a client without a certificate.
func PrincipalOf(state *tls.ConnectionState) (p identity.Principal, ok bool) {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return identity.Principal{}, false
	}
	leaf := state.VerifiedChains[0][0]
	if time.Now().After(leaf.NotAfter) {
		return identity.Principal{}, false
	}
	p, err := identity.ParsePrincipal(leaf.Subject.CommonName)
	return p, err == nil
}
