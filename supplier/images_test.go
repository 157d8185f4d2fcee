package supplier

import (
	"crypto/ecdsa"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
	"raylink/raylink/imagesign"
	"raylink/raylink/wire"
	"raylink/supplier/device"
	"raylink/supplier/image"
)

const (
	pinDigest = "sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8"
	pinnedRef = imageRef + "@" + pinDigest
)

// signing makes a key, its PEM, and its signature over what pinnedRef names.
func signing(t *testing.T, digest string) (*ecdsa.PrivateKey, string, *wire.ImageSignature) {
	t.Helper()
	key, err := imagesign.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := imagesign.WritePublic(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := imagesign.Payload(imagesign.Claim{Reference: imageRef, Digest: digest})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := imagesign.Sign(rand.Reader, key, payload)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(text), &wire.ImageSignature{Payload: payload, Signature: signature}
}

// orderSigned orders a head from a pinned image, with a signature and the network's keys.
func (w *world) orderSigned(signature *wire.ImageSignature, keys ...string) {
	order := w.order(head, raylink.WantMesh)
	order.Image, order.Signature = pinnedRef, signature
	w.coordinator.mu.Lock()
	w.coordinator.keys = keys
	w.coordinator.mu.Unlock()
	w.coordinator.order(order)
}

func TestASignedImageRuns(t *testing.T) {
	_, key, signature := signing(t, pinDigest)
	bubble(t, func(w *world) {
		w.trust = image.Policy{Require: true}
		w.stop()
		w.start()
		w.host.AddImage(pinnedRef)
		w.orderSigned(signature, key)
		w.untilStage(head, raylink.StageMesh)
		if spec, _ := w.host.Spec(head); spec.Image != pinnedRef {
			t.Errorf("the container was made from %s", spec.Image)
		}
	})
}

func TestWhatIsNotWellSignedNeverRuns(t *testing.T) {
	_, key, good := signing(t, pinDigest)
	_, other, foreign := signing(t, pinDigest)
	_, wrongKey, wrong := signing(t, strings.Replace(pinDigest, "87", "78", 1))
	owner, err := imagesign.ReadPublic([]byte(other))
	if err != nil {
		t.Fatal(err)
	}
	for words, c := range map[string]struct {
		trust     image.Policy
		signature *wire.ImageSignature
		key       string
	}{
		"not signed":                      {image.Policy{Require: true}, nil, key},
		"signed by a stranger":            {image.Policy{Require: true}, foreign, key},
		"signed for another image":        {image.Policy{}, wrong, wrongKey},
		"not by the key the owner trusts": {image.Policy{Keys: owner}, good, key},
	} {
		bubble(t, func(w *world) {
			w.trust = c.trust
			w.stop()
			w.start()
			w.host.AddImage(pinnedRef) // that it is here already changes nothing
			w.orderSigned(c.signature, c.key)
			w.until(words+": a failure", 30*time.Second, func() bool { return w.coordinator.lease(head).Failure != nil })
			f := w.coordinator.lease(head).Failure
			if f.Stage != string(raylink.PhaseImage) || f.Hint == "" || !strings.Contains(f.Reason, "image "+imageRef) {
				t.Errorf("%s: it is told as %+v", words, f)
			}
			if _, started := w.host.Count(); started != 0 {
				t.Errorf("%s: %d containers were started", words, started)
			}
		})
	}
}

func TestAFetchTellsHowFarItHasCome(t *testing.T) {
	bubble(t, func(w *world) {
		w.pass(time.Second) // the look at what is here is over: one that came after the order would find the image, and nothing would be fetched
		w.host.Delay(20 * time.Second)
		begin := time.Now()
		w.coordinator.order(w.order(head, raylink.WantMesh))
		w.until("progress", 5*time.Second, func() bool {
			p := w.coordinator.lease(head).Progress
			return p != nil && p.Done > 0 && p.Done < p.Total && !p.Since.Before(begin)
		})
		w.until("its end", time.Minute, func() bool {
			return w.coordinator.lease(head).Stage == raylink.StageMesh && w.coordinator.lease(head).Progress == nil
		})
	})
}

func TestWhichImagesAreHereIsReported(t *testing.T) {
	bubble(t, func(w *world) {
		w.known = []string{"raylink/elsewhere:1", imageRef}
		w.stop()
		w.start()
		stock := func(want ...string) func() bool {
			return func() bool {
				w.coordinator.mu.Lock()
				defer w.coordinator.mu.Unlock()
				return slices.Equal(w.coordinator.report.Images, want)
			}
		}
		w.until("the one that is here", 5*time.Second, stock(imageRef))
		w.host.AddImage("raylink/elsewhere:1")
		w.until("the other, which was fetched by hand", 40*time.Second, stock("raylink/elsewhere:1", imageRef))
		w.host.AddImage(pinnedRef)
		w.orderSigned(nil)
		w.until("the one that an order names", 40*time.Second, stock("raylink/elsewhere:1", imageRef, pinnedRef))
	})
}

func TestWhatTheOwnerSaysOfImages(t *testing.T) {
	_, key, _ := signing(t, pinDigest)
	file := filepath.Join(t.TempDir(), "image.pub")
	if err := os.WriteFile(file, []byte(key), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := (&Config{ImageKey: file, SignedOnly: true}).trust()
	if err != nil || len(p.Keys) != 1 || !p.Require {
		t.Errorf("the owner's key is read as %+v (%v)", p, err)
	}
	if _, err := (&Config{ImageKey: filepath.Join(filepath.Dir(file), "none")}).trust(); err == nil {
		t.Error("a key that is not there trusts the network's instead")
	}
	if err := os.WriteFile(file, []byte("no key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Config{ImageKey: file}).trust(); raylink.AsError(err).Code != raylink.CodeInvalid {
		t.Errorf("a file without a key: %v", err)
	}
}

func TestAnEmulatedMachineSaysSo(t *testing.T) {
	has := device.Machine{Arch: "amd64", Cores: 2, Memory: 8 << 30}
	offer, err := (&Config{Emulate: "arm64", Labels: []string{"zone=mill"}}).offer(has)
	if err != nil || offer.Arch != "arm64" || offer.Labels[raylink.LabelEmulated] != "true" || offer.Labels["zone"] != "mill" {
		t.Errorf("an emulated machine offers %+v (%v)", offer, err)
	}
	offer, err = (&Config{Emulate: "amd64"}).offer(has)
	if err != nil || offer.Arch != "amd64" || offer.Labels[raylink.LabelEmulated] != "" {
		t.Errorf("a machine that emulates itself offers %+v (%v)", offer, err)
	}
	if _, err := (&Config{Labels: []string{raylink.LabelEmulated + "=false"}}).offer(has); err == nil {
		t.Error("an owner may say that his machine is not emulated")
	}
}
