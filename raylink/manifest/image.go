package manifest

import (
	"maps"
	"slices"
	"strings"

	"raylink/raylink"
)

// Entry is one image that Raylink can run: the names that manifests use for it, and what runs in its place on each architecture.
type Entry struct {
	Names      []string
	Run        map[string]string // by architecture: amd64, arm64
	RayVersion string
	Python     string
}

// Catalogue is the list of images. An image that runs does not pose as the one that was asked for: the mapping is shown with the quote.
type Catalogue []Entry

// Images is the catalogue that Raylink ships. The default Python of rayproject/ray:2.60.0 is 3.10, so that name is not in it: Ray refuses a client
// and a worker whose Python differ in the minor version.
func Images() Catalogue {
	const own = "raylink/worker:2.60.0-py311"
	return Catalogue{{
		Names:      []string{"rayproject/ray:2.60.0-py311", "rayproject/ray:2.60.0-py311-cpu", own},
		Run:        map[string]string{"amd64": own, "arm64": own + "-arm64"},
		RayVersion: "2.60.0",
		Python:     "3.11",
	}}
}

// Image says what runs on a machine of this architecture for an image that a manifest names, and which Ray is in it.
func Image(asked, arch string) (run, rayVersion string, err error) {
	e, err := Images().Find(asked)
	if err != nil {
		return "", "", err
	}
	run, ok := e.Run[arch]
	if !ok {
		return "", "", raylink.Errorf(raylink.CodeUnsupported, "image %s has no build for %s yet", asked, arch).
			WithHint("add a nodeSelector kubernetes.io/arch with one of: %s", strings.Join(slices.Sorted(maps.Keys(e.Run)), ", "))
	}
	return run, e.RayVersion, nil
}

// Find is the entry that has this name.
func (c Catalogue) Find(asked string) (Entry, error) {
	for _, e := range c {
		for _, name := range e.Names {
			if name == asked {
				return e, nil
			}
		}
	}
	return Entry{}, raylink.Errorf(raylink.CodeUnsupported, "image %q is not in Raylink's catalogue", asked).
		WithHint("use one of: %s", strings.Join(c.names(), ", "))
}

func (c Catalogue) names() []string {
	var out []string
	for _, e := range c {
		out = append(out, e.Names...)
	}
	return out
}
