// Package administered is the price that an operator sets: a sample signed with a key that price.Policy lists among its operators. The
// key lies in a file of its owner alone (0600, PKCS#8 in PEM) and leaves it for nothing but a signature.
package administered

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"raylink/billing/money"
	"raylink/billing/price"
	"raylink/billing/price/feed"
	"raylink/raylink"
)

// Key is an operator's.
type Key struct {
	public string
	sign   func(message []byte) []byte // holds the key, so that no print of a Key shows it
}

// CreateKey makes a new key and writes it to a file that is not there yet.
func CreateKey(path string) (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an operator's key: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("making an operator's key: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, raylink.Errorf(raylink.CodeConflict, "%s is there already", path).WithHint("a key is never overwritten; name another file, or use this one")
	}
	if err != nil {
		return nil, fmt.Errorf("writing an operator's key: %w", err)
	}
	_, err = file.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return nil, fmt.Errorf("writing an operator's key: %w", errors.Join(err, os.Remove(path)))
	}
	return keyOf(private), nil
}

// OpenKey reads a key that CreateKey, or `openssl genpkey -algorithm ed25519`, wrote.
func OpenKey(path string) (*Key, error) {
	text, err := feed.ReadSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, raylink.Errorf(raylink.CodeNotFound, "there is no operator's key at %s", path).WithHint("make one, and have its public key added to the operators of the price policy")
	}
	if err != nil {
		return nil, err
	}
	refuse := raylink.Errorf(raylink.CodeInvalid, "%s is not an Ed25519 key in PEM", path).WithHint("`openssl genpkey -algorithm ed25519` writes one")
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, refuse
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, refuse
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, refuse
	}
	return keyOf(private), nil
}

func keyOf(private ed25519.PrivateKey) *Key {
	public := base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	return &Key{public, func(message []byte) []byte { return ed25519.Sign(private, message) }}
}

// Public is the public key in standard base64, as price.Policy lists it.
func (k *Key) Public() string { return k.public }

// Sign is a signed sample: what one IO costs, how sure that is (one sigma, 0 for not saying), and when.
func (k *Key) Sign(value, confidence money.Price, at time.Time) price.Sample {
	s := price.Sample{Source: price.SourceAdministered, Price: value, Confidence: confidence, ObservedAt: at.UTC().Round(0), Key: k.public}
	s.Signature = base64.StdEncoding.EncodeToString(k.sign(price.SampleBytes(s)))
	return s
}

// SignStatement signs something else that an operator decides, in standard base64. A statement begins with a heading of its own, so that it can be taken for
// nothing else; an empty one is not signed.
func (k *Key) SignStatement(statement []byte) string {
	if len(statement) == 0 {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k.sign(statement))
}

// Source is a feed.Source that says the same price again and again, each time as of now: for a network whose operator fixes the
// price, such as the one of `raylink dev`.
type Source struct {
	key   *Key
	value money.Price
}

// NewSource is a source that signs the price with the key.
func NewSource(key *Key, value money.Price) (*Source, error) {
	if value <= 0 {
		return nil, raylink.Errorf(raylink.CodeInvalid, "a price of %v cannot be set", value).WithHint("write it as `0.25 USD/IO`")
	}
	return &Source{key, value}, nil
}

// Name is price.SourceAdministered.
func (s *Source) Name() string { return price.SourceAdministered }

// Sample is the price as of now.
func (s *Source) Sample(context.Context) (price.Sample, error) {
	return s.key.Sign(s.value, 0, time.Now()), nil
}
