package manifest

import (
	"strings"
	"testing"
)

// TestDisk: what bounds a node's disk. A limit counts before a request, and the user is told what the bound does.
func TestDisk(t *testing.T) {
	for _, c := range []struct {
		requests, limits string
		want             int64
	}{
		{"", "", 0},
		{"", ", ephemeral-storage: 20Gi", 20 << 30},
		{", ephemeral-storage: 10Gi", "", 10 << 30},
		{", ephemeral-storage: 10Gi", ", ephemeral-storage: 20Gi", 20 << 30},
	} {
		text := strings.NewReplacer(`requests: {cpu: "1", memory: 1Gi}`, `requests: {cpu: "1", memory: 1Gi`+c.requests+`}`,
			`nvidia.com/gpu: "1"}`, `nvidia.com/gpu: "1"`+c.limits+`}`).Replace(whole)
		spec, notes, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		told := strings.Contains(strings.Join(notes, "\n"), "a node that holds more of the disk is ended")
		found := spec.Workers[0].Resources.Disk
		if found != c.want || told != (c.want > 0) {
			t.Errorf("%+v: %d bytes (told %v)", c, found, told)
		}
	}
}
