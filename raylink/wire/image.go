package wire

// ImagePin says which image, to the byte, a name of the catalogue stands for, and who vouches for it: GET and PUT /v1/images. A PUT with an empty
// digest unpins the image.
type ImagePin struct {
	Image     string          `json:"image"`
	Digest    string          `json:"digest,omitempty"` // sha256:…, of the manifest, or the image's id where no registry holds it
	Signature *ImageSignature `json:"signature,omitempty"`
	Key       string          `json:"key,omitempty"` // PEM
}
