package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/supplier/device/nvml"
)

// gpuFlags are what the agent's container is started with on a machine with NVIDIA GPUs, beside what every one is.
const gpuFlags = "--gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility --cap-add SYS_PTRACE"

func nvidia(f Facts) []Finding {
	var out []Finding
	if f.Host != nil {
		for _, d := range f.Host.Devices {
			if d.Fault != "" {
				out = append(out, one("device "+d.ID, Warning, faultRemedy(f, d.Fault), "%s cannot be used: %s", d.Name, d.Fault)...)
			}
		}
	}
	switch {
	case f.NvidiaPCI == 0 && f.NvidiaDriver == "":
		return append(out, one("nvidia", OK, "", "there is no NVIDIA GPU: the processor is what is rented out")...)
	case f.Alone != nil:
		return append(out, one("nvidia", Note, "use --runtime docker, with nvidia-container-toolkit, to rent them out", "%d NVIDIA device(s): leases that run as processes get none", f.NvidiaPCI)...)
	case f.NvidiaDriver == "":
		return append(out, one("nvidia", Warning, "install NVIDIA's driver (apt install nvidia-driver) and restart", "%d NVIDIA device(s), and no driver is loaded: no GPU is offered", f.NvidiaPCI)...)
	case f.Engine != nil && !slices.Contains(f.Engine.Runtimes, "nvidia") && f.NvidiaToolkit == "" && !f.HostHidden:
		return append(out, one("nvidia", Warning, "install nvidia-container-toolkit; then `nvidia-ctk runtime configure --runtime=docker` and restart Docker",
			"driver %s, but containers cannot have the GPU", f.NvidiaDriver)...)
	case f.NvidiaBuild != "":
		return append(out, one("nvidia", Warning, "run the agent of Raylink's image, or build with cgo (raylink/devnet/setup/build.sh)", "driver %s, but %s", f.NvidiaDriver, f.NvidiaBuild)...)
	case f.HostHidden && f.NvidiaToolkit == "":
		return append(out, one("nvidia", Warning, "start the agent's container with "+gpuFlags+", and where the host has AppArmor with --security-opt apparmor=unconfined",
			"driver %s; the host's programs cannot be seen from this container, so the toolkit's version is not known: a network that asks for one places nothing here", f.NvidiaDriver)...)
	}
	return append(out, one("nvidia", OK, "", "driver %s, container toolkit there", f.NvidiaDriver)...)
}

// faultRemedy is what mends a device. NVIDIA's library is not in a container that was not started with its GPUs; restarting that one brings nothing.
func faultRemedy(f Facts, fault string) string {
	switch {
	case strings.Contains(fault, nvml.ErrBuild.Error()):
		return "run the agent of Raylink's image, or build with cgo (raylink/devnet/setup/build.sh)"
	case strings.Contains(fault, nvml.ErrNoDriver.Error()) && f.Container:
		return "start the agent's container anew with " + gpuFlags
	case strings.Contains(fault, nvml.ErrNoDriver.Error()):
		return "install the driver's library libnvidia-ml.so.1 (Debian: apt install libnvidia-ml1), of the driver's own version"
	}
	return "see `dmesg | grep -i -e xid -e nvrm`; restart the agent's container after a daemon-reload"
}

func gvisor(f Facts) []Finding {
	registered := f.Engine != nil && slices.Contains(f.Engine.Runtimes, raylink.GVisorRuntime)
	switch {
	case f.System != "":
		return nil
	case f.Alone != nil:
		return one("gvisor", OK, "", "not without an engine: leases have the tier container")
	case registered && f.Engine.GVisor && f.HostHidden:
		return one("gvisor", Note, "start the agent's container with --cap-add SYS_PTRACE, and where the host has AppArmor with --security-opt apparmor=unconfined",
			"the engine knows runsc; its version cannot be seen from this container: a network that asks for one places nothing here")
	case registered && f.Engine.GVisor:
		return one("gvisor", OK, "", "the engine knows runsc: tenants who ask for gVisor come here, too")
	case registered:
		return one("gvisor", Note, raylink.GVisorHint+" on the host register it anew", "the engine calls runsc without --network=host, or that cannot be seen from here: a lease in it would have no overlay, so gVisor is not offered")
	case f.Runsc != "":
		return one("gvisor", Note, raylink.GVisorHint+" tell the engine of it", "%s is there, but the engine does not know it", f.Runsc)
	}
	return one("gvisor", Note, "apt install runsc, then "+raylink.GVisorHint+": tenants may ask for it", "not there; leases run in plain containers")
}

func join(f Facts) []Finding {
	if f.IdentityErr != "" {
		return one("identity", Missing, "see that this user may read "+f.Data+"/identity; `raylink supplier uninstall`, and a fresh join token, begin anew", "it cannot be read: %s", f.IdentityErr)
	}
	if !f.Joined {
		return one("identity", Missing, "raylink supplier --join URL --join-token-file FILE", "this machine has not joined a network (%s)", f.Data)
	}
	return one("identity", OK, "", "joined")
}

func coordinators(f Facts) []Finding {
	reached := 0
	var out []Finding
	for _, c := range f.Coordinators {
		if c.Err == "" {
			reached++
		}
	}
	for _, c := range f.Coordinators {
		level := Warning
		if reached == 0 {
			level = Missing
		}
		switch {
		case c.Trust:
			out = append(out, one("tls", level, "something stands in between (a proxy, a wrong address), or the group has another CA now: ask its admin", "%s is not who the group's CA says: %s", c.URL, c.Err)...)
		case c.Err != "":
			out = append(out, one("coordinator", level, "see that this machine reaches that address and port: name, route, firewall", "%s does not answer: %s", c.URL, c.Err)...)
		}
	}
	if reached > 0 {
		out = append(out, one("coordinators", OK, "", "%d of %d answer, with the group's own certificate", reached, len(f.Coordinators))...)
	}
	return out
}

func clock(f Facts) []Finding {
	var offsets []time.Duration
	for _, c := range f.Coordinators {
		if c.Err == "" {
			offsets = append(offsets, c.Offset)
		}
	}
	if len(offsets) == 0 {
		return nil // the coordinators' finding says why
	}
	slices.Sort(offsets)
	offset := offsets[len(offsets)/2].Round(time.Second) // one wrong coordinator does not make this machine wrong
	switch size := offset.Abs(); {
	case size >= clockMissing:
		return one("clock", Missing, "systemctl enable --now systemd-timesyncd, or install chrony", "it is %s off the coordinators'", offset)
	case size > clockWarning:
		return one("clock", Warning, "systemctl enable --now systemd-timesyncd, or install chrony", "it is %s off the coordinators'", offset)
	}
	return one("clock", OK, "", "within %s of the coordinators'", clockWarning)
}

func certificate(f Facts) []Finding {
	if !f.Joined || f.CertUntil.IsZero() {
		return nil
	}
	switch left := f.CertUntil.Sub(f.At); {
	case left <= 0:
		return one("certificate", Missing, "start the agent; if the group refuses it, `raylink supplier uninstall` and join anew", "it has been over since %s", f.CertUntil.UTC().Format(time.RFC3339))
	case left < certWarning:
		return one("certificate", Warning, "see that the agent runs and reaches a coordinator: it renews long before", "it ends in %s", left.Round(time.Minute))
	default:
		return one("certificate", OK, "", "%s left; the agent renews it", left.Round(time.Minute))
	}
}

// udp is not measured: only a running lease has a gateway to talk to.
func udp(Facts) []Finding {
	return one("udp", Note, "let UDP out to everywhere, and in where you can", "not known before a lease runs; without direct UDP its nodes are reached through a relay, more slowly")
}

func firewall(f Facts) []Finding {
	if len(f.Firewall) == 0 {
		return nil
	}
	return one("firewall", Warning, "let UDP in to the ports that this host binds itself, and TCP out to the coordinators", "rules that may be in the way: %s", strings.Join(f.Firewall, "; "))
}

func agents(f Facts) []Finding {
	var out []Finding
	switch {
	case f.Silent != nil && f.AgentRun:
		out = one("agent", Missing, "see the findings on coordinators, certificate and clock", "it runs, and no coordinator has taken its reports since %s", f.Silent.UTC().Format(time.RFC3339))
	case f.AgentRun:
		out = one("agent", OK, "", "it runs")
	case f.Joined:
		out = one("agent", Missing, "start it: `raylink supplier`, or docker start its container", "the agent does not run")
	}
	if len(f.Agents) > 1 {
		out = append(out, one("agents", Warning, "run one agent a machine: two offer the same cores twice", "%d agents run here (pids %s)", len(f.Agents), strings.Trim(fmt.Sprint(f.Agents), "[]"))...)
	}
	if len(f.Strange) > 0 {
		out = append(out, one("others", Warning, "run one agent a machine; `docker ps -a --filter label=raylink.machine` shows them", "containers of other machines of the network are here: %s", strings.Join(f.Strange, ", "))...)
	}
	return out
}

func leftovers(f Facts) []Finding {
	if len(f.Left) == 0 {
		return nil
	}
	remedy := "the agent removes them once a coordinator has told it its orders"
	if !f.AgentRun {
		remedy = "start the agent, which removes them; or `raylink supplier remove`"
	}
	return one("leftovers", Warning, remedy, "containers or processes of leases that nobody ordered: %s", strings.Join(f.Left, ", "))
}

func standing(f Facts) []Finding {
	if f.Standing == nil {
		if f.StandErr == "" {
			return nil
		}
		return one("market", Warning, "see the findings on coordinators and certificate", "how the group sees this machine is not known: %s", f.StandErr)
	}
	s := f.Standing
	found := string(s.State)
	if words := s.Reason.Words(); words != "" {
		found += ": " + words
	}
	if s.Detail != "" {
		found += " (" + s.Detail + ")"
	}
	if wait := s.GPUsWait(); wait != "" {
		found += "; " + wait
	}
	level := OK
	switch s.State {
	case "":
		return one("market", Note, "update the coordinators", "the group does not say how it sees this machine")
	case raylink.MachineBlocked, raylink.MachineQuarantined, raylink.MachineDown:
		level = Missing
	case raylink.MachineDraining:
		level = Warning
	case raylink.MachineJoining, raylink.MachineProving:
		level = Note
	}
	return one("market", level, s.Reason.Remedy(), "the group sees it as %s", found)
}
