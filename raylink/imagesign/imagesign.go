// Package imagesign says that somebody vouches for an image, in the form that cosign gives such words: a payload that names the image's
// digest, and an ECDSA P-256 signature over it. Whoever trusts the key may run the image, wherever its bytes came from.
//
// The form is that of cosign's SIGNATURE_SPEC.md (payload "simple signing", scheme ECDSA-P256, hash SHA-256), whose payload is the JSON of
// containers-signature(5). Where the two leave room, this package is the stricter: a payload with an unknown, doubled or differently
// capitalised field is refused, as containers-signature(5) demands of "critical", and the name in it counts, which SIGNATURE_SPEC.md ignores.
//
// A digest is the one of the image's manifest where a registry gave it. An image that was built here and never pushed has none: then it is the
// engine's image id, which is the digest of the image's configuration and so of all its layers' contents.
package imagesign

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	strict "sigs.k8s.io/json"
)

// Type is the value of critical.type in every payload.
const Type = "cosign container image signature"

// PayloadMax bounds a payload, in bytes. Cosign's own is about 240; annotations make it longer.
const PayloadMax = 16 << 10

// The reasons why a signature does not hold. Errors of Verify wrap one of them.
var (
	ErrUntrusted = errors.New("no trusted key has signed it")
	ErrOther     = errors.New("the signature is for another image")
	ErrMalformed = errors.New("the signed payload is malformed")
)

// Claim is what a payload says of an image.
type Claim struct {
	Reference string // the image's name as the signer wrote it, with or without a tag
	Digest    string // sha256:<64 hexadecimal digits>
}

// payload is the JSON, its fields in the order in which cosign writes them.
type payload struct {
	Critical critical                   `json:"critical"`
	Optional map[string]json.RawMessage `json:"optional"`
}

type critical struct {
	Identity identity `json:"identity"`
	Image    image    `json:"image"`
	Type     string   `json:"type"`
}

type identity struct {
	Reference string `json:"docker-reference"`
}

type image struct {
	Digest string `json:"docker-manifest-digest"`
}

// Payload writes a claim as cosign does, byte for byte, for an image without annotations.
func Payload(c Claim) ([]byte, error) {
	if c.Reference == "" || !ValidDigest(c.Digest) {
		return nil, fmt.Errorf("%w: an image %q with digest %q cannot be named in it", ErrMalformed, c.Reference, c.Digest)
	}
	out, err := json.Marshal(payload{Critical: critical{Identity: identity{c.Reference}, Image: image{c.Digest}, Type: Type}})
	if err != nil {
		return nil, fmt.Errorf("writing the payload: %w", err)
	}
	return out, nil
}

// Parse reads a payload. It says nothing about who wrote it.
func Parse(text []byte) (Claim, error) {
	if len(text) > PayloadMax {
		return Claim{}, fmt.Errorf("%w: it has %d bytes, and at most %d are read", ErrMalformed, len(text), PayloadMax)
	}
	var p payload
	faults, err := strict.UnmarshalStrict(text, &p)
	if err = errors.Join(append(faults, err)...); err != nil {
		return Claim{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if p.Critical.Type != Type {
		return Claim{}, fmt.Errorf("%w: its type is %q and not %q", ErrMalformed, p.Critical.Type, Type)
	}
	if !ValidDigest(p.Critical.Image.Digest) {
		return Claim{}, fmt.Errorf("%w: %q is no SHA-256 digest", ErrMalformed, p.Critical.Image.Digest)
	}
	return Claim{Reference: p.Critical.Identity.Reference, Digest: p.Critical.Image.Digest}, nil
}

// Sign signs a payload: ECDSA over its SHA-256, ASN.1 DER. random is a source of random bytes, such as crypto/rand's Reader.
func Sign(random io.Reader, key *ecdsa.PrivateKey, payload []byte) ([]byte, error) {
	sum := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(random, key, sum[:])
	if err != nil {
		return nil, fmt.Errorf("signing the payload: %w", err)
	}
	return signature, nil
}

// Verify holds a payload and its signature against the image that is to run: one of the keys must have signed exactly these bytes, and they must
// name this digest and this repository. The signature is looked at first, so that nothing is read of what no trusted key wrote.
func Verify(keys []*ecdsa.PublicKey, run Claim, payload, signature []byte) error {
	if !signed(keys, payload, signature) {
		return fmt.Errorf("image %s: %w", run.Reference, ErrUntrusted)
	}
	claim, err := Parse(payload)
	if err != nil {
		return fmt.Errorf("image %s: %w", run.Reference, err)
	}
	if claim.Digest != run.Digest || !ValidDigest(run.Digest) {
		return fmt.Errorf("image %s: %w: it names %s, and %s is to run", run.Reference, ErrOther, claim.Digest, run.Digest)
	}
	if Repository(claim.Reference) != Repository(run.Reference) {
		return fmt.Errorf("image %s: %w: it names %q", run.Reference, ErrOther, claim.Reference)
	}
	return nil
}

func signed(keys []*ecdsa.PublicKey, payload, signature []byte) bool {
	if len(payload) > PayloadMax {
		return false
	}
	sum := sha256.Sum256(payload)
	for _, key := range keys {
		if ecdsa.VerifyASN1(key, sum[:], signature) { // strict DER: bytes behind the signature make it none
			return true
		}
	}
	return false
}

// ValidDigest says whether text is "sha256:" and 64 lower-case hexadecimal digits, the only kind of digest that engines give.
func ValidDigest(text string) bool {
	digits, ok := strings.CutPrefix(text, "sha256:")
	if !ok || len(digits) != 2*sha256.Size || strings.ToLower(digits) != digits {
		return false
	}
	_, err := hex.DecodeString(digits)
	return err == nil
}

// Split parts a reference from the digest that pins it: name:tag@sha256:…. The digest is empty where there is none.
func Split(reference string) (name, digest string) {
	name, digest, _ = strings.Cut(reference, "@")
	return name, digest
}

// Pin joins what Split parts.
func Pin(name, digest string) string {
	if digest == "" {
		return name
	}
	return name + "@" + digest
}

// Repository is a reference without tag and digest, in the full form: Docker takes a name whose first part is no host for one of its own hub,
// and cosign writes that host out under its older name.
func Repository(reference string) string {
	name, _ := Split(reference)
	if slash, colon := strings.LastIndexByte(name, '/'), strings.LastIndexByte(name, ':'); colon > slash {
		name = name[:colon]
	}
	first, rest, cut := strings.Cut(name, "/")
	switch {
	case name == "":
		return ""
	case cut && first == "index."+hub:
		return hub + "/" + rest
	case cut && (strings.ContainsAny(first, ".:") || first == "localhost"):
		return name
	case !cut:
		return hub + "/library/" + name
	}
	return hub + "/" + name
}

// hub is the host of names without one, by Docker's rule.
const hub = "docker.io"
