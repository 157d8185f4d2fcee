package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/coder/websocket"
)

type object map[string]any

// wire carries calls and answers of the DevTools protocol over one WebSocket.
type wire struct {
	conn   *websocket.Conn
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
	said    []string
	err     error
}

type answer struct {
	result json.RawMessage
	err    error
}

type message struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
		Data    string `json:"data"`
	} `json:"error"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

func newWire(conn *websocket.Conn) *wire {
	ctx, cancel := context.WithCancel(context.Background())
	w := &wire{conn: conn, cancel: cancel, done: make(chan struct{}), waiting: map[int]chan answer{}}
	go func() {
		defer close(w.done)
		w.read(ctx)
	}()
	return w
}

func (w *wire) read(ctx context.Context) {
	for {
		_, raw, err := w.conn.Read(ctx)
		var m message
		if err == nil {
			err = json.Unmarshal(raw, &m)
		}
		w.mu.Lock()
		if err != nil {
			w.err = fmt.Errorf("reading from the browser: %w", err)
			for id, c := range w.waiting {
				c <- answer{err: w.err}
				delete(w.waiting, id)
			}
			w.mu.Unlock()
			return
		}
		if c := w.waiting[m.ID]; m.ID != 0 && c != nil {
			a := answer{result: m.Result}
			if m.Error != nil {
				a.err = errors.New(strings.TrimSpace(m.Error.Message + " " + m.Error.Data))
			}
			c <- a
			delete(w.waiting, m.ID)
		}
		w.hear(m)
		w.mu.Unlock()
	}
}

// hear keeps what the page complains of; the lock is held.
func (w *wire) hear(m message) {
	var p struct {
		Entry struct{ Level, Text, URL string }
		Type  string
		Args  []struct {
			Value       json.RawMessage
			Description string
		}
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	if json.Unmarshal(m.Params, &p) != nil {
		return
	}
	switch {
	case m.Method == "Log.entryAdded" && p.Entry.Level == "error":
		w.said = append(w.said, strings.TrimSpace(p.Entry.Text+" "+p.Entry.URL))
	case m.Method == "Runtime.exceptionThrown":
		w.said = append(w.said, p.ExceptionDetails.Text+" "+p.ExceptionDetails.Exception.Description)
	case m.Method == "Runtime.consoleAPICalled" && p.Type == "error":
		for _, a := range p.Args {
			w.said = append(w.said, string(a.Value)+a.Description)
		}
	}
}

func (w *wire) complaints() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.said...)
}

// call sends one command and waits for its answer.
func (w *wire) call(ctx context.Context, session, method string, params object, into any) error {
	c := make(chan answer, 1)
	w.mu.Lock()
	if w.err != nil {
		w.mu.Unlock()
		return w.err
	}
	w.last++
	id := w.last
	w.waiting[id] = c
	w.mu.Unlock()
	command := object{"id": id, "method": method}
	if params != nil {
		command["params"] = params
	}
	if session != "" {
		command["sessionId"] = session
	}
	raw, err := json.Marshal(command)
	if err == nil {
		err = w.conn.Write(ctx, websocket.MessageText, raw)
	}
	if err != nil {
		return fmt.Errorf("sending %s to the browser: %w", method, err)
	}
	select {
	case a := <-c:
		if a.err != nil {
			return fmt.Errorf("%s: %w", method, a.err)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(a.result, into)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

func (w *wire) close() {
	w.cancel()
	_ = w.conn.CloseNow() // the browser is gone
	<-w.done
}
