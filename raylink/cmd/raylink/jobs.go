package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"

	"raylink/raylink"
)

// Limits of reading a job's log.
const (
	reopenAfter = 500 * time.Millisecond
	logLimit    = 256 << 20 // bytes; Ray answers with the whole log in one JSON
	dialWithin  = 10 * time.Second
	frameLimit  = 32 << 20 // bytes of one frame of the stream
)

// jobs is Ray's own Jobs API behind a cluster's endpoints.
type jobs struct {
	http      *http.Client
	endpoints []string
	token     string
}

// job is what Ray says of one job.
type job struct {
	SubmissionID string `json:"submission_id"`
	Status       string `json:"status"`
	Message      string `json:"message"`
	StartTime    int64  `json:"start_time"` // milliseconds since 1970
}

func newJobs(s *session, endpoints []string) (*jobs, error) {
	pool, err := trusted(s.caFile)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, TLSHandshakeTimeout: 5 * time.Second}
	return &jobs{http: &http.Client{Transport: transport, Timeout: time.Minute}, endpoints: endpoints, token: s.token}, nil
}

// trusted is the pool of a CA file: what gateways show a certificate of.
func trusted(caFile string) (*x509.CertPool, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, raylink.Errorf(raylink.CodeInvalid, "%s holds no certificate", caFile).WithHint("`raylink login` fetches it anew")
	}
	return pool, nil
}

// get is one job.
func (j *jobs) get(ctx context.Context, id string) (job, error) {
	var x job
	return x, j.read(ctx, "/api/jobs/"+url.PathEscape(id), &x)
}

// log is all that a job has written so far.
func (j *jobs) log(ctx context.Context, id string) (string, error) {
	var x struct {
		Logs string `json:"logs"`
	}
	err := j.read(ctx, "/api/jobs/"+url.PathEscape(id)+"/logs", &x)
	return x.Logs, err
}

// newest is the id of the job that was submitted last.
func (j *jobs) newest(ctx context.Context) (string, error) {
	var list []job
	if err := j.read(ctx, "/api/jobs/", &list); err != nil {
		return "", err
	}
	var found job
	for _, x := range list {
		if x.SubmissionID != "" && (found.SubmissionID == "" || x.StartTime > found.StartTime) {
			found = x
		}
	}
	if found.SubmissionID == "" {
		return "", raylink.Errorf(raylink.CodeNotFound, "no job was submitted to this cluster yet").
			WithHint("`raylink cluster endpoint NAME --commands` shows how")
	}
	return found.SubmissionID, nil
}

// read asks each endpoint in turn until one answers.
func (j *jobs) read(ctx context.Context, path string, into any) error {
	var last error
	for _, endpoint := range j.endpoints {
		err := j.readFrom(ctx, endpoint, path, into)
		var unreached *url.Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &unreached) {
			return err
		}
		last = err
	}
	return raylink.Errorf(raylink.CodeUnavailable, "no gateway answers: %v", last).WithHint("`raylink admin status` lists the gateways")
}

func (j *jobs) readFrom(ctx context.Context, endpoint, path string, into any) error {
	base, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("reading the endpoint %q: %w", endpoint, err)
	}
	if base.Scheme != "https" && !loopback(endpoint) {
		return raylink.Errorf(raylink.CodeForbidden, "%s is plain HTTP over a network: your token is not sent there", endpoint).
			WithHint("the admin starts that gateway with an https --public-url")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(endpoint, "/")+path, nil)
	if err != nil {
		return fmt.Errorf("asking for %s: %w", path, err)
	}
	request.Header.Set("Authorization", "Bearer "+j.token)
	answer, err := j.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, logLimit+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if len(text) > logLimit {
		return raylink.Errorf(raylink.CodeTooLarge, "the log is over %d MiB", logLimit>>20).WithHint("`ray job logs --follow` streams it")
	}
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, into); err != nil {
			return fmt.Errorf("reading Ray's answer to %s: %w", path, err)
		}
		return nil
	}
	return endpointRefusal(answer, text)
}

// tail streams a job's log to w from the first endpoint that takes the call, until the stream ends for whatever reason. Ray sends the
// whole log anew on each stream: the first `written` bytes are left out. It returns how many bytes of the log are written now; only a
// failing w is an error, because the caller asks for the job's state anyway.
func (j *jobs) tail(ctx context.Context, id string, written int, w io.Writer) (int, error) {
	for _, endpoint := range j.endpoints {
		if !loopback(endpoint) && !strings.HasPrefix(endpoint, "https:") {
			continue
		}
		dialing, cancel := context.WithTimeout(ctx, dialWithin)
		stream, _, err := websocket.Dial(dialing, strings.TrimRight(endpoint, "/")+"/api/jobs/"+url.PathEscape(id)+"/logs/tail",
			&websocket.DialOptions{HTTPClient: &http.Client{Transport: j.http.Transport}, HTTPHeader: http.Header{"Authorization": {"Bearer " + j.token}}})
		cancel()
		if err != nil {
			continue
		}
		defer stream.CloseNow()
		stream.SetReadLimit(frameLimit)
		for seen := 0; ; {
			_, text, err := stream.Read(ctx)
			if err != nil {
				return written, nil
			}
			if seen += len(text); seen <= written {
				continue
			}
			if _, err := w.Write(text[max(0, len(text)-(seen-written)):]); err != nil {
				return written, err
			}
			written = seen
		}
	}
	return written, nil
}

// endpointRefusal is the gateway's error, or Ray's, which is plain text.
func endpointRefusal(answer *http.Response, text []byte) error {
	var e raylink.Error
	if json.Unmarshal(text, &e) == nil && e.Code != "" && e.Message != "" {
		return &e
	}
	words, hint := strings.TrimSpace(string(text)), ""
	if own, ok := strings.CutPrefix(words, "Raylink: "); ok { // the gateway's, in the plain words that Ray's client shows
		words, hint, _ = strings.Cut(own, "\n")
	}
	code := raylink.CodeInternal
	switch answer.StatusCode {
	case http.StatusNotFound:
		code = raylink.CodeNotFound
	case http.StatusUnauthorized:
		code = raylink.CodeUnauthenticated
	case http.StatusServiceUnavailable, http.StatusBadGateway:
		code = raylink.CodeUnavailable
	}
	if hint != "" {
		return raylink.Errorf(code, "%.300s", words).WithHint("%.300s", hint)
	}
	return raylink.Errorf(code, "the cluster answered %s: %.300s", answer.Status, words)
}

// pauseFor waits, or ends early with ctx.
func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
