package supplier

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
	"raylink/supplier/device"
	"raylink/supplier/device/nvml"
	"raylink/supplier/prove/cuda"
	"raylink/supplier/runtime"
	"raylink/supplier/runtime/docker"
	"raylink/supplier/runtime/scripted"
	"raylink/supplier/shred"
)

const (
	joinPause      = 3 * time.Second
	tokenFileLimit = 4 << 10 // bytes
)

// Run is the agent of one machine until ctx ends: it joins if it has not, takes over what runs, and does what it is told. What runs on
// the machine then runs on; Remove takes it away.
func Run(ctx context.Context, config Config, log *slog.Logger) error {
	if err := Refusal(config); err != nil {
		return err
	}
	if err := config.check(); err != nil {
		return err
	}
	has, err := device.Look()
	if err != nil {
		return err
	}
	offer, err := config.offer(has)
	if err != nil {
		return err
	}
	host := hostOf(ctx, config.Runtime, offer, log)
	if err := config.whole(&offer, host, log); err != nil {
		return err
	}
	store := files{root: filepath.Clean(config.Data)}
	if err := store.open(); err != nil {
		return err
	}
	unlock, err := store.lock()
	if err != nil {
		return err
	}
	defer unlock()
	me, err := join(ctx, &config, offer, log)
	if err != nil {
		return err
	}
	machine := identity.MachineID(me.Key().Public().(ed25519.PublicKey))
	log = log.With("machine", machine)
	coordinators, err := me.Client(log)
	if err != nil {
		return err
	}
	defer coordinators.Close()
	trust, err := config.trust()
	if err != nil {
		return err
	}
	run, planes, shut, err := hands(ctx, &config, store, machine, log)
	if err != nil {
		return err
	}
	defer shut()
	if err := store.remember(config.Runtime); err != nil {
		return err
	}
	where := &locator{coordinators: coordinators.Coordinators, foreign: config.DataPlanes == PlanesContainer}
	if config.Address != "" {
		where.fixed = netip.MustParseAddr(config.Address) // checked above
	}
	log.Info("the agent works", "name", config.Name, "processor", has.Model, "cores", float64(offer.Resources.CPU)/raylink.Unit,
		"memory_bytes", offer.Resources.Memory, "gpus", offer.Resources.GPU/raylink.Unit, "model", offer.Accelerator, "runtime", config.Runtime, "data_planes", config.DataPlanes)
	ctx, cancel := context.WithCancel(ctx)
	var fresh sync.WaitGroup
	defer fresh.Wait()
	defer cancel()
	fresh.Go(func() { me.KeepFresh(ctx, coordinators, log) })
	gpus := nvml.Open()
	return New(Parts{
		Machine: machine, Key: me.Key(), Offer: offer, DataDir: store.root, Coordinator: coordinators, Runtime: run, Planes: planes, Address: where.Address,
		Trust: trust, Known: networkImages(offer.Arch),
		Host: host, Disk: realDisk{}, LeaseDisk: int64(config.LeaseDisk), DiskFloor: int64(config.DiskFloor), NoEgress: config.NoEgress, EgressBytes: int64(config.Egress),
		Wipe: cuda.Wipe, GPUUsers: nvml.Open().Computing, WatchGPUs: gpus.Watch, GPUReadings: gpus.Last,
	}, log).Run(ctx)
}

// join opens the identity, or makes one with the join token.
func join(ctx context.Context, config *Config, offer raylink.Offer, log *slog.Logger) (*client.Identity, error) {
	dir := filepath.Join(config.Data, "identity")
	if client.Joined(dir) {
		me, err := client.OpenIdentity(dir)
		if err == nil && config.Join != "" && !slices.Contains(me.Coordinators(), strings.TrimSuffix(config.Join, "/")) {
			log.Warn("this machine has joined a network before and stays in it; --join is not looked at", "join", config.Join, "coordinators", me.Coordinators(),
				"hint", "if --join is of another network, `raylink supplier uninstall` leaves this one first")
		}
		return me, err
	}
	if config.Join == "" {
		return nil, invalid("this machine has not joined a network yet").
			WithHint("give --join URL and --join-token-file FILE; an admin makes a token with `raylink join-token create --kind machine`")
	}
	token := config.Token
	if token == "" {
		text, err := readToken(config.TokenFile)
		if err != nil {
			return nil, err
		}
		token = text
	}
	if config.Runtime == RuntimeDocker { // or else the token is spent on a machine that cannot work, and the group waits for it
		engine, err := docker.Open(ctx, "")
		if err != nil {
			return nil, err
		}
		engine.Close()
	}
	for {
		me, err := client.Enroll(ctx, dir, config.Join, token, wire.JoinRequest{Name: config.Name, Offer: &offer})
		if err == nil {
			log.Info("joined", "coordinator", config.Join, "certificate_until", me.ExpiresAt())
			return me, nil
		}
		if code := raylink.AsError(err).Code; ctx.Err() != nil || code != raylink.CodeUnavailable {
			return nil, err
		}
		log.Warn("no coordinator takes the join yet; trying again", "coordinator", config.Join, "error", err)
		timer := time.NewTimer(joinPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
}

func readToken(path string) (string, error) {
	if path == "" {
		return "", invalid("there is no join token").WithHint("give --join-token-file FILE; an admin makes a token with `raylink join-token create --kind machine`")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the join token: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, tokenFileLimit))
	if err != nil {
		return "", fmt.Errorf("reading the join token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// hands are what the agent acts with: the runtime, and the data planes that go with it.
func hands(ctx context.Context, config *Config, store files, machine raylink.MachineID, log *slog.Logger) (runtime.Runtime, runtime.Planes, func(), error) {
	if config.Runtime == RuntimeScripted {
		log.Warn("the runtime is scripted: leases are only pretended, and nothing survives this process")
		host := scripted.NewHost().AnyImage()
		return host.For(machine), host.Planes(machine), func() {}, nil
	}
	if config.Runtime == RuntimeProcess {
		return withoutEngine(config, store, machine, log)
	}
	engine, err := docker.Open(ctx, machine)
	if err != nil {
		return nil, nil, nil, err
	}
	shut := func() { engine.Close() }
	processes := processPlanes{files: store, log: log}
	if config.DataPlanes == PlanesAuto {
		config.DataPlanes = PlanesProcess
		// A machine may itself be a container, of an engine that is not the one here: then the agent is on its host all the same.
		if own, err := ownContainer(); err == nil && engine.Holds(ctx, own) {
			config.DataPlanes = PlanesContainer
		}
	}
	if config.DataPlanes == PlanesProcess {
		return engine, &processes, shut, nil
	}
	containers, err := newContainerPlanes(ctx, processes, machine)
	if err != nil {
		shut()
		return nil, nil, nil, err
	}
	return engine, containers, func() { containers.engine.Close(); shut() }, nil
}

// Remove takes away all that this machine's agents made for leases: containers, data planes, directories. The identity stays, and so do
// minutes that are signed and not settled. No agent of the machine may run meanwhile.
func Remove(ctx context.Context, config Config, log *slog.Logger) error {
	config.Runtime = RunsWith(config)
	if err := config.check(); err != nil {
		return err
	}
	store := files{root: filepath.Clean(config.Data)}
	if !client.Joined(filepath.Join(store.root, "identity")) {
		return nil // it never ran a lease
	}
	me, err := client.OpenIdentity(filepath.Join(store.root, "identity"))
	if err != nil {
		return err
	}
	unlock, err := store.lock()
	if err != nil {
		return err
	}
	defer unlock()
	machine := identity.MachineID(me.Key().Public().(ed25519.PublicKey))
	return store.each(config, log, func(one Config) error {
		run, planes, shut, err := hands(ctx, &one, store, machine, log)
		if err != nil {
			return err
		}
		defer shut()
		return removeAll(ctx, store, run, planes, log)
	})
}

func removeAll(ctx context.Context, store files, run runtime.Runtime, planes runtime.Planes, log *slog.Logger) error {
	containers, err := run.List(ctx)
	if err != nil {
		return err
	}
	dirs, err := store.list()
	if err != nil {
		return err
	}
	for _, c := range containers {
		dirs = append(dirs, c.Lease)
	}
	var errs []error
	for _, lease := range dirs {
		err := errors.Join(run.Stop(ctx, lease), planes.Stop(ctx, lease))
		if shred.Rest(err) { // while its tenant lives he would write what is overwritten
			err = errors.Join(err, store.remove(ctx, lease, tells(log, lease)))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("removing lease %s: %w", lease, err))
		}
	}
	if err := store.removeAssignment(ctx); err != nil {
		errs = append(errs, err)
	}
	log.Info("removed what was made for leases", "containers", len(containers))
	return errors.Join(errs...)
}
