package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"raylink/raylink"
)

const (
	askTime  = 10 * time.Second
	jobLimit = 8 << 20  // bytes of a job's details, which hold its runtime_env
	logLimit = 64 << 20 // bytes of a whole log that is read for its end
)

// job is what Ray says of a job, as far as it matters here (modules/job/pydantic_models.py, JobDetails).
type job struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func (j job) terminal() bool {
	return j.Status == "SUCCEEDED" || j.Status == "FAILED" || j.Status == "STOPPED"
}

var (
	errNoJob = errors.New("the job is not known")
	// errFinal wraps refusals of a gateway that no waiting cures.
	errFinal = errors.New("refused")
)

// ask gets the job's state; errNoJob when the head does not know it.
func (t *tail) ask(ctx context.Context, route Route) (job, error) {
	var j job
	err := t.get(ctx, route, "/api/jobs/"+t.id, func(body io.Reader) error {
		return json.NewDecoder(io.LimitReader(body, jobLimit)).Decode(&j)
	})
	return j, err
}

// wake asks for the log in whole and lets it go: a Ray agent that was just started follows a log only after it was once asked for one
// (job_agent.py in 2.60 makes its job manager on the first such call), nor does it judge the jobs of the agent before it.
func (t *tail) wake(ctx context.Context, route Route) {
	_ = t.get(ctx, route, "/api/jobs/"+t.id+"/logs", func(io.Reader) error { return nil }) // the tail that follows shows how it is
}

// log gets the whole log.
func (t *tail) log(ctx context.Context, route Route) (string, error) {
	var whole struct {
		Logs string `json:"logs"`
	}
	err := t.get(ctx, route, "/api/jobs/"+t.id+"/logs", func(body io.Reader) error {
		return json.NewDecoder(io.LimitReader(body, logLimit)).Decode(&whole)
	})
	return whole.Logs, err
}

func (t *tail) get(ctx context.Context, route Route, path string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.call.at(route, path, "").String(), nil)
	if err != nil {
		return fmt.Errorf("asking for %s: %w", path, err)
	}
	request.Header = t.header(route)
	answer, err := route.Transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("asking for %s: %w", path, err)
	}
	defer answer.Body.Close()
	switch code := raylink.Code(answer.Header.Get(ErrorHeader)); {
	case code == raylink.CodeNotFound, code == raylink.CodeForbidden, code == raylink.CodeUnauthenticated:
		words, _ := io.ReadAll(io.LimitReader(answer.Body, 512)) // what has come is what is shown
		return fmt.Errorf("%w: %s", errFinal, words)
	case answer.StatusCode == http.StatusNotFound:
		return errNoJob
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("asking for %s: answered %s", path, answer.Status)
	}
	if err := read(answer.Body); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

func (t *tail) header(route Route) http.Header {
	header := http.Header{"User-Agent": {"raylink-endpoint"}}
	if route.Token != "" {
		header.Set("Authorization", "Bearer "+route.Token)
	}
	return header
}
