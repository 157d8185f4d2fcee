package image

import (
	"crypto/ecdsa"
	"errors"
	"slices"

	"raylink/raylink"
	"raylink/raylink/imagesign"
	"raylink/raylink/wire"
)

// Policy is what a machine wants to know of an image before it runs it.
type Policy struct {
	Keys    []*ecdsa.PublicKey // that the owner trusts; with any, the network's own keys count for nothing
	Require bool               // refuse what nobody signed
}

// Check holds an order's image against the policy. network are the keys that the coordinators name; they count only where the owner named none.
// A signature that is there must hold, whether one is required or not: a wrong one is a sign that somebody is at work. Only where no key is known
// at all, nothing can be said of it.
func (p Policy) Check(ref string, signature *wire.ImageSignature, network []*ecdsa.PublicKey) error {
	keys := p.Keys
	if len(keys) == 0 {
		keys = network
	}
	name, digest := imagesign.Split(ref)
	if digest != "" && !imagesign.ValidDigest(digest) {
		return raylink.Errorf(raylink.CodeInvalid, "image %s: %q is no SHA-256 digest", name, digest)
	}
	switch {
	case signature == nil && p.Require:
		return raylink.Errorf(raylink.CodeForbidden, "image %s is not signed, and this machine runs only signed ones", ref).
			WithHint("the network's admin signs it with `raylink image sign`; or its owner drops --require-signed-images")
	case signature == nil:
		return nil
	case len(keys) == 0 && !p.Require:
		return nil
	case digest == "":
		return raylink.Errorf(raylink.CodeForbidden, "image %s is signed and ordered without the digest that the signature is for", ref).
			WithHint("the network's admin pins it by its digest")
	}
	err := imagesign.Verify(keys, imagesign.Claim{Reference: name, Digest: digest}, signature.Payload, signature.Signature)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, imagesign.ErrUntrusted):
		return raylink.Errorf(raylink.CodeForbidden, "%v", err).WithHint("if the network has a new key, its owner names it with --image-key")
	}
	return raylink.Errorf(raylink.CodeForbidden, "%v", err).WithHint("tell the network's admin: signature and order do not belong together")
}

// ParseKeys reads the keys that an assignment names. One that cannot be read is left out: the others may still vouch for the image.
func ParseKeys(pems []string) []*ecdsa.PublicKey {
	var keys []*ecdsa.PublicKey
	for _, text := range pems[:min(len(pems), imagesign.KeysMax)] {
		if read, err := imagesign.ReadPublic([]byte(text)); err == nil {
			keys = append(keys, read...)
		}
	}
	return slices.Clip(keys)
}
