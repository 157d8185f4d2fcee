package device

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"raylink/raylink"
)

// versions asks the engine and the tools beside it for what the sandbox rests on, and adds the tiers of isolation that they make.
func versions(ctx context.Context, s Sources, h *raylink.Host) []Note {
	var notes []Note
	if s.Docker != nil {
		version, err := s.Docker(ctx, "/version")
		if err == nil {
			err = ParseDockerVersion(version, h.Versions)
		}
		notes = append(notes, noted("Docker's version", err)...)
		if err == nil {
			info, err := s.Docker(ctx, "/info")
			var runtimes map[string]Runtime
			if err == nil {
				runtimes, err = ParseDockerRuntimes(info)
			}
			notes = append(notes, noted("Docker's runtimes", err)...)
			if runsc, ok := runtimes[raylink.GVisorRuntime]; ok && runsc.Joins(s.host) {
				h.Isolation = append(h.Isolation, raylink.IsolationGVisor)
			} else if ok {
				notes = append(notes, Note{"the tier gvisor", "the engine does not call runsc with --network=host"})
			}
		}
	}
	for _, tool := range []struct{ key, command string }{{raylink.VersionRunsc, "runsc"}, {raylink.VersionToolkit, "nvidia-container-toolkit"}, {raylink.VersionToolkit, "nvidia-ctk"}} {
		if s.Run == nil || h.Versions[tool.key] != "" {
			continue
		}
		text, err := s.Run(ctx, tool.command, "--version")
		if err != nil {
			continue // most machines have neither
		}
		if v := ParseToolVersion(text); v != "" {
			h.Versions[tool.key] = v
		}
	}
	return notes
}

// ParseDockerVersion reads the engine's GET /version into versions: the engine's own, and runc's.
func ParseDockerVersion(body string, versions map[string]string) error {
	var answer struct {
		Version    string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return fmt.Errorf("reading the engine's version: %w", err)
	}
	if v := clip(answer.Version); v != "" {
		versions[raylink.VersionDocker] = v
	}
	for _, c := range answer.Components {
		if v := clip(c.Version); c.Name == "runc" && v != "" {
			versions[raylink.VersionRunc] = v
		}
	}
	return nil
}

// Runtime is how an engine calls one of its runtimes.
type Runtime struct {
	Path string   `json:"path"`
	Args []string `json:"runtimeArgs"`
}

// Joins says whether this is gVisor's runsc such that a lease's overlay reaches it. read gives a file of the machine.
func (r Runtime) Joins(read func(name string) (string, error)) bool {
	if raylink.GVisorJoins(r.Args, "") || !strings.HasPrefix(r.Path, "/") {
		return raylink.GVisorJoins(r.Args, "")
	}
	text, err := read(r.Path)
	return err == nil && raylink.GVisorJoins(r.Args, text)
}

// ParseDockerRuntimes reads the runtimes from the engine's GET /info, by their names.
func ParseDockerRuntimes(body string) (map[string]Runtime, error) {
	var answer struct{ Runtimes map[string]Runtime }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, fmt.Errorf("reading the engine's runtimes: %w", err)
	}
	return answer.Runtimes, nil
}

// ParseToolVersion finds the version in what a tool says to --version: the last word of its first line that begins with a digit, or with
// "release-" before it as runsc's does.
func ParseToolVersion(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	version := ""
	for _, word := range strings.Fields(first) {
		word = strings.TrimPrefix(strings.TrimPrefix(word, "release-"), "v")
		if word != "" && word[0] >= '0' && word[0] <= '9' {
			version = clip(word)
		}
	}
	return version
}
