package signer

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"raylink/billing/settle/chain"
	"raylink/billing/wallet"
)

// maxKeyFile bounds what is read of a key file: 64 numbers and their commas are less than 400 bytes.
const maxKeyFile = 4096

// Key is a wallet's key. It can sign, and tells its address; it cannot be printed, logged or written as JSON: the secret is held by a closure, which
// no printing of a structure around it looks into.
type Key struct {
	address chain.Address
	sign    func(message []byte) []byte
}

// ReadKey reads a key from a file in solana-keygen's form: a JSON array of 64 numbers, the seed and the public key. The file must be a regular one of which others
// than its owner have no right. No error holds any of its content.
func ReadKey(path string) (Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("opening the signer's key: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("looking at the signer's key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return Key{}, fmt.Errorf("the signer's key %s has mode %04o: others may read it; chmod it to 0600", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return Key{}, fmt.Errorf("reading the signer's key: %w", err)
	}
	var numbers []int
	if json.Unmarshal(text, &numbers) != nil || len(numbers) != ed25519.PrivateKeySize {
		return Key{}, fmt.Errorf("the signer's key %s is not a JSON array of %d numbers, as solana-keygen writes it", path, ed25519.PrivateKeySize)
	}
	raw := make([]byte, len(numbers))
	for i, n := range numbers {
		if n < 0 || n > 255 {
			return Key{}, fmt.Errorf("the signer's key %s holds a number that is not a byte", path)
		}
		raw[i] = byte(n)
	}
	private := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if !private.Equal(ed25519.PrivateKey(raw)) {
		return Key{}, errors.New("the two halves of the signer's key do not belong together")
	}
	return Key{
		address: chain.Address(wallet.Encode(private.Public().(ed25519.PublicKey))),
		sign:    func(message []byte) []byte { return ed25519.Sign(private, message) },
	}, nil
}

// Address is the key's wallet.
func (k Key) Address() chain.Address { return k.address }

// String is the address, so that no format prints the key.
func (k Key) String() string { return "key of " + string(k.address) }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Format writes String whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
