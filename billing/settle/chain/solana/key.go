package solana

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

const maxKeyFile = 4096 // bytes

// ReadKey reads a key file in the form of solana-keygen: a JSON array of 64 numbers, the seed and the public key. A file that others than its
// owner may read is refused. Errors never contain what the file holds.
func ReadKey(path string) (ed25519.PrivateKey, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a wallet's key: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading a wallet's key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("reading a wallet's key: %s can be read by others than its owner (chmod 600 %s)", path, path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading a wallet's key: %w", err)
	}
	var numbers []int
	if len(text) > maxKeyFile || json.Unmarshal(text, &numbers) != nil || len(numbers) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("reading a wallet's key: %s is not a JSON array of 64 bytes as solana-keygen writes it", path)
	}
	raw := make([]byte, len(numbers))
	for i, n := range numbers {
		if n < 0 || n > 255 {
			return nil, fmt.Errorf("reading a wallet's key: %s holds a number that is no byte", path)
		}
		raw[i] = byte(n)
	}
	key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if !bytes.Equal(key, raw) {
		return nil, fmt.Errorf("reading a wallet's key: the public half in %s is not the one of its secret half", path)
	}
	return key, nil
}

// WriteKey writes a key file for its owner alone. It never writes over a file: that could be the only copy of a key.
func WriteKey(path string, key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize {
		return fmt.Errorf("writing a wallet's key: it has %d bytes instead of 64", len(key))
	}
	numbers := make([]int, len(key))
	for i, b := range key {
		numbers[i] = int(b)
	}
	text, err := json.Marshal(numbers)
	if err != nil {
		return fmt.Errorf("writing a wallet's key: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing a wallet's key: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("writing a wallet's key: %w", err)
	}
	return nil
}
