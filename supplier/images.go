package supplier

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"raylink/raylink/imagesign"
	"raylink/raylink/manifest"
	"raylink/raylink/wire"
	"raylink/supplier/image"
)

const (
	stockEvery   = 30 * time.Second // an owner removes images seldom
	stockMax     = 64               // images that are looked for and reported
	keyFileLimit = 64 << 10         // bytes
)

// trust is what the owner wants of images.
func (c *Config) trust() (image.Policy, error) {
	p := image.Policy{Require: c.SignedOnly}
	if c.ImageKey == "" {
		return p, nil
	}
	file, err := os.Open(c.ImageKey)
	if err != nil {
		return p, fmt.Errorf("reading --image-key: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, keyFileLimit))
	if err != nil {
		return p, fmt.Errorf("reading --image-key: %w", err)
	}
	if p.Keys, err = imagesign.ReadPublic(text); err != nil {
		return p, invalid("--image-key %s: %v", c.ImageKey, err).WithHint("it takes public keys in PEM, such as cosign.pub or what `raylink image key` makes")
	}
	return p, nil
}

// networkImages are the references of the catalogue's images for an architecture.
func networkImages(arch string) []string {
	var out []string
	for _, entry := range manifest.Images() {
		if run, ok := entry.Run[arch]; ok && !slices.Contains(out, run) {
			out = append(out, run)
		}
	}
	return out
}

// trust is the check that a job makes of its order: with the keys of the assignment that it began under.
func (a *Agent) trust() func(wire.LeaseOrder) error {
	network, policy := a.network, a.parts.Trust
	return func(order wire.LeaseOrder) error { return policy.Check(order.Image, order.Signature, network) }
}

// imageReady says whether a lease's image is here and may run. One that may not counts as absent: so the failure is of the image's stage.
func (a *Agent) imageReady(l *lease) bool {
	return a.images.Present(l.order.Image) && a.trust()(l.order) == nil
}

// imageID is what the container is made from. It is asked for anew at every start: between the look and the start a tag may have come to name
// another image, but an id names one for ever.
func (a *Agent) imageID(ctx context.Context, ref string) (string, error) {
	if err := a.images.Ensure(ctx, ref); err != nil {
		return "", err
	}
	if id := a.images.ID(ref); id != "" {
		return id, nil
	}
	return "", fmt.Errorf("image %s was removed while its container was to start", ref)
}

// orderedImages are the images that orders name. Only the loop may call it.
func (a *Agent) orderedImages() []string {
	var out []string
	for _, order := range a.orders.Leases {
		if order.Image != "" && !slices.Contains(out, order.Image) && len(out) < stockMax {
			out = append(out, order.Image)
		}
	}
	return out
}

// stockLoop finds out from time to time which of the network's images are here. The next look of the agent's reports them.
func (a *Agent) stockLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		a.mu.Lock()
		refs := slices.Concat(a.parts.Known, a.wanted)
		a.mu.Unlock()
		slices.Sort(refs)
		refs = slices.Compact(refs)
		here := a.images.Stock(ctx, refs[:min(len(refs), stockMax)])
		if ctx.Err() != nil {
			return
		}
		a.mu.Lock()
		a.stock = here
		a.mu.Unlock()
		timer.Reset(stockEvery)
	}
}
