package docker

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/docker/docker/api/types/mount"

	"raylink/raylink"
)

// Places are the container's writable layer, which its read-only root leaves empty, the volumes that its image declares, and its log. An agent in a container sees
// none of the three: there only the lease's own directory is measured.
func (r *Runtime) Places(ctx context.Context, lease raylink.LeaseID) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := r.find(ctx, lease)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, one := range found {
		seen, err := r.engine.ContainerInspect(ctx, one.id)
		if err != nil {
			return nil, fmt.Errorf("looking where container %.12s writes: %w", one.id, err)
		}
		if upper := seen.GraphDriver.Data["UpperDir"]; filepath.IsAbs(upper) {
			out = append(out, upper)
		}
		if filepath.IsAbs(seen.LogPath) {
			out = append(out, filepath.Dir(seen.LogPath))
		}
		for _, m := range seen.Mounts {
			if m.Type == mount.TypeVolume && filepath.IsAbs(m.Source) {
				out = append(out, m.Source)
			}
		}
	}
	return out, nil
}
