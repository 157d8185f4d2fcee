package docker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
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
// What the engine names is not believed: only a path with the engine's own random name of this container or volume in it is overwritten, so that it is of this
// engine and of no other whose directory lies where this one's would. A volume that another container uses as well is spared.
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
	if ownLog(seen.LogPath, seen.ID) {
		errs = append(errs, shred.File(ctx, seen.LogPath), shred.File(ctx, seen.LogPath+".1"))
	}
	for _, m := range seen.Mounts {
		if !ownVolume(m) {
			continue
		}
		shared, err := r.shared(ctx, m.Name, seen.ID)
		if err == nil && shared {
			err = &shred.Spared{Files: 1, Why: fmt.Errorf("another container uses volume %.12s as well", m.Name)}
		} else if err == nil {
			err = shred.Empty(ctx, m.Source, nil)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// random is the form of the names that the engine gives to containers and to volumes that nobody named.
var random = regexp.MustCompile("^[0-9a-f]{64}$")

// ownLog says whether a path is that of a container's log, where the engine keeps it.
func ownLog(path, id string) bool {
	return filepath.IsAbs(path) && random.MatchString(id) && strings.HasSuffix(path, filepath.Join("/", id, id+"-json.log"))
}

// ownVolume says whether a mount is a volume that the engine made for an image's declaration: one without a name, in the engine's own directory. A volume that
// somebody named may be anything, also a directory of the machine's (the driver local with o=bind).
func ownVolume(m container.MountPoint) bool {
	return m.Type == mount.TypeVolume && m.Driver == "local" && random.MatchString(m.Name) &&
		filepath.IsAbs(m.Source) && strings.HasSuffix(m.Source, filepath.Join("/", m.Name, "_data"))
}

// shared says whether another container has a volume as well: its owner gave it one with --volumes-from, and what is in it may be his.
func (r *Runtime) shared(ctx context.Context, volume, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := r.engine.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("volume", volume))})
	if err != nil {
		return false, fmt.Errorf("looking who uses volume %.12s: %w", volume, err)
	}
	return slices.ContainsFunc(rows, func(row container.Summary) bool { return row.ID != id }), nil
}
