package wallet

import (
	"fmt"
	"strings"

	"raylink/raylink"
)

// The sizes of what Solana writes in base58, in bytes.
const (
	AddressSize   = 32
	SignatureSize = 64
)

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// Encode is base58 in Bitcoin's alphabet, as Solana writes keys and signatures: leading zero bytes are ones. For short inputs: the cost
// grows with the square of the length.
func Encode(data []byte) string {
	zeros := 0
	for zeros < len(data) && data[zeros] == 0 {
		zeros++
	}
	var digits []byte // base 58, least first
	for _, value := range data[zeros:] {
		carry := int(value)
		for i := range digits {
			carry += int(digits[i]) << 8
			digits[i] = byte(carry % 58)
			carry /= 58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, byte(carry%58))
		}
	}
	text := make([]byte, 0, zeros+len(digits))
	for range zeros {
		text = append(text, alphabet[0])
	}
	for i := len(digits) - 1; i >= 0; i-- {
		text = append(text, alphabet[digits[i]])
	}
	return string(text)
}

// Decode reads base58 of exactly size bytes (at most 64). What it takes has one spelling: Encode gives the same text back.
func Decode(text string, size int) ([]byte, error) {
	if text == "" || size > SignatureSize || len(text) > 2*size {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%.100q is not %d bytes in base58", text, size)
	}
	zeros := 0
	for zeros < len(text) && text[zeros] == alphabet[0] {
		zeros++
	}
	var value []byte // base 256, least first
	for _, char := range []byte(text[zeros:]) {
		carry := strings.IndexByte(alphabet, char)
		if carry < 0 {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%.100q has %q, which base58 does not know", text, char)
		}
		for i := range value {
			carry += int(value[i]) * 58
			value[i] = byte(carry)
			carry >>= 8
		}
		for ; carry > 0; carry >>= 8 {
			value = append(value, byte(carry))
		}
	}
	if zeros+len(value) != size {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%.100q is %d bytes in base58, wanted %d", text, zeros+len(value), size)
	}
	data := make([]byte, size)
	for i, b := range value {
		data[size-1-i] = b
	}
	return data, nil
}

// CheckAddress refuses what is not 32 bytes in base58; what names it in the error.
func CheckAddress(what, address string) error {
	if _, err := Decode(address, AddressSize); err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	return nil
}
