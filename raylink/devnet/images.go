package devnet

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"raylink/raylink/imagesign"
	"raylink/raylink/manifest"
	"raylink/raylink/wire"
)

// signImages signs the worker images that are on this machine with a key made for this network, and pins them: so the agents, which take nothing that
// is not signed, run on the path that a real network's agents run on. The images were never pushed, so their ids are their digests. The key is
// forgotten at once: nothing else is ever to be signed with it.
func (n *Network) signImages(ctx context.Context) error {
	if n.cfg.Scripted || n.cfg.Suppliers == 0 {
		return nil
	}
	key, err := imagesign.NewKey(rand.Reader)
	if err != nil {
		return err
	}
	public, err := imagesign.WritePublic(&key.PublicKey)
	if err != nil {
		return err
	}
	admin, err := n.As("admin")
	if err != nil {
		return err
	}
	defer admin.Close()
	for _, entry := range manifest.Images() {
		for _, image := range entry.Run {
			id, err := dockerRun(ctx, "image", "inspect", "-f", "{{.Id}}", image)
			if err != nil {
				continue // not built here; whoever wants it is told by the agent
			}
			claim := imagesign.Claim{Reference: image, Digest: strings.TrimSpace(id)}
			pin := wire.ImagePin{Image: claim.Reference, Digest: claim.Digest, Signature: &wire.ImageSignature{}, Key: string(public)}
			if pin.Signature.Payload, err = imagesign.Payload(claim); err != nil {
				return err
			}
			if pin.Signature.Signature, err = imagesign.Sign(rand.Reader, key, pin.Signature.Payload); err != nil {
				return err
			}
			if _, err := admin.PinImage(ctx, pin); err != nil {
				return fmt.Errorf("pinning %s: %w", image, err)
			}
			n.signed++
		}
	}
	if n.signed == 0 {
		return nil
	}
	n.imageKey = filepath.Join(n.cfg.Dir, "image.pub")
	if err := os.WriteFile(n.imageKey, public, 0o644); err != nil {
		return fmt.Errorf("writing the images' key: %w", err)
	}
	n.say("%d worker image(s) signed with key %s and pinned by digest", n.signed, imagesign.KeyID(&key.PublicKey))
	return nil
}

// wantSigned are the flags of an agent that takes only signed images. The first pins the key itself; the others take the network's word for it.
func (n *Network) wantSigned(supplier int) []string {
	switch {
	case n.signed == 0:
		return nil
	case supplier == 0 && !n.cfg.Contained: // a container does not see the file
		return []string{"--require-signed-images", "--image-key", n.imageKey}
	}
	return []string{"--require-signed-images"}
}
