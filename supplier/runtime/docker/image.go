package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/stdcopy"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

const (
	pullTimeout   = 30 * time.Minute // 10 GB at 50 Mbit/s
	pullLogBytes  = 64 << 20         // progress lines of the largest images stay far below
	lastWordBytes = 16 << 10
	lineBytes     = 500
)

// Image makes sure that the image is here: it asks the engine, and lets it pull what is missing.
func (r *Runtime) Image(ctx context.Context, ref string) error {
	look, cancel := context.WithTimeout(ctx, callTimeout)
	_, err := r.engine.ImageInspect(look, ref)
	cancel()
	if err == nil {
		return nil
	}
	if !errdefs.IsNotFound(err) {
		return fmt.Errorf("looking for image %s: %w", ref, err)
	}
	ctx, cancel = context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	if err := r.pull(ctx, ref); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("pulling image %s: %w", ref, err)
		}
		return raylink.Errorf(raylink.CodeNotFound, "image %s is not on this machine and cannot be pulled: %v", ref, err)
	}
	return nil
}

func (r *Runtime) pull(ctx context.Context, ref string) error {
	progress, err := r.engine.ImagePull(ctx, ref, image.PullOptions{})
	if err != nil {
		return err
	}
	defer progress.Close()
	// The pull is over when the stream is; its failure is a line in it.
	lines := json.NewDecoder(io.LimitReader(progress, pullLogBytes))
	for {
		var line struct {
			Error string `json:"error"`
		}
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the engine's progress: %w", err)
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
	}
}

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
