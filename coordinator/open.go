package coordinator

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"raylink/coordinator/api"
	"raylink/coordinator/authority"
	"raylink/coordinator/consensus"
	"raylink/coordinator/reconcile"
	"raylink/coordinator/state"
	"raylink/raylink"
	"raylink/raylink/challenge/kernel"
	"raylink/raylink/identity"
)

// Init founds a group in cfg.Data: its authority, and the first admin's access token in AdminTokenFile. The first Run makes it valid.
func Init(cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.authorityDir(), 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	if _, err := authority.Init(cfg.authorityDir()); err != nil {
		return err
	}
	token, err := identity.NewAccessToken(rand.Reader)
	if err != nil {
		return err
	}
	if err := os.WriteFile(cfg.AdminTokenFile(), []byte(token+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the admin's access token: %w", err)
	}
	return nil
}

// Run is one coordinator until ctx ends. Where cfg.Join is given and nothing has been joined yet, it joins that group first.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	cfg.registry = prometheus.NewRegistry()
	if err := consensus.Metrics(cfg.registry); err != nil {
		return err
	}
	n, err := Open(ctx, cfg, log)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-n.Fatal():
	}
	return errors.Join(err, n.Close())
}

// Node is one running coordinator.
type Node struct {
	cfg    Config
	log    *slog.Logger
	raft   *consensus.Node
	group  *group
	server *http.Server
	fatal  chan error
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// Open starts a coordinator and returns once its API listens.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	founding := cfg.Join == ""
	auth, err := cfg.authority(ctx)
	if err != nil {
		return nil, err
	}
	keeper := auth.ServerCertificate(cfg.ID, cfg.hosts()...)
	if err := os.MkdirAll(cfg.raftDir(), 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	st := state.New()
	node, err := consensus.Open(consensus.Config{ID: cfg.ID, Dir: cfg.raftDir(), Listen: cfg.RaftListen, Advertise: cfg.RaftAdvertise, TLS: auth.PeerTLS(keeper),
		Heartbeat: cfg.Heartbeat, SnapshotEntries: uint64(cfg.Snapshot), SnapshotCheck: cfg.SnapshotCheck, TrailingEntries: uint64(cfg.Trailing), Log: log,
		Check: func(c json.RawMessage) error { _, _, err := state.Decode(c); return err }}, st, founding)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: log, raft: node, group: &group{node, st}, fatal: make(chan error, 2)}
	run, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	if err := n.serve(run, auth, keeper); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.tasks.Go(func() {
		if err := n.enter(run, auth, keeper, founding); err != nil && run.Err() == nil {
			n.fatal <- err
		}
	})
	return n, nil
}

// authority opens the group's authority, joining the group first where that is asked for.
func (c *Config) authority(ctx context.Context) (*authority.Authority, error) {
	auth, err := authority.Open(c.authorityDir())
	if err == nil || c.Join == "" {
		if err != nil {
			return nil, raylink.Errorf(raylink.CodeInvalid, "no group is known in %s: %v", c.Data, err).
				WithHint("found one with `raylink coordinator init`, or join one with `raylink coordinator join`")
		}
		return auth, nil
	}
	return c.join(ctx)
}

// serve opens the API and starts the loops.
func (n *Node) serve(ctx context.Context, auth *authority.Authority, keeper *authority.Keeper) error {
	memory, told := reconcile.NewMemory(), &api.Told{}
	chain := &treasury{group: n.group, nodes: n.cfg.nodes(), log: n.log}
	(&api.Leader{Group: n.group, Memory: memory, Told: told, Chain: chain.holdings, Check: chain.check}).Register(n.raft.Handle)
	registry := n.cfg.registry
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	s := &api.Server{ID: n.cfg.ID, Version: n.cfg.Version, Group: n.group, Roster: n.group, Authority: auth, Log: n.log, Told: told,
		Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), Pages: n.pages,
		Judge: &api.Judge{Transcripts: &transcripts{dir: filepath.Join(n.cfg.Data, "transcripts"), kept: keptTranscripts}, Multiplier: kernel.New(1), Band: band, Reads: reads}}
	line, err := openCards(&n.cfg)
	if err != nil {
		return err
	}
	if line != nil {
		s.Cards = line
		n.log.Info("cards are taken", "line", line.String())
	}
	sources, err := n.cfg.sources()
	if err != nil {
		return err
	}
	key, err := auth.SigningKey()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", n.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening for the API on %s: %w", n.cfg.Listen, err)
	}
	n.server = &http.Server{Handler: s.Handler(), TLSConfig: auth.ServerTLS(keeper), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
	n.tasks.Go(func() {
		if err := n.server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			n.fatal <- fmt.Errorf("serving the API: %w", err)
		}
	})
	loop := &reconcile.Loop{Group: n.group, Memory: memory, Log: n.log, Key: key}
	n.tasks.Go(func() {
		n.raft.Lead(ctx, func(term context.Context) {
			var both sync.WaitGroup
			both.Go(func() { chain.run(term) })
			both.Go(func() { prices(term, &chainBooks{chain}, sources, n.log) })
			both.Go(func() { checkpoints(term, n.cfg.Checkpoint, &chainBooks{chain}, auth, n.log) })
			both.Go(func() { (&cardLoop{books: &chainBooks{chain}, cards: line, log: n.log}).run(term) })
			loop.Run(term)
			both.Wait()
		})
	})
	n.tasks.Go(func() {
		select {
		case err := <-n.raft.Fatal():
			n.fatal <- err
		case <-ctx.Done():
		}
	})
	return nil
}

// enter makes this node known to its group: the founder writes the first account, a joiner becomes a voter. After a restart there is nothing to do.
func (n *Node) enter(ctx context.Context, auth *authority.Authority, keeper *authority.Keeper, founding bool) error {
	if !founding {
		if n.group.Voters()[n.cfg.ID] {
			return nil
		}
		return n.askForVote(ctx, auth, keeper)
	}
	if _, err := n.raft.Barrier(ctx); err != nil {
		n.log.Warn("waiting for a majority of the group", "err", err)
		return nil // a restart whose peers are still away: the group was founded long ago
	}
	known := false
	n.group.Read(func(s *state.State) { _, known = s.Members[n.cfg.ID] })
	if known {
		return nil
	}
	secret, err := n.adminSecret()
	if err != nil {
		return err
	}
	return n.found(ctx, secret)
}

func (n *Node) adminSecret() (string, error) {
	raw, err := os.ReadFile(n.cfg.AdminTokenFile())
	if err != nil {
		return "", fmt.Errorf("reading the first admin's access token: %w", err)
	}
	return identity.ParseAccessToken(strings.TrimSpace(string(raw)))
}

// Fatal gives the reason when this coordinator cannot go on.
func (n *Node) Fatal() <-chan error { return n.fatal }

// Close ends the coordinator in order.
func (n *Node) Close() error {
	n.cancel()
	var err error
	if n.server != nil {
		err = n.server.Close()
	}
	err = errors.Join(err, n.raft.Close())
	n.tasks.Wait()
	return err
}
