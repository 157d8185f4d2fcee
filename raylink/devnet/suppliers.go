package devnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"raylink/raylink"
	"raylink/raylink/wire"
)

func agentName(i int) string { return "agent-" + supplierName(i) }

// asking is the price per core and hour that suppliers ask, in turn.
func asking(i int) string { return []string{"0.040", "0.036", "0.045"}[i%3] }

func (n *Network) startSuppliers(ctx context.Context) error {
	for i := range n.cfg.Suppliers {
		name := agentName(i)
		token, err := n.joinToken(ctx, name, wire.JoinTokenRequest{Kind: "machine", Account: n.people[supplierName(i)].account})
		if err != nil {
			return err
		}
		args := []string{"supplier", "--name", "box-of-" + supplierName(i), "--data", filepath.Join(n.cfg.Dir, name), "--join", n.api[coordinatorName(i%n.cfg.Coordinators)],
			"--cpus", strconv.Itoa(n.cfg.Cores), "--memory", n.cfg.Memory, "--price-cpu-hour", asking(i)}
		if arch := n.cfg.Emulated[i]; arch != "" {
			args = append(args, "--emulate-arch", arch)
		}
		args = append(args, n.wantSigned(i)...)
		if n.cfg.Scripted {
			args = append(args, "--runtime", "scripted")
		}
		if n.cfg.Contained {
			err = n.contain(ctx, name, token, args)
		} else {
			err = n.spawn(name, append(args, "--join-token-file", token)...)
		}
		if err != nil {
			return err
		}
	}
	if n.cfg.Suppliers == 0 {
		return nil
	}
	return n.until(ctx, "starting the suppliers' agents", "agent-", readyLimit, func(ctx context.Context) error {
		list, err := n.machines(ctx)
		if err != nil {
			return err
		}
		if ready, waiting := standing(list); ready < n.cfg.Suppliers {
			return fmt.Errorf("%d of %d machines are ready%s", ready, n.cfg.Suppliers, waiting)
		}
		n.say("%d suppliers' machines are ready, each with %d cores and %s", n.cfg.Suppliers, n.cfg.Cores, n.cfg.Memory)
		return nil
	})
}

// standing counts the machines that can be placed on, heard by the leader and proven, and says how the others stand.
func standing(list []wire.Machine) (ready int, waiting string) {
	for _, m := range list {
		if m.State == "up" && m.Standing.State == raylink.MachineReady {
			ready++
			continue
		}
		waiting += fmt.Sprintf("; %s is %s, %s %s", m.Name, m.State, m.Standing.State, m.Standing.Reason)
	}
	return ready, strings.TrimRight(waiting, " ")
}

func (n *Network) machines(ctx context.Context) ([]wire.Machine, error) {
	c, err := n.As("admin")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Machines(ctx)
}

// endLimit is how long clusters may take to end before the processes are stopped all the same.
const endLimit = 60 * time.Second

// Stop ends every cluster, waits until the machines are clean, and stops every process. What cannot be ended in order is named in the error.
// A network that is to be kept is left alone.
func (n *Network) Stop(ctx context.Context) error {
	if n.cfg.Keep {
		return nil
	}
	return n.end(ctx)
}

func (n *Network) end(ctx context.Context) error {
	err := n.endClusters(ctx)
	for _, c := range n.contained {
		_, gone := dockerRun(ctx, "rm", "-f", c)
		err = errors.Join(err, gone)
	}
	for i := len(n.order) - 1; i >= 0; i-- {
		err = errors.Join(err, n.processes[n.order[i]].stop())
	}
	return errors.Join(err, os.RemoveAll(n.cfg.Dir))
}

func (n *Network) endClusters(ctx context.Context) error {
	if len(n.people) < 2 {
		return nil
	}
	c, err := n.As("admin")
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	list, err := c.Clusters(ctx)
	if err != nil {
		return err
	}
	for _, cl := range list {
		if cl.Phase.Order() >= raylink.PhaseEnding.Order() || cl.Phase.Over() {
			continue
		}
		if _, err := c.DeleteCluster(ctx, string(cl.ID)); err != nil {
			return err
		}
	}
	return n.until(ctx, "cleaning the machines", "", endLimit, func(ctx context.Context) error {
		list, err := n.machines(ctx)
		for _, m := range list {
			if m.Leases > 0 {
				return fmt.Errorf("machine %s still has %d leases", m.Name, m.Leases)
			}
		}
		return err
	})
}

// contain starts an agent in a container of the worker image, by the command that a supplier is given.
func (n *Network) contain(ctx context.Context, name, tokenFile string, args []string) error {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return fmt.Errorf("reading the join token: %w", err)
	}
	data := filepath.Join(n.cfg.Dir, name)
	run := []string{"run", "-d", "--name", n.container(name), "--pid=host", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN", "--device", "/dev/net/tun",
		"-v", "/var/run/docker.sock:/var/run/docker.sock", "-v", data + ":" + data, "raylink/worker"}
	_, err = dockerRun(ctx, append(append(run, args...), "--token", strings.TrimSpace(string(token)))...)
	n.contained = append(n.contained, n.container(name))
	return err
}

// container is the name of an agent's container.
func (n *Network) container(agent string) string {
	return "raylink-dev-" + filepath.Base(n.cfg.Dir) + "-" + agent
}
