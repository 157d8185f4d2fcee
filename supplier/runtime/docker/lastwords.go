package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"raylink/supplier/runtime"
)

const (
	lastWordBytes = 16 << 10
	lineBytes     = 500
)

// lastWords is the end of a container's output; a log that cannot be read has none.
func (r *Runtime) lastWords(ctx context.Context, id string) []string {
	stream, err := r.engine.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: fmt.Sprint(runtime.LastWordsLines)})
	if err != nil {
		return nil
	}
	defer stream.Close()
	var text bytes.Buffer
	// A log that is cut off or torn still has a readable beginning.
	_, _ = stdcopy.StdCopy(&text, &text, io.LimitReader(stream, lastWordBytes))
	var out []string
	for line := range strings.Lines(text.String()) {
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

// plain takes colours and other control characters out of a line: it is shown in places that are no terminal.
func plain(line string) string {
	line = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`).ReplaceAllString(line, "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, line))
}
