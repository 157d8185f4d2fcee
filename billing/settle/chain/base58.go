package chain

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
)

const (
	base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	maxBase58      = 128 // characters; an address has 44, a signature 88
)

// ErrBase58 says that a text is not base58 of the wanted length.
var ErrBase58 = errors.New("not an address in base58")

// EncodeBase58 is the bytes in Bitcoin's base58, as Solana writes addresses and signatures.
func EncodeBase58(data []byte) string {
	zeros := 0
	for zeros < len(data) && data[zeros] == 0 {
		zeros++
	}
	digits := make([]byte, 0, len(data)*138/100+1) // least first
	for _, b := range data[zeros:] {
		carry := int(b)
		for i := range digits {
			carry += int(digits[i]) << 8
			digits[i] = byte(carry % 58)
			carry /= 58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, byte(carry%58))
		}
	}
	digits = append(digits, make([]byte, zeros)...)
	slices.Reverse(digits)
	for i, d := range digits {
		digits[i] = base58Alphabet[d]
	}
	return string(digits)
}

// DecodeBase58 is the inverse of EncodeBase58, for texts of at most 128 characters.
func DecodeBase58(text string) ([]byte, error) {
	if len(text) > maxBase58 {
		return nil, fmt.Errorf("reading %d characters: %w", len(text), ErrBase58)
	}
	zeros := 0
	for zeros < len(text) && text[zeros] == base58Alphabet[0] {
		zeros++
	}
	var out []byte // least first
	for _, c := range []byte(text[zeros:]) {
		digit := slices.Index([]byte(base58Alphabet), c)
		if digit < 0 {
			return nil, fmt.Errorf("reading %.60q: %w", text, ErrBase58)
		}
		carry := digit
		for i := range out {
			carry += int(out[i]) * 58
			out[i] = byte(carry)
			carry >>= 8
		}
		for ; carry > 0; carry >>= 8 {
			out = append(out, byte(carry))
		}
	}
	out = append(out, make([]byte, zeros)...)
	slices.Reverse(out)
	return out, nil
}

// AddressOf is the wallet of a public key.
func AddressOf(key ed25519.PublicKey) Address { return Address(EncodeBase58(key)) }

// SignatureOf is the name of a transaction whose first signature this is.
func SignatureOf(signature []byte) Signature { return Signature(EncodeBase58(signature)) }

// Bytes are the address's 32 bytes. The text must be the one way to write them.
func (a Address) Bytes() ([]byte, error) {
	raw, err := DecodeBase58(string(a))
	if err != nil {
		return nil, err
	}
	if len(raw) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("reading address %.60q: %d bytes instead of 32: %w", string(a), len(raw), ErrBase58)
	}
	return raw, nil
}
