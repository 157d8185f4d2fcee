package cuda

import (
	"encoding/hex"
	"strings"

	"raylink/raylink"
)

// pointer is an address in a device's memory.
type pointer uint64

// gpu is one device, opened: what the prover needs of the driver. It is used by one goroutine at a time. What launch and zero ask for is done in the
// order in which it was asked for; wait and read come back when all are done, and tell of what went wrong in any of them.
type gpu interface {
	// free is how many bytes of the device's memory nobody has, and how many there are.
	free() (free, total int64, err error)
	alloc(bytes int64) (pointer, error)
	release(at pointer) error
	zero(at pointer, bytes int64) error
	write(at pointer, data []byte) error
	read(data []byte, at pointer) error
	// launch runs a kernel of source on across by down blocks of threads threads.
	launch(kernel string, across, down int, args ...uint64) error
	wait() error
	// close gives back all that was taken.
	close() error
}

// opener opens the device with a UUID.
type opener func(uuid string) (gpu, error)

// errBuild stands against all of this in a build without cgo, and elsewhere than on Linux.
func errBuild() *raylink.Error {
	return raylink.Errorf(raylink.CodeUnsupported, "this build cannot compute on NVIDIA devices (built without cgo)").
		WithHint("use the agent of Raylink's image, or build with CGO_ENABLED=1 on Linux")
}

// parseUUID reads GPU-8-4-4-4-12, as NVML and nvidia-smi write it.
func parseUUID(uuid string) (out [16]byte, err error) {
	digits, ok := strings.CutPrefix(uuid, "GPU-")
	if strings.HasPrefix(uuid, "MIG-") {
		return out, raylink.Errorf(raylink.CodeUnsupported, "%.60q is a slice of a GPU (MIG); only whole ones are computed on", uuid)
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(digits, "-", ""))
	if !ok || err != nil || len(raw) != 16 || len(digits) != 36 {
		return out, raylink.Errorf(raylink.CodeInvalid, "%.60q is not a GPU's UUID", uuid).WithHint("`nvidia-smi -L` lists them")
	}
	return [16]byte(raw), nil
}

// capable says whether a GPU of this compute capability has dp4a.
func capable(uuid string, major, minor int) error {
	if major > 6 || major == 6 && minor >= 1 {
		return nil
	}
	return raylink.Errorf(raylink.CodeUnsupported, "%s has compute capability %d.%d; proofs need 6.1, where dp4a begins", uuid, major, minor).
		WithHint("it cannot be proven, and so is not offered as verified; take it out of the offer")
}
