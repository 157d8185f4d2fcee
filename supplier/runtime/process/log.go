//go:build linux

package process

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"raylink/supplier/runtime"
)

const (
	logMax        = 16 << 20 // bytes of each of the two files, as the docker runtime has it
	lastWordBytes = 16 << 10
	lineBytes     = 500
)

// boundedLog keeps the end of what is written: a file, and the one before it.
type boundedLog struct {
	path string
	max  int64 // bytes of one file
	file *os.File
	size int64
}

func openLog(path string, limit int64) (*boundedLog, error) {
	l := &boundedLog{path: path, max: limit}
	return l, l.fresh()
}

func (l *boundedLog) fresh() (err error) {
	if l.file != nil {
		l.file.Close() // its data is with the kernel already
		if err := os.Rename(l.path, l.path+".1"); err != nil {
			return fmt.Errorf("turning the log over: %w", err)
		}
	}
	l.size = 0
	if l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	return nil
}

// Write never refuses for want of room: who writes is a tenant's process, and it must not stand still because of its log.
func (l *boundedLog) Write(p []byte) (int, error) {
	if l.size > 0 && l.size+int64(len(p)) > l.max {
		if err := l.fresh(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// drain copies all that comes into the log; what the disk does not take is dropped, never held back.
func (l *boundedLog) drain(from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			_, _ = l.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// tail is the end of a lease's log; one that cannot be read is empty.
func tail(dir string) string {
	var out string
	for _, name := range []string{logFile, logFile + ".1"} {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			break
		}
		if info, err := file.Stat(); err == nil && info.Size() > lastWordBytes {
			_, _ = file.Seek(-lastWordBytes, io.SeekEnd) // a torn beginning is only a torn first line
		}
		text, _ := io.ReadAll(io.LimitReader(file, lastWordBytes))
		file.Close()
		if out = string(text) + out; len(out) >= lastWordBytes {
			break
		}
	}
	return out
}

// lastWords are the last lines, without colours and control characters: they are shown in places that are no terminal.
func lastWords(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = plain(line)
		if len(line) > lineBytes {
			line = strings.ToValidUTF8(line[:lineBytes], "") + "…"
		}
		if line != "" {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-runtime.LastWordsLines):]
}

// plain drops control characters and the sequences ESC [ … letter.
func plain(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); {
		if rest, ok := strings.CutPrefix(line[i:], "\x1b["); ok {
			stop := strings.IndexFunc(rest, func(r rune) bool { return r < 0x20 || r >= 0x40 })
			if stop < 0 {
				break
			}
			i += len("\x1b[") + stop + 1
			continue
		}
		b.WriteByte(line[i])
		i++
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(b.String(), "")))
}
