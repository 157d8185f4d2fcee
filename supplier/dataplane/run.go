package dataplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"raylink/raylink/overlay"
	"raylink/raylink/overlay/wireguard"
)

// ErrGone says that the container, or its network namespace, has ended: nothing is left to serve.
var ErrGone = errors.New("the container's network namespace is gone")

const (
	// ExitGone is the exit code of a data plane whose container has gone.
	ExitGone = 3

	keyLineMax   = 128             // bytes
	attachWithin = 5 * time.Second // for a predecessor to let go of the port and the interface
	attachPause  = 50 * time.Millisecond
)

// ExitCode is what the process exits with after Run: 0 when it was told to end, ExitGone, or 1.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrGone):
		return ExitGone
	}
	return 1
}

// Run carries the lease's overlay until the context ends or it is told to close (nil), the container is gone (ErrGone), or the device
// breaks. It reads the private key, one line in base64, from stdin. It bounds this process's memory.
func Run(ctx context.Context, config Config, stdin io.Reader, log *slog.Logger) error {
	debug.SetMemoryLimit(memoryMax)
	config, err := config.check()
	if err != nil {
		return err
	}
	key, err := readKey(stdin)
	if err != nil {
		return err
	}
	lock, err := takeLock(ctx, config.Socket)
	if err != nil {
		return err
	}
	defer lock.release()
	space, err := openNamespace(config)
	if err != nil {
		return err
	}
	defer space.close()
	device, err := attach(ctx, config, space, key, log)
	if err != nil {
		return err
	}
	defer device.Close()
	log.Info("carrying the overlay", "lease", config.Lease, "address", config.Address, "port", device.Port(), "public_key", device.PublicKey())
	return serve(ctx, config, space, device, log)
}

func serve(ctx context.Context, config Config, space *namespace, device *wireguard.Device, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	control := newControl(config, space, device, log)
	control.outlet.open(ctx, config.Egress)
	defer func() { cancel(); control.outlet.close() }()
	if err := control.open(ctx); err != nil {
		return err
	}
	defer control.close()
	gone := make(chan error, 1)
	go func() { gone <- space.watch(ctx) }() // awaited below
	var err error
	select {
	case <-ctx.Done():
	case <-control.told:
		log.Info("told to close", "lease", config.Lease)
	case err = <-control.broken:
	case <-device.Wait():
		err = errors.New("the overlay's interface was taken away")
	case err = <-gone:
		return err
	}
	cancel()
	<-gone
	return err
}

func readKey(stdin io.Reader) (overlay.PrivateKey, error) {
	line, err := bufio.NewReader(io.LimitReader(stdin, keyLineMax)).ReadString('\n')
	if err != nil {
		return overlay.PrivateKey{}, fmt.Errorf("reading the private key from standard input: %w", err)
	}
	return overlay.ParsePrivateKey(line[:len(line)-1])
}

// attach waits for a predecessor that was killed a moment ago: the kernel takes its socket and its interface away in its own time.
func attach(ctx context.Context, config Config, space *namespace, key overlay.PrivateKey, log *slog.Logger) (*wireguard.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, attachWithin)
	defer cancel()
	for {
		device, err := wireguard.Attach(wireguard.Config{
			PrivateKey: key, Port: config.Port, Address: config.Address, MTU: config.MTU,
			Netns: space.path, Interface: deviceName, Name: overlay.DeviceName(config.Lease),
		}, log)
		if err == nil || !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EADDRINUSE) {
			return device, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(attachPause):
		}
	}
}
