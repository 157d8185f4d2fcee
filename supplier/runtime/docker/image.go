package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"

	"raylink/raylink"
	"raylink/raylink/imagesign"
	"raylink/supplier/runtime"
)

const (
	pullTimeout  = 30 * time.Minute // 10 GB at 50 Mbit/s
	pullLogBytes = 64 << 20         // progress lines of the largest images stay far below
	pullStalled  = 2 * time.Minute  // without a word of the engine's: then it is asked anew
	pullTriesMax = 5                // in a row that bring nothing
	pullPauseMax = 30 * time.Second
)

// Images is the engine's store of images.
func (r *Runtime) Images() runtime.Images { return images{r} }

type images struct{ *Runtime }

// Look asks the engine, and reaches for nothing else.
func (i images) Look(ctx context.Context, ref string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name, digest := imagesign.Split(ref)
	if digest == "" {
		id, _, err := i.inspect(ctx, name)
		return id, err
	}
	// The digest of what no registry holds is the image's id.
	if id, _, err := i.inspect(ctx, digest); err == nil && id == digest {
		return id, nil
	} else if err != nil && raylink.AsError(err).Code != raylink.CodeNotFound {
		return "", err
	}
	pinned := imagesign.Pin(untagged(name), digest)
	id, digests, err := i.inspect(ctx, pinned)
	if err != nil {
		return "", err
	}
	// The engine has hashed the manifest itself when it fetched it; that it names the digest is not taken from its answering at all.
	if !slices.ContainsFunc(digests, func(d string) bool { _, sum := imagesign.Split(d); return sum == digest }) {
		return "", raylink.Errorf(raylink.CodeNotFound, "image %s: what the engine has under that name has another digest", ref)
	}
	return id, nil
}

func (i images) inspect(ctx context.Context, ref string) (id string, digests []string, err error) {
	seen, err := i.engine.ImageInspect(ctx, ref)
	if errdefs.IsNotFound(err) {
		return "", nil, raylink.Errorf(raylink.CodeNotFound, "image %s is not on this machine", ref)
	}
	if err != nil {
		return "", nil, fmt.Errorf("looking for image %s: %w", ref, err)
	}
	return seen.ID, seen.RepoDigests, nil
}

// untagged is a name without its tag: with a digest beside it, the engine would compare both.
func untagged(name string) string {
	for at := len(name) - 1; at >= 0 && name[at] != '/'; at-- {
		if name[at] == ':' {
			return name[:at]
		}
	}
	return name
}

// Fetch looks, and lets the engine pull what is missing. Within a pull the engine itself goes on with a layer where a line was cut
// (five times). A pull that it gives up is asked for anew, until several in a row have brought no more than the ones before; Docker 20.10 keeps
// nothing of one that it gave up, whole layers included.
func (i images) Fetch(ctx context.Context, ref string, tell func(done, total int64)) (string, error) {
	id, err := i.Look(ctx, ref)
	if err == nil || raylink.AsError(err).Code != raylink.CodeNotFound {
		return id, err
	}
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	name, digest := imagesign.Split(ref)
	if digest != "" {
		name = untagged(name)
	}
	if err := i.pullOn(ctx, ref, imagesign.Pin(name, digest), tell); err != nil {
		return "", err
	}
	if id, err = i.Look(ctx, ref); err != nil {
		return "", fmt.Errorf("after it was pulled: %w", err)
	}
	return id, nil
}

// pullOn pulls until it is done, or brings nothing any more.
func (i images) pullOn(ctx context.Context, ref, asked string, tell func(done, total int64)) error {
	var most int64
	var seen layers
	for vain := 0; ; {
		done, err := i.pull(ctx, asked, &seen, tell)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("pulling image %s: %w", ref, err)
		}
		if most == 0 && done == 0 {
			return raylink.Errorf(raylink.CodeNotFound, "image %s is not on this machine and cannot be pulled: %v", ref, err)
		}
		vain++
		if done > most {
			most, vain = done, 0
		}
		if vain >= pullTriesMax {
			return raylink.Errorf(raylink.CodeUnavailable, "image %s: pulling it broke off %d times without getting further than %d bytes: %v", ref, vain, most, err)
		}
		pause := time.NewTimer(min(pullPauseMax, time.Second<<vain))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("pulling image %s: %w", ref, ctx.Err())
		}
	}
}

// pull is one attempt; done is how many bytes it says have come.
func (i images) pull(ctx context.Context, asked string, seen *layers, tell func(done, total int64)) (done int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(pullStalled, func() { cancel(fmt.Errorf("the engine has said nothing for %s", pullStalled)) })
	defer stalled.Stop()
	stream, err := i.engine.ImagePull(ctx, asked, image.PullOptions{})
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	// The pull is over when the stream is; its failure is a line in it.
	lines := json.NewDecoder(io.LimitReader(stream, pullLogBytes))
	seen.again()
	for {
		var line pullLine
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return done, nil
		} else if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return done, fmt.Errorf("reading the engine's progress: %w", err)
		}
		stalled.Reset(pullStalled)
		if line.Error != "" {
			return done, errors.New(line.Error)
		}
		var total int64
		if done, total = seen.take(line); total > 0 {
			tell(done, total)
		}
	}
}

// pullLine is one line of the engine's progress.
type pullLine struct {
	Error  string `json:"error"`
	Layer  string `json:"id"`
	Status string `json:"status"`
	Detail struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
}

const (
	layersMax = 256     // that are counted; the engine itself takes no image with more than 127
	layerMax  = 1 << 50 // bytes; keeps sums of what a registry says far from overflowing
)

// layers adds up what the lines of all attempts say of each layer. Layers that were here before the first are none of what is fetched.
type layers struct{ of map[string][2]int64 }

// again is the beginning of an attempt: how large layers are stays known, and that they are here must be said anew.
func (l *layers) again() {
	for id, layer := range l.of {
		l.of[id] = [2]int64{0, layer[1]}
	}
}

func (l *layers) take(line pullLine) (done, total int64) {
	if l.of == nil {
		l.of = map[string][2]int64{}
	}
	at, known := l.of[line.Layer]
	switch line.Status {
	case "Downloading":
		if line.Detail.Current >= 0 && line.Detail.Total > 0 && (known || len(l.of) < layersMax) {
			// An engine that takes a layer up again counts only what is left of it: Docker 20.10 does.
			left := min(line.Detail.Total, layerMax)
			whole := max(left, at[1])
			l.of[line.Layer] = [2]int64{whole - left + min(line.Detail.Current, left), whole}
		}
	case "Verifying Checksum", "Download complete", "Pull complete", "Already exists": // unpacking counts anew, in bytes of its own: it is not looked at
		if known {
			l.of[line.Layer] = [2]int64{at[1], at[1]}
		}
	}
	total = 0
	for _, layer := range l.of {
		done, total = done+layer[0], total+layer[1]
	}
	return done, total
}
