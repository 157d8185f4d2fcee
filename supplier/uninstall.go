package supplier

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	dockerclient "github.com/docker/docker/client"

	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/identity"
	"raylink/raylink/wire"
	"raylink/supplier/dataplane"
	"raylink/supplier/runtime/docker"
	"raylink/supplier/shred"
)

const (
	endWithin   = 20 * time.Second // for the running agent to end
	endPoll     = 50 * time.Millisecond
	tellTimeout = 10 * time.Second
	namesMax    = 20 // that are told one by one
)

// Gone is what an uninstall did.
type Gone struct {
	Machine raylink.MachineID `json:"machine,omitempty"`
	Leases  int               `json:"leases"`         // that were ended
	Lost    int               `json:"lost,omitempty"` // signed minutes that were not settled
	Told    bool              `json:"told"`           // the group knows
	Left    []string          `json:"left,omitempty"` // what stays, where, and why
}

// Uninstall ends all that this machine's agent ever made and removes it: leases, containers, data planes, sockets, directories, identity. A
// running agent ends itself first. Without force it refuses while leases run or signed minutes are not settled, and drains the machine instead.
// Doing it twice does no harm. Where nobody of the group answers everything here is removed all the same, and Left says what stays there.
func Uninstall(ctx context.Context, config Config, force bool, log *slog.Logger) (Gone, error) {
	var gone Gone
	config.Runtime = RunsWith(config)
	if err := config.check(); err != nil {
		return gone, err
	}
	store := files{root: filepath.Clean(config.Data)}
	if _, err := os.Stat(store.root); errors.Is(err, fs.ErrNotExist) {
		return gone, nil
	}
	if !ours(store.root) {
		return gone, raylink.Errorf(raylink.CodeInvalid, "%s holds nothing of an agent's", store.root).WithHint("--data names the agent's directory")
	}
	orders, err := store.loadAssignment()
	if err != nil {
		log.Warn("the last assignment cannot be read", "error", err)
	}
	me, err := whoseData(store, &gone)
	if err != nil {
		return gone, err
	}
	if !force {
		if err := mayGo(store, orders); err != nil {
			return gone, err
		}
	}
	unlock, err := store.takeOver(ctx)
	if err != nil {
		return gone, err
	}
	defer unlock()
	gone.Lost = store.unsettled()
	if gone.Machine != "" {
		if err := store.open(); err != nil {
			return gone, err
		}
		if err := store.each(config, log, func(one Config) error { return endAll(ctx, &one, store, &gone, force, log) }); err != nil {
			return gone, err
		}
	} else if err := store.wipe(ctx, &gone, log); err != nil {
		return gone, err
	}
	dataplane.RemoveDirs()
	if me != nil {
		gone.Told = farewell(ctx, me, gone.Machine, orders, log)
		if !gone.Told {
			gone.Left = append(gone.Left, fmt.Sprintf("the group still knows machine %s and takes it for down: nobody of it answered; tell its admin, or leave it", gone.Machine))
		}
	}
	gone.Left = append(gone.Left, store.erase(store.ranWith(config.Runtime))...)
	return gone, nil
}

// ours says whether a directory is an agent's: an uninstall with a wrong --data must not touch anybody's files.
func ours(root string) bool {
	for _, name := range []string{"identity", "leases", "minutes", "lock", viewFile, ownerFile} {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
			return true
		}
	}
	entries, err := os.ReadDir(root)
	return err == nil && len(entries) == 0
}

// whoseData finds out which machine a data directory is of: by its identity, else by the agent's last view.
func whoseData(store files, gone *Gone) (*client.Identity, error) {
	dir := filepath.Join(store.root, "identity")
	if client.Joined(dir) {
		me, err := client.OpenIdentity(dir)
		if err != nil {
			return nil, err
		}
		gone.Machine = identity.MachineID(me.Key().Public().(ed25519.PublicKey))
		return me, nil
	}
	view, found, _, err := ReadView(store.root)
	if err == nil && found {
		gone.Machine = view.Machine
	}
	return nil, nil
}

// mayGo refuses while somebody would lose something, and keeps what is new away meanwhile.
func mayGo(store files, orders wire.Assignment) error {
	running := 0
	for _, order := range orders.Leases {
		if order.Want != raylink.WantEnd {
			running++
		}
	}
	lost := store.unsettled()
	if running == 0 && lost == 0 {
		return nil
	}
	if _, err := ChangeOwner(store.root, func(o *Owner) error {
		if o.Drain == nil {
			return o.TakeBack(time.Now(), 0)
		}
		return nil
	}); err != nil {
		return err
	}
	return raylink.Errorf(raylink.CodeConflict, "%d lease(s) run here and %d signed minute(s) are not settled; the machine is drained now, nothing was removed", running, lost).
		WithHint("wait until they are over (`raylink supplier status`), set an end with `raylink supplier drain --notice 1h`, or add --force: the tenants then lose their nodes at once")
}

// takeOver ends the running agent and keeps its lock.
func (f files) takeOver(ctx context.Context) (unlock func(), err error) {
	if unlock, err = f.lock(); err == nil {
		return unlock, nil
	}
	if runs, err := Runs(f.root); err != nil {
		return nil, err
	} else if !runs {
		return f.lock() // the agent has just ended, or the lock cannot be had at all
	}
	now := time.Now().UTC()
	if _, err := ChangeOwner(f.root, func(o *Owner) error { o.Ends = &now; return nil }); err != nil {
		// Settings that cannot be read keep nobody from leaving.
		if err := save(filepath.Join(f.root, ownerFile), Owner{Ends: &now}); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	ticker := time.NewTicker(endPoll)
	defer ticker.Stop()
	for {
		if unlock, err = f.lock(); err == nil {
			return unlock, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the agent did not end within %s: %w", endWithin, err)
		case <-ticker.C:
		}
	}
}

// unsettled counts the signed minutes on the disk.
func (f files) unsettled() int {
	entries, err := os.ReadDir(filepath.Join(f.root, "minutes"))
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		var t tally
		if load(filepath.Join(f.root, "minutes", e.Name()), &t) == nil {
			n += len(t.Records)
		}
	}
	return n
}

// endAll removes one runtime's containers, or processes, and data planes. Where it cannot be asked nobody knows what is there: only force goes on.
func endAll(ctx context.Context, config *Config, store files, gone *Gone, force bool, log *slog.Logger) error {
	run, planes, shut, err := hands(ctx, config, store, gone.Machine, log)
	if err != nil {
		if !force {
			return err
		}
		what := fmt.Sprintf("containers labelled raylink.machine=%s", gone.Machine)
		if config.Runtime == RuntimeProcess {
			what = "processes of leases, with their records in " + filepath.Join(store.root, processContainers)
		}
		gone.Left = append(gone.Left, fmt.Sprintf("%s, if there are any: %v", what, err))
		return nil
	}
	defer shut()
	containers, err := run.List(ctx)
	if err != nil {
		return err
	}
	gone.Leases += len(containers)
	err = removeAll(ctx, store, run, planes, log)
	if !shred.Rest(err) {
		return err
	}
	if err != nil {
		gone.Left = append(gone.Left, err.Error())
	}
	if config.Runtime != RuntimeDocker {
		return nil
	}
	return sweep(ctx, store, gone)
}

// wipe makes unreadable what leases wrote of which nobody knows whose they were: the identity is gone.
func (f files) wipe(ctx context.Context, gone *Gone, log *slog.Logger) error {
	if err := f.open(); err != nil {
		return err
	}
	leases, err := f.list()
	if err != nil {
		return err
	}
	errs := []error{f.removeAssignment(ctx)}
	for _, lease := range leases {
		errs = append(errs, f.remove(ctx, lease, tells(log, lease)))
	}
	err = errors.Join(errs...)
	if !shred.Rest(err) {
		return err
	}
	if err != nil {
		gone.Left = append(gone.Left, err.Error())
	}
	return nil
}

// sweep removes the data planes' containers whose lease is forgotten, and names the containers that hold the data directory, the agent's own, and those that
// have a lease's labels and not its name: somebody made them of a lease's image, or gave one another name.
func sweep(ctx context.Context, store files, gone *Gone) error {
	engine, err := dockerclient.NewClientWithOpts(dockerclient.FromEnv, dockerclient.WithAPIVersionNegotiation())
	if err != nil {
		return fmt.Errorf("opening the Docker client: %w", err)
	}
	defer engine.Close()
	rows, err := engine.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return fmt.Errorf("looking for what is left: %w", err)
	}
	base := containerPlanes{engine: engine, machine: gone.Machine}
	for _, row := range rows {
		if row.Labels[labelMachine] == string(gone.Machine) && row.Labels[labelPlane] != "" {
			if err := base.remove(ctx, row.ID); err != nil {
				return err
			}
			continue
		}
		if row.Labels[labelMachine] == string(gone.Machine) && row.Labels[docker.LabelLease] != "" {
			gone.Left = append(gone.Left, fmt.Sprintf("container %.12s %s, which has a lease's labels and a name that the agent did not give it", row.ID, strings.Join(row.Names, ",")))
		}
		for _, m := range row.Mounts {
			if m.Source == store.root || strings.HasPrefix(store.root, m.Source+"/") && m.Source != "/" {
				gone.Left = append(gone.Left, fmt.Sprintf("container %.12s %s, which has the agent's directory; you started it: docker rm -f %.12s", row.ID, strings.Join(row.Names, ","), row.ID))
			}
		}
	}
	return nil
}

// farewell tells the group that the machine is gone: its leases ended, nothing new is to come. It says whether somebody took it.
func farewell(ctx context.Context, me *client.Identity, machine raylink.MachineID, orders wire.Assignment, log *slog.Logger) bool {
	group, err := client.New(client.Config{Coordinators: me.Coordinators(), CAPEM: me.CAPEM(), Certificate: me.Certificate})
	if err != nil {
		log.Warn("the group cannot be told", "error", err)
		return false
	}
	defer group.Close()
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	report := wire.AgentReport{Started: time.Now().UTC(), Paused: raylink.ReasonOwnerDrain, Leases: []wire.LeaseReport{}}
	for _, order := range orders.Leases {
		report.Leases = append(report.Leases, wire.LeaseReport{Lease: order.Lease, Stage: raylink.StageGone, Failure: &raylink.Failure{
			Stage: rayStage(order), Machine: machine, Reason: "the machine's owner has taken it back", Hint: "create the cluster again; it is placed elsewhere"}})
	}
	err = group.Report(ctx, report)
	if err == nil { // a group that takes no report takes no drain either
		err = group.OnMachine(ctx, machine, "drain", wire.MachineAction{Reason: "uninstalled by its owner"})
	}
	if err != nil {
		log.Warn("the group was not told everything", "error", err)
	}
	return err == nil
}

// erase removes the agent's files, the identity last, and then every directory that is empty. It names what stays.
func (f files) erase(ranWith []string) (left []string) {
	parts := []string{"leases", "minutes", "assignment.json", "assignment.json.old", ownerFile, ownerLock, viewFile, runtimesFile, "identity", "lock"}
	if slices.Contains(ranWith, RuntimeProcess) {
		if left = f.eraseProcesses(); len(left) > 0 { // whoever comes to end them must know what they are
			return left
		}
	}
	left = append(left, f.eraseSockets()...)
	for _, name := range parts {
		for _, path := range []string{name + ".new", name} {
			if err := os.RemoveAll(filepath.Join(f.root, path)); err != nil {
				left = append(left, fmt.Sprintf("%s: %v", filepath.Join(f.root, path), err))
			}
		}
	}
	if entries, err := os.ReadDir(f.root); err == nil && len(entries) > 0 {
		for _, e := range entries[:min(len(entries), namesMax)] {
			left = append(left, filepath.Join(f.root, e.Name())+": the agent did not make it")
		}
		return left
	}
	if err := os.Remove(f.root); err != nil && !errors.Is(err, fs.ErrNotExist) {
		left = append(left, fmt.Sprintf("%s: %v", f.root, err))
	}
	if !slices.ContainsFunc(ranWith, func(with string) bool { return with != RuntimeScripted }) {
		return left
	}
	if to, err := os.Readlink(uapiSockets); err == nil && to == filepath.Join(f.root, "wireguard") {
		if err := os.Remove(uapiSockets); err != nil {
			left = append(left, fmt.Sprintf("%s: %v", uapiSockets, err))
		}
	}
	// Directories that other agents may use stay as long as anything is in them.
	for _, dir := range []string{filepath.Dir(dataplane.SocketPath("")), uapiSockets, "/var/lib/raylink"} {
		if err := os.Remove(dir); err != nil && !slices.ContainsFunc([]error{fs.ErrNotExist, fs.ErrExist}, func(is error) bool { return errors.Is(err, is) }) {
			left = append(left, fmt.Sprintf("%s: %v", dir, err))
		}
	}
	return left
}

// eraseSockets removes the sockets of data planes, and their directories where nothing else is in them: below --data / or /etc others have theirs there.
func (f files) eraseSockets() (left []string) {
	for _, name := range []string{"run", "wireguard"} {
		dir := filepath.Join(f.root, name)
		entries, _ := os.ReadDir(dir) // what cannot be read cannot be removed either
		for _, e := range entries {
			if e.IsDir() || !strings.HasPrefix(e.Name(), "rl") || !strings.Contains(e.Name(), ".sock") {
				continue
			}
			if err := removeFile(filepath.Join(dir, e.Name())); err != nil {
				left = append(left, fmt.Sprintf("%s: %v", filepath.Join(dir, e.Name()), err))
			}
		}
		_ = os.Remove(dir) // one that is not empty is named with all that stays
	}
	return left
}

// eraseProcesses removes the images and the records of leases that ran without an engine. A record that is still there is of a lease that was not ended, or that
// is another machine's: it stays, by it alone is the lease found.
func (f files) eraseProcesses() (left []string) {
	dir := filepath.Join(f.root, processContainers)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []string{fmt.Sprintf("%s: %v", dir, err)}
	}
	for _, e := range entries {
		if _, err := os.Lstat(filepath.Join(dir, e.Name(), "record.json")); err == nil && len(left) < namesMax {
			left = append(left, filepath.Join(dir, e.Name())+": its processes were not ended, or are another machine's; with them stays all that the agent needs to end them")
		}
	}
	if len(left) > 0 {
		return left
	}
	for _, path := range []string{dir, filepath.Join(f.root, processImages)} {
		if err := os.RemoveAll(path); err != nil {
			left = append(left, fmt.Sprintf("%s: %v", path, err))
		}
	}
	return left
}
