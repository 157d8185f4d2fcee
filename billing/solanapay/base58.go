package solanapay

import "strings"

const (
	alphabet     = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz" // Bitcoin's, which Solana uses
	addressBytes = 32
	maxAddress   = 44 // characters that 32 bytes can take
)

// CheckAddress says whether the text is 32 bytes in base58, spelled in the only way there is: an ErrAddress otherwise. Whether
// somebody holds the key cannot be seen.
func CheckAddress(text string) error {
	if text == "" || len(text) > maxAddress {
		return ErrAddress
	}
	var number [addressBytes]byte // big-endian
	for _, char := range []byte(text) {
		carry := strings.IndexByte(alphabet, char)
		if carry < 0 {
			return ErrAddress
		}
		for i := addressBytes - 1; i >= 0; i-- {
			carry += int(number[i]) * len(alphabet)
			number[i] = byte(carry)
			carry >>= 8
		}
		if carry != 0 {
			return ErrAddress // more than 32 bytes
		}
	}
	// Each leading '1' is a leading zero byte, so their counts agree if and only if the length is 32.
	zeros, ones := 0, len(text)-len(strings.TrimLeft(text, alphabet[:1]))
	for zeros < addressBytes && number[zeros] == 0 {
		zeros++
	}
	if zeros != ones {
		return ErrAddress
	}
	return nil
}
