package coordinator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"raylink/raylink"
)

// keptTranscripts is how many transcripts of proofs a coordinator keeps: some 100 KB each. The oldest go first.
const keptTranscripts = 5000

// transcripts are the files <sha256>.json in a directory.
type transcripts struct {
	dir  string
	kept int

	mu sync.Mutex
}

// Keep writes a transcript, and forgets the oldest where there are too many.
func (t *transcripts) Keep(sha256 string, text []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of transcripts: %w", err)
	}
	path := t.path(sha256)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("keeping a transcript: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keeping a transcript: %w", err)
	}
	return t.forget()
}

func (t *transcripts) path(sha256 string) string { return filepath.Join(t.dir, sha256+".json") }

// forget removes a tenth of what is allowed once there are more than that, so that it is seldom looked.
func (t *transcripts) forget() error {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return fmt.Errorf("looking for old transcripts: %w", err)
	}
	if len(entries) <= t.kept {
		return nil
	}
	age := map[string]time.Time{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			age[e.Name()] = info.ModTime()
		}
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return age[a.Name()].Compare(age[b.Name()]) })
	for _, e := range entries[:len(entries)-t.kept+t.kept/10] {
		if err := os.Remove(filepath.Join(t.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forgetting an old transcript: %w", err)
		}
	}
	return nil
}

// Text reads a transcript that was kept.
func (t *transcripts) Text(sha256 string) ([]byte, error) {
	gone := raylink.Errorf(raylink.CodeNotFound, "the transcript %.64s is kept no more", sha256).WithHint("the last %d are kept: export those that matter with `raylink challenge export`", t.kept)
	if len(sha256) != 64 || strings.Trim(sha256, "0123456789abcdef") != "" {
		return nil, gone
	}
	text, err := os.ReadFile(t.path(sha256))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, gone
	}
	if err != nil {
		return nil, fmt.Errorf("reading a transcript: %w", err)
	}
	return text, nil
}
