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
// a tenth added for boost clocks; least is a share of what plain dot-product instructions (dp4a; for processors a scalar loop) reach, so that an honest
// and throttled device is still within. They are reckoned from data sheets; where a model's rate was measured, the table says so. Prices are hints for a new
// supplier, from public lists of November 2026, and nothing is charged by them.
package catalogue
