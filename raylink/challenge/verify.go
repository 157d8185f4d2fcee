package challenge

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"
	"unicode/utf8"
)

// Multiplier multiplies exactly. Plain is the twin that all others are held against; package kernel has a fast one.
type Multiplier interface {
	// Multiply sets c[i·n+j] to the sum over l of a[i·k+l]·b[j·k+l], for m rows of a and n columns of b, each of k entries that stand together.
	Multiply(c []int32, a, b []int8, m, n, k int)
}

// Plain multiplies in the plain way, one entry after the other.
type Plain struct{}

// Multiply implements Multiplier.
func (Plain) Multiply(c []int32, a, b []int8, m, n, k int) {
	for i := range m {
		row := a[i*k : (i+1)*k]
		for j := range n {
			column := b[j*k : (j+1)*k][:len(row)]
			var sum int32
			for l, v := range row {
				sum += int32(v) * int32(column[l])
			}
			c[i*n+j] = sum
		}
	}
}

// MaxTranscript is how long a transcript's JSON may be, in bytes.
const MaxTranscript = 8 << 20

// maxName is how long the ids in a transcript may be, in bytes.
const maxName = 200

// Transcript is all that was said in one proof: whoever has it can judge the answer again, anywhere. Times are the judge's, in UTC; a transcript shows
// that the answer is right, and what the judge says of when.
type Transcript struct {
	Proof      string     `json:"proof"`
	Machine    string     `json:"machine"`
	Device     string     `json:"device"`
	Judge      string     `json:"judge"` // the coordinator
	Task       Task       `json:"task"`
	Nonce      Seed       `json:"nonce"` // the seed that the device was given is Bind's, of this
	Commitment Commitment `json:"commitment"`
	Walk       Seed       `json:"walk_entropy"` // zero without a walk
	WalkRoot   Hash       `json:"walk_root"`    // zero without a walk
	Entropy    Seed       `json:"open_entropy"`
	Answer     Answer     `json:"answer"`
	Begun      time.Time  `json:"begun"`
	Committed  time.Time  `json:"committed"`
	Walked     time.Time  `json:"walked,omitzero"` // without a walk there is none
}

// Seed is what the device was given.
func (t Transcript) Seed() Seed { return Bind(t.Nonce, t.Proof, t.Machine, t.Device, t.Task) }

// Millis is how long the products took, memory's filling included, as the judge saw it.
func (t Transcript) Millis() int64 { return t.Committed.Sub(t.Begun).Milliseconds() }

// WalkMillis is how long the walk took.
func (t Transcript) WalkMillis() int64 {
	if t.Walked.IsZero() {
		return 0
	}
	return t.Walked.Sub(t.Committed).Milliseconds()
}

// Encode writes a transcript as Decode reads it.
func (t Transcript) Encode() ([]byte, error) { return json.Marshal(t) }

// Decode reads a transcript's JSON strictly: no unknown field, nothing after it, at most MaxTranscript bytes. The error is ErrMalformed.
func Decode(data []byte) (Transcript, error) {
	var t Transcript
	if len(data) > MaxTranscript {
		return t, malformed("a transcript of %d bytes, more than %d", len(data), MaxTranscript)
	}
	if !utf8.Valid(data) {
		return t, malformed("a transcript is UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return t, malformed("reading the transcript: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return t, malformed("something follows the transcript")
	}
	t.Begun, t.Committed, t.Walked = t.Begun.UTC(), t.Committed.UTC(), t.Walked.UTC()
	return t, t.check()
}

// check says what makes a transcript one that cannot be judged.
func (t Transcript) check() error {
	if err := t.Task.Check(); err != nil {
		return err
	}
	for _, name := range []string{t.Proof, t.Machine, t.Device} {
		if name == "" || len(name) > maxName {
			return malformed("an id of %d bytes: 1 to %d", len(name), maxName)
		}
	}
	switch {
	case len(t.Judge) > maxName:
		return malformed("a judge of %d bytes", len(t.Judge))
	case t.Begun.IsZero() || t.Committed.Before(t.Begun):
		return malformed("it is committed to before it begins")
	case t.Task.Walks() && t.Walked.Before(t.Committed):
		return malformed("the walk ends before it begins")
	case !t.Task.Walks() && (t.Walk != Seed{} || t.WalkRoot != Hash{} || !t.Walked.IsZero()):
		return malformed("it has a walk, which the task has not")
	}
	return nil
}

// Verify judges a transcript: nil if the answer is right, else an error that is ErrMalformed or ErrWrong. It computes what was opened, and nothing
// else. How long things took is for the judge to weigh.
func Verify(t Transcript, mul Multiplier) error {
	if err := t.check(); err != nil {
		return err
	}
	if err := CheckCommitment(t.Task, t.Commitment); err != nil {
		return err
	}
	seeds := []Seed{t.Seed()}
	for _, root := range t.Commitment.Roots {
		seeds = append(seeds, Next(seeds[len(seeds)-1], root))
	}
	open := Open(t.Entropy, t.Commitment, t.WalkRoot)
	if err := t.verifyTiles(seeds, t.Task.Tiles(open), mul); err != nil {
		return err
	}
	if !t.Task.Walks() {
		if len(t.Answer.Segments) > 0 {
			return wrong("segments of a walk are opened where there is none")
		}
		return nil
	}
	return t.verifyWalk(MemoryKey(seeds[t.Task.Links]), t.Task.Lanes(open))
}

// CheckCommitment says whether a commitment has the task's form; the error is ErrWrong.
func CheckCommitment(t Task, c Commitment) error {
	if len(c.Roots) != t.Links {
		return wrong("it commits to %d links, not %d", len(c.Roots), t.Links)
	}
	return nil
}

func (t Transcript) verifyTiles(seeds []Seed, drawn []Opened, mul Multiplier) error {
	if len(t.Answer.Tiles) != len(drawn) {
		return wrong("%d tiles are opened, not %d", len(t.Answer.Tiles), len(drawn))
	}
	edge, n := t.Task.Tile, t.Task.Size
	across := n / edge
	a, b := make([]int8, edge*n), make([]int8, edge*n)
	c, digest := make([]int32, edge*edge), make([]uint32, edge)
	for i, want := range drawn {
		got := t.Answer.Tiles[i]
		if got.Link != want.Link || got.Tile != want.Tile {
			return wrong("tile %d of link %d is opened, where tile %d of link %d was drawn", got.Tile, got.Link, want.Tile, want.Link)
		}
		ka, kb := Keys(seeds[want.Link])
		for r := range edge {
			Vector(a[r*n:(r+1)*n], ka, want.Tile/across*edge+r)
			Vector(b[r*n:(r+1)*n], kb, want.Tile%across*edge+r)
		}
		mul.Multiply(c, a, b, edge, edge, n)
		Digest(digest, c, edge)
		root, ok := climb(TileLeaf(want.Link, want.Tile, digest), want.Tile, t.Task.TilesPerLink(), got.Path)
		if !ok || root != t.Commitment.Roots[want.Link] {
			return wrong("tile %d of link %d is not what was committed to", want.Tile, want.Link)
		}
	}
	return nil
}

func (t Transcript) verifyWalk(key uint64, drawn []int) error {
	if len(t.Answer.Segments) != len(drawn) {
		return wrong("%d segments are opened, not %d", len(t.Answer.Segments), len(drawn))
	}
	stretches := t.Task.Stretches(t.Walk)
	block := make([]uint64, Words)
	var begin [1]uint64
	for i, want := range drawn {
		got := t.Answer.Segments[i]
		if got.Segment != want {
			return wrong("segment %d is opened, where segment %d was drawn", got.Segment, want)
		}
		if t.Task.Begins(begin[:], t.Walk, want); got.Begin != begin[0] {
			return wrong("segment %d begins elsewhere", want)
		}
		x := got.Begin
		for _, s := range stretches {
			if want < s.From || want >= s.To {
				continue
			}
			for range s.Steps {
				place := s.First + Place(x, s.Words)
				upto := block[:place%Words+1]
				Fill(upto, key, place/Words)
				x = Step(x, upto[len(upto)-1])
			}
		}
		root, ok := t.Task.climbSegment(got)
		if x != got.End || !ok || root != t.WalkRoot {
			return wrong("segment %d does not end where the memory leads", want)
		}
	}
	return nil
}
