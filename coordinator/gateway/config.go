// Package gateway is the process that serves clusters' endpoints and witnesses their minutes. It stands beside each coordinator, takes
// its assignments as an agent does, and goes on with the last one when no coordinator answers. It reaches heads through a network stack
// of its own inside each cluster's overlay, so it needs no privilege.
package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"raylink/coordinator/gateway/endpoint"
	"raylink/raylink"
	"raylink/raylink/client"
	"raylink/raylink/identity"
	"raylink/raylink/overlay"
	"raylink/raylink/overlay/wireguard"
	"raylink/raylink/wire"
)

// Config is a gateway's configuration; flags and their documentation come from it.
type Config struct {
	Name      string     `flag:"name" help:"name of this gateway, for people; by default the host's"`
	Data      string     `flag:"data" default:"/var/lib/raylink/gateway" help:"directory of its identity and of minutes not settled yet"`
	Join      string     `flag:"join" help:"API of any coordinator, https://host:port; only needed once"`
	TokenFile string     `flag:"join-token-file" help:"file with a join token of kind gateway; only needed once"`
	Listen    string     `flag:"listen" default:":8443" help:"address that users reach"`
	PublicURL string     `flag:"public-url" help:"the same as users see it: the endpoints' URLs begin with it. Its host name is to be another one than the dashboards'. By default https:// and the address listened on, localhost for 127.0.0.1"`
	Beside    string     `flag:"beside" help:"id of the coordinator that this gateway stands beside, whose users get its endpoints first; by default the one that it joined through"`
	PlainHTTP bool       `flag:"plain-http" help:"serve without TLS; on a loopback address only"`
	Address   netip.Addr `flag:"address" help:"address under which machines reach this gateway; by default that towards the coordinators"`
}

func (c *Config) check() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return raylink.Errorf(raylink.CodeInvalid, "--listen %s is no address: %v", c.Listen, err).WithHint("such as --listen :8443")
	}
	if c.PublicURL == "" {
		if host == "" {
			return raylink.Errorf(raylink.CodeInvalid, "users must know under which name they reach this gateway").
				WithHint("give it with --public-url https://name:port")
		}
		scheme := "https"
		if c.PlainHTTP {
			scheme = "http"
		}
		c.PublicURL = scheme + "://" + publicly(c.Listen)
	}
	public, err := url.Parse(c.PublicURL)
	if err != nil || public.Host == "" || public.User != nil || public.RawQuery != "" || strings.Trim(public.Path, "/") != "" {
		return raylink.Errorf(raylink.CodeInvalid, "--public-url %s is not of the form https://name:port", c.PublicURL)
	}
	switch {
	case public.Scheme != "https" && !c.PlainHTTP || public.Scheme != "http" && c.PlainHTTP:
		return raylink.Errorf(raylink.CodeInvalid, "--public-url %s and --plain-http=%v contradict each other", c.PublicURL, c.PlainHTTP)
	case c.PlainHTTP && !(loopback(host) && loopback(public.Hostname())):
		return raylink.Errorf(raylink.CodeInvalid, "without TLS the tokens of users would travel in plain text").
			WithHint("--plain-http goes with a loopback address: --listen 127.0.0.1:8443 --public-url http://localhost:8443")
	}
	if c.Beside != "" && !(identity.Principal{Kind: identity.Coordinator, ID: c.Beside}).Valid() {
		return raylink.Errorf(raylink.CodeInvalid, "--beside %.100q is no coordinator's id", c.Beside).WithHint("`raylink admin status` lists them")
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	return nil
}

// publicly is the address that users are told for one listened on: on the loopback by name, because a dashboard there stands under 127.0.0.1, and
// browsers send its cookies to every port of the same host name.
func publicly(listen string) string {
	if host, port, err := net.SplitHostPort(listen); err == nil && host == "127.0.0.1" {
		return net.JoinHostPort("localhost", port)
	}
	return listen
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Run joins the group if that was not done before, and serves until ctx ends.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	if err := c.check(); err != nil {
		return err
	}
	id, err := enrol(ctx, c)
	if err != nil {
		return err
	}
	principal, err := id.Principal()
	if err != nil {
		return err
	}
	coordinators, err := id.Client(log)
	if err != nil {
		return err
	}
	defer coordinators.Close()
	g, err := New(Options{
		ID: raylink.GatewayID(principal.ID), Key: id.Key(), URL: c.PublicURL, Beside: cmp.Or(c.Beside, id.Through()), Coordinators: coordinators,
		Join: wireguardNet(log), Source: source(c.Address), Keep: filepath.Join(c.Data, "minutes.json"), Log: log,
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening for users: %w", err)
	}
	keepFresh := func(ctx context.Context) { id.KeepFresh(ctx, coordinators, log) }
	if !c.PlainHTTP {
		s := &serving{ask: coordinators.ServingCertificate, identity: id.Certificate}
		listener = tls.NewListener(listener, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate})
		own := keepFresh
		keepFresh = func(ctx context.Context) {
			var both sync.WaitGroup
			both.Go(func() { own(ctx) })
			both.Go(func() { s.keepFresh(ctx, log) })
			both.Wait()
		}
	}
	log.Info("gateway serves endpoints", "id", principal.ID, "url", c.PublicURL, "listen", listener.Addr().String())
	return serve(ctx, g, listener, keepFresh, log)
}

// serve runs the gateway's parts until ctx ends or one of them breaks.
func serve(ctx context.Context, g *Gateway, listener net.Listener, keepFresh func(context.Context), log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	parts.Go(func() { keepFresh(ctx) })
	var watched error
	parts.Go(func() {
		defer stop()
		watched = g.Run(ctx)
	})
	served := endpoint.Serve(ctx, listener, g.Handler(), log)
	stop()
	parts.Wait()
	if errors.Is(watched, context.Canceled) {
		watched = nil
	}
	return errors.Join(served, watched)
}

func enrol(ctx context.Context, c Config) (*client.Identity, error) {
	if client.Joined(c.Data) {
		return client.OpenIdentity(c.Data)
	}
	if c.Join == "" || c.TokenFile == "" {
		return nil, raylink.Errorf(raylink.CodeInvalid, "this gateway has not joined a network yet").
			WithHint("give --join https://coordinator:7443 and --join-token-file with what `raylink join-token create --kind gateway` prints")
	}
	file, err := os.Open(c.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading the join token: %w", err)
	}
	token, err := io.ReadAll(io.LimitReader(file, 4<<10))
	_ = file.Close() // it was only read
	if err != nil {
		return nil, fmt.Errorf("reading the join token: %w", err)
	}
	name := c.Name
	if name == "" {
		if name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("finding a name: %w", err)
		}
	}
	return client.Enroll(ctx, c.Data, c.Join, strings.TrimSpace(string(token)), wire.JoinRequest{Name: name, URL: c.PublicURL})
}

func wireguardNet(log *slog.Logger) func(overlay.PrivateKey, overlay.Mesh) (Net, error) {
	return func(key overlay.PrivateKey, mesh overlay.Mesh) (Net, error) {
		n, err := wireguard.Netstack(wireguard.Config{PrivateKey: key, Address: mesh.Address, MTU: mesh.MTU}, log)
		if err != nil {
			return nil, err // not n: a nil *Net would be a Net that is not nil
		}
		return n, nil
	}
}

// source finds the address that machines reach this one at: the one given, or else that from which packets to a coordinator leave.
func source(given netip.Addr) func(ctx context.Context, coordinators []string) netip.Addr {
	return func(ctx context.Context, coordinators []string) netip.Addr {
		if given.IsValid() {
			return given
		}
		for _, base := range coordinators {
			u, err := url.Parse(base)
			if err != nil || u.Port() == "" {
				continue
			}
			conn, err := new(net.Dialer).DialContext(ctx, "udp", u.Host) // sends nothing
			if err != nil {
				continue
			}
			local, ok := conn.LocalAddr().(*net.UDPAddr)
			_ = conn.Close() // nothing was sent
			if ok {
				return local.AddrPort().Addr().Unmap()
			}
		}
		return netip.Addr{}
	}
}
