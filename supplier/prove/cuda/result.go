package cuda

import (
	"errors"
	"fmt"

	"raylink/raylink"
)

// result is a CUresult of the driver's, from NVIDIA's "CUDA Driver API", the enumeration CUresult.
type result int

// The results that somebody can do something about.
const (
	success           result = 0
	outOfMemory       result = 2
	deinitialized     result = 4
	stubLibrary       result = 34
	deviceUnavailable result = 46
	noDevice          result = 100
	invalidDevice     result = 101
	notLicensed       result = 102
	noBinary          result = 209
	eccUncorrectable  result = 214
	invalidPTX        result = 218
	nvlinkError       result = 220
	noCompiler        result = 221
	newerPTX          result = 222
	compilingDisabled result = 223
	objectInit        result = 303
	operatingSystem   result = 304
	illegalAddress    result = 700
	launchTimeout     result = 702
	hardwareStack     result = 714
	illegalCode       result = 715
	misaligned        result = 716
	launchFailed      result = 719
	notPermitted      result = 800
	systemNotReady    result = 802
	driverMismatch    result = 803
	compatNotHere     result = 804
	unknown           result = 999
)

// trouble is what a result means: for whom, in words, and what to do.
type trouble struct {
	code        raylink.Code
	words, hint string
}

// say gives a result words. What was done is in the infinitive ("fill memory"); detail is what else the driver said, or empty.
func (r result) say(what, detail string) error {
	if r == success {
		return nil
	}
	t, known := r.trouble()
	if !known {
		t = trouble{raylink.CodeInternal, "the driver failed", "`nvidia-smi` and `dmesg | grep -i nvrm` may say more"}
	}
	if detail != "" {
		detail = ": " + detail
	}
	return fmt.Errorf("cannot %s: %w", what, raylink.Errorf(t.code, "%s (CUDA %d%s)", t.words, int(r), detail).WithHint("%s", t.hint))
}

func (r result) trouble() (trouble, bool) {
	const lost = "restart the agent, for its hold of the GPU is spoilt; if it comes again, `dmesg | grep -i xid` says what the GPU complains of"
	const broken = "`nvidia-smi -q -d ECC,PAGE_RETIREMENT` says more; reset the GPU (`nvidia-smi --gpu-reset`) or reboot, and replace it if it comes again"
	switch r {
	case outOfMemory:
		return trouble{raylink.CodeCapacity, "the GPU has not that much memory free", "`nvidia-smi` lists who has it; end what is not Raylink's, or offer the GPU only when it is idle"}, true
	case deinitialized:
		return trouble{raylink.CodeUnavailable, "the driver is shutting down", "start the agent again"}, true
	case stubLibrary:
		return trouble{raylink.CodeUnsupported, "libcuda.so.1 is the toolkit's stub, not the driver", "take the stubs directory out of LD_LIBRARY_PATH"}, true
	case deviceUnavailable:
		return trouble{raylink.CodeUnavailable, "somebody else has the GPU for itself", "`nvidia-smi` lists who; `nvidia-smi -c DEFAULT` lets several compute"}, true
	case noDevice, invalidDevice:
		return trouble{raylink.CodeUnsupported, "the driver sees no such GPU", "`nvidia-smi -L` lists what there is; in a container, start it with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility"}, true
	case notLicensed:
		return trouble{raylink.CodeUnsupported, "the virtual GPU has no licence", "ask whoever runs the machine's hypervisor"}, true
	case noBinary, invalidPTX, newerPTX:
		return trouble{raylink.CodeUnsupported, "the driver does not take the kernels", "update NVIDIA's driver (396 or newer is needed)"}, true
	case noCompiler, compilingDisabled:
		return trouble{raylink.CodeUnsupported, "the driver cannot compile the kernels", "libnvidia-ptxjitcompiler.so.1 has to be there, and CUDA_DISABLE_PTX_JIT unset; in a container, NVIDIA_DRIVER_CAPABILITIES=compute,utility"}, true
	case eccUncorrectable, nvlinkError, hardwareStack:
		return trouble{raylink.CodeInternal, "the GPU's hardware failed", broken}, true
	case illegalAddress, illegalCode, misaligned, launchFailed:
		return trouble{raylink.CodeInternal, "a kernel failed on the GPU", lost}, true
	case launchTimeout:
		return trouble{raylink.CodeInternal, "a kernel took too long for a GPU that also drives a screen", "run the machine without a desktop, or give the screen another GPU"}, true
	case objectInit, operatingSystem, notPermitted:
		return trouble{raylink.CodeForbidden, "the system does not let the driver reach the GPU", "the agent needs /dev/nvidia* and /dev/nvidia-uvm; `nvidia-modprobe -u -c 0` makes them"}, true
	case systemNotReady:
		return trouble{raylink.CodeUnavailable, "the GPUs' fabric is not up", "on machines with NVSwitch: systemctl start nvidia-fabricmanager"}, true
	case driverMismatch, compatNotHere:
		return trouble{raylink.CodeUnsupported, "libcuda.so.1 and the kernel's module are of two versions", "reboot after updating the driver; in a container, take the compat libraries out of LD_LIBRARY_PATH"}, true
	case unknown:
		return trouble{raylink.CodeInternal, "the driver failed and does not say why", "load the module nvidia-uvm (`nvidia-modprobe -u -c 0`), or reboot"}, true
	}
	return trouble{}, false
}

// isFull says whether an allocation failed because there is not that much memory.
func isFull(err error) bool {
	var e *raylink.Error
	return errors.As(err, &e) && e.Code == raylink.CodeCapacity
}
