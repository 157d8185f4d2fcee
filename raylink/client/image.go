package client

import (
	"context"
	"net/http"

	"raylink/raylink/wire"
)

// Images lists the images that are pinned to a digest.
func (c *Client) Images(ctx context.Context) ([]wire.ImagePin, error) {
	return get[[]wire.ImagePin](ctx, c, at("images"), nil)
}

// PinImage pins an image to a digest, or with an empty digest unpins it; admins only. It gives all pins.
func (c *Client) PinImage(ctx context.Context, pin wire.ImagePin) ([]wire.ImagePin, error) {
	return write[[]wire.ImagePin](ctx, c, http.MethodPut, at("images"), pin)
}
