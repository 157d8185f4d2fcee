package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"raylink/raylink"
)

// call is one request, whichever coordinator takes it in the end.
type call struct {
	method, path string
	query        url.Values
	in, out      any           // JSON bodies; nil for none
	token        string        // instead of the client's own
	key          string        // idempotency key; writes only
	timeout      time.Duration // of one attempt; requestTimeout if 0
	rounds       int           // over all coordinators; retryRounds if 0
	read         bool          // a read of replicated state: it asks for what this client wrote
}

// do sends the call until a coordinator has answered it. Unreachable coordinators and those that answer `unavailable` are passed
// over; every call is safe to repeat, because writes carry a key that was minted once.
func (c *Client) do(ctx context.Context, k call) error {
	var body []byte
	if k.in != nil {
		var err error
		if body, err = json.Marshal(k.in); err != nil {
			return fmt.Errorf("encoding the request %s %s: %w", k.method, k.path, err)
		}
	}
	rounds := k.rounds
	if rounds == 0 {
		rounds = retryRounds
	}
	var last error
	for round := range rounds {
		if round > 0 {
			if err := sleep(ctx, pause(round-1)); err != nil {
				return fmt.Errorf("%s %s: %w", k.method, k.path, errors.Join(err, last))
			}
		}
		worth := false // at least one coordinator may answer better when asked again
		for _, base := range c.Coordinators() {
			err := c.once(ctx, base, k, body)
			if err == nil {
				c.prefer(base)
			}
			if err == nil || !passOver(err) || ctx.Err() != nil {
				return err
			}
			last = err
			worth = worth || !distrust(err)
		}
		if !worth {
			break
		}
	}
	return c.nobody(last)
}

// pause is how long to wait before the next round: doubling, with jitter, at most longestPause.
func pause(round int) time.Duration {
	d := min(firstPause<<min(round, 10), longestPause)
	return d/2 + rand.N(d/2+1)
}

// unreached marks that no answer came from one coordinator.
type unreached struct {
	base string
	err  error
}

func (u *unreached) Error() string { return u.base + ": " + u.err.Error() }
func (u *unreached) Unwrap() error { return u.err }

// passOver says whether another coordinator may do better.
func passOver(err error) bool {
	var u *unreached
	if errors.As(err, &u) {
		return true
	}
	var e *raylink.Error
	return errors.As(err, &e) && e.Code == raylink.CodeUnavailable
}

// distrusted marks that the peer's certificate is not a coordinator's under our CA: asking again does not help.
type distrusted struct{ err error }

func (d *distrusted) Error() string { return d.err.Error() }
func (d *distrusted) Unwrap() error { return d.err }

func distrust(err error) bool {
	var d *distrusted
	return errors.As(err, &d)
}

// nobody is the user's error after the last round.
func (c *Client) nobody(last error) error {
	var e *raylink.Error
	if errors.As(last, &e) {
		return e
	}
	if distrust(last) {
		return raylink.Errorf(raylink.CodeUnavailable, "what answers is not a coordinator of the CA that this client trusts: %v", last).
			WithHint("if the network was set up anew, `raylink login URL` again and compare the fingerprint")
	}
	return raylink.Errorf(raylink.CodeUnavailable, "no coordinator answers: %v", last).
		WithHint("is the address right, and does a coordinator run there? known: %v", c.Coordinators())
}

// once sends the call to one coordinator.
func (c *Client) once(ctx context.Context, base string, k call, body []byte) error {
	timeout := k.timeout
	if timeout == 0 {
		timeout = requestTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := c.send(ctx, base, k, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit+1))
	if err != nil {
		return &unreached{base, fmt.Errorf("reading its answer: %w", err)}
	}
	if len(data) > answerLimit {
		return raylink.Errorf(raylink.CodeTooLarge, "the answer to %s %s is over %d MiB", k.method, k.path, answerLimit>>20)
	}
	if k.out == nil || answer.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(data, k.out); err != nil {
		return raylink.Errorf(raylink.CodeInternal, "%s answered %s %s with something else than expected: %v", base, k.method, k.path, err).
			WithHint("is that a raylink coordinator, and of this version? see `raylink version`")
	}
	return nil
}

// send makes the request and turns every answer that is not a success into an error. The caller closes the body.
func (c *Client) send(ctx context.Context, base string, k call, body []byte) (*http.Response, error) {
	query := url.Values{}
	for name, values := range k.query {
		query[name] = values
	}
	if index := c.index.Load(); k.read && index > 0 {
		query.Set("min_index", strconv.FormatUint(index, 10))
	}
	target := base + k.path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, k.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making the request %s %s: %w", k.method, k.path, err)
	}
	c.dress(request, k)
	answer, err := c.http.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which the message names already
		}
		return nil, &unreached{base, err}
	}
	if answer.StatusCode/100 != 2 {
		defer answer.Body.Close()
		return nil, refusal(base, answer)
	}
	if index, err := strconv.ParseUint(answer.Header.Get("X-Raylink-Index"), 10, 64); err == nil {
		c.saw(index)
	}
	return answer, nil
}

// dress sets the headers.
func (c *Client) dress(request *http.Request, k call) {
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "raylink")
	if k.in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if k.key != "" {
		request.Header.Set("Idempotency-Key", k.key)
	}
	token := k.token
	if token == "" {
		token = c.token
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
}

// saw keeps the highest index.
func (c *Client) saw(index uint64) {
	for {
		known := c.index.Load()
		if index <= known || c.index.CompareAndSwap(known, index) {
			return
		}
	}
}

// refusal reads the error that a coordinator answered with; whatever stands between may answer in another form.
func refusal(base string, answer *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(answer.Body, errorLimit)) // what came is all there is to show
	var e raylink.Error
	if json.Unmarshal(data, &e) == nil && e.Code != "" && e.Message != "" {
		return &e
	}
	code := codeOf(answer.StatusCode)
	return raylink.Errorf(code, "%s answered %s, which is not how a coordinator answers", base, answer.Status).
		WithHint("does the URL name a coordinator's API, and nothing in front of it?")
}

// codeOf is the code for a status whose body says nothing.
func codeOf(status int) raylink.Code {
	switch status {
	case http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return raylink.CodeUnavailable
	}
	for _, code := range []raylink.Code{raylink.CodeInvalid, raylink.CodeUnauthenticated, raylink.CodeFunds, raylink.CodeForbidden,
		raylink.CodeNotFound, raylink.CodeConflict, raylink.CodeTooLarge, raylink.CodeUnsupported, raylink.CodeUnavailable} {
		if code.HTTPStatus() == status {
			return code
		}
	}
	return raylink.CodeInternal
}
