package challenge

// Seed is 32 bytes that everything of one challenge is expanded from, or that its openings are drawn from. Its text is hexadecimal.
type Seed [32]byte

// Hash is a SHA-256. Its text is hexadecimal.
type Hash [32]byte

// Task says what is to be computed.
type Task struct {
	Version  int   `json:"version"`            // 1; 2 is of tasks whose walk goes through windows, as a GPU's does
	Size     int   `json:"size"`               // n: the products are of n×n matrices; a multiple of Tile
	Tile     int   `json:"tile"`               // edge of the tiles that are hashed and opened
	Links    int   `json:"links"`              // chained products: each one's seed follows from the root of the one before
	Openings int   `json:"openings"`           // k: tiles opened, drawn over all links
	Memory   int64 `json:"memory,omitempty"`   // bytes to be filled and kept resident; 0 is no walk
	Steps    int   `json:"steps,omitempty"`    // dependent reads of the walk through it
	Segments int   `json:"segments,omitempty"` // lanes of the walk, each with as many of the steps
	Checks   int   `json:"checks,omitempty"`   // segments that are opened
	Windows  int   `json:"windows,omitempty"`  // version 2: parts of the memory, in one of which a lane is at a time
}

// Commitment binds to all results before anybody says what will be opened.
type Commitment struct {
	Roots []Hash `json:"roots"` // of the tiles' Merkle trees, a link each
}

// Answer opens what was drawn.
type Answer struct {
	Tiles    []OpenedTile    `json:"tiles"`
	Segments []OpenedSegment `json:"segments,omitempty"`
}

// OpenedTile is the way from one tile's hash to its link's root. The tile itself is computed by whoever verifies.
type OpenedTile struct {
	Link int    `json:"link"`
	Tile int    `json:"tile"` // row-major
	Path []Hash `json:"path"` // siblings, from the leaf upwards
}

// OpenedSegment is one segment of the walk: where it began and ended, and the ways to the walk's root.
type OpenedSegment struct {
	Segment int    `json:"segment"`
	Begin   uint64 `json:"begin"`
	End     uint64 `json:"end"`
	Path    []Hash `json:"path"`

	Ends []uint64 `json:"ends,omitempty"` // version 2: where all lanes of its bundle ended, its own among them
}
