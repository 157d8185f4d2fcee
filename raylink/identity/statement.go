package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MinuteBytes is what an agent signs when a minute of a lease is over: how many of its seconds the container ran and the data plane answered, and which Ray
// node it was (empty while unknown). It is nil, which nothing signs or verifies, for fields that could not be told apart again.
func MinuteBytes(lease string, ordinal int64, seconds int, rayNode string) []byte {
	return minute("raylink minute v1", lease, ordinal, seconds, rayNode)
}

// ConfirmBytes is what a gateway signs: for how many seconds of the minute it saw the node healthy and alive in Ray's own view. Nil as MinuteBytes.
func ConfirmBytes(lease string, ordinal int64, seconds int, rayNode string) []byte {
	return minute("raylink confirm v1", lease, ordinal, seconds, rayNode)
}

func minute(title, lease string, ordinal int64, seconds int, rayNode string) []byte {
	if lease == "" || ordinal < 0 || seconds < 0 {
		return nil
	}
	return lines(title, lease, strconv.FormatInt(ordinal, 10), strconv.Itoa(seconds), rayNode)
}

// VersionsBytes is what an operator signs to set the minimum versions of what machines' sandboxes rest on, and when. Nil as MinuteBytes.
func VersionsBytes(minimum map[string]string, at time.Time) []byte {
	fields := []string{"raylink versions v1", at.UTC().Format(time.RFC3339Nano)}
	for _, name := range slices.Sorted(maps.Keys(minimum)) {
		fields = append(fields, name, minimum[name])
	}
	return lines(fields...)
}

// OverlayKeyBytes is what an agent (subject: the lease) or a gateway (subject: the cluster) signs to bind a WireGuard public key, in standard base64, to its
// identity. Nil for a key that is not 32 bytes in canonical base64.
func OverlayKeyBytes(subject, publicKeyBase64 string) []byte {
	raw, err := base64.StdEncoding.Strict().DecodeString(publicKeyBase64)
	if subject == "" || err != nil || len(raw) != 32 {
		return nil
	}
	return lines("raylink overlay key v1", subject, publicKeyBase64)
}

// lines ends each field with a newline; nil if a field holds a control character.
func lines(fields ...string) []byte {
	var out []byte
	for _, field := range fields {
		if strings.ContainsFunc(field, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil
		}
		out = append(append(out, field...), '\n')
	}
	return out
}

// Sign signs a statement, in standard base64. An empty statement has no signature: "".
func Sign(private ed25519.PrivateKey, statement []byte) string {
	if len(statement) == 0 || len(private) != ed25519.PrivateKeySize {
		return ""
	}
	return base64.StdEncoding.EncodeToString(ed25519.Sign(private, statement))
}

// Verify says whether signature, in standard base64, is public's over the statement. Nothing verifies over an empty statement or with a malformed key.
func Verify(public ed25519.PublicKey, statement []byte, signature string) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil || len(statement) == 0 || len(public) != ed25519.PublicKeySize || len(raw) != ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(public, statement, raw)
}

// EncodeKey is a public key as text, in standard base64.
func EncodeKey(public ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(public) }

// DecodeKey reads what EncodeKey wrote; ok is false for anything else.
func DecodeKey(text string) (public ed25519.PublicKey, ok bool) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, false
	}
	return ed25519.PublicKey(raw), true
}
