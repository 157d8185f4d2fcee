package chain

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestBase58 against Bitcoin's and Solana's own examples, and back again for any bytes.
func TestBase58(t *testing.T) {
	for text, want := range map[string][]byte{
		"": {}, "1": {0}, "2g": {0x61}, "StV1DL6CwTryKyV": []byte("hello world"), "11111111111111111111111111111111": make([]byte, 32),
		"11StV1DL6CwTryKyV": append([]byte{0, 0}, "hello world"...),
	} {
		got, err := DecodeBase58(text)
		if err != nil || !bytes.Equal(got, want) || EncodeBase58(want) != text {
			t.Errorf("%q: %x %v, and back %q", text, got, err, EncodeBase58(want))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "data")
		if got, err := DecodeBase58(EncodeBase58(data)); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%x came back as %x: %v", data, got, err)
		}
	})
	for _, bad := range []string{"0", "O", "I", "l", "ab c", "ü", strings.Repeat("2", 129)} {
		if _, err := DecodeBase58(bad); !errors.Is(err, ErrBase58) {
			t.Errorf("%.20q was read: %v", bad, err)
		}
	}
	for _, bad := range []Address{"", "11111111111111111111111111111111" + "1", "1111111111111111111111111111111"} {
		if _, err := bad.Bytes(); !errors.Is(err, ErrBase58) {
			t.Errorf("%q passes for an address: %v", bad, err)
		}
	}
}

// TestReadMemo cuts between characters.
func TestReadMemo(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "tab 1": "tab 1", "\xff": "", strings.Repeat("a", 300): strings.Repeat("a", 256), "a" + strings.Repeat("ü", 200): "a" + strings.Repeat("ü", 127),
	} {
		if got := ReadMemo([]byte(in)); got != want {
			t.Errorf("%.20q… gives %d bytes, wanted %d", in, len(got), len(want))
		}
	}
}
