package ledger

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
)

var update = flag.Bool("update", false, "write what the transcripts should say")

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestTranscript reads testdata/ledger.txt aloud: each `> command` is followed by its answer.
func TestTranscript(t *testing.T) {
	const file = "testdata/ledger.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	books := New()
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		command, isCommand := strings.CutPrefix(line, "> ")
		switch {
		case isCommand:
			out.WriteString(line + say(t, &books, strings.Fields(command)))
		case strings.HasPrefix(line, "#") || line == "\n":
			out.WriteString(line)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != string(text) {
		t.Errorf("%s reads otherwise (-update rewrites it):\n%s", file, out.String())
	}
}

// say runs one command and words the answer.
func say(t *testing.T, books **Ledger, words []string) string {
	l := *books
	switch words[0] {
	case "post": // kind ref account number asset account number asset ...
		seq, _ := l.Head()
		var postings []Posting
		for rest := words[3:]; len(rest) >= 3; rest = rest[3:] {
			amount, err := money.Parse(rest[1] + " " + rest[2])
			if err != nil {
				t.Fatal(err)
			}
			postings = append(postings, Posting{rest[0], amount})
		}
		entry, err := l.Post(noon.Add(time.Duration(seq)*time.Second), words[1], words[2], postings, nil)
		if err != nil {
			return err.Error() + "\n"
		}
		return fmt.Sprintf("entry %d %.8s\n", entry.Seq, entry.Hash)
	case "accounts":
		var out strings.Builder
		for _, account := range l.Accounts() {
			fmt.Fprintf(&out, "%-16s %v\n", account.Name, account.Balance)
		}
		return out.String()
	case "entries":
		var out strings.Builder
		for _, entry := range l.Entries(0, 100) {
			fmt.Fprintf(&out, "%d %s %s %s %v\n", entry.Seq, entry.At.Format("15:04:05"), entry.Kind, entry.Ref, entry.Postings)
		}
		return out.String()
	case "reload":
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		*books = New()
		if err := json.Unmarshal(text, *books); err != nil {
			t.Fatal(err)
		}
		return ""
	}
	t.Fatalf("no command %q", words[0])
	return ""
}
