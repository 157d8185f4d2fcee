package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"raylink/raylink"
	"raylink/raylink/wire"
)

// stands is a machine's state in a column: with its reason where it has one. Coordinators of an earlier release tell the coarse state alone.
func stands(m wire.Machine) string {
	if m.Standing.State == "" {
		return m.State
	}
	if m.Standing.Reason == raylink.ReasonNone {
		return string(m.Standing.State)
	}
	return string(m.Standing.State) + " (" + string(m.Standing.Reason) + ")"
}

// reliable is a reliability in words.
func reliable(r *int64) string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%d.%02d %%", *r/100, *r%100)
}

// showStanding says where a machine stands, why, and what its owner can do; then what it is and how leases failed on it.
func showStanding(w io.Writer, m wire.Machine) {
	s := m.Standing
	if s.State == "" {
		return
	}
	why := s.Reason.Words()
	if s.Detail != "" {
		why = strings.TrimPrefix(why+": "+s.Detail, ": ")
	}
	since, leaves, record := "", "", ""
	if !s.Since.IsZero() {
		since = moment(s.Since)
	}
	if s.Leaves != nil {
		leaves = moment(*s.Leaves)
	}
	if s.Minutes+s.Lost > 0 {
		record = fmt.Sprintf("%d minute(s) served, %d lost", s.Minutes, s.Lost)
	}
	if s.Reliability != nil {
		record = reliable(s.Reliability) + ": " + record
	} else if record != "" {
		record += "; a reliability is said from the hundredth on"
	}
	lines := []string{"standing", stands(m), "why", why, "since", since, "what to do", s.Reason.Remedy(), "GPUs", provenGPUs(s), "is taken back", leaves, "reliability", record}
	lines = append(append(lines, hostLines(m.Host)...), "images", strings.Join(m.Images, ", "))
	for _, f := range m.Failures {
		lines = append(lines, "failed", fmt.Sprintf("%d time(s) in stage %s: %s (last %s)", f.Count, f.Stage, f.Reason, moment(f.LastAt)))
	}
	pairs(w, "", lines...)
}

// provenGPUs says how many of the GPUs that a machine offers are proven, and why others are not to be had; empty without GPUs.
func provenGPUs(s raylink.Standing) string {
	if s.GPUs == 0 {
		return ""
	}
	text := fmt.Sprintf("%d offered, %d proven", s.GPUs, s.ProvenGPUs)
	if wait := s.GPUsWait(); wait != "" {
		text += "; " + wait
	}
	return text
}

// hostLines are what a machine is, for pairs.
func hostLines(h *raylink.Host) []string {
	if h == nil {
		return nil
	}
	var tiers, versions []string
	for _, t := range h.Isolation {
		tiers = append(tiers, string(t))
	}
	for name, v := range h.Versions {
		versions = append(versions, name+" "+v)
	}
	slices.Sort(versions)
	lines := []string{"system", strings.TrimSpace(h.OS + " " + h.Kernel), "isolation", strings.Join(tiers, ", "), "versions", strings.Join(versions, ", ")}
	for _, d := range h.Devices {
		text := d.Name
		if d.Model != "" && d.Model != d.Name {
			text += " (" + d.Model + ")"
		}
		if d.Cores > 0 {
			text += fmt.Sprintf(", %d cores, %d threads", d.Cores, d.Threads)
		}
		if d.Memory > 0 {
			text += ", " + size(d.Memory)
		}
		if d.Kind == raylink.DeviceGPU && d.ID != "" {
			text += ", " + d.ID
		}
		if d.Fault != "" {
			text += "; FAULT: " + d.Fault
		}
		lines = append(lines, string(d.Kind), text)
	}
	return lines
}
