//go:build linux

package process

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"raylink/raylink"
	"raylink/raylink/imagesign"
	"raylink/supplier/runtime"
)

const (
	imageBytesMax = 256 << 30
	imageFilesMax = 4_000_000
	imageNameMax  = 255
)

// unpacked is an image as it lies on the disk. What is not about files is in the words of `docker image inspect -f '{{json .Config}}'`.
type unpacked struct {
	Env        []string
	WorkingDir string
	root       string // its file system
}

// Images are the unpacked images that are here. An owner puts them below images/, named like the image with every / a +: a directory NAME, or NAME.tar,
// what `docker export` writes, which is unpacked here once. NAME.json beside it may hold the image's configuration, and NAME.digests the digests that
// it answers to, a line each: the owner's word, for an export no longer shows what it was made from.
func (r *Runtime) Images() runtime.Images { return images{r} }

type images struct{ r *Runtime }

// Look unpacks an image that lies here packed: nothing comes from elsewhere.
func (i images) Look(ctx context.Context, ref string) (string, error) {
	i.r.mu.Lock()
	defer i.r.mu.Unlock()
	if _, err := i.r.ready(ctx, ref); err != nil {
		return "", err
	}
	return ref, nil
}

// Fetch is Look: there is no registry to ask.
func (i images) Fetch(ctx context.Context, ref string, _ func(done, total int64)) (string, error) {
	return i.Look(ctx, ref)
}

// digestsMax bounds what is read of NAME.digests, in bytes.
const digestsMax = 16 << 10

// answers says whether the image at this path answers to the digest.
func answers(path, digest string) bool {
	file, err := os.Open(path + ".digests")
	if err != nil {
		return false
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, digestsMax))
	return err == nil && slices.Contains(strings.Fields(string(text)), digest)
}

// imageName is an image's name as that of a file. The sign + is in no reference.
func imageName(ref string) (string, error) {
	for part := range strings.SplitSeq(ref, "/") {
		if part == "" || part[0] == '.' || part[0] == '-' {
			return "", fmt.Errorf("%q is no image's name", ref)
		}
	}
	strange := strings.ContainsFunc(ref, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-/:@", c)
	})
	if strange || len(ref) > imageNameMax {
		return "", fmt.Errorf("%.300q is no image's name", ref)
	}
	return strings.ReplaceAll(ref, "/", "+"), nil
}

func (r *Runtime) ready(ctx context.Context, ref string) (unpacked, error) {
	plain, digest := imagesign.Split(ref)
	name, err := imageName(plain)
	if err != nil {
		return unpacked{}, raylink.Errorf(raylink.CodeInvalid, "%v", err).WithHint("an image is named as for docker pull, such as raylink/worker:2.60.0-py311")
	}
	images := filepath.Join(r.root, "images")
	out := unpacked{root: filepath.Join(images, name)}
	if err := readJSON(out.root+".json", &out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, raylink.Errorf(raylink.CodeInvalid, "the configuration of image %s cannot be read: %v", ref, err).
			WithHint("write it with: docker image inspect -f '{{json .Config}}' %s > %s.json", ref, out.root)
	}
	if digest != "" && !answers(out.root, digest) {
		return out, missing(ref, out.root, fmt.Errorf("%s.digests does not name %s: %w", out.root, digest, fs.ErrNotExist))
	}
	info, err := os.Lstat(out.root)
	if errors.Is(err, fs.ErrNotExist) {
		if err := unpack(ctx, out.root+".tar", out.root); err != nil {
			return out, missing(ref, out.root, err)
		}
		info, err = os.Lstat(out.root)
	}
	if err != nil {
		return out, fmt.Errorf("looking for image %s: %w", ref, err)
	}
	if !info.IsDir() {
		return out, raylink.Errorf(raylink.CodeInvalid, "image %s: %s is no directory", ref, out.root).WithHint("put the unpacked image itself there, no link to it")
	}
	if err := prepare(out); err != nil {
		return out, fmt.Errorf("preparing image %s: %w", ref, err)
	}
	return out, nil
}

func missing(ref, dir string, err error) error {
	code := raylink.CodeUnavailable
	if errors.Is(err, fs.ErrNotExist) {
		code = raylink.CodeNotFound
	}
	return raylink.Errorf(code, "image %s is not on this machine, and the process runtime pulls none: %v", ref, err).
		WithHint("on a machine with Docker: supplier/worker/export.sh %s DIR; then copy what it wrote into %s/", ref, filepath.Dir(dir))
}

// prepare makes the places in an image that things are mounted on. None may be a link: a mount would follow it out of the image.
func prepare(image unpacked) error {
	root, err := os.OpenRoot(image.root)
	if err != nil {
		return err
	}
	defer root.Close()
	dirs, files := places(home(image.Env))
	for _, dir := range dirs {
		for at, parts := "", strings.Split(dir, "/"); len(parts) > 0; parts = parts[1:] {
			at = path.Join(at, parts[0])
			if err := root.Mkdir(at, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if info, err := root.Lstat(at); err != nil || !info.IsDir() {
				return errors.Join(err, fmt.Errorf("/%s in it is no directory", at))
			}
		}
	}
	for _, name := range files {
		info, err := root.Lstat(name)
		if err == nil && info.Mode().IsRegular() {
			continue
		}
		if err == nil {
			if err := root.Remove(name); err != nil { // /etc/resolv.conf is a link on many systems
				return err
			}
		}
		file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

// unpack turns a tar into a directory, which appears as a whole or not at all.
func unpack(ctx context.Context, from, to string) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	part := to + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.Mkdir(part, 0o755); err != nil {
		return err
	}
	err = extract(ctx, tar.NewReader(file), part)
	if err == nil {
		err = os.Rename(part, to)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("unpacking %s: %w", from, err), os.RemoveAll(part))
	}
	return nil
}

// extract writes a tar's files below dir: what leads out of it is refused, device nodes are left out.
func extract(ctx context.Context, in *tar.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	size := int64(0)
	for count := 0; ; count++ {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			if count == 0 {
				return errors.New("it is empty")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if size += header.Size; size > imageBytesMax || count > imageFilesMax {
			return fmt.Errorf("it holds more than %d bytes or %d files", int64(imageBytesMax), imageFilesMax)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name := path.Clean(strings.TrimLeft(header.Name, "/"))
		if err := place(root, name, header, in); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
}

// place writes one entry. No entry keeps a set-user-id bit: nothing in a lease may become another user anyway.
func place(root *os.Root, name string, header *tar.Header, content io.Reader) error {
	mode := header.FileInfo().Mode().Perm()
	switch header.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		if name == "." {
			return nil
		}
		mode |= header.FileInfo().Mode() & os.ModeSticky
	case tar.TypeReg:
		file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	case tar.TypeLink:
		return root.Link(path.Clean(strings.TrimLeft(header.Linkname, "/")), name)
	case tar.TypeSymlink:
		if err := root.Symlink(header.Linkname, name); err != nil {
			return err
		}
		return root.Lchown(name, header.Uid, header.Gid)
	default:
		return nil // device nodes and pipes: a lease has its own /dev
	}
	if err := root.Lchown(name, header.Uid, header.Gid); err != nil {
		return err
	}
	return root.Chmod(name, mode)
}
