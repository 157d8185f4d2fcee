// Package catalogue knows models of processors and GPUs: what Raylink and Ray call them, how much memory such a device can have, how fast it can
// multiply, what it draws and what it is rented for.
//
// A driver's name is a claim, and this package takes it for one: Match finds what the name stands for, Check says what of a machine's claims cannot
// be, Band says between which rates a proof of such a device must lie, and Offer turns a machine into what it rents out. None of it touches the world.
//
// Names are what Ray's label ray.io/accelerator-type carries. Where Ray has a name of its own (ray.util.accelerators: T4, A100-80G, H100, …) ours is
// the same. For the others Ray guesses from the driver's name and guesses wrongly ("NVIDIA GeForce RTX 4090" becomes G, "NVIDIA RTX A6000" becomes RTX),
// so that nodes are always told their label and resource (Labels, Resources), and never left to Ray's guess.
//
// Where the figures are from: memory is the maker's size, less what error correction and the driver take (at most a tenth). Of the rates, most is
// the maker's dense int8 rate (tensor cores where there are some), as multiply-adds, which are half as many as the operations of data sheets, with
// a tenth added for boost clocks. Least is, for NVIDIA's GPUs, a fourth of what dp4a reaches at boost clock, for that is what package cuda's kernel multiplies by: four
// multiply-adds in a lane, and as many lanes in a clock as there are for int32 (Turing and before, A100: as for float32, so twice the data sheet's float32
// rate in all; later ones: half of float32's, so once that rate). The other three fourths are the kernel's, which nobody has timed, heat's and the
// network's. Of several forms of a model the slowest counts. For AMD's GPUs least is a share of
// their int8 rate; no prover of Raylink's runs on those. For processors it is by the instruction set that a name stands for, as models.txt says above their
// lines: measured on one sort of EPYC, reckoned for the rest, with a margin of five and more. No GPU's rate has been measured yet.
//
// What the rates tell apart: an RTX 3060, which reaches 13·10^12 by dp4a, is below an H100's 14·10^12. They are no wall: its tensor cores would do 51·10^12, and
// a kernel that uses them is welcome here, as honest devices need it, too. That a small card is no large one shows in its memory (Reads, in memory.go, and package
// challenge's doc), and both have to be shown.
//
// Prices are hints for a new supplier, from public lists of November 2026, and nothing is charged by them.
package catalogue
