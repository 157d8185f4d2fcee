package ray

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"raylink/raylink"
)

// Variables by which Ray's processes, and its own tools on a user's side, are told that there is a token, and which one.
const (
	AuthMode      = "RAY_AUTH_MODE"
	AuthModeToken = "token" // AuthMode's value
	AuthToken     = "RAY_AUTH_TOKEN"
	AuthTokenPath = "RAY_AUTH_TOKEN_PATH" // a file with it, which counts where AuthToken is not set
	AuthTokenHome = "~/.ray/auth_token"   // where it is looked for last
)

// ToolEnvironment is what Ray's own tools need to use the token in a file, as NAME=value.
func ToolEnvironment(tokenFile string) []string {
	return []string{AuthMode + "=" + AuthModeToken, AuthTokenPath + "=" + tokenFile}
}

// Environment is what the node's process is started with: the group's own variables, then Raylink's, which win where they carry identity,
// addresses, authentication or the GCS's storage (ReservedEnv) and give way elsewhere.
func Environment(n Node) map[string]string {
	env := defaults()
	for k, v := range n.Group.Env {
		if !ReservedEnv(k) && ValidEnv(k, v) == nil {
			env[k] = v
		}
	}
	for k, v := range map[string]string{
		AuthMode:      AuthModeToken, // Ray's authentication is on everywhere: the gateway holds the other end of the token
		AuthTokenPath: TokenFile,

		"RAY_CLUSTER_NAME":      n.Cluster,
		"RAY_CLOUD_INSTANCE_ID": string(n.Lease), // comes back in Ray's node state, so that a node is joined with its lease
		"RAY_NODE_TYPE_NAME":    n.Group.Name,    // becomes the label ray.io/node-group

		// As KubeRay sets them: ray.init() without an address finds the cluster.
		"RAY_ADDRESS": joinPort(n.Head, GCSPort),
		"RAY_PORT":    strconv.Itoa(GCSPort),
		"FQ_RAY_IP":   n.Head.String(),
		"RAY_IP":      n.Head.String(),
	} {
		env[k] = v
	}
	if n.Labels[raylink.LabelEmulated] != "" {
		// An emulated processor takes a minute to start what others start in seconds. The user's own values, if any, are for real ones.
		env["RAY_worker_register_timeout_seconds"] = "240"
		env["RAY_agent_register_timeout_ms"] = "240000"
	}
	if n.Role == raylink.NodeHead {
		// The head can be started again, here or from a copy of the directory, under living workers.
		env["RAY_gcs_storage"] = "rocksdb"
		env["RAY_gcs_storage_path"] = GCSDir
	}
	return env
}

// defaults are the variables that a user may set otherwise.
func defaults() map[string]string {
	return map[string]string{
		// How long raylets and workers wait for a head that is being started again before they end themselves; Ray's 60 s is short for a cold machine.
		"RAY_gcs_rpc_server_reconnect_timeout_s": "120",
		"RAY_gcs_rpc_server_connect_timeout_s":   "20", // Ray's 5 s is short for a first contact through a relay

		// Machines of many owners and networks: a node that stands still for a minute lives on, one that refuses is dead after about 25 s,
		// one that is silent after about two minutes.
		"RAY_health_check_initial_delay_ms":  "5000",
		"RAY_health_check_period_ms":         "5000",
		"RAY_health_check_timeout_ms":        "20000",
		"RAY_health_check_failure_threshold": "5",

		"RAY_object_manager_pull_timeout_ms": "60000", // links may be slow
		"RAY_object_manager_push_timeout_ms": "60000",

		"RAY_worker_register_timeout_seconds": "240", // first import of Python on a cold or small machine
		"RAY_agent_register_timeout_ms":       "240000",

		"RAY_grpc_enable_http_proxy":     "false", // a proxy for pip and models must not swallow the overlay
		"RAY_USAGE_STATS_ENABLED":        "0",     // no way to the Internet
		"RAY_DISABLE_DOCKER_CPU_WARNING": "1",     // num-cpus is always given

		"NCCL_SOCKET_IFNAME": Interface, // there is lo beside it, which libraries would try
		"GLOO_SOCKET_IFNAME": Interface,
	}
}

// ReservedEnv says that a user may not set the variable: identity, addresses, authentication, the GCS's storage, and what would override the
// resources and labels that were agreed on.
func ReservedEnv(name string) bool {
	return strings.HasPrefix(name, "RAYLINK_") || strings.HasPrefix(name, "RAY_AUTH_") || strings.HasPrefix(name, "RAY_gcs_storage") ||
		strings.HasPrefix(name, "RAY_REDIS_") || strings.HasPrefix(name, "RAY_LEADER_ELECT") || strings.HasPrefix(name, "RAY_TLS_") ||
		slices.Contains([]string{
			"RAY_CLUSTER_NAME", "RAY_CLUSTER_NAMESPACE", "RAY_CLOUD_INSTANCE_ID", "RAY_NODE_TYPE_NAME", "RAY_ADDRESS", "RAY_PORT", "FQ_RAY_IP", "RAY_IP",
			"RAY_API_SERVER_ADDRESS", "RAY_ENABLE_K8S_TOKEN_AUTH", "RAY_USE_TLS", "RAY_GCS_SERVER_PORT", "RAY_OVERRIDE_RESOURCES",
			"RAY_OVERRIDE_LABELS", "RAY_TMPDIR",
		}, name)
}

// Bounds of one variable; the kernel's own are far above.
const maxEnvValue = 32 << 10 // bytes

// ValidEnv says why name=value cannot be an environment variable, or nil.
func ValidEnv(name, value string) error {
	if !envName(name) {
		return fmt.Errorf("%q is not a name for an environment variable: letters, digits and _, not a digit first, at most 256", name)
	}
	if slices.Contains([]string{"OPTIND", "PPID", "UID", "EUID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO"}, name) {
		return fmt.Errorf("variable %s belongs to the shell that starts Ray, which would end itself", name)
	}
	if strings.Contains(value, "\x00") {
		return fmt.Errorf("variable %s holds a zero byte", name)
	}
	if len(value) > maxEnvValue {
		return fmt.Errorf("variable %s is longer than %d bytes", name, maxEnvValue)
	}
	return nil
}

func envName(s string) bool {
	if s == "" || len(s) > 256 || '0' <= s[0] && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		if !alnum(s[i]) && s[i] != '_' {
			return false
		}
	}
	return true
}

// StartScript is the text of StartFile: /bin/sh, the environment, and the command in the shell's place. Nothing in it is expanded.
func StartScript(command []string, env map[string]string) (string, error) {
	if len(command) == 0 {
		return "", fmt.Errorf("a start script needs a command")
	}
	var b strings.Builder
	b.WriteString("#!/bin/sh\n# Ray opens many files; where the container's own limit is lower, that limit it is.\n")
	b.WriteString("ulimit -n 65536 2>/dev/null || ulimit -n \"$(ulimit -Hn)\" 2>/dev/null || :\n")
	for _, k := range sortedKeys(env) {
		if err := ValidEnv(k, env[k]); err != nil {
			return "", err
		}
		b.WriteString("export " + k + "=" + quote(env[k]) + "\n")
	}
	b.WriteString("exec")
	for _, arg := range command {
		if strings.Contains(arg, "\x00") {
			return "", fmt.Errorf("an argument holds a zero byte")
		}
		b.WriteString(" " + quote(arg))
	}
	b.WriteString("\n")
	return b.String(), nil
}

// quote makes one word for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
