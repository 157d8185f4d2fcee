package ray

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"raylink/raylink"
)

// treatment says what becomes of a flag that a user names in rayStartParams.
type treatment int

const (
	keep   treatment = iota // it goes to `ray start` as it is
	ours                    // Raylink sets it; the user's value is dropped with a note
	refuse                  // it cannot be honoured; the reason says why
)

// option is one of `ray start` in Ray 2.60.
type option struct {
	name   string
	form   string // switch, bool, int, choice, text, path, resources, labels; of kept flags
	treat  treatment
	value  string // of ours: the value that needs no note; of a choice: what there is, with | between
	reason string // of refused ones and of ours
}

const (
	reasonPort    = "ports are pinned, because the overlay is dialled before Ray starts"
	reasonAddress = "the overlay's address is the node's identity"
	reasonRedis   = "Raylink keeps the GCS in RocksDB on the head's lease; there is no Redis"
	reasonCgroup  = "a node's sandbox has no cgroup of its own to divide"
	reasonFile    = "no file of yours is in the container before Ray starts"
)

// flags is the table of `ray start`'s options (python/ray/scripts/scripts.py of Ray 2.60.0). It is a function because nothing may change it.
func flags() []option {
	return []option{
		{name: "num-cpus", form: "int"}, {name: "num-gpus", form: "int"},
		{name: "memory", form: "int"}, {name: "object-store-memory", form: "int"},
		{name: "resources", form: "resources"}, {name: "labels", form: "labels"},
		{name: "include-log-monitor", form: "bool"}, {name: "log-color", form: "choice", value: "auto|false|true"}, {name: "log-style", form: "choice", value: "auto|record|pretty"},
		{name: "no-redirect-output", form: "switch"}, {name: "no-monitor", form: "switch"}, {name: "ray-debugger-external", form: "switch"},
		{name: "enable-object-reconstruction", form: "switch"}, {name: "verbose", form: "switch"},
		{name: "object-spilling-directory", form: "path"}, {name: "tracing-startup-hook", form: "text"},

		{name: "head", treat: ours, reason: "the group decides it"}, {name: "block", treat: ours, value: "true", reason: "Ray's process is the container's"},
		{name: "node-ip-address", treat: ours, reason: reasonAddress}, {name: "node-name", treat: ours, reason: reasonAddress},
		{name: "address", treat: ours, reason: reasonAddress},
		{name: "dashboard-host", treat: ours, reason: "the dashboard listens on the overlay's address only"},
		{name: "include-dashboard", treat: ours, value: "true", reason: "the endpoint is the dashboard's"},
		{name: "disable-usage-stats", treat: ours, value: "true", reason: "a node has no way to the Internet"},
		{name: "temp-dir", treat: ours, value: TempDir, reason: "sessions live in the lease's directory"},
		{name: "port", treat: ours, value: strconv.Itoa(GCSPort), reason: reasonPort},
		{name: "dashboard-port", treat: ours, value: strconv.Itoa(DashboardPort), reason: reasonPort},
		{name: "ray-client-server-port", treat: ours, value: strconv.Itoa(ClientPort), reason: reasonPort},
		{name: "node-manager-port", treat: ours, value: strconv.Itoa(NodeManagerPort), reason: reasonPort},
		{name: "object-manager-port", treat: ours, value: strconv.Itoa(ObjectManagerPort), reason: reasonPort},
		{name: "dashboard-agent-listen-port", treat: ours, value: strconv.Itoa(AgentPort), reason: reasonPort},
		{name: "dashboard-agent-grpc-port", treat: ours, value: strconv.Itoa(AgentGRPCPort), reason: reasonPort},
		{name: "runtime-env-agent-port", treat: ours, value: strconv.Itoa(RuntimeEnvPort), reason: reasonPort},
		{name: "metrics-export-port", treat: ours, value: strconv.Itoa(MetricsPort), reason: reasonPort},
		{name: "min-worker-port", treat: ours, value: strconv.Itoa(WorkerPortFirst), reason: reasonPort},
		{name: "max-worker-port", treat: ours, value: strconv.Itoa(WorkerPortLast), reason: reasonPort},
		{name: "worker-port-list", treat: ours, reason: reasonPort},
		{name: "redis-shard-ports", treat: ours, reason: reasonRedis}, {name: "redis-username", treat: ours, reason: reasonRedis},
		{name: "redis-password", treat: ours, reason: reasonRedis},

		{name: "plasma-directory", treat: refuse, reason: "the object store lives in the shared memory that Raylink mounts"},
		{name: "autoscaling-config", treat: refuse, reason: "Raylink does not scale a cluster yet"},
		{name: "system-config", treat: refuse, reason: "set Ray's configuration through env RAY_<name> instead"},
		{name: "labels-file", treat: refuse, reason: reasonFile}, {name: "proxy-server-url", treat: refuse, reason: "Raylink's gateway is the proxy"},
		{name: "enable-resource-isolation", treat: refuse, reason: reasonCgroup}, {name: "cgroup-path", treat: refuse, reason: reasonCgroup},
		{name: "system-reserved-cpu", treat: refuse, reason: reasonCgroup}, {name: "system-reserved-memory", treat: refuse, reason: reasonCgroup},
	}
}

func findFlag(name string) (option, bool) {
	for _, f := range flags() {
		if f.name == name {
			return f, true
		}
	}
	return option{}, false
}

// Problem is one rayStartParam that cannot be honoured.
type Problem struct {
	Param  string
	Code   raylink.Code // unsupported, or invalid where the value is at fault
	Reason string
}

// Params sorts a group's rayStartParams: those that are honoured, in the form that Command expects; notes on those that Raylink sets itself, by
// name; and problems with those that it cannot honour. Values are arguments and never pass through a shell.
func Params(params map[string]string) (kept map[string]string, notes map[string]string, problems []Problem) {
	kept, notes = map[string]string{}, map[string]string{}
	for _, name := range sortedKeys(params) {
		value := params[name]
		f, known := findFlag(name)
		switch {
		case !known:
			problems = append(problems, Problem{name, raylink.CodeInvalid, "`ray start` of Ray 2.60 has no such option"})
		case f.treat == refuse:
			if isFalse(value) { // KubeRay leaves a switch that is false out of the line
				continue
			}
			problems = append(problems, Problem{name, raylink.CodeUnsupported, "not supported by Raylink: " + f.reason})
		case f.treat == ours:
			if f.value == "" || !strings.EqualFold(value, f.value) {
				notes[name] = "set by Raylink: " + f.reason
			}
		default:
			clean, drop, err := f.check(value)
			if err != "" {
				problems = append(problems, Problem{name, raylink.CodeInvalid, err})
			} else if !drop {
				kept[name] = clean
			}
		}
	}
	return kept, notes, problems
}

func isFalse(s string) bool { return strings.EqualFold(s, "false") }

// check brings a kept flag's value into the one form that Command writes; drop says that the flag stays away; err says in words what is wrong.
func (f option) check(value string) (clean string, drop bool, err string) {
	if err := plain(value); err != "" {
		return "", false, err
	}
	switch f.form {
	case "switch":
		if isFalse(value) {
			return "", true, ""
		}
		if !strings.EqualFold(value, "true") {
			return "", false, `is a switch: write "true" or leave it away`
		}
		return "true", false, ""
	case "bool":
		if !isFalse(value) && !strings.EqualFold(value, "true") {
			return "", false, `must be "true" or "false"`
		}
		return strings.ToLower(value), false, ""
	case "int":
		n, e := strconv.ParseInt(value, 10, 64)
		if most := f.most(); e != nil || n < 0 || n > most {
			return "", false, fmt.Sprintf("must be a whole number from 0 to %d", most)
		}
		if f.name == "object-store-memory" && n < minimumObjects {
			return "", false, fmt.Sprintf("must be at least %d bytes, as Ray demands", minimumObjects)
		}
		return strconv.FormatInt(n, 10), false, ""
	case "choice":
		if all := strings.Split(f.value, "|"); !slices.Contains(all, value) {
			return "", false, "must be one of " + strings.Join(all, ", ")
		}
	case "resources":
		if _, e := Custom(value); e != nil {
			return "", false, e.Error()
		}
	case "labels":
		if _, e := ParseLabels(value); e != nil {
			return "", false, e.Error()
		}
	case "path":
		if !strings.HasPrefix(value, TempDir+"/") || strings.Contains(value, "..") {
			return "", false, "must lie under " + TempDir + ", the only directory that has room"
		}
	}
	return value, false, ""
}

// most bounds a number: Ray counts quantities in 1/10,000 in 64 bits, and one that overflows ends the node.
func (f option) most() int64 {
	if strings.HasPrefix(f.name, "num-") {
		return 1_000_000
	}
	return 64 << 40 // bytes
}

// plain refuses what a shell would have expanded, so that nobody counts on it, and what no argument can hold.
func plain(value string) string {
	if len(value) > 4096 {
		return "is longer than 4096 bytes"
	}
	if strings.ContainsAny(value, "\x00\n\r") {
		return "holds a line end or a zero byte"
	}
	if strings.ContainsAny(value, "$`") {
		return "holds $ or a backtick: values do not pass through a shell, write the value itself"
	}
	return ""
}

// Custom reads the value of the option "resources", {"name": quantity}, in the quoting that KubeRay's samples use because there it passes
// through a shell. Quantities are in 1/10,000; Ray takes whole numbers only at `ray start`.
func Custom(value string) (map[string]int64, error) {
	text := strings.Trim(value, "'\"` ")
	if strings.Contains(text, `\"`) {
		text = strings.ReplaceAll(text, `\"`, `"`)
	}
	raw, err := object(text)
	if err != nil {
		return nil, fmt.Errorf(`is not JSON like {"name": 1}: %w`, err)
	}
	out := make(map[string]int64, len(raw))
	for _, name := range sortedKeys(raw) {
		n, err := whole(raw[name].String())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := ValidResource(name); err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, nil
}

// object reads one JSON object of numbers; a name that stands there twice has no meaning.
func object(text string) (map[string]json.Number, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("it is no object")
	}
	out := map[string]json.Number{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key := fmt.Sprint(name)
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%q stands there twice", key)
		}
		var n json.Number
		if err := dec.Decode(&n); err != nil {
			return nil, err
		}
		out[key] = n
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows the object")
	}
	return out, nil
}

// whole reads "4" or "4.0" as 40,000.
func whole(s string) (int64, error) {
	if head, tail, ok := strings.Cut(s, "."); ok && strings.Trim(tail, "0") == "" {
		s = head
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > MaxCustom {
		return 0, fmt.Errorf("%s is not a whole number from 0 to %d, as `ray start` demands", s, MaxCustom)
	}
	return n * raylink.Unit, nil
}

// MaxCustom bounds a custom resource; Ray's own bound is 100e12.
const MaxCustom = 100_000_000_000_000

// ValidResource says why a name cannot be a custom resource, or nil.
func ValidResource(name string) error {
	switch {
	case name == "" || len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' || r == '\'' }):
		return fmt.Errorf("%q is not a resource name: up to 128 printable ASCII characters without quotes", name)
	case slices.Contains([]string{"CPU", "GPU", "memory", "object_store_memory"}, name):
		return fmt.Errorf("%s has an option of its own", name)
	case strings.HasPrefix(name, "node:") || strings.HasPrefix(name, "accelerator_type:"):
		return fmt.Errorf("%s is Ray's own", name)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
