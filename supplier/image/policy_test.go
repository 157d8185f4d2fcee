package image_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"testing"

	"raylink/raylink"
	"raylink/raylink/imagesign"
	"raylink/raylink/wire"
	"raylink/supplier/image"
)

func TestPolicy(t *testing.T) {
	const name, digest, other = "raylink/worker:1", "sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8", "sha256:1545e1d2cf0afe5df99fe5f1d39eef8429a2018c3734dd3bdfcac5a068189e39"
	key := func() *ecdsa.PrivateKey {
		k, err := imagesign.NewKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	sign := func(k *ecdsa.PrivateKey, digest string) *wire.ImageSignature {
		payload, err := imagesign.Payload(imagesign.Claim{Reference: name, Digest: digest})
		if err != nil {
			t.Fatal(err)
		}
		signature, err := imagesign.Sign(rand.Reader, k, payload)
		if err != nil {
			t.Fatal(err)
		}
		return &wire.ImageSignature{Payload: payload, Signature: signature}
	}
	owner, network := key(), key()
	owners, networks := []*ecdsa.PublicKey{&owner.PublicKey}, []*ecdsa.PublicKey{&network.PublicKey}
	none, want := image.Policy{}, image.Policy{Require: true}
	pinned, both := image.Policy{Keys: owners}, image.Policy{Keys: owners, Require: true}
	longer := sign(network, digest)
	longer.Payload = append(bytes.Clone(longer.Payload), '\n')
	for _, c := range []struct {
		words     string
		policy    image.Policy
		ref       string
		signature *wire.ImageSignature
		network   []*ecdsa.PublicKey
		runs      bool
	}{
		{"nothing wanted, nothing signed", none, name, nil, nil, true},
		{"nothing wanted, a digest alone", none, name + "@" + digest, nil, networks, true},
		{"nothing wanted, well signed", none, name + "@" + digest, sign(network, digest), networks, true},
		{"nothing wanted, wrongly signed all the same", none, name + "@" + digest, sign(network, other), networks, false},
		{"nothing wanted, signed by a stranger", none, name + "@" + digest, sign(owner, digest), networks, false},
		{"nothing wanted, no key known", none, name + "@" + digest, sign(owner, digest), nil, true},
		{"wanted, nothing signed", want, name + "@" + digest, nil, networks, false},
		{"wanted, signed", want, name + "@" + digest, sign(network, digest), networks, true},
		{"wanted, signed, no key known", want, name + "@" + digest, sign(network, digest), nil, false},
		{"wanted, a digest that was not signed", want, name + "@" + other, sign(network, digest), networks, false},
		{"wanted, another name", want, "raylink/tools:1@" + digest, sign(network, digest), networks, false},
		{"wanted, bytes behind the payload", want, name + "@" + digest, longer, networks, false},
		{"wanted, ordered by a tag", want, name, sign(network, digest), networks, false},
		{"the owner's key, the owner signed", both, name + "@" + digest, sign(owner, digest), networks, true},
		{"the owner's key, only the network signed", both, name + "@" + digest, sign(network, digest), networks, false},
		{"the owner's key, nothing signed, nothing wanted", pinned, name, nil, networks, true},
		{"the owner's key, the network signed, nothing wanted", pinned, name + "@" + digest, sign(network, digest), networks, false},
		{"a digest that is none", none, name + "@sha256:7", nil, nil, false},
	} {
		err := c.policy.Check(c.ref, c.signature, c.network)
		if (err == nil) != c.runs {
			t.Errorf("%s: %v", c.words, err)
		}
		if told := raylink.AsError(err); told != nil && told.Code != raylink.CodeForbidden && told.Code != raylink.CodeInvalid {
			t.Errorf("%s: is tried again and again: %v", c.words, err)
		}
	}
}

func TestKeysOfAnAssignment(t *testing.T) {
	k, err := imagesign.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := imagesign.WritePublic(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if keys := image.ParseKeys([]string{"no key", string(text)}); len(keys) != 1 || !keys[0].Equal(&k.PublicKey) {
		t.Errorf("%d keys are read", len(keys))
	}
	if keys := image.ParseKeys(make([]string, 10_000)); len(keys) != 0 {
		t.Errorf("%d keys come from nothing", len(keys))
	}
}
