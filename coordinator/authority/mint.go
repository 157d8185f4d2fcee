package authority

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
)

// mintBytes is how much entropy one request may use: the ids of a cluster's 64 leases take 448.
const mintBytes = 4096

// Mint is the entropy from which a request's ids and secrets are made before they enter the log. With an idempotency key it is derived
// (HKDF-SHA256 of the group key; info: "raylink mint v1", who asks, for what, and the key, each on a line), so that a repeated request makes the
// same ids on any coordinator and is known for the same; without a key it is random.
func (a *Authority) Mint(by, purpose, key string) (io.Reader, error) {
	if key == "" {
		return rand.Reader, nil
	}
	stream, err := hkdf.Key(sha256.New, a.groupKey, nil, "raylink mint v1\n"+by+"\n"+purpose+"\n"+key, mintBytes)
	if err != nil {
		return nil, fmt.Errorf("deriving ids for %s: %w", purpose, err)
	}
	return bytes.NewReader(stream), nil
}
