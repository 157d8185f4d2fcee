package consensus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// An entry of the log is {"at":"<RFC 3339, UTC, nanoseconds>","commands":[…]}: the leader's time, and commands byte for byte as they were proposed.

const entryFrame = len(`{"at":"2006-01-02T15:04:05.000000000Z","commands":[]}`)

func encodeEntry(at time.Time, commands []json.RawMessage) []byte {
	var b bytes.Buffer
	b.WriteString(`{"at":"` + at.UTC().Format(time.RFC3339Nano) + `","commands":`)
	writeList(&b, commands)
	b.WriteByte('}')
	return b.Bytes()
}

// writeList keeps every value's bytes; json.Marshal would rewrite some, and the same command would look different after it was forwarded.
func writeList(b *bytes.Buffer, values []json.RawMessage) {
	b.WriteByte('[')
	for i, value := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		if len(value) == 0 {
			value = json.RawMessage("null")
		}
		b.Write(value)
	}
	b.WriteByte(']')
}

// decodeEntry reads what encodeEntry wrote and nothing else: two replicas must never read one entry differently.
func decodeEntry(data []byte) (time.Time, []json.RawMessage, error) {
	var entry struct {
		At       string            `json:"at"`
		Commands []json.RawMessage `json:"commands"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&entry); err != nil {
		return time.Time{}, nil, fmt.Errorf("decoding an entry of the log: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return time.Time{}, nil, errors.New("decoding an entry of the log: something follows it")
	}
	at, err := time.Parse(time.RFC3339Nano, entry.At)
	if err != nil || at.UTC().Format(time.RFC3339Nano) != entry.At {
		return time.Time{}, nil, fmt.Errorf("decoding an entry of the log: %q is not a time in UTC", entry.At)
	}
	if len(entry.Commands) == 0 {
		return time.Time{}, nil, errors.New("decoding an entry of the log: it holds no command")
	}
	return at.UTC(), entry.Commands, nil
}
