package devnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"raylink/raylink"
)

// loseAgents kills every supplier's agent with SIGKILL and starts it again. What carries the cluster runs on meanwhile, and is not started anew
// afterwards: its processes are the answer, for stillCarried.
func (s *Story) loseAgents(ctx context.Context) (string, error) {
	n := s.Network
	carried, err := s.carriers(ctx)
	if err != nil {
		return "", err
	}
	s.note("killing all %d agents with SIGKILL; nobody watches the containers and the data planes now", n.cfg.Suppliers)
	for i := range n.cfg.Suppliers {
		if err := n.Kill(agentName(i)); err != nil {
			return "", err
		}
	}
	err = s.stillCarried(ctx, carried)
	for i := range n.cfg.Suppliers { // whatever was seen: without them nothing is cleaned up
		err = errors.Join(err, n.Restart(agentName(i)))
	}
	if err != nil {
		return "", err
	}
	if err := s.adopted(ctx, time.Now()); err != nil {
		return "", err
	}
	s.note("started again, they have adopted what they found: the same containers, the same data planes")
	return carried, s.stillCarried(ctx, carried)
}

// adopted waits until every machine is heard that was started again, and its node runs as before.
func (s *Story) adopted(ctx context.Context, since time.Time) error {
	return s.soon(ctx, "the new agents report what they adopted", time.Minute, func(ctx context.Context) error {
		list, err := s.Network.machines(ctx)
		if err != nil {
			return err
		}
		for _, m := range list {
			if m.LastSeen == nil || m.LastSeen.Before(since) {
				return fmt.Errorf("nothing is heard of %s", m.Name)
			}
		}
		x, err := s.look(ctx)
		if err != nil {
			return err
		}
		for _, node := range x.Nodes {
			if node.Stage != raylink.StageRunning || node.Restarts != 0 {
				return fmt.Errorf("%s is %s after %d restarts", node.Node, node.Stage, node.Restarts)
			}
		}
		return nil
	})
}

// carriers are the processes that carry the cluster's nodes on this machine: the first one of each container, and each data plane.
func (s *Story) carriers(ctx context.Context) (string, error) {
	var all strings.Builder
	for _, node := range s.cluster.Nodes {
		container, err := dockerRun(ctx, "inspect", "-f", "{{.State.Pid}}", "raylink-"+string(node.Lease))
		if err != nil {
			return "", err
		}
		planes, err := processesOf("dataplane", "/"+string(node.Lease)+"/")
		if err != nil {
			return "", err
		}
		if len(planes) != 1 {
			return "", fmt.Errorf("%s has %d data planes", node.Node, len(planes))
		}
		fmt.Fprintf(&all, "%s: container %s, data plane %d\n", node.Node, strings.TrimSpace(container), planes[0])
	}
	return all.String(), nil
}

// stillCarried says whether the same processes carry the cluster.
func (s *Story) stillCarried(ctx context.Context, carried string) error {
	now, err := s.carriers(ctx)
	if err == nil && now != carried {
		err = fmt.Errorf("the cluster is carried by other processes than before its agents were killed:\n%sbefore:\n%s", now, carried)
	}
	return err
}

// processesOf are the numbers of the processes on this machine whose command lines name all the words.
func processesOf(words ...string) ([]int, error) {
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var found []int
	for _, path := range list {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		named := true
		for _, word := range words {
			named = named && bytes.Contains(line, []byte(word))
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && named {
			found = append(found, pid)
		}
	}
	return found, nil
}
