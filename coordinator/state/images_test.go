package state

import (
	"crypto/rand"
	"strings"
	"testing"

	"raylink/raylink"
	"raylink/raylink/imagesign"
)

const (
	pinName   = "raylink/worker:2.60.0-py311"
	pinDigest = "sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8"
)

// pinOf is a pin that is signed by a key of its own.
func pinOf(t *testing.T, name, digest string) ImagePin {
	t.Helper()
	key, err := imagesign.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := imagesign.WritePublic(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := imagesign.Payload(imagesign.Claim{Reference: name, Digest: digest})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := imagesign.Sign(rand.Reader, key, payload)
	if err != nil {
		t.Fatal(err)
	}
	return ImagePin{Image: name, Digest: digest, Payload: payload, Signature: signature, Key: string(public)}
}

func TestPins(t *testing.T) {
	s := New()
	pin := func(p ImagePin) error { _, err := (&PinImage{Pin: p}).apply(s); return err }
	signed, other := pinOf(t, pinName, pinDigest), pinOf(t, pinName+"-arm64", pinDigest)
	change := func(f func(p *ImagePin)) ImagePin { p := signed; f(&p); return p }
	for words, p := range map[string]ImagePin{
		"no name":                   change(func(p *ImagePin) { p.Image = "" }),
		"a name with a digest":      change(func(p *ImagePin) { p.Image += "@" + pinDigest }),
		"a name of control letters": change(func(p *ImagePin) { p.Image += "\n" }),
		"a long name":               change(func(p *ImagePin) { p.Image = strings.Repeat("x", 200) }),
		"no digest":                 change(func(p *ImagePin) { p.Digest = "" }),
		"another digest":            change(func(p *ImagePin) { p.Digest = strings.Replace(pinDigest, "87", "78", 1) }),
		"another image":             change(func(p *ImagePin) { p.Image = "raylink/tools:1" }),
		"another key":               change(func(p *ImagePin) { p.Key = other.Key }),
		"two keys":                  change(func(p *ImagePin) { p.Key += other.Key }),
		"no key":                    change(func(p *ImagePin) { p.Key = "" }),
		"a key alone":               change(func(p *ImagePin) { p.Payload, p.Signature = nil, nil }),
	} {
		if err := pin(p); err == nil || raylink.AsError(err).Code != raylink.CodeInvalid || len(s.Images) != 0 {
			t.Errorf("%s: %v", words, err)
		}
	}
	for _, p := range []ImagePin{signed, other, {Image: "raylink/other:1", Digest: pinDigest}} {
		if err := pin(p); err != nil {
			t.Errorf("%s: %v", p.Image, err)
		}
	}
	if got := s.ImagePins(); len(got) != 3 || got[0].Image != "raylink/other:1" || len(s.ImageKeys()) != 2 {
		t.Errorf("pinned are %+v, with %d keys", got, len(s.ImageKeys()))
	}
	if _, err := (&UnpinImage{Image: pinName}).apply(s); err != nil || len(s.ImageKeys()) != 1 {
		t.Errorf("after unpinning (%v) there are %d keys", err, len(s.ImageKeys()))
	}
	for i := range maxPins {
		err := pin(ImagePin{Image: "raylink/n:" + strings.Repeat("x", i%100) + strings.Repeat("y", i/100), Digest: pinDigest})
		if full := len(s.Images) == maxPins; err != nil && !full {
			t.Fatalf("the %dth: %v", i, err)
		}
	}
	if len(s.Images) != maxPins {
		t.Errorf("%d images are pinned, wanted no more than %d", len(s.Images), maxPins)
	}
}
