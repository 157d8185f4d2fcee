package doctor

import (
	"path/filepath"
	"strconv"
	"strings"
)

// capEff reads the effective capabilities of proc_pid_status(5).
func capEff(status string) uint64 {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "CapEff:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// swap reads SwapTotal of proc_meminfo(5), in bytes.
func swap(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "SwapTotal:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 50)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// cgroup reads cpu.max and memory.max of cgroup v2; 0 is no limit.
func cgroup(cpu, memory string) (cpus float64, bytes int64) {
	if words := strings.Fields(cpu); len(words) == 2 {
		quota, err1 := strconv.ParseFloat(words[0], 64)
		period, err2 := strconv.ParseFloat(words[1], 64)
		if err1 == nil && err2 == nil && period > 0 {
			cpus = quota / period
		}
	}
	bytes, err := strconv.ParseInt(strings.TrimSpace(memory), 10, 64)
	if err != nil { // "max"
		bytes = 0
	}
	return cpus, bytes
}

// nvidiaVersion reads the kernel module's version from /proc/driver/nvidia/version: the first word with two dots or one after "Kernel Module".
func nvidiaVersion(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	_, rest, ok := strings.Cut(line, "Kernel Module")
	if !ok {
		return ""
	}
	for word := range strings.FieldsSeq(rest) {
		if word[0] >= '0' && word[0] <= '9' && strings.Contains(word, ".") {
			return word
		}
	}
	return ""
}

// isAgent says whether a command line is an agent's: `raylink supplier` with nothing but flags behind it.
func isAgent(args []string) bool {
	if len(args) < 2 || filepath.Base(args[0]) != "raylink" || args[1] != "supplier" {
		return false
	}
	return len(args) == 2 || strings.HasPrefix(args[2], "-") && !strings.HasPrefix(args[2], "--dry-run")
}

// drops finds chains of nft's and iptables-save's output that let nothing in or out unless a rule says otherwise.
func drops(rules string) []string {
	var out []string
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		switch {
		case strings.Contains(line, "policy drop") && (strings.Contains(line, "hook input") || strings.Contains(line, "hook output")),
			strings.HasPrefix(line, ":INPUT DROP"), strings.HasPrefix(line, ":OUTPUT DROP"):
			out = append(out, line)
		}
	}
	return out[:min(len(out), listLimit)]
}
