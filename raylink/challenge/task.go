package challenge

import (
	"errors"
	"fmt"
	"time"

	"raylink/raylink"
)

// What is wrong with a transcript. Verify's errors are one of them.
var (
	ErrMalformed = errors.New("malformed") // it cannot be judged: nothing follows about the device
	ErrWrong     = errors.New("wrong")     // it was answered wrongly
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrWrong, fmt.Errorf(format, args...))
}

// The bounds of a task. They keep a verifier's cost bounded whoever wrote the transcript, and every sum exact.
const (
	MaxSize     = 32768 // below 131071, from where on a sum may leave int32
	MaxTile     = 256
	MaxLinks    = 1024    // each has 32 bytes in a commitment
	MaxTiles    = 1 << 15 // of a link
	MaxOpenings = 1024
	MaxMemory   = 1 << 40 // bytes
	MaxSegments = 1 << 20
	MaxBundled  = 1 << 23 // the same in version 2, where a leaf has many lanes
	MaxLane     = 1 << 12 // steps of one segment
	MaxChecks   = 256
	MaxWindows  = 32

	maxOpened = 1 << 37 // multiply-adds that a verifier does
	maxMade   = 1 << 32 // words of memory that it makes
)

// Check says what is wrong with a task; the error is ErrMalformed.
func (t Task) Check() error {
	switch {
	case t.Version != 1 && t.Version != 2:
		return malformed("a task of version %d; these are versions 1 and 2", t.Version)
	case t.Version == 2 && !t.Walks():
		return malformed("a task of version 2 without a walk: that is version 1")
	case t.Tile < 16 || t.Tile > MaxTile || t.Tile%16 != 0:
		return malformed("a tile of %d: 16 to %d, in steps of 16", t.Tile, MaxTile)
	case t.Size < t.Tile || t.Size > MaxSize || t.Size%t.Tile != 0:
		return malformed("matrices of %d: one tile to %d, in whole tiles of %d", t.Size, MaxSize, t.Tile)
	case t.TilesPerLink() > MaxTiles:
		return malformed("%d tiles in a link, more than %d", t.TilesPerLink(), MaxTiles)
	case t.Links < 1 || t.Links > MaxLinks:
		return malformed("%d links: 1 to %d", t.Links, MaxLinks)
	case t.Openings < 1 || t.Openings > MaxOpenings || t.Openings > t.Links*t.TilesPerLink():
		return malformed("%d openings of %d tiles: 1 to %d", t.Openings, t.Links*t.TilesPerLink(), MaxOpenings)
	case int64(t.Openings)*int64(t.Tile*t.Tile)*int64(t.Size) > maxOpened:
		return malformed("more than 2^37 multiply-adds to verify")
	case !t.Walks() && t != (Task{Version: t.Version, Size: t.Size, Tile: t.Tile, Links: t.Links, Openings: t.Openings}):
		return malformed("a walk without memory")
	case t.Walks():
		return t.checkWalk()
	}
	return nil
}

func (t Task) checkWalk() error {
	switch {
	case t.Memory < 0 || t.Memory > MaxMemory || t.Memory%Block != 0:
		return malformed("a memory of %d bytes: whole blocks of %d up to 2^40", t.Memory, Block)
	case t.Version == 1 && (t.Segments < 1 || t.Segments > MaxSegments):
		return malformed("%d segments: 1 to %d", t.Segments, MaxSegments)
	case t.Version == 1 && t.Windows != 0:
		return malformed("windows in a task of version 1")
	case t.Version == 2 && (t.Segments < Bundle || t.Segments > MaxBundled || t.Segments%Bundle != 0):
		return malformed("%d segments: whole bundles of %d up to %d", t.Segments, Bundle, MaxBundled)
	case t.Version == 2 && (t.Windows < 1 || t.Windows > MaxWindows || int64(t.Windows) > t.Memory/Block):
		return malformed("%d windows: 1 to %d, and to as many as there are blocks", t.Windows, MaxWindows)
	case t.Steps < t.Segments || t.Steps%t.Segments != 0 || t.Steps/t.Segments > MaxLane:
		return malformed("%d steps in %d segments: the same number each, 1 to %d", t.Steps, t.Segments, MaxLane)
	case t.Version == 2 && t.Lane()%Rounds != 0:
		return malformed("%d steps of a segment: as many in each of %d rounds", t.Lane(), Rounds)
	case t.Checks < 1 || t.Checks > MaxChecks || t.Checks > t.Segments:
		return malformed("%d checks of %d segments: 1 to %d", t.Checks, t.Segments, MaxChecks)
	case int64(t.Checks)*int64(t.Lane())*Words > maxMade:
		return malformed("more than 2^32 words of memory to verify")
	}
	return nil
}

// Walks says whether the task has a walk through memory.
func (t Task) Walks() bool { return t.Memory != 0 }

// Lane is how many steps one segment has.
func (t Task) Lane() int { return t.Steps / t.Segments }

// TilesPerLink is how many tiles one product has.
func (t Task) TilesPerLink() int { return (t.Size / t.Tile) * (t.Size / t.Tile) }

// Work is how many multiply-adds the products have, done in the plain way. Twice that is operations, as makers count them.
func (t Task) Work() int64 { return int64(t.Links) * int64(t.Size) * int64(t.Size) * int64(t.Size) }

// Rate is what a device that committed after so many milliseconds did: millions of int8 multiply-adds in a second. With a walk, filling the memory is
// in that time, so that rates for bands are taken from tasks without one.
func Rate(t Task, millis int64) int64 { return t.Work() / (1000 * max(millis, 1)) }

// What a proof may cost a device: the products of one take about ProofTime, and filling and walking its memory at most twice as long again; with
// MinInterval between two, every other of them without a walk, that is 20 s of an idle hour.
const (
	ProofTime   = 1500 * time.Millisecond
	MinInterval = 10 * time.Minute
)

// How long a GPU's walk takes and may take. It is as long as it is so that the way through the network is the smaller part of it.
const (
	WalkTime   = time.Second            // at the fewest reads in a second that its model does
	WalkMargin = 600 * time.Millisecond // more than that: a way there and back, two entries that coordinators agree on, hashes on a slow host
)

// The sizes of proofs.
const (
	openings   = 64
	checksCPU  = 4
	checksGPU  = 8
	firstCPU   = 2_000  // millions of multiply-adds in a second, where nothing is known: a slow core does that
	firstGPU   = 500000 // the same of a GPU
	maxCPUSize = 2048
	maxGPUSize = 8192
	cpuFill    = 256 << 20 // bytes of a processor's memory that are filled, for its walk must not drive others out
	lanesCPU   = 1 << 11
	lanesGPU   = 1 << 21 // where nothing is known of its memory
	mostLanes  = 1 << 23 // 64 MiB of places where lanes are
	stepsCPU   = 1 << 10 // of a lane: a verifier's cost grows with these and with the checks, and not with the lanes
	stepsGPU   = 1 << 9
	window     = 32 << 30
)

// TaskFor is a task that costs a device about ProofTime. Memory is how many bytes of it are to be shown resident (0: no walk; a processor shows
// at most 256 MiB, a GPU nine tenths); rate is what the device is thought to do, in millions of multiply-adds in a second, and reads are the fewest that
// its model does of its memory at random, in millions in a second; either is 0 where nothing is known. Neither may be the device's own word.
func TaskFor(kind raylink.DeviceKind, memory, rate, reads int64) Task {
	edge, fill := maxCPUSize, min(memory, cpuFill)
	if kind == raylink.DeviceGPU {
		edge, fill = maxGPUSize, memory/10*9
		if rate <= 0 {
			rate = firstGPU
		}
	}
	if rate <= 0 {
		rate = firstCPU
	}
	rate = min(rate, 1<<40)
	work := rate * 1000 * ProofTime.Milliseconds()
	t := Task{Version: 1, Size: edge, Tile: 128, Openings: openings}
	cube := func() int64 { return int64(t.Size) * int64(t.Size) * int64(t.Size) }
	for t.Size > 256 && work < 4*cube() {
		t.Size /= 2
	}
	t.Tile = min(t.Tile, t.Size/4)
	t.Links = int(min(max(work/cube(), 4), MaxLinks))
	t.Openings = min(t.Openings, t.Links*t.TilesPerLink())
	if fill = min(fill, MaxMemory) / Block * Block; fill <= 0 {
		return t
	}
	t.Memory, t.Segments, t.Steps, t.Checks = fill, lanesCPU, lanesCPU*stepsCPU, checksCPU
	if kind == raylink.DeviceGPU {
		t.Version, t.Segments, t.Windows, t.Checks = 2, lanesFor(reads), int((fill+window-1)/window), checksGPU
		t.Steps = t.Segments * stepsGPU
	}
	return t
}

// lanesFor is how many lanes walk for WalkTime at so many million reads in a second, within bounds.
func lanesFor(reads int64) int {
	if reads <= 0 {
		return lanesGPU
	}
	lanes := min(reads, 1<<30) * 1000 * WalkTime.Milliseconds() / stepsGPU
	return int(min(max(lanes, 1<<16), mostLanes)) / Bundle * Bundle
}

// WalkMost is how many milliseconds the walk of a task may take on a device whose model does at least so many million random reads in a second, network
// and host included; 0 is no bound, where there is no walk or nothing is known.
func WalkMost(t Task, reads int64) int64 {
	if !t.Walks() || reads <= 0 {
		return 0
	}
	return int64(t.Steps)/(1000*min(reads, 1<<30)) + WalkMargin.Milliseconds()
}
