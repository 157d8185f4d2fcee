// Package challenge is Raylink's proof of compute: exact int8 → int32 matrix products, a commitment to all of them, and random parts of it computed
// again by whoever wants to know. FORMAT.md beside it has every byte; a stranger can write a verifier from it.
//
// # How it goes
//
// The coordinator gives a device a Task and a seed, and the clock runs. The device expands the seed into two matrices, multiplies them, hashes the
// result tile by tile into a Merkle tree, and derives the next product's seed from the root: so the products can only be made one after the other.
// With a walk, it then fills Task.Memory bytes. It commits to all roots and the clock stops. Only now it is given an entropy, from which many lanes
// walk through the memory, each read depending on the one before; it commits to where they ended. Only now it is told which tiles and lanes are opened.
// Verify computes those again, alone and without the memory, from the transcript. All of it is integers: the bits are the same on every machine, and
// there is no tolerance to hide in.
//
// # What it shows
//
// Products. A tile's leaf is a hash of a fold that needs each of its sums (Digest), so nobody knows a leaf without having the tile's exact sums. Who
// leaves out a share δ of all tiles, or computes them with less precision, from low-rank factors or from other inputs, passes k openings with at most
// (1−δ)^k: 1 of 850 for a tenth left out and k = 64, 1 of 10^8 for a quarter. Openings are drawn without replacement, so it is a little less than
// that. They follow from an entropy that is given after the commitment, and from the commitment itself. A wrong tile in one link also changes the seeds
// of all later ones, so what was prepared for other seeds fits nowhere. Fast exact multiplication (Strassen's, say) is honest work and is welcome: the
// rate counts the products, not how they were made.
//
// Whose. Bind puts the proof, machine and device into the seed, so a transcript proves nothing for another. That somebody else's machine computed
// behind this one cannot be seen from bits; deadlines (a way there and back) and the same device proving at the same time as its neighbours bound it,
// and what a tenant gets is what answers.
//
// Memory. The content of a block is made by a chain of steps, each reading two earlier words of the block that depend on the one before. To have one word
// of a block of which nothing is kept, half the block has to be made again: about 4,200 dependent steps and reads in place of one read. Who keeps a share
// 1−ε of the blocks therefore does (1−ε) + 4200·ε reads' work: leaving out a tenth of them costs 400 times the work. Words left out inside blocks
// cost less. Measured (the package's tests), in steps and reads for each honest read: each tenth word left out 1.5, each fourth 2.5, each second 12,
// three of four 400. So at a deadline of three times the honest time the walk shows that about three quarters were there or more, and not the last
// gigabyte; cleverer choices of what to leave out than those of the tests may shift that a little.
//
// Where the memory is shows only in time, and only in width. A single chain of reads is no faster in HBM (0.5 to 0.8 µs a read) than in a server's DRAM
// (0.1 µs), and over PCIe (1 to 2 µs) it is slower by no more than 2 or 3 times. So a walk has many lanes at once (Segments): HBM serves about 10^10
// random reads of a sector a second, a PCIe link of the fifth generation about 10^9 at best, a server's DRAM 10^9 to 2·10^9. A deadline of three times
// what the model does in HBM separates those; the bands are the coordinator's, and have to be measured on each model. These figures are reasoned from
// data sheets and have not been measured here. What the walk does not show: that no other memory as fast stands behind the device (another GPU over
// NVLink), and for a processor, whose DRAM is being proven, that nobody else has promised the same pages a minute ago.
//
// # Sizes
//
// A sum of K products of two int8 is exact in an int32 for K ≤ 131071 (128·128·131071 < 2^31). The inputs' generator is not a secret's: the seed is
// public, and all it has to be is cheap everywhere and without a structure that multiplies faster.
package challenge
