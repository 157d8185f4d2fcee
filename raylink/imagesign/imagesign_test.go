package imagesign_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"raylink/raylink/imagesign"
)

const (
	digest = "sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8"
	other  = "sha256:1545e1d2cf0afe5df99fe5f1d39eef8429a2018c3734dd3bdfcac5a068189e39"
	name   = "registry.example/team/worker"
)

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := imagesign.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, key *ecdsa.PrivateKey, payload []byte) []byte {
	t.Helper()
	signature, err := imagesign.Sign(rand.Reader, key, payload)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// The payload in testdata is written by hand after SIGNATURE_SPEC.md and containers-signature(5), in the order and without the white space that
// cosign's payload.go gives it; OpenSSL 3.0 signed it (`openssl dgst -sha256 -sign`) and made the key. So neither comes from this package.
func TestGolden(t *testing.T) {
	want := read(t, "payload.json")
	got, err := imagesign.Payload(imagesign.Claim{Reference: name, Digest: digest})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the payload is\n%s (%v), and cosign's is\n%s", got, err, want)
	}
	keys, err := imagesign.ReadPublic(read(t, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.StdEncoding.DecodeString(string(read(t, "signature.b64")))
	if err != nil {
		t.Fatal(err)
	}
	if err := imagesign.Verify(keys, imagesign.Claim{Reference: name + ":1", Digest: digest}, want, signature); err != nil {
		t.Error(err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	key, stranger := newKey(t), newKey(t)
	good, err := imagesign.Payload(imagesign.Claim{Reference: name, Digest: digest})
	if err != nil {
		t.Fatal(err)
	}
	signature := sign(t, key, good)
	swap := func(old, new string) []byte {
		if !strings.Contains(string(good), old) {
			t.Fatalf("%s is not in the payload", old)
		}
		return []byte(strings.Replace(string(good), old, new, 1))
	}
	trusted := []*ecdsa.PublicKey{&stranger.PublicKey, &key.PublicKey}
	run := imagesign.Claim{Reference: name + ":2.60.0", Digest: digest}
	if err := imagesign.Verify(trusted, run, good, signature); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	cases := map[string]struct {
		keys      []*ecdsa.PublicKey
		run       imagesign.Claim
		payload   []byte
		signature []byte // nil: the key's own over the payload
		want      error
	}{
		"no key":                  {nil, run, good, signature, imagesign.ErrUntrusted},
		"another key":             {trusted[:1], run, good, signature, imagesign.ErrUntrusted},
		"a wrong digest":          {trusted, imagesign.Claim{Reference: name, Digest: other}, good, signature, imagesign.ErrOther},
		"no digest":               {trusted, imagesign.Claim{Reference: name}, good, signature, imagesign.ErrOther},
		"a payload for another":   {trusted, run, swap(digest, other), nil, imagesign.ErrOther},
		"under another name":      {trusted, imagesign.Claim{Reference: "registry.example/team/tools:1", Digest: digest}, good, signature, imagesign.ErrOther},
		"a changed payload":       {trusted, run, swap("team", "teem"), signature, imagesign.ErrUntrusted},
		"bytes behind it":         {trusted, run, append(bytes.Clone(good), ' '), signature, imagesign.ErrUntrusted},
		"bytes behind, signed":    {trusted, run, append(bytes.Clone(good), "{}"...), nil, imagesign.ErrMalformed},
		"bytes behind the DER":    {trusted, run, good, append(bytes.Clone(signature), 0), imagesign.ErrUntrusted},
		"half a signature":        {trusted, run, good, signature[:len(signature)/2], imagesign.ErrUntrusted},
		"no signature":            {trusted, run, good, []byte{}, imagesign.ErrUntrusted},
		"another type":            {trusted, run, swap(imagesign.Type, "atomic container signature"), nil, imagesign.ErrMalformed},
		"an unknown field":        {trusted, run, swap(`"type"`, `"more":1,"type"`), nil, imagesign.ErrMalformed},
		"an unknown field at top": {trusted, run, swap(`"optional"`, `"more":1,"optional"`), nil, imagesign.ErrMalformed},
		"a doubled digest":        {trusted, run, swap(`"docker-manifest-digest"`, `"docker-manifest-digest":"`+other+`","docker-manifest-digest"`), nil, imagesign.ErrMalformed},
		"a doubled image":         {trusted, run, swap(`"image"`, `"image":{"docker-manifest-digest":"`+other+`"},"image"`), nil, imagesign.ErrMalformed},
		"other capitals":          {trusted, run, swap(`"docker-manifest-digest"`, `"Docker-manifest-digest"`), nil, imagesign.ErrMalformed},
		"a short digest":          {trusted, run, swap(digest, digest[:70]), nil, imagesign.ErrMalformed},
		"a digest in capitals":    {trusted, run, swap(digest, strings.ToUpper(digest)), nil, imagesign.ErrMalformed},
		"optional is no object":   {trusted, run, swap("null", "7"), nil, imagesign.ErrMalformed},
		"too long":                {trusted, run, swap("null", `{"note":"`+strings.Repeat("x", imagesign.PayloadMax)+`"}`), nil, imagesign.ErrUntrusted},
	}
	for words, c := range cases {
		if c.signature == nil {
			c.signature = sign(t, key, c.payload)
		}
		if err := imagesign.Verify(c.keys, c.run, c.payload, c.signature); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, wanted: %v", words, err, c.want)
		}
	}
}

func TestCosignsAnnotationsAreTaken(t *testing.T) {
	key := newKey(t)
	payload := bytes.Replace(read(t, "payload.json"), []byte("null"), []byte(`{"creator":"x","timestamp":1458239713}`), 1)
	if err := imagesign.Verify([]*ecdsa.PublicKey{&key.PublicKey}, imagesign.Claim{Reference: name, Digest: digest}, payload, sign(t, key, payload)); err != nil {
		t.Error(err)
	}
}

// Every single bit counts: none of payload and signature may be another.
func TestNoBitMayTurn(t *testing.T) {
	key := newKey(t)
	good := read(t, "payload.json")
	signature := sign(t, key, good)
	run, keys := imagesign.Claim{Reference: name, Digest: digest}, []*ecdsa.PublicKey{&key.PublicKey}
	for i := range 8 * (len(good) + len(signature)) {
		both := append(bytes.Clone(good), signature...)
		both[i/8] ^= 1 << (i % 8)
		if imagesign.Verify(keys, run, both[:len(good)], both[len(good):]) == nil {
			t.Fatalf("bit %d is turned, and it still holds", i)
		}
	}
}

func TestRepository(t *testing.T) {
	for in, want := range map[string]string{
		"worker":                                "docker.io/library/worker",
		"raylink/worker:2.60.0-py311@" + digest: "docker.io/raylink/worker",
		"index.docker.io/raylink/worker":        "docker.io/raylink/worker",
		"docker.io/raylink/worker:1":            "docker.io/raylink/worker",
		"127.0.0.1:5000/raylink/worker":         "127.0.0.1:5000/raylink/worker",
		"127.0.0.1:5000/raylink/worker:1":       "127.0.0.1:5000/raylink/worker",
		"localhost/worker:1":                    "localhost/worker",
		"registry.example/a/b/c@" + digest:      "registry.example/a/b/c",
		"@" + digest:                            "",
	} {
		if got := imagesign.Repository(in); got != want {
			t.Errorf("%s is of %s, wanted %s", in, got, want)
		}
	}
}

func TestSplitAndPin(t *testing.T) {
	for _, reference := range []string{"a/b:1", "a/b:1@" + digest, "host:5000/a/b@" + digest} {
		if name, sum := imagesign.Split(reference); imagesign.Pin(name, sum) != reference {
			t.Errorf("%s falls into %s and %s", reference, name, sum)
		}
	}
}

func TestKeys(t *testing.T) {
	a, b := newKey(t), newKey(t)
	var file []byte
	for _, key := range []*ecdsa.PrivateKey{a, b} {
		public, err := imagesign.WritePublic(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, public...)
	}
	keys, err := imagesign.ReadPublic(file)
	if err != nil || len(keys) != 2 || !keys[0].Equal(&a.PublicKey) || !keys[1].Equal(&b.PublicKey) {
		t.Errorf("two keys written, %d read (%v)", len(keys), err)
	}
	if imagesign.KeyID(keys[0]) == imagesign.KeyID(keys[1]) || len(imagesign.KeyID(keys[0])) != 16 {
		t.Errorf("keys are named %s and %s", imagesign.KeyID(keys[0]), imagesign.KeyID(keys[1]))
	}
	secret, err := imagesign.WritePrivate(a)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := imagesign.ReadPrivate(secret); err != nil || !again.Equal(a) {
		t.Errorf("a private key does not come back: %v", err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&p384.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for words, text := range map[string][]byte{
		"nothing":             nil,
		"words":               []byte("no key\n"),
		"words before a key":  append([]byte("mine:\n"), file...),
		"words behind a key":  append(bytes.Clone(file), "mine\n"...),
		"a private key":       secret,
		"another curve":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"a torn key":          file[:60],
		"no key in its block": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
		"too many":            bytes.Repeat(file, imagesign.KeysMax),
	} {
		if keys, err := imagesign.ReadPublic(text); err == nil {
			t.Errorf("%s: gives %d keys", words, len(keys))
		}
	}
	if _, err := imagesign.ReadPrivate(append(secret, 'x')); err == nil {
		t.Error("words behind a private key are passed over")
	}
}
