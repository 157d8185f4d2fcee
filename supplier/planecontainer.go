package supplier

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"raylink/raylink"
	"raylink/raylink/overlay"
	"raylink/supplier/dataplane"
	"raylink/supplier/runtime"
)

const (
	labelMachine = "raylink.machine"
	labelPlane   = "raylink.plane" // not raylink.lease: that is the tenant's container

	planeWithin  = 20 * time.Second
	planePoll    = 50 * time.Millisecond
	uapiSockets  = "/var/run/wireguard"
	planeLogTail = 2 << 10 // bytes
)

// containerPlanes are data planes in containers of their own, for an agent that is a container itself: a process started inside that
// would die with it. They run on the host's network, where their UDP sockets outlive the agent's namespace, and are found by their sockets
// in the data directory, which all of them see under the same path.
type containerPlanes struct {
	processPlanes
	engine  *client.Client
	machine raylink.MachineID
	image   string // the agent's own
}

// newContainerPlanes looks at the agent's own container.
func newContainerPlanes(ctx context.Context, base processPlanes, machine raylink.MachineID) (*containerPlanes, error) {
	engine, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("opening the Docker client: %w", err)
	}
	own, err := ownContainer()
	if err != nil {
		return nil, err
	}
	self, err := engine.ContainerInspect(ctx, own)
	if err != nil {
		return nil, fmt.Errorf("looking at the agent's own container %.12s: %w", own, err)
	}
	if self.HostConfig.PidMode != "host" {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the agent's container does not see the host's processes").WithHint("run it with --pid=host")
	}
	seen := false
	for _, m := range self.Mounts {
		below := base.files.root == m.Destination || strings.HasPrefix(base.files.root, m.Destination+"/")
		seen = seen || below && m.Source == m.Destination
	}
	if !seen {
		return nil, raylink.Errorf(raylink.CodeInvalid, "the data directory %s is not the host's own under the same path", base.files.root).
			WithHint("run the agent's container with -v /var/lib/raylink:/var/lib/raylink")
	}
	base.sockets = filepath.Join(base.files.root, "run")
	uapi := filepath.Join(base.files.root, "wireguard")
	for _, dir := range []string{base.sockets, uapi} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the directory of the data planes' sockets: %w", err)
		}
	}
	// The key of an adopted data plane is read where WireGuard's tools look; here that is the directory which the data planes have there.
	if err := os.MkdirAll(filepath.Dir(uapiSockets), 0o755); err != nil {
		return nil, fmt.Errorf("making the way to the data planes' keys: %w", err)
	}
	if err := os.Symlink(uapi, uapiSockets); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("making the way to the data planes' keys: %w", err)
	}
	return &containerPlanes{processPlanes: base, engine: engine, machine: machine, image: self.Image}, nil
}

// Start runs `raylink dataplane` in a container on the host's network. The key goes through its standard input alone.
func (p *containerPlanes) Start(ctx context.Context, spec runtime.PlaneSpec) (runtime.Plane, error) {
	ctx, cancel := context.WithTimeout(ctx, planeWithin)
	defer cancel()
	if err := p.Stop(ctx, spec.Lease); err != nil {
		return nil, err
	}
	config, err := json.Marshal(p.config(spec))
	if err != nil {
		return nil, fmt.Errorf("writing the data plane's configuration: %w", err)
	}
	path := filepath.Join(spec.Dir, dataplane.ConfigFile)
	if err := write(path, config, 0o600, root); err != nil {
		return nil, err
	}
	name := planeName(spec.Lease)
	created, err := p.engine.ContainerCreate(ctx, &container.Config{
		Image: p.image, Entrypoint: []string{"/usr/local/bin/raylink"}, Cmd: []string{"dataplane", "--config", path}, User: "0:0",
		OpenStdin: true, StdinOnce: true, AttachStdin: true,
		Labels: map[string]string{labelMachine: string(p.machine), labelPlane: string(spec.Lease)},
	}, &container.HostConfig{
		NetworkMode: "host", PidMode: "host", UsernsMode: "host", CapAdd: []string{"NET_ADMIN", "SYS_ADMIN"},
		Binds:     []string{p.files.root + ":" + p.files.root, filepath.Join(p.files.root, "wireguard") + ":" + uapiSockets},
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "4m", "max-file": "2"}},
		Resources: container.Resources{Devices: []container.DeviceMapping{
			{PathOnHost: "/dev/net/tun", PathInContainer: "/dev/net/tun", CgroupPermissions: "rwm"},
		}},
	}, nil, nil, name)
	if err != nil {
		return nil, fmt.Errorf("making container %s: %w", name, err)
	}
	if err := p.feed(ctx, created.ID, spec.Key); err != nil {
		return nil, errors.Join(fmt.Errorf("starting container %s: %w", name, err), p.remove(ctx, created.ID))
	}
	if err := p.await(ctx, created.ID, spec); err != nil {
		return nil, errors.Join(err, p.remove(context.WithoutCancel(ctx), created.ID))
	}
	return &plane{client: dataplane.Connect(p.socket(spec.Lease)), key: spec.Key}, nil
}

// feed starts the container with the key on its standard input.
func (p *containerPlanes) feed(ctx context.Context, id string, key overlay.PrivateKey) error {
	pipe, err := p.engine.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: true})
	if err != nil {
		return err
	}
	defer pipe.Close()
	if err := p.engine.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return err
	}
	_, err = io.WriteString(pipe.Conn, key.Text()+"\n")
	return errors.Join(err, pipe.CloseWrite())
}

// await waits until the data plane answers for this pid.
func (p *containerPlanes) await(ctx context.Context, id string, spec runtime.PlaneSpec) error {
	hand := &plane{client: dataplane.Connect(p.socket(spec.Lease)), key: spec.Key}
	ticker := time.NewTicker(planePoll)
	defer ticker.Stop()
	for {
		status, err := hand.Status(ctx)
		if err == nil && status.Attached == spec.Pid {
			return nil
		}
		seen, lookErr := p.engine.ContainerInspect(ctx, id)
		if lookErr == nil && !seen.State.Running && seen.State.FinishedAt > seen.State.StartedAt {
			return fmt.Errorf("the data plane of %s ended at once with code %d; its last words: %s", spec.Lease, seen.State.ExitCode, p.lastWords(ctx, id))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the data plane of %s does not answer: %w", spec.Lease, errors.Join(ctx.Err(), err))
		case <-ticker.C:
		}
	}
}

func (p *containerPlanes) lastWords(ctx context.Context, id string) string {
	stream, err := p.engine.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "5"})
	if err != nil {
		return "(none)"
	}
	defer stream.Close()
	var text bytes.Buffer
	// A log that is cut off still has a readable beginning.
	_, _ = stdcopy.StdCopy(&text, &text, io.LimitReader(stream, planeLogTail))
	return strings.TrimSpace(text.String())
}

// Stop ends the data plane as any other, and then removes its container.
func (p *containerPlanes) Stop(ctx context.Context, lease raylink.LeaseID) error {
	if err := p.processPlanes.Stop(ctx, lease); err != nil {
		return err
	}
	found, err := p.engine.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", labelMachine+"="+string(p.machine)), filters.Arg("label", labelPlane+"="+string(lease)))})
	if err != nil {
		return fmt.Errorf("looking for the data plane's container of %s: %w", lease, err)
	}
	for _, one := range found {
		if one.Labels[labelMachine] != string(p.machine) || one.Labels[labelPlane] != string(lease) {
			continue
		}
		if err := p.remove(ctx, one.ID); err != nil {
			return err
		}
	}
	return nil
}

func (p *containerPlanes) remove(ctx context.Context, id string) error {
	err := p.engine.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing the data plane's container: %w", err)
	}
	return nil
}

func planeName(lease raylink.LeaseID) string { return "raylink-plane-" + string(lease) }

// ownContainer is the id of the container that this process is in, read from the files that Docker mounts into every container.
func ownContainer() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("finding the agent's own container: %w", err)
	}
	return containerOf(string(mounts))
}

func containerOf(mountinfo string) (string, error) {
	for line := range strings.Lines(mountinfo) {
		if !strings.Contains(line, " /etc/hostname ") && !strings.Contains(line, " /etc/resolv.conf ") {
			continue
		}
		if m := regexp.MustCompile(`/containers/([0-9a-f]{64})/`).FindStringSubmatch(line); m != nil {
			return m[1], nil
		}
	}
	return "", errors.New("finding the agent's own container: /proc/self/mountinfo shows no file of Docker's")
}
