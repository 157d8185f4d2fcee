package docker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"raylink/raylink"
	"raylink/supplier/shred"
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

// shred ends a container and overwrites its log and the volumes that its image declares. Its root is read-only, and all else is memory or the lease's directory.
// Of an agent in a container the engine's directories are not seen: there nothing is overwritten. Nor is what the log's turning over unlinked before.
func (r *Runtime) shred(ctx context.Context, id string) error {
	calling, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	seen, err := r.engine.ContainerInspect(calling, id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking where container %.12s wrote: %w", id, err)
	}
	if seen.State.Running || seen.State.Paused || seen.State.Restarting { // while it writes nothing is overwritten for good
		now := 0
		if err := r.engine.ContainerStop(calling, id, container.StopOptions{Timeout: &now}); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("ending container %.12s: %w", id, err)
		}
	}
	var errs []error
	if filepath.IsAbs(seen.LogPath) {
		errs = append(errs, shred.File(ctx, seen.LogPath), shred.File(ctx, seen.LogPath+".1"))
	}
	for _, m := range seen.Mounts {
		if m.Type == mount.TypeVolume && filepath.IsAbs(m.Source) {
			errs = append(errs, shred.Empty(ctx, m.Source, nil))
		}
	}
	return errors.Join(errs...)
}
