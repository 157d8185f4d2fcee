package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/supplier"
)

// askGroup is how long a local verb waits for the coordinators: its owner is waiting.
const askGroup = 8 * time.Second

// local makes a verb that works on this machine's agent: of the agent's settings it shows --data and those that are named.
func (a *app) local(c *cobra.Command, shown []string, run func(ctx context.Context, config supplier.Config, args []string, log *slog.Logger) error) *cobra.Command {
	var config supplier.Config
	r, err := bindRole(c, "supplier", &config)
	if err == nil {
		for _, f := range r.fields {
			if f.name != "data" && !slices.Contains(shown, f.name) {
				err = errors.Join(err, c.Flags().MarkHidden(f.name))
			}
		}
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if err != nil {
			return err
		}
		if err := r.load(c.Flags(), a.getenv); err != nil {
			return err
		}
		log, err := a.logger(r.level)
		if err != nil {
			return usage(c, "%v", err)
		}
		err = run(c.Context(), config, args, log)
		if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
			return raylink.Errorf(raylink.CodeForbidden, "%v", err).WithHint("the agent's directory is root's: run this with sudo")
		}
		return err
	}
	return c
}

// group opens a client that speaks for this machine, by its certificate. It keeps nothing: only the agent writes to its directory.
func group(config supplier.Config) (*client.Client, raylink.MachineID, error) {
	me, err := client.OpenIdentity(filepath.Join(config.Data, "identity"))
	if err != nil {
		return nil, "", err
	}
	who, err := me.Principal()
	if err != nil {
		return nil, "", err
	}
	c, err := client.New(client.Config{Coordinators: me.Coordinators(), CAPEM: me.CAPEM(), Certificate: me.Certificate})
	return c, raylink.MachineID(who.ID), err
}

// groupView is how the group sees this machine.
type groupView struct {
	Standing    *raylink.Standing `json:"standing,omitempty"` // asked now
	Coordinator string            `json:"coordinator,omitempty"`
	Error       string            `json:"error,omitempty"` // why nobody answered
}

func askStanding(ctx context.Context, config supplier.Config) (raylink.MachineID, groupView) {
	c, id, err := group(config)
	if err != nil {
		return id, groupView{Error: err.Error()}
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, askGroup)
	defer cancel()
	s, err := c.Standing(ctx, id)
	if err != nil {
		return id, groupView{Error: err.Error()}
	}
	return id, groupView{Standing: &s, Coordinator: c.Coordinators()[0]}
}
