// A stand-in for libcuda.so.1: a device whose memory is the machine's, and which runs no kernel but says what it was asked to run.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef INIT
#define INIT 0
#endif
#ifndef MINOR
#define MINOR 1
#endif
#define TOTAL ((size_t)16 << 20)

static size_t taken;
static int contexts;

int cuInit(unsigned flags) { return INIT; }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *device, int i) { *device = 40 + i; return i < 2 ? 0 : 101; }
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
	for (int i = 0; i < 16; i++) uuid[i] = i + 16 * (device - 40);
	return 0;
}
int cuDeviceGetAttribute(int *value, int what, int device) { *value = what == 75 ? 6 : what == 76 ? MINOR : -1; return 0; }
int cuDevicePrimaryCtxRetain(uint64_t *context, int device) { *context = device; contexts++; return 0; }
int cuDevicePrimaryCtxRelease(int device) { return --contexts < 0 ? 201 : 0; } // as drivers had it before there was a _v2
int cuCtxSetCurrent(uint64_t context) { return context == 40 || context == 41 ? 0 : 201; }
int cuCtxSynchronize(void) { return 0; }
int cuModuleLoadDataEx(uint64_t *module, const void *text, unsigned n, int *options, void **values) {
#ifdef REFUSES
	strncpy(values[0], "line 7: I do not take this", (size_t)(uintptr_t)values[1]);
	return 218;
#endif
	*module = 5;
	return strstr(text, ".entry expand") ? 0 : 218;
}
int cuModuleGetFunction(uint64_t *function, uint64_t module, const char *name) { *function = 6; return strcmp(name, "expand") ? 500 : 0; }
int cuModuleUnload(uint64_t module) { return module == 5 ? 0 : 1; }
int cuMemGetInfo_v2(size_t *left, size_t *total) { *left = TOTAL - taken; *total = TOTAL; return 0; }
int cuMemAlloc_v2(uint64_t *at, size_t n) {
	if (n > TOTAL - taken) return 2;
	size_t *piece = malloc(n + 16);
	*piece = n;
	taken += n;
	*at = (uint64_t)(piece + 2);
	return 0;
}
int cuMemFree_v2(uint64_t at) {
	size_t *piece = (size_t *)at - 2;
	taken -= *piece;
	free(piece);
	return 0;
}
int cuMemsetD8_v2(uint64_t at, unsigned char value, size_t n) { memset((void *)at, value, n); return 0; }
int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t n) { memcpy((void *)to, from, n); return 0; }
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t n) { memcpy(to, (void *)from, n); return 0; }
#ifndef NO_LAUNCH
int cuLaunchKernel(uint64_t f, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz, unsigned shared, uint64_t stream, void **args, void **extra) {
	uint64_t *to = *(uint64_t **)args[0], said[] = {*(uint64_t *)args[1], *(uint64_t *)args[2], x, y, z, tx, ty, tz};
	memcpy(to, said, sizeof said);
	return f == 6 ? 0 : 400;
}
#endif
