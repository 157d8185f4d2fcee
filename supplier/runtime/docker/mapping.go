package docker

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/docker/docker/api/types/system"

	"raylink/raylink"
	"raylink/supplier/runtime"
)

// mapped asks the engine whether it maps user ids (dockerd --userns-remap), and to which. It is asked once: an engine that is told another mapping knows
// none of its containers and images any more, and its agent is started anew. A runc before 1.1 opens what is bound into a container as the mapped root, who may
// not look into the agent's directory: there leases are made without, as on other engines.
func (r *Runtime) mapped(ctx context.Context) error {
	info, err := r.engine.Info(ctx)
	if err != nil {
		return fmt.Errorf("asking the engine whether it maps user ids: %w", err)
	}
	if r.base = mapping(info); r.base == (runtime.IDs{}) {
		return nil
	}
	version, err := r.engine.ServerVersion(ctx)
	if err != nil {
		return fmt.Errorf("asking the engine for its runc: %w", err)
	}
	for _, part := range version.Components {
		if have, ok := raylink.ParseVersion(part.Version); part.Name == "runc" && ok && have.Compare(runcOpens) >= 0 {
			return nil
		}
	}
	r.base = runtime.IDs{}
	return nil
}

// runcOpens is the first runc that opens the sources of binds as the machine's root.
var runcOpens, _ = raylink.ParseVersion("1.1.0")

// mapping is which ids on the machine the containers' root is; the zero value is no mapping. Such an engine keeps all that it has in a directory
// which is named after them, UID.GID; its answers tell them nowhere else.
func mapping(info system.Info) runtime.IDs {
	remaps := func(option string) bool { return option == "name=userns" || strings.HasPrefix(option, "name=userns,") }
	if !slices.ContainsFunc(info.SecurityOptions, remaps) {
		return runtime.IDs{}
	}
	user, group, _ := strings.Cut(filepath.Base(info.DockerRootDir), ".")
	uid, errUser := strconv.Atoi(user)
	gid, errGroup := strconv.Atoi(group)
	if errUser != nil || errGroup != nil || min(uid, gid) <= 0 || max(uid, gid) > math.MaxUint32-runtime.UserID {
		return runtime.IDs{} // not understood: leases are made without, as they are on other engines
	}
	return runtime.IDs{User: uid, Group: gid}
}

// Tenant is who a lease's tenant is on the machine. A lease in gVisor is not mapped: runsc does not start in a user namespace here, and has a kernel of its own.
func (r *Runtime) Tenant(tier raylink.Isolation) runtime.IDs {
	if tier == raylink.IsolationGVisor {
		return runtime.IDs{User: runtime.UserID, Group: runtime.UserID}
	}
	return runtime.IDs{User: r.base.User + runtime.UserID, Group: r.base.Group + runtime.UserID}
}

// maps says whether the lease's container is to be in a user namespace: where the engine has them, and the directory that the tenant writes into is that of the
// mapped user. One that was prepared before the engine mapped ids goes on as it was.
func (r *Runtime) maps(spec runtime.Spec) bool {
	if r.base == (runtime.IDs{}) || spec.Isolation == raylink.IsolationGVisor {
		return false
	}
	info, err := os.Stat(filepath.Join(spec.Dir, "session"))
	if err != nil {
		return true // without a directory nothing starts in either case
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(owner.Uid) != runtime.UserID
}
