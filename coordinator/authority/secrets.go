package authority

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
)

// ClusterToken is the secret that every Ray process of one cluster shares, and its gateway: base64url of HMAC-SHA256 with the group key over "raylink cluster
// token v1\n<cluster>\n<generation>". It is never stored: every coordinator derives the same one, before and after a failover. A new generation revokes it.
func (a *Authority) ClusterToken(cluster string, generation int64) string {
	mac := hmac.New(sha256.New, a.groupKey)
	mac.Write([]byte("raylink cluster token v1\n" + cluster + "\n" + strconv.FormatInt(generation, 10)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// SigningKey signs the journal's checkpoints: Ed25519, its seed the HKDF-SHA256 of the group key with the info "raylink journal signing v1". All coordinators
// of a group have the same one; its public half is what an offline verifier is given.
func (a *Authority) SigningKey() (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, a.groupKey, nil, "raylink journal signing v1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("deriving the journal's key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
