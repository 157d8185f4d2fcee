package supplier

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/supplier/dataplane"
	"raylink/supplier/device"
	"raylink/supplier/shred"
)

// Would is what an agent with these settings would do to this machine.
type Would struct {
	Offer   raylink.Offer `json:"offer"`
	Refused string        `json:"refused,omitempty"` // why it would stop at once, and do nothing of this
	Left    []string      `json:"left,omitempty"`    // GPUs that it would not offer, and why
	Joined  bool          `json:"joined"`            // it has an identity already
	Items   []WouldItem   `json:"items"`
}

// WouldItem is one kind of thing that it makes or touches.
type WouldItem struct {
	What string `json:"what"` // files, containers, networks, …
	Now  string `json:"now"`  // at once
	Then string `json:"then"` // for each lease
	End  string `json:"end"`  // when it goes away
}

// DryRun says what Run would do. It reads, and changes nothing.
func DryRun(ctx context.Context, config Config) (Would, error) {
	if err := config.checkSettings(); err != nil {
		return Would{}, err
	}
	has, err := device.Look()
	if err != nil {
		return Would{}, err
	}
	var w Would
	if w.Offer, err = config.offer(has); err != nil {
		return w, err
	}
	w.Refused = refused(config, os.Geteuid())
	host := hostOf(ctx, config.Runtime, w.Offer, slog.New(slog.DiscardHandler))
	if err := config.whole(&w.Offer, host, slog.New(slog.DiscardHandler)); err != nil {
		return w, err
	}
	for _, d := range host.Devices {
		if d.Kind == raylink.DeviceGPU && d.Fault != "" {
			w.Left = append(w.Left, d.Name+" ("+d.ID+"): "+d.Fault)
		}
	}
	root := filepath.Clean(config.Data)
	w.Joined = client.Joined(filepath.Join(root, "identity"))
	join := "join with the token: one request to " + config.Join + ", which is told name, offer and a public key"
	if w.Joined {
		join = "none: it has joined before"
	} else if config.Join == "" {
		join = "none: without --join it would stop here"
	} else if err := client.CheckURL(config.Join); err != nil {
		return w, err
	}
	w.Items = []WouldItem{
		{"network", join, "UDP from a port of the system's choice, for the lease's encrypted mesh; TLS to gateways", "with the agent, or the lease"},
		{"files", root + ": key, certificate, settings, last orders (mode 0700)", root + "/leases/ID: start script, Ray's session and state" + config.wouldHold() + "; " + root + "/minutes/ID.json: signed minutes", "leases with their lease, the rest with `raylink supplier uninstall`"},
		{"sockets", "none", filepath.Dir(dataplane.SocketPath("")) + ", " + uapiSockets + ": control of the lease's data plane", "with the lease"},
		{"ports that listen", "none", "one UDP port a lease; the proxy to the Internet listens in the lease's own namespace alone", "with the lease"},
		{"containers", "none", fmt.Sprintf("one, raylink-ID, labelled raylink.machine: no network, no capability, limits on processors, memory and pids; with --data-planes container a second one, %sID, on the host's network", planeName("")), "with the lease"},
		{"images", "none", "the lease's image is pulled where it is missing", "stays: docker image rm"},
		{"networks, bridges, firewall rules", "none", "none: interfaces are made inside the container's own namespace alone", "-"},
		{"devices", "none", "/dev/net/tun, by the data plane; GPUs that the lease has, by the container", "with the lease"},
		config.wouldEgress(),
		{"kernel settings, users, services", "none", "none", "-"},
		config.wouldWipe(root),
	}
	switch config.Runtime {
	case RuntimeScripted:
		w.Items[4].Then, w.Items[5].Then, w.Items[7].Then, w.Items[8].Then = "none: the runtime is scripted", "none", "none", "none"
	case RuntimeProcess:
		w.Items = slices.Replace(w.Items, 4, 6, wouldRun(root)...)
		w.Items[7].Then = "none: interfaces are made inside the lease's own namespace alone"
		w.Items[8].Then = "/dev/net/tun, by the data plane; the lease has a /dev of its own, and no GPU"
	}
	return w, nil
}

// refused says why an agent of this user would stop before it did anything.
func refused(config Config, uid int) string {
	no := Refusal(config)
	if no == nil {
		no = config.checkUser(uid)
	}
	if no == nil {
		return ""
	}
	told := raylink.AsError(no)
	return told.Message + "; " + told.Hint
}

// wouldRun is what an agent makes without an engine, in place of containers and images.
func wouldRun(root string) []WouldItem {
	return []WouldItem{
		{"processes", "none", "a keeper and a first process, both root's, and the tenant's as user 1000 in namespaces of their own: no network, no capability, a filter of system calls; " +
			root + "/" + processContainers + "/ID: its record, home and log", "with the lease"},
		{"control groups", "none", "raylink/MACHINE/ID: limits on processors, memory and pids", "with the lease"},
		{"images", root + "/" + processImages + ", where their owner puts them", "the lease's image is unpacked there from NAME.tar, once; nothing is fetched", "with `raylink supplier uninstall`"},
	}
}

// wouldWipe is what would become of what a lease wrote.
func (c *Config) wouldWipe(root string) WouldItem {
	item := WouldItem{What: "what leases wrote", Now: "none", End: "before its resources are free; a kill is made up for by the next start",
		Then: "overwritten with zeros, file by file, then removed; what its tenant removed before is not overwritten, and SSDs and copying file systems may keep copies"}
	for at := root; ; at = filepath.Dir(at) {
		if shred.Can(at) {
			item.Then = "encrypted, on a key for each lease that is in the kernel's memory alone and thrown away"
		}
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
	}
	if c.Runtime == RuntimeDocker {
		item.Then += "; the container's log, and volumes that its image declares, are overwritten"
	}
	if c.Runtime == RuntimeScripted {
		item.Then = "none: the runtime is scripted"
	}
	return item
}

// wouldHold is what a lease could hold of the disk.
func (c *Config) wouldHold() string {
	out := ""
	if c.LeaseDisk > 0 {
		out += ", " + gib(int64(c.LeaseDisk)) + " a lease at most (--lease-disk)"
	}
	if c.DiskFloor > 0 {
		out += ", leaving " + gib(int64(c.DiskFloor)) + " free (--disk-floor)"
	}
	return out
}

// wouldEgress is what a lease could reach of the Internet, how much of it, and through what.
func (c *Config) wouldEgress() WouldItem {
	item := WouldItem{What: "the Internet", Now: "none", End: "with the lease"}
	where := "a proxy at " + proxyAddress() + " in the lease's own namespace"
	if c.NoEgress {
		item.Then = "nothing is reached: " + where + " refuses all and says why (--no-egress)"
		return item
	}
	limit := "as many bytes as it likes"
	if text, err := c.Egress.MarshalText(); err == nil && c.Egress > 0 {
		limit = string(text) + " at most, both ways together, over its life (--egress-bytes)"
	}
	item.Then = "public addresses through " + where + ", dialled from this machine's; " + limit +
		", or less where its tenant asked for less; never this machine, its networks, private and metadata addresses, or ports of mail"
	return item
}
