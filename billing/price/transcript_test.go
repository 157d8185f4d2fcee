package price

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"raylink/billing/money"
)

var update = flag.Bool("update", false, "write what the transcript should say")

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// operator is a fixed key pair.
func operator(name string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte(name[:1]), ed25519.SeedSize))
}

func public(name string) string {
	return base64.StdEncoding.EncodeToString(operator(name).Public().(ed25519.PublicKey))
}

// signed is the sample signed by an operator.
func signed(name string, s Sample) Sample {
	s.Key = public(name)
	s.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(operator(name), SampleBytes(s)))
	return s
}

// story is a book and the time.
type story struct {
	book Book
	now  time.Time
}

// TestTranscript reads testdata/price.txt aloud: each `> command` is followed by its answer. After
// each, a book that was written and read again is the same.
func TestTranscript(t *testing.T) {
	const file = "testdata/price.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	told := &story{now: noon}
	for line := range strings.Lines(string(text)) {
		command, isCommand := strings.CutPrefix(line, "> ")
		switch {
		case isCommand:
			out.WriteString(line)
			if answer := told.say(t, strings.Fields(command)); answer != "" {
				out.WriteString("  " + answer + "\n")
			}
			told.restart(t)
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

// restart writes the book and reads it again.
func (s *story) restart(t interface{ Fatal(...any) }) {
	text, err := json.Marshal(s.book)
	if err != nil {
		t.Fatal(err)
	}
	var back Book
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, s.book) {
		t.Fatal(fmt.Sprintf("came back otherwise: %v\n%+v\n%+v", err, back, s.book))
	}
	s.book = back
}

func (s *story) say(t *testing.T, words []string) string {
	answer := func(err error) string {
		if err != nil {
			return err.Error()
		}
		return ""
	}
	switch words[0] {
	case "reset":
		s.book = Book{}
	case "policy": // sources [min=]
		s.book.Policy = Default()
		s.book.Policy.Sources, s.book.Policy.Operators = nil, []string{public("olga")}
		for _, word := range words[1:] {
			if number, found := strings.CutPrefix(word, "min="); found {
				s.book.Policy.MinSources = int64(number[0] - '0')
			} else {
				s.book.Policy.Sources = append(s.book.Policy.Sources, word)
			}
		}
		return answer(s.book.Policy.Check())
	case "set":
		return answer(s.book.Set(s.now, s.sample(t, words[1:])))
	case "override":
		return answer(s.book.Override(s.now, s.sample(t, words[1:])))
	case "halt":
		s.book.Halt(s.now, strings.Join(words[1:], " "))
	case "resume":
		s.book.Resume(s.now)
	case "wait":
		s.now = s.now.Add(duration(t, words[1]))
	case "average":
		average, ok := s.book.Average(s.now)
		return fmt.Sprint(average, " ", ok)
	case "last":
		return fmt.Sprint(s.book.Last())
	case "snapshot":
		snapshot, err := s.book.Snapshot(s.now)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d: %v since %s by %v", snapshot.ID, snapshot.Price, snapshot.At.Format("15:04:05"), snapshot.Sources)
	default:
		t.Fatalf("no command %q", words[0])
	}
	return ""
}

// sample reads `source price [at=offset] [conf=price] [sign=operator]`.
func (s *story) sample(t *testing.T, words []string) Sample {
	price := func(word string) money.Price {
		negative := strings.HasPrefix(word, "-")
		p, err := money.ParsePrice(strings.TrimPrefix(word, "-") + " USD/IO")
		if err != nil {
			t.Fatal(err)
		}
		if negative {
			return -p
		}
		return p
	}
	sample := Sample{Source: words[0], Price: price(words[1]), ObservedAt: s.now}
	for _, word := range words[2:] {
		switch name, value, _ := strings.Cut(word, "="); name {
		case "at":
			sample.ObservedAt = s.now.Add(duration(t, value))
		case "conf":
			sample.Confidence = price(value)
		case "sign":
			sample = signed(value, sample)
		}
	}
	return sample
}

func duration(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
