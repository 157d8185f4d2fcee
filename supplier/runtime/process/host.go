//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"raylink/raylink/imagesign"
)

// Found is what a host has of what leases without an engine need.
type Found struct {
	Filter  error    // why the kernel filters no system calls; nothing runs without
	Groups  int      // version of the control groups
	Limits  error    // why there are none that a lease could be put into; nothing runs without
	Users   bool     // there are user namespaces; leases run without, too
	Images  []string // what lies in images/, as files are named there
	HasIt   bool     // the image asked for does
	Running []string // leases that have a directory in containers/
}

// namesMax bounds what Inspect names, one by one.
const namesMax = 50

// Inspect looks at this host, and at what lies below root, with Open's own eyes. It makes and changes nothing.
func Inspect(root, image string) Found {
	out := Found{Filter: filterable()}
	groups, err := findGroups()
	out.Groups, out.Limits = groups.version, err
	if err == nil {
		out.Limits = groups.usable()
	}
	most, err := os.ReadFile("/proc/sys/user/max_user_namespaces")
	_, none := os.Stat("/proc/self/ns/user")
	out.Users = none == nil && (err != nil || strings.TrimSpace(string(most)) != "0")
	plain, _ := imagesign.Split(image)
	name, err := imageName(plain)
	for _, file := range names(filepath.Join(root, "images")) {
		if bare := strings.TrimSuffix(file, ".tar"); !strings.HasSuffix(file, ".json") && !strings.HasSuffix(file, ".digests") && !strings.HasSuffix(file, ".part") && !slices.Contains(out.Images, bare) {
			out.Images = append(out.Images, bare)
			out.HasIt = out.HasIt || err == nil && bare == name
		}
	}
	out.Running = names(filepath.Join(root, "containers"))
	return out
}

func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries[:min(len(entries), namesMax)] {
		out = append(out, e.Name())
	}
	return out
}

// usable says why no lease could be put into these groups: they are mounted read-only, as in a container, or lack a controller.
func (g groups) usable() error {
	for _, top := range g.mounts {
		if err := unix.Access(top, unix.W_OK); err != nil {
			return fmt.Errorf("%s: %w", top, err)
		}
		if g.version != 2 {
			continue
		}
		text, err := os.ReadFile(filepath.Join(top, "cgroup.controllers"))
		if err != nil {
			return err
		}
		for _, need := range controllers() {
			if !slices.Contains(strings.Fields(string(text)), need) {
				return fmt.Errorf("%s has no controller %s", top, need)
			}
		}
	}
	return nil
}
