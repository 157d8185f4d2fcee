//go:build linux

package process

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestInspect: what lies there is named once, whether packed, unpacked or both; looking makes nothing.
func TestInspect(t *testing.T) {
	root := t.TempDir()
	if f := Inspect(root, "raylink/worker:1"); len(f.Images)+len(f.Running) != 0 || f.HasIt {
		t.Errorf("of an empty directory: %+v", f)
	}
	if left := names(root); len(left) != 0 {
		t.Fatalf("looking made %v", left)
	}
	for _, dir := range []string{"images/raylink+worker:1", "images/half.part", "containers/l-aaaaaaaaaa"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"raylink+worker:1.tar", "raylink+worker:1.json", "raylink+worker:1.digests", "other:2.tar"} {
		if err := os.WriteFile(filepath.Join(root, "images", file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := Inspect(root, "raylink/worker:1@sha256:abc")
	slices.Sort(f.Images)
	if !slices.Equal(f.Images, []string{"other:2", "raylink+worker:1"}) || !f.HasIt || len(f.Running) != 1 {
		t.Errorf("%+v", f)
	}
	if f := Inspect(root, "raylink/worker:3"); f.HasIt {
		t.Error("it has an image that is not there")
	}
}

// TestGroupsThatNoLeaseCanUse: of the second version every controller has to be there, and the tree has to be there at all.
func TestGroupsThatNoLeaseCanUse(t *testing.T) {
	top := t.TempDir()
	g := groups{version: 2, mounts: map[string]string{"": top}}
	for text, fine := range map[string]bool{"cpuset cpu io memory pids\n": true, "cpu memory\n": false, "": false} {
		if err := os.WriteFile(filepath.Join(top, "cgroup.controllers"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := g.usable(); (err == nil) != fine {
			t.Errorf("with %q: %v", text, err)
		}
	}
	if err := (groups{version: 1, mounts: map[string]string{"pids": top + "/none"}}).usable(); err == nil {
		t.Error("a tree that is not there can be used")
	}
}
