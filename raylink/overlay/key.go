package overlay

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/curve25519"
)

// Key is a WireGuard public key (Curve25519). Its text is standard base64, as `wg` prints it.
type Key [32]byte

// ParseKey reads the base64 text of a public key.
func ParseKey(text string) (Key, error) {
	raw, err := decodeKey(text)
	return Key(raw), err
}

// String is the key's base64 text.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// Hex is the key as WireGuard's user-space API writes it.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k == Key{} }

// MarshalText writes the base64 text.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the base64 text.
func (k *Key) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKey(string(text))
	return err
}

// PrivateKey is a WireGuard private key. It prints as a placeholder and refuses to be marshalled, so that it reaches neither logs nor
// disks by accident; Text is the deliberate way out.
type PrivateKey [32]byte

// NewPrivateKey makes a private key from 32 bytes of entropy, clamped as Curve25519 wants it.
func NewPrivateKey(entropy io.Reader) (PrivateKey, error) {
	var key PrivateKey
	if _, err := io.ReadFull(entropy, key[:]); err != nil {
		return PrivateKey{}, fmt.Errorf("reading entropy for a WireGuard key: %w", err)
	}
	return key.clamped(), nil
}

// clamped sets the bits that Curve25519 fixes: a device does so too, and one key must have one text.
func (k PrivateKey) clamped() PrivateKey {
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

// ParsePrivateKey reads the base64 text of a private key.
func ParsePrivateKey(text string) (PrivateKey, error) {
	raw, err := decodeKey(text)
	if err != nil {
		// Not wrapped: the text is a secret, and so are the complaints about it.
		return PrivateKey{}, errors.New("the private key is not 32 bytes in base64")
	}
	return PrivateKey(raw).clamped(), nil
}

// Public is the public key that belongs to the private one.
func (k PrivateKey) Public() Key {
	public, err := curve25519.X25519(k[:], curve25519.Basepoint)
	if err != nil {
		panic("overlay: the base point times a scalar of 32 bytes: " + err.Error())
	}
	return Key(public)
}

// PublicKey is the public key that belongs to the private one.
func PublicKey(private PrivateKey) Key { return private.Public() }

// Text is the key's base64 text: a secret.
func (k PrivateKey) Text() string { return base64.StdEncoding.EncodeToString(k[:]) }

// IsZero reports whether there is no key.
func (k PrivateKey) IsZero() bool { return k == PrivateKey{} }

// String hides the key.
func (k PrivateKey) String() string { return "(private key)" }

// GoString hides the key.
func (k PrivateKey) GoString() string { return "overlay.PrivateKey{…}" }

// MarshalText refuses: a private key belongs into no document.
func (k PrivateKey) MarshalText() ([]byte, error) {
	return nil, errors.New("a private key is not written into documents")
}

func decodeKey(text string) ([32]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != 32 || len(text) != 44 {
		return [32]byte{}, errors.New("a WireGuard key is 32 bytes in base64 (44 characters)")
	}
	return [32]byte(raw), nil
}
