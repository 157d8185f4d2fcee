package client

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"raylink/raylink"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
)

// The files of an identity's directory.
const (
	keyFile          = "key.pem"
	certFile         = "cert.pem"
	caFile           = "ca.pem"
	coordinatorsFile = "coordinators.json"
	throughFile      = "through"
)

// Identity is who an agent or gateway is: its own Ed25519 key, the certificate that the group gave it, the group's CA and the known
// coordinators, kept in a directory of mode 0700.
type Identity struct {
	dir string
	key ed25519.PrivateKey
	ca  []byte

	mu           sync.Mutex
	certificate  *tls.Certificate
	coordinators []string
	through      string // id of the coordinator that it joined through; empty where that was not kept
}

// Joined says whether dir holds an identity that has joined a group.
func Joined(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, certFile))
	return err == nil
}

// OpenIdentity reads an identity that has joined before.
func OpenIdentity(dir string) (*Identity, error) {
	if !Joined(dir) {
		return nil, raylink.Errorf(raylink.CodeUnauthenticated, "%s holds no identity that has joined a network", dir).
			WithHint("give the coordinator's URL and a join token; an admin makes one with `raylink join-token create`")
	}
	key, err := readKey(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	certPEM, err := os.ReadFile(filepath.Join(dir, certFile))
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	list, err := os.ReadFile(filepath.Join(dir, coordinatorsFile))
	if err != nil {
		return nil, fmt.Errorf("reading the list of coordinators: %w", err)
	}
	through, err := os.ReadFile(filepath.Join(dir, throughFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading whom it joined through: %w", err)
	}
	id := &Identity{dir: dir, key: key, ca: ca, through: strings.TrimSpace(string(through))}
	if err := json.Unmarshal(list, &id.coordinators); err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, coordinatorsFile), err)
	}
	pair, err := identity.KeyPair(certPEM, key)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, certFile), err)
	}
	id.certificate = &pair
	return id, nil
}

// Enroll joins a group with a join token and keeps the identity in dir. The key is made here and never leaves; one that a broken off
// attempt left behind is used again. request.CSR is filled in.
func Enroll(ctx context.Context, dir, coordinator, joinToken string, request wire.JoinRequest) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the identity's directory: %w", err)
	}
	key, err := readKey(filepath.Join(dir, keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(filepath.Join(dir, keyFile))
	}
	if err != nil {
		return nil, err
	}
	if request.CSR, err = identity.CertificateRequest(rand.Reader, key); err != nil {
		return nil, err
	}
	answer, err := Join(ctx, coordinator, joinToken, request)
	if err != nil {
		return nil, err
	}
	id := &Identity{dir: dir, key: key, ca: []byte(answer.CA), coordinators: answer.Coordinators, through: answer.Coordinator}
	if _, err := cleanURLs(id.coordinators); err != nil {
		id.coordinators = []string{coordinator}
	}
	if err := replaceFile(filepath.Join(dir, caFile), id.ca, 0o644); err != nil {
		return nil, err
	}
	if err := id.keepCoordinators(); err != nil {
		return nil, err
	}
	if err := replaceFile(filepath.Join(dir, throughFile), []byte(id.through+"\n"), 0o644); err != nil {
		return nil, err
	}
	if err := id.accept(answer); err != nil { // last: Joined looks for the certificate
		return nil, err
	}
	return id, nil
}

// Principal is who the certificate says this is.
func (id *Identity) Principal() (identity.Principal, error) {
	return identity.ParsePrincipal(id.leaf().Subject.CommonName)
}

// Key is the identity's private key; what is signed with it counts as this machine's or gateway's word.
func (id *Identity) Key() ed25519.PrivateKey { return id.key }

// CAPEM is the group's CA.
func (id *Identity) CAPEM() []byte { return slices.Clone(id.ca) }

// Coordinators are the coordinators known last.
func (id *Identity) Coordinators() []string {
	id.mu.Lock()
	defer id.mu.Unlock()
	return slices.Clone(id.coordinators)
}

// Through is the id of the coordinator that it joined through; empty where that was not kept.
func (id *Identity) Through() string { return id.through }

// ExpiresAt is when the certificate ends.
func (id *Identity) ExpiresAt() time.Time { return id.leaf().NotAfter }

// Certificate is the certificate of now, for Config.Certificate.
func (id *Identity) Certificate() (*tls.Certificate, error) {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.certificate, nil
}

// Client is a client that proves this identity; the coordinators that it learns are kept in the directory.
func (id *Identity) Client(log *slog.Logger) (*Client, error) {
	return New(Config{Coordinators: id.Coordinators(), CAPEM: id.ca, Certificate: id.Certificate, OnCoordinators: func(list []string) {
		id.mu.Lock()
		id.coordinators = list
		id.mu.Unlock()
		if err := id.keepCoordinators(); err != nil {
			log.Warn("the list of coordinators is known but not kept", "error", err)
		}
	}})
}

// KeepFresh renews the certificate whenever two thirds of its life are over, until ctx ends.
func (id *Identity) KeepFresh(ctx context.Context, c *Client, log *slog.Logger) {
	for failures := 0; ; {
		wait := time.Until(renewAt(id.leaf()))
		if failures > 0 {
			wait = max(wait, 10*pause(failures))
		}
		if sleep(ctx, wait) != nil {
			return
		}
		if err := id.renew(ctx, c); err != nil {
			if ctx.Err() != nil {
				return
			}
			failures++
			log.Warn("the certificate could not be renewed", "expires", id.ExpiresAt(), "error", err)
			continue
		}
		failures = 0
		log.Info("certificate renewed", "expires", id.ExpiresAt())
	}
}

// renewAt is when two thirds of a certificate's life are over.
func renewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

func (id *Identity) renew(ctx context.Context, c *Client) error {
	request, err := identity.CertificateRequest(rand.Reader, id.key)
	if err != nil {
		return err
	}
	answer, err := c.Renew(ctx, wire.RenewRequest{CSR: request})
	if err != nil {
		return fmt.Errorf("asking for a fresh certificate: %w", err)
	}
	if err := id.accept(answer); err != nil {
		return err
	}
	c.Close() // connections that were made with the old certificate
	return nil
}

// accept checks that a certificate is for our key and keeps it.
func (id *Identity) accept(answer wire.JoinAnswer) error {
	fresh, err := identity.KeyPair([]byte(answer.Certificate), id.key)
	if err != nil {
		return fmt.Errorf("reading the certificate that the coordinator gave: %w", err)
	}
	if err := replaceFile(filepath.Join(id.dir, certFile), []byte(answer.Certificate), 0o644); err != nil {
		return err
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.certificate = &fresh
	return nil
}

func (id *Identity) leaf() *x509.Certificate {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.certificate.Leaf
}

func (id *Identity) keepCoordinators() error {
	data, err := json.Marshal(id.Coordinators())
	if err != nil {
		return fmt.Errorf("encoding the list of coordinators: %w", err)
	}
	return replaceFile(filepath.Join(id.dir, coordinatorsFile), data, 0o644)
}
