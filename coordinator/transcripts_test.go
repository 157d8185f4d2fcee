package coordinator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"raylink/raylink"
)

// TestTranscripts keeps more than may be kept: the oldest go, the newest stay, and no name leads elsewhere.
func TestTranscripts(t *testing.T) {
	store := &transcripts{dir: t.TempDir() + "/transcripts", kept: 20}
	sum := func(i int) string {
		s := sha256.Sum256(fmt.Append(nil, i))
		return hex.EncodeToString(s[:])
	}
	began := time.Now().Add(-time.Hour)
	for i := range 50 {
		if err := store.Keep(sum(i), fmt.Append(nil, "text ", i)); err != nil {
			t.Fatal(err)
		}
		at := began.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(store.path(sum(i)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(store.dir)
	if err != nil || len(entries) > 20 || len(entries) < 15 {
		t.Errorf("%d are kept, %v", len(entries), err)
	}
	if text, err := store.Text(sum(49)); err != nil || string(text) != "text 49" {
		t.Errorf("%q, %v", text, err)
	}
	for _, name := range []string{sum(0), "", "../authority/authority", strings.Repeat("z", 64), strings.Repeat("/", 64)} {
		if _, err := store.Text(name); raylink.AsError(err).Code != raylink.CodeNotFound {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}
