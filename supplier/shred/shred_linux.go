package shred

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errNoKey says that a file is encrypted and the kernel does not have its key: there is nothing to overwrite it with, and nothing to be read.
const errNoKey = unix.ENOKEY

// openDir opens a directory, not through a link and not where another file system is mounted.
func openDir(dir int, name string) (int, error) {
	return openInside(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC)
}

var openat2 = unix.Openat2 // a test's may be an old kernel's

// openInside opens what is in a directory, and nothing that is mounted there: that is somebody else's, also where it is of the same file system.
func openInside(dir int, name string, flags int) (int, error) {
	fd, err := openat2(dir, name, &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_XDEV})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // an old kernel, or a filter of calls that does not know this one
		if fd, err = unix.Openat(dir, name, flags, 0); err != nil {
			return -1, err
		}
		if err = sameMount(dir, fd); err != nil {
			unix.Close(fd)
		}
	}
	if errors.Is(err, unix.EXDEV) {
		err = fmt.Errorf("something is mounted on it: %w", err)
	}
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// sameMount is EXDEV where two descriptors are of different mounts. Neither a device's number nor stat tells that of every kernel.
func sameMount(a, b int) error {
	one, err := mountOf(a)
	if err != nil {
		return err
	}
	other, err := mountOf(b)
	if err == nil && one != other {
		err = unix.EXDEV
	}
	return err
}

func mountOf(fd int) (string, error) {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return "", fmt.Errorf("looking whether something is mounted on it: %w", err)
	}
	for line := range strings.Lines(string(info)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id), nil
		}
	}
	return "", errors.New("the kernel does not say what is mounted on it")
}

// extent is the first part of a file from at on that is on the disk.
func extent(fd int, at, size int64) (from, to int64) {
	from, err := unix.Seek(fd, at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size
	}
	if err != nil { // the file system does not tell
		return at, size
	}
	if to, err = unix.Seek(fd, from, unix.SEEK_HOLE); err != nil || to > size {
		to = size
	}
	return from, to
}

// send begins to write a file's content out; what goes wrong shows when it is to have arrived.
func send(fd int) {
	_ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE)
}

// arrive waits until a file's content has left the kernel; flush is what waits for the disk.
func arrive(fd int) error {
	err := unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	if errors.Is(err, unix.ENOSYS) {
		return flush(fd)
	}
	return err
}

func flush(fd int) error { return unix.Fdatasync(fd) }

// Flags of a file that hold it fast (chattr +i, +a), as FS_IOC_SETFLAGS numbers them in Linux's include/uapi/linux/fs.h.
const (
	flagImmutable  = 0x10
	flagAppendOnly = 0x20
)

// unflag takes the flags away that keep root from writing and removing. It may not succeed: then what is tried next does not.
func unflag(dir int, name string) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS); err == nil {
		_ = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags&^(flagImmutable|flagAppendOnly))
	}
}

// ErrKeyLost says that a directory was sealed and its key is gone: the machine was started anew. Nobody reads what is in it any more.
var ErrKeyLost = errors.New("its key went with the machine's last run")

const keyBytes = 64

type keyID [unix.FSCRYPT_KEY_IDENTIFIER_SIZE]byte

// Can says whether directories in path can be sealed: on ext4 and f2fs where they were made with the feature `encrypt`. Not where its owner encrypts it himself:
// all below is on his key then, and takes no other.
func Can(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	_, err = policyOf(fd)
	return errors.Is(err, unix.ENODATA) // it could be encrypted, and is not
}

// Seal gives an empty directory a key of its own, which nobody keeps but the kernel, in its memory, until Remove. It says whether that could be done: a directory
// that is not empty, and a file system that cannot, stay as they are, which is no error. To do it again does no harm.
func Seal(dir string) (sealed bool, err error) {
	parent, name, err := above(dir)
	if err != nil {
		return false, fmt.Errorf("sealing %s: %w", dir, err)
	}
	defer unix.Close(parent)
	fd, err := openDir(parent, name)
	if err != nil {
		return false, fmt.Errorf("sealing %s: %w", dir, err)
	}
	defer unix.Close(fd)
	if key, sealed := ownKey(parent, fd); sealed {
		if !present(fd, key) {
			return true, fmt.Errorf("%s: %w", dir, ErrKeyLost)
		}
		return true, nil
	}
	if !Can(dir) {
		return false, nil
	}
	key, err := addKey(fd)
	if err != nil {
		return false, fmt.Errorf("sealing %s: %w", dir, err)
	}
	policy := unix.FscryptPolicyV2{Version: unix.FSCRYPT_POLICY_V2, Contents_encryption_mode: unix.FSCRYPT_MODE_AES_256_XTS,
		Filenames_encryption_mode: unix.FSCRYPT_MODE_AES_256_CTS, Flags: unix.FSCRYPT_POLICY_FLAGS_PAD_32, Master_key_identifier: key}
	err = ioctl(fd, unix.FS_IOC_SET_ENCRYPTION_POLICY, unsafe.Pointer(&policy))
	if err == nil {
		return true, nil
	}
	gone := discard(fd, key)
	if errors.Is(err, unix.ENOTEMPTY) {
		return false, gone
	}
	return false, errors.Join(fmt.Errorf("sealing %s: %w", dir, err), gone)
}

// addKey gives the kernel a random key and forgets it.
func addKey(fd int) (id keyID, err error) {
	arg := struct {
		unix.FscryptAddKeyArg
		raw [keyBytes]byte
	}{}
	defer clear(arg.raw[:])
	if _, err := rand.Read(arg.raw[:]); err != nil {
		return id, err
	}
	arg.Key_spec.Type, arg.Raw_size = unix.FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER, keyBytes
	if err := ioctl(fd, unix.FS_IOC_ADD_ENCRYPTION_KEY, unsafe.Pointer(&arg)); err != nil {
		return id, fmt.Errorf("giving the kernel a key: %w", err)
	}
	copy(id[:], arg.Key_spec.U[:])
	return id, nil
}

// discard throws a key away, for everybody. One that is gone is no error; one whose files are in use stays with them alone, and that is one.
func discard(fd int, key keyID) error {
	arg := unix.FscryptRemoveKeyArg{Key_spec: spec(key)}
	err := ioctl(fd, unix.FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS, unsafe.Pointer(&arg))
	switch {
	case errors.Is(err, unix.ENOKEY):
		return nil
	case err != nil:
		return fmt.Errorf("throwing its key away: %w", err)
	case arg.Removal_status_flags&unix.FSCRYPT_KEY_REMOVAL_STATUS_FLAG_FILES_BUSY != 0:
		return errors.New("somebody has a file of it open, and the kernel keeps that file's key until then")
	}
	return nil
}

func present(fd int, key keyID) bool {
	arg := unix.FscryptGetKeyStatusArg{Key_spec: spec(key)}
	return ioctl(fd, unix.FS_IOC_GET_ENCRYPTION_KEY_STATUS, unsafe.Pointer(&arg)) == nil && arg.Status == unix.FSCRYPT_KEY_STATUS_PRESENT
}

func spec(key keyID) unix.FscryptKeySpecifier {
	out := unix.FscryptKeySpecifier{Type: unix.FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER}
	copy(out.U[:], key[:])
	return out
}

// ownKey is the key that a directory is on and the one above it is not. A key that they share is of whoever encrypts the one above, and is never thrown away.
func ownKey(parent, fd int) (keyID, bool) {
	key, sealed := keyOf(fd)
	owners, shared := keyOf(parent)
	return key, sealed && !(shared && owners == key)
}

// keyOf is the key that a directory is on, if it is on one.
func keyOf(fd int) (keyID, bool) {
	policy, err := policyOf(fd)
	return policy.Master_key_identifier, err == nil && policy.Version == unix.FSCRYPT_POLICY_V2
}

func policyOf(fd int) (unix.FscryptPolicyV2, error) {
	var policy unix.FscryptPolicyV2
	arg := unix.FscryptGetPolicyExArg{Size: uint64(unsafe.Sizeof(policy))}
	err := ioctl(fd, unix.FS_IOC_GET_ENCRYPTION_POLICY_EX, unsafe.Pointer(&arg))
	if err == nil {
		policy = *(*unix.FscryptPolicyV2)(unsafe.Pointer(&arg.Policy))
	}
	return policy, err
}

func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
	runtime.KeepAlive(arg)
	if errno != 0 {
		return errno
	}
	return nil
}
