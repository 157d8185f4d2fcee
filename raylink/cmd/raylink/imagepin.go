package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/imagesign"
	"raylink/raylink/wire"
)

func (a *app) imageList() *cobra.Command {
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the images that are pinned to a digest", Example: "  raylink image list", Args: wants()}
	return remote(a, c, func(c *cobra.Command, s *session, _ []string) ([]wire.ImagePin, error) { return s.Images(c.Context()) }, showPins)
}

func showPins(w io.Writer, list []wire.ImagePin) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No image is pinned: machines run what they find under its name. `raylink image pin FILE` pins one.")
		return
	}
	rows := [][]string{{"IMAGE", "DIGEST", "SIGNED BY"}}
	for _, p := range list {
		by := "nobody"
		if keys, err := imagesign.ReadPublic([]byte(p.Key)); err == nil {
			by = "key " + imagesign.KeyID(keys[0])
		}
		rows = append(rows, []string{p.Image, p.Digest, by})
	}
	grid(w, "", rows...)
}

func (a *app) imagePin() *cobra.Command {
	var keyFile string
	c := &cobra.Command{
		Use: "pin FILE", Short: "Have machines run exactly one image under its name",
		Long: `Pin tells the group which digest a name of the catalogue stands for, and who signed it: every machine runs exactly that from its next start on.
FILE is what "raylink image sign" wrote.`,
		Example: "  raylink image pin signed.json --key image.key.pub", Args: wants("FILE"),
	}
	c.Flags().StringVar(&keyFile, "key", "", "file with the public key of the signature, in PEM")
	return remote(a, c, func(c *cobra.Command, s *session, args []string) ([]wire.ImagePin, error) {
		if keyFile == "" {
			return nil, usage(c, "--key is missing")
		}
		text, err := readSmall(args[0])
		if err != nil {
			return nil, err
		}
		var signed signedImage
		if err := json.Unmarshal(text, &signed); err != nil {
			return nil, raylink.Errorf(raylink.CodeInvalid, "%s is no signature: %v", args[0], err).WithHint("`raylink image sign` writes one")
		}
		claim, err := pinned(signed.Image)
		if err != nil {
			return nil, err
		}
		if _, err := readImageKeys(keyFile); err != nil {
			return nil, err
		}
		key, err := readSmall(keyFile)
		if err != nil {
			return nil, err
		}
		return s.PinImage(c.Context(), wire.ImagePin{Image: claim.Reference, Digest: claim.Digest, Signature: &signed.ImageSignature, Key: string(key)})
	}, showPins)
}

func (a *app) imageUnpin() *cobra.Command {
	c := &cobra.Command{
		Use: "unpin IMAGE", Short: "Let a name stand for what machines find under it", Example: "  raylink image unpin raylink/worker:2.60.0-py311", Args: wants("IMAGE"),
	}
	return remote(a, c, func(c *cobra.Command, s *session, args []string) ([]wire.ImagePin, error) {
		return s.PinImage(c.Context(), wire.ImagePin{Image: args[0]})
	}, showPins)
}
