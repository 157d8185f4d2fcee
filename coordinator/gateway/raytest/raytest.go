// Package raytest is a stand-in for a Ray head in tests of what lies in front of it: the Jobs API, versions, packages, nodes and the log
// WebSocket of Ray 2.60 as far as they matter there, with the head's death and return. What it answers was recorded from the real thing.
package raytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Head is one head. Its jobs, like those of a head with RocksDB, outlive Kill.
type Head struct {
	Token string // the cluster's

	mu       sync.Mutex
	jobs     map[string]*Job
	packages map[string]int64
	nodes    []Node
	requests []*http.Request
	sick     bool // the GCS does not answer
	index    string
	run      *run
}

// run is one life of the head's process.
type run struct {
	server *http.Server
	conns  map[net.Conn]bool
	done   chan struct{}
	open   sync.WaitGroup
	awake  bool // this life's agent has made its job manager
}

// Job is one job.
type Job struct {
	Status, Message string
	Log             string
	Started         int64 // milliseconds since 1970, as Ray says; jobs that were made one after the other are a millisecond apart here
	Agentless       bool  // its driver's agent died with the head: a tail ends at once and cleanly until the agent was asked for the log
}

// Node is one row of /api/v0/nodes.
type Node struct {
	ID    string `json:"node_id"`
	IP    string `json:"node_ip"`
	Head  bool   `json:"is_head_node"`
	State string `json:"state"`
}

// New makes a head that does not run yet.
func New(token string) *Head {
	return &Head{Token: token, jobs: map[string]*Job{}, packages: map[string]int64{}, index: "<html>Ray Dashboard</html>"}
}

// Start lets the head answer on listener.
func (h *Head) Start(listener net.Listener) {
	r := &run{conns: map[net.Conn]bool{}, done: make(chan struct{})}
	r.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.open.Add(1)
		defer r.open.Done()
		h.serve(w, req, r)
	})}
	r.server.ConnState = func(c net.Conn, s http.ConnState) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if s == http.StateClosed {
			delete(r.conns, c)
		} else {
			r.conns[c] = true
		}
	}
	h.mu.Lock()
	h.run = r
	h.mu.Unlock()
	r.open.Go(func() { _ = r.server.Serve(listener) })
}

// Kill breaks every connection without a word and stops answering.
func (h *Head) Kill() {
	h.mu.Lock()
	r := h.run
	h.run = nil
	h.mu.Unlock()
	if r == nil {
		return
	}
	close(r.done)
	_ = r.server.Close()
	h.mu.Lock()
	for c := range r.conns {
		_ = c.Close() // WebSockets, which the server no longer knows
	}
	h.mu.Unlock()
	r.open.Wait()
}

// Submit adds a running job.
func (h *Head) Submit(id string) { h.Set(id, func(j *Job) { j.Status = "RUNNING" }) }

// Append lengthens a job's log.
func (h *Head) Append(id, text string) { h.Set(id, func(j *Job) { j.Log += text }) }

// Finish gives a job its verdict.
func (h *Head) Finish(id, status, message string) {
	h.Set(id, func(j *Job) { j.Status, j.Message = status, message })
}

// Set changes a job, or makes it.
func (h *Head) Set(id string, change func(*Job)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs[id] == nil {
		h.jobs[id] = &Job{Started: int64(len(h.jobs)) + 1}
	}
	change(h.jobs[id])
}

// Forget removes a job.
func (h *Head) Forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.jobs, id)
}

// SetNodes says what Ray's own view is.
func (h *Head) SetNodes(nodes ...Node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nodes = nodes
}

// SetSick makes the health of the GCS bad or good.
func (h *Head) SetSick(sick bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sick = sick
}

// SetIndex changes the dashboard's page.
func (h *Head) SetIndex(page string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.index = page
}

// Requests are the requests that arrived, without those whose path begins with one of the prefixes.
func (h *Head) Requests(without ...string) []*http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	var kept []*http.Request
next:
	for _, r := range h.requests {
		for _, prefix := range without {
			if strings.HasPrefix(r.URL.Path, prefix) {
				continue next
			}
		}
		kept = append(kept, r)
	}
	return kept
}

// Package is the size in bytes of an uploaded package, or -1.
func (h *Head) Package(path string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if size, ok := h.packages[path]; ok {
		return size
	}
	return -1
}

func (h *Head) serve(w http.ResponseWriter, r *http.Request, life *run) {
	h.mu.Lock()
	h.requests = append(h.requests, r.Clone(r.Context()))
	sick := h.sick
	h.mu.Unlock()
	if status, text := h.guard(r); status != 0 {
		answer(w, status, text)
		return
	}
	path := r.URL.Path
	switch {
	case path == "/api/gcs_healthz" && sick:
		answer(w, 500, "GCS is not healthy")
	case path == "/api/gcs_healthz":
		answer(w, 200, "success")
	case path == "/":
		w.Header().Set("Content-Type", "text/html")
		h.mu.Lock()
		index := h.index
		h.mu.Unlock()
		writePage(w, index)
	case path == "/api/authentication_mode":
		http.SetCookie(w, &http.Cookie{Name: "ray-authentication-token", Value: h.Token, Path: "/"})
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark", Path: "/", Domain: "ray.example"})
		object(w, map[string]string{"authentication_mode": "token"})
	case path == "/api/version":
		object(w, map[string]string{"version": "4", "ray_version": "2.60.0", "ray_commit": "b7f4259e944b", "session_name": "session_1"})
	case path == "/api/v0/nodes":
		h.listNodes(w)
	case path == "/redirect":
		http.Redirect(w, r, "/new/home?x=1", http.StatusFound)
	case strings.HasPrefix(path, "/api/packages/"):
		h.servePackage(w, r)
	case strings.HasPrefix(path, "/api/jobs/"):
		h.serveJob(w, r, life)
	case path == "/api/echo":
		h.echo(w, r)
	default:
		answer(w, 404, "404: Not Found")
	}
}

// guard is Ray's token check and its refusal of browsers that change things.
func (h *Head) guard(r *http.Request) (int, string) {
	switch r.URL.Path {
	case "/", "/api/authentication_mode", "/api/gcs_healthz":
		return 0, ""
	}
	switch r.Header.Get("Authorization") {
	case "":
		return 401, "Unauthorized: Missing authentication token"
	case "Bearer " + h.Token:
	default:
		return 403, "Forbidden: Invalid authentication token"
	}
	browser := strings.HasPrefix(r.UserAgent(), "Mozilla")
	for _, name := range []string{"Referer", "Origin", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Sec-Fetch-User"} {
		browser = browser || r.Header.Get(name) != ""
	}
	if browser && r.Method != "GET" && r.Method != "HEAD" && r.Method != "OPTIONS" {
		return 405, fmt.Sprintf("'%s' method not allowed for browser traffic.", r.Method)
	}
	return 0, ""
}

func (h *Head) listNodes(w http.ResponseWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	object(w, map[string]any{"result": true, "msg": "", "data": map[string]any{"result": map[string]any{
		"total": len(h.nodes), "num_after_truncation": len(h.nodes), "result": h.nodes}}})
}

func (h *Head) servePackage(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		if h.Package(r.URL.Path) < 0 {
			answer(w, 404, "Package does not exist")
		}
		return
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.packages[r.URL.Path] = n
	h.mu.Unlock()
}

func (h *Head) serveJob(w http.ResponseWriter, r *http.Request, life *run) {
	id, tail, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/jobs/"), "/")
	if id == "" && r.Method == http.MethodPost {
		var asked struct {
			ID string `json:"submission_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			answer(w, 400, err.Error())
			return
		}
		h.Submit(asked.ID)
		object(w, map[string]string{"job_id": asked.ID, "submission_id": asked.ID})
		return
	}
	if id == "" {
		h.listJobs(w)
		return
	}
	h.mu.Lock()
	found := h.jobs[id]
	var j Job
	if found != nil {
		j = *found
	}
	if tail == "logs" {
		life.awake = true
	}
	awake := life.awake
	h.mu.Unlock()
	switch {
	case found == nil:
		answer(w, 404, fmt.Sprintf("Job %s does not exist", id))
	case tail == "":
		object(w, row(id, j))
	case tail == "logs":
		object(w, map[string]string{"logs": j.Log})
	case tail == "logs/tail":
		h.tail(w, r, id, life, j.Agentless && !awake)
	default:
		answer(w, 404, "404: Not Found")
	}
}

func (h *Head) listJobs(w http.ResponseWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rows := []map[string]any{} // in no order, as Ray lists them
	for id, j := range h.jobs {
		rows = append(rows, row(id, *j))
	}
	object(w, rows)
}

func row(id string, j Job) map[string]any {
	return map[string]any{"type": "SUBMISSION", "submission_id": id, "status": j.Status, "message": j.Message, "start_time": j.Started}
}

// tail replays the log from its first byte and follows it, looking each second, as Ray does. It never reads from the socket.
func (h *Head) tail(w http.ResponseWriter, r *http.Request, id string, life *run, dead bool) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	if dead {
		_ = c.Close(websocket.StatusNormalClosure, "")
		return
	}
	sent, over := 0, false
	for {
		h.mu.Lock()
		j := *h.jobs[id]
		h.mu.Unlock()
		for sent < len(j.Log) {
			n := nextChunk(j.Log[sent:])
			if writeSplit(r, c, j.Log[sent:sent+n]) != nil {
				return
			}
			sent += n
		}
		if over {
			_ = c.Close(websocket.StatusNormalClosure, "")
			return
		}
		over = j.Status != "RUNNING" && j.Status != "PENDING"
		select {
		case <-life.done:
			return
		case <-time.After(time.Second):
		}
	}
}

// nextChunk is the length of up to ten lines.
func nextChunk(s string) int {
	n := 0
	for range 10 {
		i := strings.IndexByte(s[n:], '\n')
		if i < 0 {
			return len(s)
		}
		n += i + 1
	}
	return n
}

// writeSplit sends one message in two frames, cut in the middle of whatever stands there.
func writeSplit(r *http.Request, c *websocket.Conn, s string) error {
	w, err := c.Writer(r.Context(), websocket.MessageText)
	if err != nil {
		return err
	}
	half := len(s)/2 + 1
	for _, part := range []string{s[:min(half, len(s))], s[min(half, len(s)):]} {
		if _, err := io.WriteString(w, part); err != nil {
			return err
		}
	}
	return w.Close()
}

// echo is a WebSocket that says everything back, such as Ray's own jobs never have.
func (h *Head) echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, data, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, data) != nil {
			return
		}
	}
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func object(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v)
}

// writePage sends a page's beginning a moment before the rest, as a rendered page comes. So the flush of the headers, which httputil's proxy
// does by a timer of its own, is over before a reader who reads nothing can block it: a mutex waited for would stop a synctest bubble's clock.
func writePage(w http.ResponseWriter, page string) {
	_, _ = io.WriteString(w, page[:min(len(page), 64)])
	_ = http.NewResponseController(w).Flush()
	<-time.After(time.Millisecond)
	_, _ = io.WriteString(w, page[min(len(page), 64):])
}
