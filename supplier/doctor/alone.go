package doctor

import "strings"

// Alone is what a machine has for leases without an engine (--runtime process).
type Alone struct {
	FilterErr string   // why the kernel filters no system calls
	Cgroups   int      // version of the control groups
	LimitsErr string   // why no lease could be put into one
	Users     bool     // it has user namespaces
	Images    []string // those that lie in the agent's directory
}

// system is about machines on which the agent runs no leases at all.
func system(f Facts) []Finding {
	if f.System == "" {
		return nil
	}
	return one("system", Missing, f.SystemHint, "this is %s: the agent runs leases on Linux alone", f.System)
}

// filterOf is the sandbox of leases without an engine: nothing runs without a filter of system calls.
func filterOf(a Alone) []Finding {
	switch {
	case a.FilterErr != "":
		return one("sandbox", Missing, "run a kernel with CONFIG_SECCOMP_FILTER, 4.14 or later; in a container allow the call seccomp(2)", "%s", a.FilterErr)
	case !a.Users:
		return one("sandbox", Warning, "sysctl user.max_user_namespaces=10000, where the kernel has them", "seccomp is on; there are no user namespaces, and leases run without that wall")
	}
	return one("sandbox", OK, "", "seccomp is on, and there are user namespaces")
}

// limitsOf is what bounds a lease's cores, memory and processes.
func limitsOf(a Alone) []Finding {
	switch {
	case a.LimitsErr != "":
		return one("limits", Missing, "mount cgroup2 on /sys/fs/cgroup, to be written to, with the controllers cpu, memory and pids; or use --runtime docker",
			"no lease can be limited: %s", a.LimitsErr)
	case a.Cgroups == 1:
		return one("limits", Warning, "boot with systemd.unified_cgroup_hierarchy=1 when convenient", "cgroups v1: limits hold, but less exactly")
	}
	return one("limits", OK, "", "cgroups v%d", a.Cgroups)
}

// lying is about images without an engine: nothing is fetched.
func lying(f Facts) []Finding {
	remedy := "on a machine with Docker: supplier/worker/export.sh " + f.Image + " DIR; then copy what it wrote into " + f.Data + "/images/"
	switch {
	case len(f.Alone.Images) == 0:
		return one("image", Missing, remedy, "no image lies in %s/images, and none is fetched without an engine", f.Data)
	case !f.HasImage:
		return one("image", Warning, remedy, "%s is not there, and is not fetched without an engine; there are %s", f.Image, strings.Join(f.Alone.Images, ", "))
	}
	return one("image", OK, "", "%s is there", f.Image)
}
