package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"raylink/raylink/wire"
)

const (
	servingPause = 5 * time.Second // between two tries to get a certificate
	servingLeast = time.Minute     // between two renewals, whatever the certificate says
)

// serving keeps the certificate that users see. The identity is an Ed25519 key, which browsers do not know; so it is for an ECDSA key, made here and
// held in memory. Until there is one, the identity's serves: Ray's client takes it.
type serving struct {
	ask      func(context.Context, wire.RenewRequest) (wire.JoinAnswer, error)
	identity func() (*tls.Certificate, error)

	mu      sync.Mutex
	current *tls.Certificate
}

func (s *serving) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && time.Now().Before(s.current.Leaf.NotAfter) {
		return s.current, nil
	}
	return s.identity()
}

// keepFresh gets a certificate, and another when two thirds of its life are over, until ctx ends.
func (s *serving) keepFresh(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		wait := servingPause
		fresh, err := s.request(ctx)
		if err == nil {
			s.mu.Lock()
			s.current = fresh
			s.mu.Unlock()
			wait = max(servingLeast, time.Until(fresh.Leaf.NotAfter)*2/3)
		} else if ctx.Err() == nil {
			log.Warn("no certificate for browsers yet; trying again", "err", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (s *serving) request(ctx context.Context) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	answer, err := s.ask(ctx, wire.RenewRequest{CSR: csr})
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	pair, err := tls.X509KeyPair([]byte(answer.Certificate+answer.CA), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	return &pair, nil
}
