package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"raylink/supplier/device/nvml"
)

// build is what a binary knows of itself.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	NVML     bool   `json:"nvml"` // it can read NVIDIA GPUs where there are some
}

func thisBuild() build {
	b := build{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, NVML: nvml.Built}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (a *app) version() *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Show which raylink this is", Example: "  raylink version -o json", Args: wants()}
	format := outputFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		b := thisBuild()
		return a.show(*format, b, func(w io.Writer) {
			fmt.Fprintf(w, "raylink %s (%s, %s)\n", b.Version, b.Go, b.Platform)
			if b.NVML {
				fmt.Fprintln(w, "reads NVIDIA GPUs, where their driver is")
			} else {
				fmt.Fprintln(w, nvml.ErrBuild)
			}
			if b.Revision != "" {
				fmt.Fprintf(w, "revision %s, modified: %v\n", b.Revision, b.Modified)
			}
		})
	}
	return c
}
