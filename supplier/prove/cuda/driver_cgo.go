//go:build cgo && linux

package cuda

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// The driver's functions as far as they are called, after NVIDIA's "CUDA Driver API". Handles are pointers there and numbers here; all are 64 bits wide.
typedef uint64_t handle;
typedef struct {
	int (*init)(unsigned);
	int (*count)(int *);
	int (*get)(int *, int);
	int (*uuid)(unsigned char *, int);
	int (*attribute)(int *, int, int);
	int (*retain)(handle *, int);
	int (*release)(int);
	int (*current)(handle);
	int (*synchronize)(void);
	int (*load)(handle *, const void *, unsigned, int *, void **);
	int (*function)(handle *, handle, const char *);
	int (*unload)(handle);
	int (*info)(size_t *, size_t *);
	int (*alloc)(handle *, size_t);
	int (*free)(handle);
	int (*set)(handle, unsigned char, size_t);
	int (*to)(handle, const void *, size_t);
	int (*from)(void *, handle, size_t);
	int (*launch)(handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, handle, void **, void **);
} cuda;

// cuda_open loads the library and finds its functions. What is missing is written to why.
static int cuda_open(cuda *c, const char *path, const char **why) {
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib) { *why = dlerror(); return 1; }
	// The newest form of a function comes first; older drivers have only the one after it.
	struct { const char *name, *older; void *at; } all[] = {
		{"cuInit", 0, &c->init}, {"cuDeviceGetCount", 0, &c->count}, {"cuDeviceGet", 0, &c->get},
		{"cuDeviceGetUuid_v2", "cuDeviceGetUuid", &c->uuid}, {"cuDeviceGetAttribute", 0, &c->attribute},
		{"cuDevicePrimaryCtxRetain", 0, &c->retain}, {"cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRelease", &c->release},
		{"cuCtxSetCurrent", 0, &c->current}, {"cuCtxSynchronize", 0, &c->synchronize},
		{"cuModuleLoadDataEx", 0, &c->load}, {"cuModuleGetFunction", 0, &c->function}, {"cuModuleUnload", 0, &c->unload},
		{"cuMemGetInfo_v2", 0, &c->info}, {"cuMemAlloc_v2", 0, &c->alloc}, {"cuMemFree_v2", 0, &c->free},
		{"cuMemsetD8_v2", 0, &c->set}, {"cuMemcpyHtoD_v2", 0, &c->to}, {"cuMemcpyDtoH_v2", 0, &c->from},
		{"cuLaunchKernel", 0, &c->launch},
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		void *f = dlsym(lib, all[i].name);
		if (!f && all[i].older) f = dlsym(lib, all[i].older);
		if (!f) { *why = all[i].name; return 2; }
		*(void **)all[i].at = f;
	}
	return 0;
}

static int cuda_init(cuda *c) { return c->init(0); }
static int cuda_count(cuda *c, int *n) { return c->count(n); }

static int cuda_device(cuda *c, int i, int *device, unsigned char *uuid, int *major, int *minor) {
	int r = c->get(device, i);
	if (!r) r = c->uuid(uuid, *device);
	if (!r) r = c->attribute(major, 75, *device); // COMPUTE_CAPABILITY_MAJOR
	if (!r) r = c->attribute(minor, 76, *device); // …_MINOR
	return r;
}

static int cuda_retain(cuda *c, int device, handle *context) { return c->retain(context, device); }

// What a thread calls goes to the context that is the thread's current one, and a goroutine changes threads: so each call sets it first.
static int cuda_module(cuda *c, handle context, char *text, handle *module, char *log, size_t size) {
	int options[] = {5, 6}; // ERROR_LOG_BUFFER, …_SIZE_BYTES
	void *values[] = {log, (void *)(uintptr_t)size};
	int r = c->current(context);
	return r ? r : c->load(module, text, 2, options, values);
}

static int cuda_function(cuda *c, handle context, handle module, char *name, handle *f) {
	int r = c->current(context);
	return r ? r : c->function(f, module, name);
}

static int cuda_close(cuda *c, handle context, handle module, int device) {
	int r = c->current(context), s;
	if (!r && module) r = c->unload(module);
	s = c->release(device);
	return r ? r : s;
}

static int cuda_info(cuda *c, handle context, size_t *left, size_t *total) {
	int r = c->current(context);
	return r ? r : c->info(left, total);
}

static int cuda_alloc(cuda *c, handle context, handle *at, size_t n) {
	int r = c->current(context);
	return r ? r : c->alloc(at, n);
}

static int cuda_free(cuda *c, handle context, handle at) {
	int r = c->current(context);
	return r ? r : c->free(at);
}

static int cuda_zero(cuda *c, handle context, handle at, size_t n) {
	int r = c->current(context);
	return r ? r : c->set(at, 0, n);
}

static int cuda_write(cuda *c, handle context, handle at, void *data, size_t n) {
	int r = c->current(context);
	return r ? r : c->to(at, data, n);
}

static int cuda_read(cuda *c, handle context, void *data, handle at, size_t n) {
	int r = c->current(context);
	return r ? r : c->from(data, at, n);
}

static int cuda_wait(cuda *c, handle context) {
	int r = c->current(context);
	return r ? r : c->synchronize();
}

static int cuda_launch(cuda *c, handle context, handle f, unsigned across, unsigned down, unsigned threads, uint64_t *args, int n) {
	void *at[16];
	int r = c->current(context);
	for (int i = 0; i < n && i < 16; i++) at[i] = &args[i];
	return r ? r : c->launch(f, across, down, 1, threads, 1, 1, 0, 0, at, 0);
}
*/
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"unsafe"

	"raylink/raylink"
)

// library is the driver's: the soname, which every version of it has.
const library = "libcuda.so.1"

// maxDevices is how many devices of a machine are looked at.
const maxDevices = 256

// open opens the GPU with this UUID by the driver that is installed.
func open(uuid string) (gpu, error) { return openBy(library, uuid) }

// device is an opened GPU, and the functions of the library that it was opened by. The library is never unloaded: it cannot be.
type device struct {
	c       *C.cuda
	number  C.int
	context C.handle
	module  C.handle
	kernels map[string]C.handle
}

func openBy(path, uuid string) (gpu, error) {
	wanted, err := parseUUID(uuid)
	if err != nil {
		return nil, err
	}
	d := &device{c: (*C.cuda)(C.calloc(1, C.sizeof_cuda)), kernels: map[string]C.handle{}}
	if err := d.start(path); err != nil {
		C.free(unsafe.Pointer(d.c))
		return nil, err
	}
	if err := d.find(uuid, wanted); err != nil {
		C.free(unsafe.Pointer(d.c))
		return nil, err
	}
	if r := C.cuda_retain(d.c, d.number, &d.context); r != 0 {
		C.free(unsafe.Pointer(d.c))
		return nil, result(r).say("open "+uuid, "")
	}
	return d, nil
}

// start loads the library and has the driver begin.
func (d *device) start(path string) error {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var why *C.char
	switch C.cuda_open(d.c, name, &why) {
	case 1:
		return raylink.Errorf(raylink.CodeUnsupported, "no NVIDIA driver here: %.300s", C.GoString(why)).
			WithHint("install NVIDIA's driver; in a container, start it with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility")
	case 2:
		return raylink.Errorf(raylink.CodeUnsupported, "NVIDIA's driver is too old: %s has no %s", path, C.GoString(why)).
			WithHint("update NVIDIA's driver (396 or newer is needed)")
	}
	return result(C.cuda_init(d.c)).say("start NVIDIA's driver", "")
}

// find looks for the device with this UUID. The driver lists those that CUDA_VISIBLE_DEVICES and the container leave it.
func (d *device) find(uuid string, wanted [16]byte) error {
	var n C.int
	if r := C.cuda_count(d.c, &n); r != 0 {
		return result(r).say("count the GPUs", "")
	}
	for i := range min(n, maxDevices) {
		var id [16]byte
		var major, minor C.int
		if r := C.cuda_device(d.c, i, &d.number, (*C.uchar)(&id[0]), &major, &minor); r != 0 {
			return result(r).say(fmt.Sprintf("look at GPU %d", i), "")
		}
		if id == wanted {
			return capable(uuid, int(major), int(minor))
		}
	}
	return invalidDevice.say("open "+uuid, fmt.Sprintf("%d others are there", n))
}

// kernel compiles the kernels when the first one is asked for: whoever only wipes needs no compiler.
func (d *device) kernel(name string) (C.handle, error) {
	if f, ok := d.kernels[name]; ok {
		return f, nil
	}
	if d.module == 0 {
		text := C.CString(source())
		defer C.free(unsafe.Pointer(text))
		const size = 4096
		log := (*C.char)(C.calloc(1, size))
		defer C.free(unsafe.Pointer(log))
		if r := C.cuda_module(d.c, d.context, text, &d.module, log, size-1); r != 0 {
			d.module = 0
			return 0, result(r).say("compile the kernels", string(bytes.TrimSpace([]byte(C.GoString(log)))))
		}
	}
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	var f C.handle
	if r := C.cuda_function(d.c, d.context, d.module, c, &f); r != 0 {
		return 0, result(r).say("find the kernel "+name, "")
	}
	d.kernels[name] = f
	return f, nil
}

func (d *device) free() (free, total int64, err error) {
	var f, t C.size_t
	r := C.cuda_info(d.c, d.context, &f, &t)
	return int64(f), int64(t), result(r).say("ask for free memory", "")
}

func (d *device) alloc(bytes int64) (pointer, error) {
	var at C.handle
	r := C.cuda_alloc(d.c, d.context, &at, C.size_t(bytes))
	return pointer(at), result(r).say(fmt.Sprintf("take %d bytes of the GPU's memory", bytes), "")
}

func (d *device) release(at pointer) error {
	return result(C.cuda_free(d.c, d.context, C.handle(at))).say("give back the GPU's memory", "")
}

func (d *device) zero(at pointer, bytes int64) error {
	return result(C.cuda_zero(d.c, d.context, C.handle(at), C.size_t(bytes))).say("zero the GPU's memory", "")
}

func (d *device) write(at pointer, data []byte) error {
	r := C.cuda_write(d.c, d.context, C.handle(at), unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)))
	return result(r).say("write to the GPU's memory", "")
}

func (d *device) read(data []byte, at pointer) error {
	r := C.cuda_read(d.c, d.context, unsafe.Pointer(unsafe.SliceData(data)), C.handle(at), C.size_t(len(data)))
	return result(r).say("read from the GPU's memory", "")
}

func (d *device) launch(kernel string, across, down int, args ...uint64) error {
	f, err := d.kernel(kernel)
	if err != nil {
		return err
	}
	if len(args) > 16 {
		return errors.New("a kernel with more than 16 arguments")
	}
	r := C.cuda_launch(d.c, d.context, f, C.uint(across), C.uint(down), threads, (*C.uint64_t)(unsafe.SliceData(args)), C.int(len(args)))
	return result(r).say("start the kernel "+kernel, "")
}

func (d *device) wait() error {
	return result(C.cuda_wait(d.c, d.context)).say("compute on the GPU", "")
}

func (d *device) close() error {
	r := C.cuda_close(d.c, d.context, d.module, d.number)
	C.free(unsafe.Pointer(d.c))
	d.c = nil
	return result(r).say("let go of the GPU", "")
}
