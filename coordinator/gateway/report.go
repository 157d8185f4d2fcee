package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"raylink/coordinator/gateway/witness"
	"raylink/raylink/wire"
)

const (
	reportPace  = 2 * time.Second
	reportTime  = 5 * time.Second
	keepPace    = 4 * time.Second  // between two writings of the minutes' file
	missedFor   = 30 * time.Second // how long a cluster is served that an assignment suddenly leaves out
	sourceFor   = 30 * time.Second // how long the address towards the coordinators is taken to stay
	bookLimit   = 256 << 20        // bytes
	minReportIn = 200 * time.Millisecond
)

// report tells the coordinators what this gateway sees, every two seconds and when something changed, until ctx ends.
func (g *Gateway) report(ctx context.Context) {
	ticker := time.NewTicker(reportPace)
	defer ticker.Stop()
	var address netip.Addr
	var found time.Time
	failing := false
	var kept time.Time
	for {
		g.sweep()
		if time.Since(kept) > keepPace {
			g.keep()
			kept = time.Now()
		}
		if time.Since(found) > sourceFor || !address.IsValid() {
			g.mu.Lock()
			coordinators := g.coordinators
			g.mu.Unlock()
			if a := g.o.Source(ctx, coordinators); a.IsValid() {
				address, found = a, time.Now()
			}
		}
		telling, done := context.WithTimeout(ctx, reportTime)
		err := g.o.Coordinators.GatewayReport(telling, g.observation(address))
		done()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			g.o.Log.Warn("no coordinator takes the report; serving goes on", "error", err)
		case err == nil && failing:
			g.o.Log.Info("coordinators take reports again")
		}
		failing = err != nil
		if !rest(ctx, minReportIn) { // news come in bunches
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-g.news:
		case <-ticker.C:
		}
	}
}

func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// observation is everything that this gateway has to say now.
func (g *Gateway) observation(address netip.Addr) wire.GatewayReport {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := wire.GatewayReport{Started: g.started.UTC(), URL: g.o.URL, Beside: g.o.Beside, Clusters: []wire.ClusterReport{}}
	for _, id := range slices.Sorted(maps.Keys(g.clusters)) {
		c := g.clusters[id]
		seen := wire.ClusterReport{Cluster: id, HeadUp: c.headUp, Nodes: c.nodes, Minutes: g.book.Records(id)}
		if c.net != nil && address.IsValid() {
			seen.PublicKey, seen.Signature = c.public, c.signature
			seen.Endpoint = netip.AddrPortFrom(address, c.net.Port())
		}
		r.Clusters = append(r.Clusters, seen)
	}
	return r
}

// keep writes the book of minutes to its file, if it has changed.
func (g *Gateway) keep() {
	if g.o.Keep == "" {
		return
	}
	g.mu.Lock()
	if !g.dirty {
		g.mu.Unlock()
		return
	}
	g.dirty = false
	text, err := json.Marshal(g.book)
	g.mu.Unlock()
	if err == nil {
		err = replace(g.o.Keep, text)
	}
	if err != nil {
		g.o.Log.Error("minutes are counted but not kept over a restart", "error", err)
	}
}

// replace writes a file so that there is always the old or the new one.
func replace(name string, text []byte) error {
	next := name + ".new"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return fmt.Errorf("keeping minutes: %w", err)
	}
	if err := os.Rename(next, name); err != nil {
		return fmt.Errorf("keeping minutes: %w", err)
	}
	return nil
}

func readBook(name string) (*witness.Book, error) {
	book := &witness.Book{}
	if name == "" {
		return book, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("making the gateway's directory: %w", err)
	}
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return book, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the minutes that were kept: %w", err)
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, bookLimit)).Decode(book); err != nil {
		return nil, fmt.Errorf("reading the minutes kept in %s: %w", name, err)
	}
	return book, nil
}
