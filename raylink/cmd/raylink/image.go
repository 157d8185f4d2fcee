package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/imagesign"
	"raylink/raylink/wire"
)

// imageFileLimit is the most bytes that are read of a key or a signature.
const imageFileLimit = 64 << 10

// signedImage is what `raylink image sign` writes and `raylink image verify` reads.
type signedImage struct {
	Image string `json:"image"` // name:tag@sha256:…
	Key   string `json:"key"`   // the id of the key that signed it
	wire.ImageSignature
}

// image holds the verbs on images. Those on keys and signatures work on files and need no network.
func (a *app) image() *cobra.Command {
	return parent("image", "Sign images, check signatures, and pin names to digests", "",
		a.imageKey(), a.imageSign(), a.imageVerify(), a.imagePin(), a.imageUnpin(), a.imageList())
}

func (a *app) imageKey() *cobra.Command {
	c := &cobra.Command{
		Use: "key FILE", Short: "Make a key that signs images",
		Long: `Key makes an ECDSA P-256 key. FILE gets the private half (PKCS #8, not encrypted, for its owner's eyes alone) and FILE.pub the public one,
which suppliers name with --image-key. "cosign import-key-pair" takes the private half, and cosign.pub of an existing pair can be named as it is.`,
		Example: "  raylink image key image.key", Args: wants("FILE"),
	}
	format := outputFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		key, err := imagesign.NewKey(rand.Reader)
		if err != nil {
			return err
		}
		private, err := imagesign.WritePrivate(key)
		if err != nil {
			return err
		}
		public, err := imagesign.WritePublic(&key.PublicKey)
		if err != nil {
			return err
		}
		if err := writeNew(args[0], private, 0o600); err != nil {
			return err
		}
		if err := writeNew(args[0]+".pub", public, 0o644); err != nil {
			return err
		}
		made := map[string]string{"key": imagesign.KeyID(&key.PublicKey), "private": args[0], "public": args[0] + ".pub"}
		return a.show(*format, made, func(w io.Writer) {
			fmt.Fprintf(w, "key %s: %s is secret, %s.pub is for everybody who is to trust it\n", made["key"], args[0], args[0])
		})
	}
	return c
}

// writeNew writes a file that must not be there yet: a key that is overwritten is lost.
func writeNew(path string, text []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return raylink.Errorf(raylink.CodeConflict, "%s is there already", path).WithHint("name another file; a key that is overwritten is lost")
	}
	if err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

func (a *app) imageSign() *cobra.Command {
	var keyFile string
	c := &cobra.Command{
		Use: "sign IMAGE@DIGEST", Short: "Sign an image's digest",
		Long: `Sign vouches for one image: whoever trusts the key may run exactly what has this digest. The digest is that of the image's manifest where a
registry holds it (docker image inspect -f '{{index .RepoDigests 0}}' IMAGE), and the image's id where none does (docker image inspect
-f '{{.Id}}' IMAGE). What is written to standard output is JSON with the payload and the signature in cosign's form, both in base64.`,
		Example: "  raylink image sign --key image.key raylink/worker:2.60.0-py311@sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8 >signed.json",
		Args:    wants("IMAGE@DIGEST"),
	}
	c.Flags().StringVar(&keyFile, "key", "", "file with the private key, as `raylink image key` makes it")
	c.RunE = func(c *cobra.Command, args []string) error {
		if keyFile == "" {
			return usage(c, "--key is missing")
		}
		claim, err := pinned(args[0])
		if err != nil {
			return err
		}
		text, err := readSmall(keyFile)
		if err != nil {
			return err
		}
		key, err := imagesign.ReadPrivate(text)
		if err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%s: %v", keyFile, err).WithHint("`raylink image key FILE` makes one")
		}
		signed := signedImage{Image: args[0], Key: imagesign.KeyID(&key.PublicKey)}
		if signed.Payload, err = imagesign.Payload(claim); err != nil {
			return err
		}
		if signed.Signature, err = imagesign.Sign(rand.Reader, key, signed.Payload); err != nil {
			return err
		}
		return a.show("json", signed, nil)
	}
	return c
}

func (a *app) imageVerify() *cobra.Command {
	var keyFile, signature string
	c := &cobra.Command{
		Use: "verify IMAGE@DIGEST", Short: "Check an image's signature as an agent does before it runs the image",
		Example: "  raylink image verify --key image.key.pub --signature signed.json raylink/worker:2.60.0-py311@sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8",
		Args:    wants("IMAGE@DIGEST"),
	}
	c.Flags().StringVar(&keyFile, "key", "", "file with the public keys that are trusted, in PEM")
	c.Flags().StringVar(&signature, "signature", "", "file that `raylink image sign` wrote")
	c.RunE = func(c *cobra.Command, args []string) error {
		if keyFile == "" || signature == "" {
			return usage(c, "--key and --signature are needed")
		}
		claim, err := pinned(args[0])
		if err != nil {
			return err
		}
		keys, err := readImageKeys(keyFile)
		if err != nil {
			return err
		}
		text, err := readSmall(signature)
		if err != nil {
			return err
		}
		var signed signedImage
		if err := json.Unmarshal(text, &signed); err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "%s is no signature: %v", signature, err).WithHint("`raylink image sign` writes one")
		}
		if err := imagesign.Verify(keys, claim, signed.Payload, signed.Signature); err != nil {
			return raylink.Errorf(raylink.CodeForbidden, "%v", err).WithHint("do not run it before you know why")
		}
		fmt.Fprintf(a.out, "verified: %s\n", args[0])
		return nil
	}
	return c
}

// pinned reads name:tag@sha256:….
func pinned(reference string) (imagesign.Claim, error) {
	name, digest := imagesign.Split(reference)
	if name == "" || !imagesign.ValidDigest(digest) {
		return imagesign.Claim{}, raylink.Errorf(raylink.CodeInvalid, "%.200q names no digest, and only digests are signed", reference).
			WithHint("IMAGE@sha256:…; a tag may name another image tomorrow")
	}
	return imagesign.Claim{Reference: name, Digest: digest}, nil
}

func readImageKeys(path string) ([]*ecdsa.PublicKey, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	keys, err := imagesign.ReadPublic(text)
	if err != nil {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%s: %v", path, err).WithHint("it takes public keys in PEM, such as cosign.pub")
	}
	return keys, nil
}

// readSmall reads a file of which a person or a program wrote a few lines.
func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, imageFileLimit+1))
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if len(text) > imageFileLimit {
		return nil, raylink.Errorf(raylink.CodeTooLarge, "%s has more than %d bytes", path, imageFileLimit)
	}
	return text, nil
}
