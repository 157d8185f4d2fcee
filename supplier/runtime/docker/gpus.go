package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

// listGPUs is NVIDIA's tool, which its toolkit puts into every container that has a GPU.
const listGPUs = "nvidia-smi"

// listBytes bounds what is read of its answer: 64 GPUs take 6 KiB.
const listBytes = 32 << 10

// CheckGPUs runs `nvidia-smi -L` in the lease's container, as its tenant. Whoever runs programs in there may answer for it; he harms nobody but himself.
func (r *Runtime) CheckGPUs(ctx context.Context, lease raylink.LeaseID, uuids []string) error {
	id, err := r.running(ctx, lease)
	if err != nil {
		return err
	}
	if id == "" {
		return fmt.Errorf("looking for the GPUs of %s: its container does not run", lease)
	}
	user := strconv.Itoa(runtime.UserID)
	made, err := r.engine.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: []string{listGPUs, "-L"}, User: user + ":" + user, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return fmt.Errorf("looking for the GPUs of %s: %w", lease, err)
	}
	stream, err := r.engine.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return fmt.Errorf("looking for the GPUs of %s: %w", lease, err)
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, stream.Close) // reading knows no context
	defer stop()
	var text bytes.Buffer
	if _, err := stdcopy.StdCopy(&text, &text, io.LimitReader(stream.Reader, listBytes)); ctx.Err() != nil {
		return fmt.Errorf("looking for the GPUs of %s: %w", lease, ctx.Err())
	} else if err != nil {
		return fmt.Errorf("looking for the GPUs of %s: %w", lease, err)
	}
	seen, err := r.engine.ContainerExecInspect(ctx, made.ID)
	if err != nil {
		return fmt.Errorf("looking for the GPUs of %s: %w", lease, err)
	}
	if seen.Running {
		return fmt.Errorf("looking for the GPUs of %s: %s says more than %d bytes", lease, listGPUs, listBytes)
	}
	return judgeList(uuids, text.String(), seen.ExitCode)
}

// lostCodes are the codes with which nvidia-smi ends when GPUs cannot be reached (its manual, "RETURN VALUE"): a query failed, the driver is not loaded, a
// GPU has fallen off the bus, and 255, with which it says "Failed to initialize NVML: Unknown Error" and "No devices were found".
var lostCodes = []int{6, 9, 15, 255}

// judgeList reads the answer of `nvidia-smi -L`. A tool that is not there, or fails in another way, tells nothing.
func judgeList(uuids []string, text string, code int) error {
	first := plain(strings.SplitN(strings.TrimSpace(text), "\n", 2)[0])
	first = strings.ToValidUTF8(first[:min(len(first), lineBytes)], "")
	switch {
	case slices.Contains(lostCodes, code):
		return fmt.Errorf("%w: %s", runtime.ErrGPULost, first)
	case code != 0:
		return fmt.Errorf("%s ends with %d: %s", listGPUs, code, first)
	}
	for _, uuid := range uuids {
		if !strings.Contains(text, "(UUID: "+uuid+")") {
			return fmt.Errorf("%w: %s is not listed", runtime.ErrGPULost, uuid)
		}
	}
	return nil
}

// Kill ends the lease's container.
func (r *Runtime) Kill(ctx context.Context, lease raylink.LeaseID) error {
	id, err := r.running(ctx, lease)
	if err != nil || id == "" {
		return err
	}
	if err := r.engine.ContainerKill(ctx, id, "KILL"); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return fmt.Errorf("ending the container of %s: %w", lease, err)
	}
	return nil
}

// running is the id of the lease's container that runs, or "".
func (r *Runtime) running(ctx context.Context, lease raylink.LeaseID) (string, error) {
	found, err := r.find(ctx, lease)
	if err != nil {
		return "", err
	}
	for _, c := range found {
		if c.Running {
			return c.id, nil
		}
	}
	return "", nil
}
