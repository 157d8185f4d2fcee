package manifest

import (
	"os"
	"strings"
	"testing"

	"raylink/raylink"
)

// TestAnnotations: what Raylink's own annotations mean, and how each mistake is refused by name.
func TestAnnotations(t *testing.T) {
	text, err := os.ReadFile("../../examples/first-job/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		annotations, refused string
		want                 raylink.ClusterSpec
	}{
		{"{}", "", raylink.ClusterSpec{}},
		{"{raylink.io/isolation: container}", "", raylink.ClusterSpec{Isolation: raylink.IsolationContainer}},
		{"{raylink.io/isolation: gvisor, raylink.io/egress: none}", "", raylink.ClusterSpec{Isolation: raylink.IsolationGVisor, Egress: "none"}},
		{"{raylink.io/egress: internet, raylink.io/egress-bytes: '1000000'}", "", raylink.ClusterSpec{Egress: "internet", EgressBytes: 1_000_000}},
		{"{raylink.io/isolation: vm}", "no machine offers virtual machines yet", raylink.ClusterSpec{}},
		{"{raylink.io/isolation: kata}", `"kata" is no tier of isolation`, raylink.ClusterSpec{}},
		{"{raylink.io/isolation: ''}", `"" is no tier of isolation`, raylink.ClusterSpec{}},
		{"{raylink.io/egress: all}", `"all" is neither none nor internet`, raylink.ClusterSpec{}},
		{"{raylink.io/egress-bytes: 1G}", `"1G" is no number of bytes`, raylink.ClusterSpec{}},
		{"{raylink.io/egress-bytes: '0'}", `"0" is no number of bytes`, raylink.ClusterSpec{}},
		{"{raylink.io/egress-bytes: '-1'}", `"-1" is no number of bytes`, raylink.ClusterSpec{}},
		{"{raylink.io/egress-bytes: '99999999999999999999'}", "is no number of bytes", raylink.ClusterSpec{}},
		{"{raylink.io/egress: none, raylink.io/egress-bytes: '5'}", "makes no sense", raylink.ClusterSpec{}},
		{"{raylink.io/isolaton: gvisor}", "metadata.annotations.raylink.io/isolaton: unknown", raylink.ClusterSpec{}},
	} {
		spec, _, err := Parse([]byte(strings.Replace(string(text), "metadata:\n", "metadata:\n  annotations: "+c.annotations+"\n", 1)))
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v", c.annotations, err)
			}
			continue
		}
		if err != nil || spec.Isolation != c.want.Isolation || spec.Egress != c.want.Egress || spec.EgressBytes != c.want.EgressBytes {
			t.Errorf("%s: %+v, %v", c.annotations, spec, err)
		}
	}
}
