// Package challenge is Raylink's proof of compute: exact int8 → int32 matrix products, a commitment to all of them, and random parts of it computed
// again by whoever wants to know. FORMAT.md beside it has every byte; a stranger can write a verifier from it.
//
// # How it goes
//
// The coordinator gives a device a Task and a seed, and the clock runs. The device expands the seed into two matrices, multiplies them, hashes the
// result tile by tile into a Merkle tree, and derives the next product's seed from the root: so the products can only be made one after the other.
// With a walk, it then fills Task.Memory bytes. It commits to all roots and the clock stops. Only now it is given an entropy, from which many lanes
// walk through the memory, each read depending on the one before, and the clock runs again until it commits to where they ended. Only now it is told which
// tiles and lanes are opened.
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
// Whose. Bind puts the proof, machine and device into the seed, so a transcript proves nothing for another, and nobody can hand in what another has proven. That
// another machine computed it for this one, with this one's seed, cannot be seen from bits: its transcript verifies (TestARelayedTranscriptVerifies). It is seen
// from time. All that one owner has idle, machines and the GPUs in them, is proven in rounds: their seeds are given out at one moment, the clocks of all
// run from it, and each has as long as the others for the least that its model does. So the rates that a round shows are shown together, and in one round no more
// machines pass than what computes behind them is worth: one device that does k times the least of their model serves k of them. A device that is not passed in
// three rounds in a row is slow, however they ended, and what it passes alone or among less than half as many does not count against that. Machines
// that come back from a pause or a silence are proven with the others that are there.
//
// What that comes to. Over many rounds an owner can let each machine pass every third one, in rounds half as large: so one device stands for at most 3·2·k. Played
// over days against what an owner may try (to be late, to fall silent, to leave and join anew, to pause all but one, to ask for each at moments of his own), one that is worth one machine kept 2 to 6 of
// twelve in the market, where without rounds it keeps all (coordinator/plan, TestARelayServesNoFleet; with real agents, TestRelay in raylink/testbed).
//
// What remains. Rounds are of one account, and an admin opens accounts: to whom he gives twelve, for one machine each, they are twelve owners, and one device serves
// them all, each at another time. An appeal is alone, once in six hours. What an owner or a tenant asks for is alone, too, and therefore
// makes its device proven no longer than it was, and due at once. The least that a processor's model does is far below what fast ones do, and nothing tells a GPU that computes for
// processors: k may be tens there. Proofs under lease, of the lottery or because a tenant asks, run alone and can be relayed: who hires one core of each of his machines has them in no round, and the rest of
// their cores in the market until they count as proven no longer, 2 to 7 hours after their last round, or as long again as the lottery draws them; what is under lease and
// does not do what it was hired for is seen by who hired it. Of a model that the catalogue does not know nothing is judged but the deadlines.
//
// Memory. The content of a block is made by a chain of steps, each reading two earlier words of the block that depend on the one before. To have one word
// of a block of which nothing is kept, half the block has to be made again: about 4,200 dependent steps and reads in place of one read. Who keeps a share
// 1−ε of the blocks therefore does (1−ε) + 4200·ε reads' work: leaving out a tenth of them costs 400 times the work. Words left out inside blocks
// cost less. Measured (the package's tests), in steps and reads for each honest read: each tenth word left out 1.5, each fourth 2.5, each second 12,
// three of four 400. So at a deadline of three times the honest time the walk shows that about three quarters were there or more, and not the last
// gigabyte; cleverer choices of what to leave out than those of the tests may shift that a little. Who leaves out a share δ of the lanes passes with
// (1−δ)^checks, 8 for GPUs: a memory three times too slow, with two thirds of them guessed, once in 6,500 times, and each other time it has answered wrongly.
//
// Where the memory is shows only in time, and only in width. A single chain of reads is no faster in HBM (0.5 to 0.8 µs a read) than in a server's DRAM
// (0.1 µs), and over PCIe (1 to 2 µs) it is slower by no more than 2 or 3 times. So a walk has millions of lanes at once (Segments), as many as its model walks in
// WalkTime at the fewest random reads a second that it may do (package catalogue, from its memory's bandwidth), and WalkMost is that time and WalkMargin
// for the network and the host. The coordinator sizes the task and judges the time; of what the device says nothing enters but its model's name, and a
// better name has the shorter time.
//
// What that tells apart. A read over PCIe takes a completion of at least 52 bytes for its 32 (a sector; header, sequence number and checksum are the rest): at
// best 0.3·10^9 reads a second over 16 lanes of the third generation, 0.6 of the fourth, 1.2 of the fifth. With R the model's least and P that of the link, in
// 10^9 a second, a share f of the memory in the host makes the walk f·R/P times as long as it is given, margin aside. So it is seen from about f = 1.6·P/R on: for an H100
// (5.2) behind a link of the fifth generation from 0.4, and of the fourth from 0.2. An RTX 3060, 4090 or 5090 with as much of the host's memory as one likes
// is no H100: 0.85, 0.69 and 0.60 of what has to be there are behind the link (TestHostMemoryInPlaceOfVRAM). The slower a card's memory,
// the less is seen: of an L4, an A16, a P4 or a GTX 1060 all may be the host's, and of an A2 nearly all; for those the walk shows that the memory is there, and not where.
// Where host and device are joined by something else than PCIe (GH200, GB200: 450 GB/s each way) the host's memory is not told at all.
//
// Fetching in bulk is what PCIe does well (25 to 55 GB/s), and version 2's windows are against that, too: they are there because a GPU's address translation does not
// reach over all of a large memory at full speed (64 GB of an A100's 80, arXiv 2405.11425), so that lanes stay within 32 GiB for a while. Each lane goes through
// sixteen of them in an order that is drawn with the entropy, and another than its neighbours': who holds one of three fetches 17 in all, two of three 9
// (TestFetchingWindowsCostsWhatIsStated), which for 72 GB is 3 s and more where 1.4 are given. With one window (below 36 GB) there is nothing to fetch ahead.
//
// What the walk does not show: that no other memory as fast stands behind the device (another GPU over NVLink); that no processors walk in place of it in their
// own DRAM, which serves about 10^9 to 2·10^9 random reads a second a socket, and at its bandwidth's limit 7·10^9, so that a large server of two sockets may
// do what is asked of an H100's memory; and for a processor, whose DRAM is being proven and whose walk has no bound but the deadline, that nobody else has promised the
// same pages a minute ago. Of a model that the catalogue does not know nothing is judged but the deadline.
//
// All these times are reasoned from data sheets. No walk was ever timed on a real GPU.
//
// Several rounds. The rate that is published of a device is the least of its last rounds (package state's LastRate): who was fast once, on a borrowed machine
// or at a boost clock, is not sold by that. What is judged is another matter: only when all of three rounds in a row were below the band, or their walks too
// slow, is the device slow and its machine in quarantine. The strong reason is that a round measures all that happens on the way: an owner's own work, a
// network that stalls, a coordinator that is changing its leader. The least of three would keep out of the market for a day whoever had one of them; a device that is
// not what it says is below in every round, so that the best of three lets off nobody who cannot reach the band, and who reaches it once in three rounds is
// published at the least of them. Rounds that were over in less than half their time measure the network, and are published only where there are no others.
//
// # Sizes
//
// A sum of K products of two int8 is exact in an int32 for K ≤ 131071 (128·128·131071 < 2^31). The inputs' generator is not a secret's: the seed is
// public, and all it has to be is cheap everywhere and without a structure that multiplies faster.
package challenge
