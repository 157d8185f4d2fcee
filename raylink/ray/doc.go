// Package ray is the only place that knows Ray: its flags, ports, paths, environment, labels and answers, as of Ray 2.60.
//
// It is pure. Where Raylink speaks otherwise than KubeRay does, the reason stands beside the line, and the test module
// raylink/manifest/kuberaytest holds the list.
package ray

import (
	"fmt"
	"net/netip"
)

// Ports of every node, all pinned: an overlay that is dialled before Ray starts has to know them, and Ray refuses a start in which two of
// them overlap. They equal Ray's defaults and KubeRay's where those are fixed.
const (
	GCSPort           = 6379  // head: gRPC, the address that workers and drivers are given
	NodeManagerPort   = 6380  // raylet, gRPC
	ObjectManagerPort = 6381  // object transfer, gRPC
	MetricsPort       = 8080  // Prometheus, HTTP
	DashboardPort     = 8265  // head: Jobs API, state API, dashboard, HTTP
	ClientPort        = 10001 // head: Ray Client, gRPC
	WorkerPortFirst   = 10002 // worker and driver processes, gRPC
	WorkerPortLast    = 19999
	AgentPort         = 52365 // dashboard agent: health and job agent, HTTP
	AgentGRPCPort     = 52366
	RuntimeEnvPort    = 52367 // runtime environment agent, HTTP
)

// Paths inside a node's container. Dir is the lease's own directory of the machine, mounted.
const (
	Dir        = "/raylink"
	GoFile     = "/raylink/go"       // the container's process waits for it, so that overlay and preflight come before Ray
	StartFile  = "/raylink/start.sh" // what it then executes
	TokenFile  = "/raylink/token"    // the cluster token, mode 0400, of uid 1000
	GCSDir     = "/raylink/gcs"      // the head's RocksDB
	SessionDir = "/raylink/session"  // mounted once more as TempDir, so that logs outlive the container
	TempDir    = "/tmp/ray"          // Ray's default; sessions and logs
	Interface  = "rl0"               // the overlay's device
	HeadGroup  = "headgroup"         // KubeRay's name of the head's group
)

const (
	minimumShm     = 64 << 20 // bytes; Docker's own default
	minimumObjects = 75 << 20 // bytes; Ray refuses a smaller object store (OBJECT_STORE_MINIMUM_MEMORY_BYTES)
)

// Paths of the dashboard and of the agents; each begins with a slash.
const (
	// VersionPath needs the cluster token; the answer is Version's.
	VersionPath = "/api/version"
	// JobsPath lists jobs, newest last; a job's own path is JobPath's.
	JobsPath = "/api/jobs/"
	// NodesPath is Ray's own view of all nodes, the dead ones included; the answer is Nodes'. Without a limit Ray shows 100.
	NodesPath = "/api/v0/nodes?limit=10000"
	// HeadHealthPath is the GCS's health, at the head's dashboard, without a token.
	HeadHealthPath = "/api/gcs_healthz"
	// AgentHealthPath is a node's health, at its agent, without a token. KubeRay probes it too from Ray 2.53 on.
	AgentHealthPath = "/api/healthz"
)

// HeadHealthURL is where the head's GCS says that it is well (200).
func HeadHealthURL(head netip.Addr) string { return DashboardURL(head) + HeadHealthPath }

// AgentHealthURL is where a node's agent says that its raylet is well and that it reaches the GCS (200).
func AgentHealthURL(node netip.Addr) string {
	return "http://" + netip.AddrPortFrom(node, AgentPort).String() + AgentHealthPath
}

// DashboardURL is the base of the head's HTTP API inside the overlay.
func DashboardURL(head netip.Addr) string {
	return "http://" + netip.AddrPortFrom(head, DashboardPort).String()
}

// ObjectStoreBytes is the object store's size on a node with so much memory when the user names none: 30 %, as Ray itself takes, said aloud
// because Ray would measure the memory that happens to be free when it starts. Whole MiB, so that it fits into a /dev/shm of 30 % too.
func ObjectStoreBytes(memory int64) int64 { return max(minimumObjects, memory/10*3>>20<<20) }

// maxObjectStore is the largest object store that a user may ask for on a node with so much memory.
func maxObjectStore(memory int64) int64 { return minimumObjects + memory/2 }

// ShmBytes is the size that /dev/shm needs on a node with so much memory: the object store lives there, and Ray refuses to start when it
// does not fit; the rest is for torch's data loaders and NCCL. It is a bound, counted against the container's memory only when used.
func ShmBytes(memory int64) int64 { return maxObjectStore(memory) + minimumShm }

// joinPort writes host:port.
func joinPort(a netip.Addr, port int) string { return fmt.Sprintf("%s:%d", a, port) }
