package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"

	"raylink/raylink"
)

// Kind is what a principal is.
type Kind string

// The kinds of principal that hold certificates of the group's CA.
const (
	Machine     Kind = "machine"
	Gateway     Kind = "gateway"
	Coordinator Kind = "coordinator"
)

// Principal is who stands behind a certificate: its common name, "machine:m-…", "gateway:g-…" or "coordinator:<id>".
type Principal struct {
	Kind Kind
	ID   string
}

// String is the certificate's common name.
func (p Principal) String() string { return string(p.Kind) + ":" + p.ID }

// Valid says whether p's kind is known and its id has that kind's form.
func (p Principal) Valid() bool {
	switch p.Kind {
	case Machine:
		return raylink.ValidID(p.ID, "m")
	case Gateway:
		return raylink.ValidID(p.ID, "g")
	case Coordinator:
		return validName(p.ID)
	}
	return false
}

// ParsePrincipal reads a certificate's common name.
func ParsePrincipal(commonName string) (Principal, error) {
	kind, id, ok := strings.Cut(commonName, ":")
	p := Principal{Kind: Kind(kind), ID: id}
	if !ok || !p.Valid() {
		return Principal{}, fmt.Errorf("%q names no machine, gateway or coordinator", commonName)
	}
	return p, nil
}

// validName bounds a coordinator's id, which its admin chooses: a DNS label.
func validName(s string) bool {
	return len(s) >= 1 && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// MachineID is the id of the machine whose identity key this is: "m-" and ten characters of lower-case base32 of the key's SHA-256.
func MachineID(public ed25519.PublicKey) raylink.MachineID {
	return raylink.MachineID("m-" + keyName(public))
}

// GatewayID is the id of the gateway whose identity key this is: "g-" and ten characters of lower-case base32 of the key's SHA-256.
func GatewayID(public ed25519.PublicKey) raylink.GatewayID {
	return raylink.GatewayID("g-" + keyName(public))
}

func keyName(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:10])
}
