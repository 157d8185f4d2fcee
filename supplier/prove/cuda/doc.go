// Package cuda proves NVIDIA's GPUs (package raylink/challenge), and wipes their memory between tenants, through the CUDA driver's own library,
// libcuda.so.1, which is loaded when it is first asked: nothing of the CUDA toolkit is needed to build or to run this. The kernels are PTX text (ptx.go),
// which the driver compiles for the GPU that is there: any of compute capability 6.1 (Pascal's consumer cards, Volta, and all since) or above, since dp4a
// begins there.
//
// # What happens where
//
// On the device: the matrices are expanded from the seed's keys, multiplied by dp4a, and each tile's rows digested in the same kernel, so that C is never
// stored; the memory is filled, and the lanes walk through it. On the host: the digests (a 128th of C) are hashed into leaves and trees, and the
// next seed derived. Fast paths through tensor cores are not here: proving at dp4a's rate, a GPU with them shows a part of what it can do.
//
// # What was checked, and what not
//
// This has never been run on a real GPU. In its place: the tests interpret the PTX text itself, instruction by instruction, and hold it bit for bit against
// package challenge; a whole proof on that interpreter is verified; and the C side is run against a stand-in for libcuda.so.1 that the tests compile. NVIDIA's
// assembler (CUDA 12.9) was asked by hand in November 2026, and took the text for compute capability 6.1, 7.0, 8.0, 9.0, 10.0 and 12.0; a test asks it where
// RAYLINK_PTXAS names it, which no make target does. That it runs on any of them is unshown. RAYLINK_REAL_GPU=GPU-… runs a proof and a wipe on a real one.
// Nothing is known of how fast it is. A build without cgo, or for another system than Linux, says that it cannot.
package cuda
