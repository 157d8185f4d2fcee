package supplier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/raylink/ray"
	"raylink/raylink/wire"
	"raylink/supplier/converge"
	"raylink/supplier/runtime"
	"raylink/supplier/shred"
)

// What the agent keeps on disk, all below its data directory:
//
//	identity/             key and certificate
//	assignment.json       the last assignment, for an agent that comes back while no coordinator answers
//	minutes/<lease>.json  what is signed and not settled yet; it outlives the lease's directory
//	leases/<lease>/       on a key of its own where the file system has keys
//	  files               FilesDigest of what was written for the container
//	  plane/              the data plane's own files; the container does not see them
//	  node/               seen by the container as /raylink
//	    start.sh token go session/ gcs/
//
// node/ itself is root's: the tenant writes into session and gcs alone. Otherwise a link laid there would make the agent write elsewhere.
type files struct{ root string }

// root is who owns what the tenant does not write.
var root = runtime.IDs{}

const (
	fileLimit = 8 << 20 // bytes of any file that the agent reads back
	goFile    = "go"
	lockTries = 5
	lockPause = 20 * time.Millisecond
)

func (f files) lease(id raylink.LeaseID) string { return filepath.Join(f.root, "leases", string(id)) }
func (f files) node(id raylink.LeaseID) string  { return filepath.Join(f.lease(id), "node") }
func (f files) plane(id raylink.LeaseID) string { return filepath.Join(f.lease(id), "plane") }
func (f files) minutes(id raylink.LeaseID) string {
	return filepath.Join(f.root, "minutes", string(id)+".json")
}

// open makes the data directory.
func (f files) open() error {
	for _, dir := range []string{f.root, filepath.Join(f.root, "leases"), filepath.Join(f.root, "minutes")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the agent's directory: %w", err)
		}
	}
	return nil
}

// lock keeps a second agent out of the directory. It ends with the process, however that ends.
func (f files) lock() (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(f.root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the agent's directory: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for range lockTries { // somebody may be looking whether an agent runs
		if err == nil {
			break
		}
		time.Sleep(lockPause)
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		file.Close()
		return nil, raylink.Errorf(raylink.CodeConflict, "another agent works in %s", f.root).WithHint("end it, or give this one another --data")
	}
	return func() { file.Close() }, nil
}

// prepare writes all that the container finds at /raylink; env is the order's environment with what this machine adds, tenant who he is on this machine. It may be done again as long as Ray does not run.
func (f files) prepare(ctx context.Context, order wire.LeaseOrder, env map[string]string, tenant runtime.IDs) error {
	if err := f.room(ctx, order.Lease); err != nil {
		return err
	}
	node := f.node(order.Lease)
	for _, d := range []struct {
		path  string
		mode  os.FileMode
		owner runtime.IDs
	}{
		{node, 0o755, root}, {f.plane(order.Lease), 0o700, root},
		{filepath.Join(node, "session"), 0o755, tenant}, {filepath.Join(node, "gcs"), 0o755, tenant},
	} {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return fmt.Errorf("making the lease's directory: %w", err)
		}
		if err := give(d.path, d.owner); err != nil {
			return err
		}
	}
	if len(order.Command) > 0 {
		script, err := ray.StartScript(order.Command, env)
		if err != nil {
			return raylink.Errorf(raylink.CodeInvalid, "writing the start script of %s: %v", order.Node, err)
		}
		if err := write(filepath.Join(node, "start.sh"), []byte(script), 0o644, root); err != nil {
			return err
		}
	}
	if order.RayToken != "" {
		if err := write(filepath.Join(node, "token"), []byte(order.RayToken), 0o400, tenant); err != nil {
			return err
		}
	}
	return write(filepath.Join(f.lease(order.Lease), "files"), []byte(converge.FilesDigest(order)), 0o600, root)
}

// room makes the lease's directory, on a key of its own where the file system has keys. One whose key went when the machine was started anew is made afresh:
// nobody reads any more what was in it.
func (f files) room(ctx context.Context, id raylink.LeaseID) error {
	for range 2 {
		if err := os.Mkdir(f.lease(id), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making the lease's directory: %w", err)
		}
		_, err := shred.Seal(f.lease(id))
		if !errors.Is(err, shred.ErrKeyLost) {
			return err
		}
		if err := shred.Remove(ctx, f.lease(id), nil); err != nil {
			return err
		}
	}
	return fmt.Errorf("the key of %s is lost as soon as it is made", f.lease(id))
}

// written is the digest of what prepare wrote last; dir says whether there is a directory at all.
func (f files) written(id raylink.LeaseID) (dir bool, digest string) {
	raw, err := os.ReadFile(filepath.Join(f.lease(id), "files"))
	if err == nil {
		return true, string(raw)
	}
	_, err = os.Stat(f.lease(id))
	return err == nil, ""
}

func (f files) hasGo(id raylink.LeaseID) bool {
	_, err := os.Lstat(filepath.Join(f.node(id), goFile))
	return err == nil
}

func (f files) setGo(id raylink.LeaseID) error {
	return write(filepath.Join(f.node(id), goFile), nil, 0o644, root)
}

func (f files) clearGo(id raylink.LeaseID) error {
	if err := os.Remove(filepath.Join(f.node(id), goFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("holding the container back: %w", err)
	}
	return nil
}

// remove makes what the lease wrote unreadable and removes it. Its error may be of what was spared alone.
func (f files) remove(ctx context.Context, id raylink.LeaseID, tell shred.Tell) error {
	return shred.Remove(ctx, f.lease(id), tell)
}

// list names the leases that have a directory or minutes.
func (f files) list() ([]raylink.LeaseID, error) {
	var out []raylink.LeaseID
	for _, dir := range []string{"leases", "minutes"} {
		entries, err := os.ReadDir(filepath.Join(f.root, dir))
		if err != nil {
			return nil, fmt.Errorf("looking for the leases of an earlier agent: %w", err)
		}
		for _, e := range entries {
			if name := strings.TrimSuffix(e.Name(), ".json"); raylink.ValidID(name, "l") {
				out = append(out, raylink.LeaseID(name))
			}
		}
	}
	return out, nil
}

// saveAssignment replaces the assignment and overwrites the one before: it has leases' tokens and environments.
func (f files) saveAssignment(ctx context.Context, a wire.Assignment) error {
	old := f.assignment() + ".old"
	left := f.removeOld(ctx) // an agent was killed on the way
	if !shred.Rest(left) {
		return left
	}
	err := os.Link(f.assignment(), old)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil { // a file system without links: then the one before is replaced, and not overwritten
		err = fmt.Errorf("keeping hold of the assignment before: %w", err)
	}
	return errors.Join(left, err, save(f.assignment(), a), f.removeOld(ctx))
}

// removeOld removes the assignment before. Where none took its place, as on a full disk, it is the assignment still: then only its second name goes.
func (f files) removeOld(ctx context.Context) error {
	old := f.assignment() + ".old"
	now, err := os.Lstat(f.assignment())
	if left, errLeft := os.Lstat(old); err == nil && errLeft == nil && os.SameFile(now, left) {
		return removeFile(old)
	}
	return shredFile(ctx, old)
}

// removeAssignment removes it, whatever is left of it.
func (f files) removeAssignment(ctx context.Context) error {
	errs := []error{f.removeOld(ctx)}
	for _, end := range []string{"", ".new"} {
		errs = append(errs, shredFile(ctx, f.assignment()+end))
	}
	return errors.Join(errs...)
}

func shredFile(ctx context.Context, path string) error {
	err := shred.File(ctx, path)
	if shred.Rest(err) {
		err = errors.Join(err, removeFile(path))
	}
	return err
}

func (f files) assignment() string { return filepath.Join(f.root, "assignment.json") }

// loadAssignment is the assignment that an earlier agent saved; an empty one if there is none that can be read.
func (f files) loadAssignment() (wire.Assignment, error) {
	var a wire.Assignment
	err := load(f.assignment(), &a)
	return a, err
}

// save replaces a JSON file as a whole; only root reads it.
func save(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return write(path, raw, 0o600, root)
}

// load reads what save wrote; a file that is not there changes nothing and is no error.
func load(path string, into any) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() > fileLimit {
		err = fmt.Errorf("it is larger than %d bytes", fileLimit)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// write replaces a file as a whole, so that nobody ever sees half of it.
func write(path string, data []byte, mode os.FileMode, owner runtime.IDs) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.WriteFile(fresh, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := give(fresh, owner); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// give makes a path the user's. An agent that is not root runs no real containers, only scripted ones, to which owners mean nothing.
func give(path string, owner runtime.IDs) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := os.Chown(path, owner.User, owner.Group); err != nil {
		return fmt.Errorf("giving %s its owner: %w", path, err)
	}
	return nil
}
