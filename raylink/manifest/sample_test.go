package manifest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"raylink/raylink"
)

// TestSamples reads every RayCluster among KubeRay's own samples. Their images are older than Raylink's, so that each is read twice: with
// Raylink's catalogue, which refuses the image by name, and with one that holds the sample's image, to see everything else.
func TestSamples(t *testing.T) {
	dir := sampleDir()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skipf("the module ray-operator is not at %s: go mod download fetches it", dir)
	}
	image := regexp.MustCompile(`(?m)^\s*(?:- )?image:\s*["']?([^\s"']+)`)
	version := regexp.MustCompile(`(?m)^\s*rayVersion:\s*["']?([^\s"']+)`)
	var b strings.Builder
	accepted := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range regexp.MustCompile(`(?m)^---\s*$`).Split(string(text), -1) {
			if !regexp.MustCompile(`(?m)^kind: RayCluster\s*$`).MatchString(doc) {
				continue
			}
			entry := Entry{RayVersion: "?", Run: map[string]string{"amd64": "sample"}}
			if m := version.FindStringSubmatch(doc); m != nil {
				entry.RayVersion = m[1]
			}
			for _, m := range image.FindAllStringSubmatch(doc, -1) {
				entry.Names = append(entry.Names, m[1])
			}
			if _, _, err := Parse([]byte(doc)); err == nil || !strings.Contains(err.Error(), "is not in Raylink's catalogue") {
				t.Errorf("%s: an image that Raylink does not have was not refused: %v", filepath.Base(file), err)
			}
			spec, notes, err := Catalogue{entry}.Parse([]byte(doc))
			fmt.Fprintf(&b, "== %s: ", filepath.Base(file))
			var e *raylink.Error
			switch {
			case errors.As(err, &e):
				fmt.Fprintf(&b, "refused, %s\n%s\n", e.Code, e.Message)
			case err != nil:
				t.Errorf("%s: %v", file, err)
			default:
				accepted++
				fmt.Fprintf(&b, "accepted, %d nodes\n", spec.Nodes())
				for _, n := range notes {
					if !strings.Contains(n, " runs as ") {
						fmt.Fprintf(&b, "  note: %s\n", n)
					}
				}
			}
		}
	}
	if accepted < 5 {
		t.Errorf("only %d samples are accepted", accepted)
	}
	golden(t, "testdata/samples.golden", b.String())
}
