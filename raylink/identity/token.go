package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"raylink/raylink"
)

// The prefixes tell people, logs' filters and secret scanners what a token is.
const (
	AccessPrefix = "rl_access_"
	JoinPrefix   = "rl_join_"
)

// secretBytes is the entropy of a token: 256 bits, which is 43 characters of base64url.
const secretBytes = 32

// NewAccessToken mints rl_access_<43 base64url> from 256 bits of entropy. It is shown once; only HashToken of it is kept.
func NewAccessToken(entropy io.Reader) (string, error) {
	secret, err := newSecret(entropy)
	if err != nil {
		return "", err
	}
	return AccessPrefix + secret, nil
}

// NewJoinToken mints rl_join_<43 base64url>.<64 hex>: the secret, and the SHA-256 of the group's CA certificate (DER), by which the newcomer knows the
// coordinator before it trusts anything else.
func NewJoinToken(entropy io.Reader, caSHA256 string) (string, error) {
	if !isSHA256(caSHA256) {
		return "", fmt.Errorf("minting a join token: %q is not a SHA-256 in lower-case hex", caSHA256)
	}
	secret, err := newSecret(entropy)
	if err != nil {
		return "", err
	}
	return JoinPrefix + secret + "." + caSHA256, nil
}

func newSecret(entropy io.Reader) (string, error) {
	var raw [secretBytes]byte
	if _, err := io.ReadFull(entropy, raw[:]); err != nil {
		return "", fmt.Errorf("reading entropy for a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// ParseAccessToken checks the form of an access token and returns its secret part. The message of a refusal never holds the token.
func ParseAccessToken(token string) (secret string, err error) {
	secret, ok := strings.CutPrefix(token, AccessPrefix)
	if !ok || !isSecret(secret) {
		return "", raylink.Errorf(raylink.CodeUnauthenticated, "this is not an access token").
			WithHint("access tokens look like %s<43 characters>; an admin makes one with: raylink token create", AccessPrefix)
	}
	return secret, nil
}

// ParseJoinToken checks the form of a join token and returns its secret part and the SHA-256 (hex) of the CA that it vouches for.
func ParseJoinToken(token string) (secret, caSHA256 string, err error) {
	rest, ok := strings.CutPrefix(token, JoinPrefix)
	secret, caSHA256, dot := strings.Cut(rest, ".")
	if !ok || !dot || !isSecret(secret) || !isSHA256(caSHA256) {
		return "", "", raylink.Errorf(raylink.CodeUnauthenticated, "this is not a join token").
			WithHint("join tokens look like %s<43 characters>.<64 hex digits>; copy the whole of it, or ask an admin for a new one", JoinPrefix)
	}
	return secret, caSHA256, nil
}

// HashToken is the form in which a token is kept: the SHA-256, in hex, of its secret part. A whole token may be given as well; its prefix and a join
// token's CA part do not count.
func HashToken(secret string) string {
	if rest, ok := strings.CutPrefix(secret, AccessPrefix); ok {
		secret = rest
	} else if rest, ok := strings.CutPrefix(secret, JoinPrefix); ok {
		secret, _, _ = strings.Cut(rest, ".")
	}
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Equal compares two secrets or hashes in a time that depends on their lengths alone.
func Equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// isSecret accepts the canonical encoding only, so that one secret has one spelling.
func isSecret(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == secretBytes && base64.RawURLEncoding.EncodeToString(raw) == s
}

func isSHA256(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}
