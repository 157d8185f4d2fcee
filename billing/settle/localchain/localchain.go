// Package localchain starts a Solana node of one machine: a small JSON-RPC server over LiteSVM, which runs the real token programs, so that
// everything on this side of the wire is what runs against a cluster. It serves the loopback, keeps its state in memory, and ends with whoever
// started it. Its tokens are worth nothing.
//
// What it is not: it has no consensus (commitment is emulated by age), no websockets, no blocks to read. The helpers beside it do what people's
// wallets do, by real instructions through the same JSON-RPC; only time and faults have calls of their own.
package localchain

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"raylink/billing/settle/chain/solana"
)

//go:embed server.py node.py
var scripts embed.FS

const (
	startLimit   = 30 * time.Second
	stopLimit    = 3 * time.Second
	maxLastWords = 4096 // bytes of the process's standard error that are kept
)

// Config of a local chain.
type Config struct {
	Python      string        // a Python that has `solders`, such as raylink/devnet/setup/python.sh makes
	Log         *slog.Logger  // nil: no log
	Slot        time.Duration // between two slots, at least 1 ms; 0: only Tick moves the chain
	FinalityAge int           // slots after which a transaction is finalized; 32 if zero
}

// Chain is a local chain that runs.
type Chain struct {
	cfg     Config
	url     string
	dir     string
	client  *solana.Client
	process *exec.Cmd
	stdin   io.Closer
	done    chan struct{}
	once    sync.Once
	words   *lastWords
	err     error // of the process; read after done
}

// Start starts a local chain and waits until it answers. The context is for the start alone; Close ends the chain.
func Start(ctx context.Context, cfg Config) (*Chain, error) {
	if cfg.FinalityAge == 0 {
		cfg.FinalityAge = 32
	}
	if cfg.FinalityAge < 0 || cfg.FinalityAge > 100 || cfg.Slot != 0 && cfg.Slot < time.Millisecond {
		return nil, fmt.Errorf("starting the local chain: a finality of %d slots of %s is out of range", cfg.FinalityAge, cfg.Slot)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Chain{cfg: cfg, done: make(chan struct{}), words: &lastWords{}}
	if err := c.start(ctx); err != nil {
		return nil, fmt.Errorf("starting the local chain: %w", err)
	}
	cfg.Log.Info("local chain started", "url", c.url, "slot", cfg.Slot, "finality", cfg.FinalityAge)
	return c, nil
}

func (c *Chain) start(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "raylink-chain-")
	if err != nil {
		return err
	}
	c.dir = dir
	for _, name := range []string{"server.py", "node.py"} {
		text, err := scripts.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
	}
	port, err := c.launch(ctx)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	c.url = "http://127.0.0.1:" + strconv.Itoa(port)
	if c.client, err = solana.New(solana.Config{URL: c.url}); err != nil {
		return errors.Join(err, c.Close())
	}
	return nil
}

// launch starts the process and reads its port. The process ends when its standard input does: also where this one is killed.
func (c *Chain) launch(ctx context.Context) (int, error) {
	c.process = exec.Command(c.cfg.Python, "-B", "-I", "-c", bootstrap, c.dir,
		"--finality", strconv.Itoa(c.cfg.FinalityAge), "--slot-ms", strconv.FormatInt(c.cfg.Slot.Milliseconds(), 10))
	c.process.Env = []string{"LC_ALL=C.UTF-8"}
	c.process.Stderr = c.words
	c.process.WaitDelay = stopLimit
	var err error
	if c.stdin, err = c.process.StdinPipe(); err != nil {
		return 0, err
	}
	stdout, err := c.process.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := c.process.Start(); err != nil {
		return 0, fmt.Errorf("running %s: %w", c.cfg.Python, err)
	}
	ready := make(chan int, 1)
	go c.watch(stdout, ready)
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case port := <-ready:
		if port > 0 {
			return port, nil
		}
		<-c.done
		return 0, fmt.Errorf("the Python process ended at once: %v: %s", c.err, c.words.String())
	case <-ctx.Done():
		return 0, errors.Join(ctx.Err(), c.Close())
	}
}

// bootstrap lets an isolated Python (-I: nothing from the environment or the working directory) find the two files and nothing else.
const bootstrap = `import sys; sys.path.insert(0, sys.argv.pop(1)); import server; server.main()`

// watch owns the process: it reads the port, then waits for the end.
func (c *Chain) watch(stdout io.Reader, ready chan<- int) {
	defer close(c.done)
	line, _ := bufio.NewReader(io.LimitReader(stdout, 256)).ReadString('\n')
	port, _ := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "ready ")))
	ready <- port
	_, _ = io.Copy(io.Discard, stdout)
	c.err = c.process.Wait()
}

// URL of the node's JSON-RPC.
func (c *Chain) URL() string { return c.url }

// Client is a line to the node: chain.Reader and chain.Sender.
func (c *Chain) Client() *solana.Client { return c.client }

// Done is closed when the process has ended, wanted or not.
func (c *Chain) Done() <-chan struct{} { return c.done }

// Close ends the chain and all that it holds. It may be called more than once.
func (c *Chain) Close() error {
	var err error
	c.once.Do(func() {
		_ = c.stdin.Close()
		select {
		case <-c.done:
		case <-time.After(stopLimit):
			err = c.process.Process.Kill()
			<-c.done
		}
		if c.client != nil {
			c.client.Close()
		}
		err = errors.Join(err, os.RemoveAll(c.dir))
		c.cfg.Log.Info("local chain ended")
	})
	return err
}

// lastWords keeps the end of what a process writes.
type lastWords struct {
	mutex sync.Mutex
	text  []byte
}

// Write implements io.Writer.
func (w *lastWords) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.text = append(w.text, p...)
	if len(w.text) > maxLastWords {
		w.text = append([]byte(nil), w.text[len(w.text)-maxLastWords:]...)
	}
	return len(p), nil
}

// String is what was kept.
func (w *lastWords) String() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return strings.TrimSpace(string(w.text))
}
