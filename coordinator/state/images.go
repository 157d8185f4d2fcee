package state

import (
	"maps"
	"slices"

	"raylink/raylink"
	"raylink/raylink/imagesign"
)

// maxPins bounds how many images are pinned at once.
const maxPins = 256

// ImagePin says exactly which image a name of the catalogue stands for, and who vouches for it.
type ImagePin struct {
	Image     string `json:"image"`               // as the catalogue names it
	Digest    string `json:"digest"`              // sha256:…
	Payload   []byte `json:"payload,omitempty"`   // what was signed, in cosign's form; empty where nobody has
	Signature []byte `json:"signature,omitempty"` // over it
	Key       string `json:"key,omitempty"`       // PEM: whose
}

// Signed says whether somebody vouches for it.
func (p *ImagePin) Signed() bool { return p.Key != "" }

// PinImage has every machine run exactly one image under a name, from its next start on.
type PinImage struct {
	Pin ImagePin `json:"pin"`
}

func (*PinImage) kind() string { return "image.pin" }

func (c *PinImage) apply(s *State) (any, error) {
	p := c.Pin
	if p.Image == "" || len(p.Image) > maxLabel || !printable(p.Image) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "an image's name has 1 to %d bytes of printable characters", maxLabel)
	}
	if name, digest := imagesign.Split(p.Image); digest != "" || name != p.Image || !imagesign.ValidDigest(p.Digest) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "image %.200q with digest %.100q: a name without a digest, and a digest of SHA-256, are wanted", p.Image, p.Digest)
	}
	if _, known := s.Images[p.Image]; !known && len(s.Images) >= maxPins {
		return nil, raylink.Errorf(raylink.CodeConflict, "%d images are pinned; more are not taken", maxPins).WithHint("unpin one that nobody runs: `raylink image unpin IMAGE`")
	}
	if p.Signed() || len(p.Payload) > 0 || len(p.Signature) > 0 {
		keys, err := imagesign.ReadPublic([]byte(p.Key))
		if err == nil && len(keys) != 1 {
			err = raylink.Errorf(raylink.CodeInvalid, "%d keys", len(keys))
		}
		if err == nil {
			err = imagesign.Verify(keys, imagesign.Claim{Reference: p.Image, Digest: p.Digest}, p.Payload, p.Signature)
		}
		if err != nil {
			return nil, raylink.Errorf(raylink.CodeInvalid, "the signature does not hold, and no machine would run the image: %v", err).WithHint("`raylink image sign` makes one that does")
		}
	}
	s.Images[p.Image] = &p
	return nil, nil
}

// UnpinImage has a name stand for what machines find under it.
type UnpinImage struct {
	Image string `json:"image"`
}

func (*UnpinImage) kind() string { return "image.unpin" }

func (c *UnpinImage) apply(s *State) (any, error) {
	if s.Images[c.Image] == nil {
		return nil, raylink.Errorf(raylink.CodeNotFound, "image %.200q is not pinned", c.Image).WithHint("`raylink image list` shows those that are")
	}
	delete(s.Images, c.Image)
	return nil, nil
}

// ImagePins are all pins, ordered by their images.
func (s *State) ImagePins() []ImagePin {
	out := make([]ImagePin, 0, len(s.Images))
	for _, name := range slices.Sorted(maps.Keys(s.Images)) {
		out = append(out, *s.Images[name])
	}
	return out
}

// ImageKeys are the keys that pins are signed with, each once, in order.
func (s *State) ImageKeys() []string {
	var out []string
	for _, p := range s.Images {
		if p.Signed() && !slices.Contains(out, p.Key) {
			out = append(out, p.Key)
		}
	}
	slices.Sort(out)
	return out
}
