package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"raylink/raylink"
)

func (a *app) logs() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:     "logs CLUSTER [JOB]",
		Short:   "Show a job's log, by default the newest job's",
		Long:    `Logs shows what a job has written, through the cluster's endpoint. JOB is the submission id that ray job submit printed.`,
		Example: "  raylink logs first-job\n  raylink logs first-job raysubmit_bPv1jwYQ9MFzqPBy\n  raylink logs first-job --follow",
		Args:    wants("CLUSTER", "[JOB]"), ValidArgsFunction: a.clusterNames,
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the job has ended; exits 1 if it failed")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := a.open()
		if err != nil {
			return err
		}
		defer s.Close()
		x, err := s.Cluster(c.Context(), args[0])
		if err != nil {
			return err
		}
		if err := served(x); err != nil {
			return err
		}
		jobs, err := newJobs(s, x.Endpoints)
		if err != nil {
			return err
		}
		id := ""
		if len(args) > 1 {
			id = args[1]
		} else if id, err = jobs.newest(c.Context()); err != nil {
			return err
		}
		return a.jobLog(c.Context(), jobs, id, follow)
	}
	return c
}

// jobLog writes the log as far as it goes; if follow says so, it streams what is added until the job has ended. A stream that breaks
// is opened again, at any endpoint, and goes on where it was.
func (a *app) jobLog(ctx context.Context, jobs *jobs, id string, follow bool) error {
	if !follow {
		text, err := jobs.log(ctx, id)
		if err == nil {
			_, err = io.WriteString(a.out, text)
		}
		return err
	}
	for written := 0; ; {
		job, err := jobs.get(ctx, id) // before the log, so that the last log is read after the job's end
		if err != nil {
			return err
		}
		if written, err = jobs.tail(ctx, id, written, a.out); err != nil {
			return err
		}
		switch job.Status {
		case "SUCCEEDED":
			return nil
		case "FAILED", "STOPPED":
			return raylink.Errorf(raylink.CodeInternal, "job %s %s: %s", id, job.Status, job.Message)
		}
		if err := pauseFor(ctx, reopenAfter); err != nil {
			return err
		}
	}
}
