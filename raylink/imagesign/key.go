package imagesign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// The kinds of PEM blocks: PKIX (RFC 5280) for public keys, as in cosign.pub, and PKCS #8 (RFC 5958) for private ones, which
// `cosign import-key-pair` takes. Cosign's own private keys are encrypted and not read here.
const (
	publicBlock  = "PUBLIC KEY"
	privateBlock = "PRIVATE KEY"
)

// KeysMax bounds how many public keys one file may hold.
const KeysMax = 16

// NewKey makes a key from a source of random bytes.
func NewKey(random io.Reader) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return key, nil
}

// KeyID names a public key: the first 16 hexadecimal digits of the SHA-256 of its PKIX form.
func KeyID(key *ecdsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "" // a key that this package did not read
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:8])
}

// WritePublic is a public key in PEM.
func WritePublic(key *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("writing the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}), nil
}

// WritePrivate is a private key in PEM, not encrypted.
func WritePrivate(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("writing the private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), nil
}

// ReadPublic reads one public key or several, one PEM block after the other, and nothing else.
func ReadPublic(text []byte) ([]*ecdsa.PublicKey, error) {
	var keys []*ecdsa.PublicKey
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		der, left, err := block(rest, publicBlock)
		if err != nil {
			return nil, err
		}
		parsed, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return nil, fmt.Errorf("reading a public key: %w", err)
		}
		key, ok := parsed.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() {
			return nil, errors.New("reading a public key: it is not ECDSA P-256")
		}
		if keys = append(keys, key); len(keys) > KeysMax {
			return nil, fmt.Errorf("reading public keys: more than %d", KeysMax)
		}
		rest = left
	}
	if len(keys) == 0 {
		return nil, errors.New("reading public keys: there is none")
	}
	return keys, nil
}

// ReadPrivate reads a private key.
func ReadPrivate(text []byte) (*ecdsa.PrivateKey, error) {
	der, rest, err := block(bytes.TrimSpace(text), privateBlock)
	if err == nil && len(bytes.TrimSpace(rest)) > 0 {
		err = errors.New("something stands behind the private key")
	}
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("reading the private key: it is not ECDSA P-256")
	}
	return key, nil
}

// block takes the PEM block that text begins with. Package pem skips what stands before a block; here that is an error, because a key that is
// passed over in silence is a key that is trusted or not trusted by mistake.
func block(text []byte, kind string) (der, rest []byte, err error) {
	found, rest := pem.Decode(text)
	if found == nil || !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		return nil, nil, fmt.Errorf("this is no PEM file of a %s", kind)
	}
	if got := "-----BEGIN " + kind + "-----"; !bytes.HasPrefix(text, []byte(got)) || found.Type != kind {
		return nil, nil, fmt.Errorf("the file begins with a %s where a %s is wanted", found.Type, kind)
	}
	return found.Bytes, rest, nil
}
