package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"raylink/coordinator/gateway/connect"
	"raylink/raylink"
	"raylink/raylink/ray"
	"raylink/raylink/wire"
)

func (a *app) connect() *cobra.Command {
	var port uint16
	var level string
	c := &cobra.Command{
		Use:   "connect CLUSTER",
		Short: "Put a cluster on this machine's loopback, as if Ray ran here",
		Long: `Connect forwards a port of the loopback to a cluster, through whichever gateway answers, with your access token added. Ray's
tools then need no address, token or certificate, and a log that is followed outlives the loss of a gateway. While it
runs, everybody on this machine who reaches the port acts as you.`,
		Example: "  raylink connect first-job &\n  ray job submit --address http://" + connect.Usual() + " --working-dir . -- python train.py",
		Args:    wants("CLUSTER"), ValidArgsFunction: a.clusterNames,
	}
	c.Flags().Uint16Var(&port, "port", ray.DashboardPort, "port of 127.0.0.1; 0 takes any free one")
	c.Flags().StringVar(&level, "log-level", "warn", "how much to log: debug, info, warn or error")
	c.RunE = func(c *cobra.Command, args []string) error {
		log, err := a.logger(level)
		if err != nil {
			return usage(c, "%v", err)
		}
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
		config, err := connection(s, x)
		if err != nil {
			return err
		}
		config.Listen = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
		err = connect.Run(c.Context(), config, func(url string) {
			fmt.Fprintf(a.out, "%s is at %s until ^C. In another terminal:\n", x.Name, url)
			if x.Phase != raylink.PhaseReady {
				fmt.Fprintf(a.err, "It is not ready yet (%s): `raylink cluster get %s --watch` shows the stages.\n", x.Phase, x.Name)
			}
			fmt.Fprintf(a.out, "  ray job submit --address %s --working-dir . -- python train.py\n", url)
		}, log)
		if c.Context().Err() != nil {
			return nil // ^C is how it ends
		}
		return err
	}
	return c
}

// connection is how this user reaches a cluster.
func connection(s *session, x wire.Cluster) (connect.Config, error) {
	pool, err := trusted(s.caFile)
	if err != nil {
		return connect.Config{}, err
	}
	config := connect.Config{Cluster: x.ID, Token: s.token, TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}}
	for _, endpoint := range x.Endpoints {
		base, ok := strings.CutSuffix(strings.TrimRight(endpoint, "/"), "/c/"+string(x.ID))
		if ok {
			config.Gateways = append(config.Gateways, base)
		}
	}
	if len(config.Gateways) == 0 {
		return config, raylink.Errorf(raylink.CodeUnavailable, "no gateway serves cluster %s", x.Name).
			WithHint("it is %s; `raylink cluster get %s` shows more", x.Phase, x.Name)
	}
	return config, nil
}
