// Package browser drives a real Chromium over the Chrome DevTools protocol, as a person would: it types, clicks, and waits for text. Tests use it.
package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	startLimit = 60 * time.Second // a cold start on a slow machine
	stopLimit  = 5 * time.Second
	lookEvery  = 50 * time.Millisecond
	frameLimit = 64 << 20 // bytes; a screenshot of a long page
)

// Browser is one window of one Chromium with a profile of its own.
type Browser struct {
	dir     string
	command *exec.Cmd
	exited  chan struct{}
	wire    *wire
	session string // of the window's target
}

// Find gives the path of the machine's Chromium.
func Find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", errors.New("no Chromium on this machine; on Debian: apt-get install chromium")
}

// Open starts a Chromium without a screen and opens an empty window. It takes certificates of any authority: a test's group has its own.
func Open(ctx context.Context) (*Browser, error) {
	program, err := Find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "raylink-browser-")
	if err != nil {
		return nil, fmt.Errorf("making a profile's directory: %w", err)
	}
	b := &Browser{dir: dir, exited: make(chan struct{}), command: exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--ignore-certificate-errors",
		"--no-proxy-server", "--remote-debugging-port=0", "--user-data-dir="+dir, "about:blank")}
	b.command.Env = append(os.Environ(), "HOME="+dir)
	if err := b.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", program, err), os.RemoveAll(dir))
	}
	go func() {
		_ = b.command.Wait() // how it ended says nothing: Close ends it
		close(b.exited)
	}()
	if err := b.connect(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// connect waits for the address that Chromium writes into its profile, and attaches to a window.
func (b *Browser) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var port, path string
	err := b.until(ctx, "the browser's address", func() (bool, error) {
		raw, err := os.ReadFile(filepath.Join(b.dir, "DevToolsActivePort"))
		if err != nil {
			return false, nil
		}
		var ok bool
		port, path, ok = strings.Cut(strings.TrimSpace(string(raw)), "\n")
		return ok, nil
	})
	if err != nil {
		return err
	}
	conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:"+port+path, nil)
	if err != nil {
		return fmt.Errorf("connecting to the browser: %w", err)
	}
	conn.SetReadLimit(frameLimit)
	b.wire = newWire(conn)
	var target struct{ TargetID string }
	if err := b.wire.call(ctx, "", "Target.createTarget", object{"url": "about:blank"}, &target); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	if err := b.wire.call(ctx, "", "Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return err
	}
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		if err := b.call(ctx, domain+".enable", nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// until looks every now and then until something holds, the browser is gone, or the context ends.
func (b *Browser) until(ctx context.Context, what string, holds func() (bool, error)) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		ok, err := holds()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-b.exited:
			return fmt.Errorf("waiting for %s: the browser has exited", what)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

func (b *Browser) call(ctx context.Context, method string, params object, into any) error {
	return b.wire.call(ctx, b.session, method, params, into)
}

// Close ends the browser and removes its profile.
func (b *Browser) Close() error {
	if b.wire != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		_ = b.wire.call(ctx, "", "Browser.close", nil, nil) // it may be gone already
		cancel()
	}
	select {
	case <-b.exited:
	case <-time.After(stopLimit):
		_ = b.command.Process.Kill()
		<-b.exited
	}
	if b.wire != nil {
		b.wire.close()
	}
	var err error
	for range 20 { // its helpers may write for a moment after it
		if err = os.RemoveAll(b.dir); err == nil {
			return nil
		}
		time.Sleep(lookEvery)
	}
	return fmt.Errorf("removing the browser's profile: %w", err)
}

// Complaints are what the window's console has said so far of errors: exceptions of scripts, what the page's policy refused, what did not load.
func (b *Browser) Complaints() []string { return b.wire.complaints() }

// evaluate runs an expression in the page and gives its value.
func (b *Browser) evaluate(ctx context.Context, expression string, into any) error {
	var answer struct {
		Result struct {
			Value json.RawMessage
		}
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	if err := b.call(ctx, "Runtime.evaluate", object{"expression": expression, "returnByValue": true, "awaitPromise": true}, &answer); err != nil {
		return err
	}
	if e := answer.ExceptionDetails; e != nil {
		return fmt.Errorf("running a script in the page: %s %s", e.Text, e.Exception.Description)
	}
	if into == nil || len(answer.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(answer.Result.Value, into)
}

// Screenshot gives the whole page as PNG, beyond the window's edge too.
func (b *Browser) Screenshot(ctx context.Context) ([]byte, error) {
	var page struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	if err := b.call(ctx, "Page.getLayoutMetrics", nil, &page); err != nil {
		return nil, err
	}
	var shot struct{ Data string }
	clip := object{"x": 0, "y": 0, "width": page.CSSContentSize.Width, "height": page.CSSContentSize.Height, "scale": 1}
	if err := b.call(ctx, "Page.captureScreenshot", object{"format": "png", "captureBeyondViewport": true, "clip": clip}, &shot); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(shot.Data)
}
