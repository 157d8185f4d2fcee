package api

import (
	"github.com/gin-gonic/gin"

	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/wire"
)

// getImages lists the pinned images: everybody may know what runs under a name, and who vouches for it.
func (s *Server) getImages(c *gin.Context) (any, error) {
	if _, err := s.user(c, raylink.RoleTenant, raylink.RoleSupplier, raylink.RoleAdmin); err != nil {
		return nil, err
	}
	return s.images(), nil
}

func (s *Server) images() []wire.ImagePin {
	out := []wire.ImagePin{}
	s.Group.Read(func(st *state.State) {
		for _, p := range st.ImagePins() {
			pin := wire.ImagePin{Image: p.Image, Digest: p.Digest, Key: p.Key}
			if p.Signed() {
				pin.Signature = &wire.ImageSignature{Payload: p.Payload, Signature: p.Signature}
			}
			out = append(out, pin)
		}
	})
	return out
}

// putImage pins an image, or unpins it.
func (s *Server) putImage(c *gin.Context) (any, error) {
	who, err := s.user(c, raylink.RoleAdmin)
	if err != nil {
		return nil, err
	}
	var r wire.ImagePin
	if err := body(c, maxBody, &r); err != nil {
		return nil, err
	}
	var cmd state.Command = &state.UnpinImage{Image: r.Image}
	if r.Digest != "" {
		pin := state.ImagePin{Image: r.Image, Digest: r.Digest, Key: r.Key}
		if r.Signature != nil {
			pin.Payload, pin.Signature = r.Signature.Payload, r.Signature.Signature
		}
		cmd = &state.PinImage{Pin: pin}
	}
	if err := s.propose(c, who.by(), idempotency(c), cmd, nil); err != nil {
		return nil, err
	}
	return s.images(), nil
}
