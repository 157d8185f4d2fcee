package solana

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gagliardetto/solana-go/rpc/jsonrpc"
)

const (
	defaultTimeout = 10 * time.Second
	maxAnswer      = 8 << 20 // bytes; the largest that we ask for, 1,000 signatures with memos, has below 1 MiB
	maxWords       = 300     // of a node's message that go into an error
)

// line carries calls to one node. It stands in the library's JSON-RPC client's place because that one reads answers of any length, retries nothing
// but waits five minutes, and writes the node's URL into its errors, which often holds a provider's key.
type line struct {
	url     string
	headers map[string]string
	client  *http.Client
}

func newLine(cfg Config) (*line, error) {
	where, err := url.Parse(cfg.URL)
	if err != nil || where.Host == "" || where.Scheme != "http" && where.Scheme != "https" {
		return nil, errors.New("the Solana node's address is not an http or https URL")
	}
	timeout := cfg.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
	}
	return &line{url: cfg.URL, headers: cfg.Headers, client: &http.Client{
		Timeout: timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

type call struct {
	JSONRPC string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params,omitempty"`
}

type answer struct {
	Result json.RawMessage   `json:"result"`
	Error  *jsonrpc.RPCError `json:"error"`
}

// CallForInto makes one call. An error that the node answers is *jsonrpc.RPCError; every other one is a failure of the line.
func (l *line) CallForInto(ctx context.Context, out any, method string, params []any) error {
	body, err := json.Marshal(call{JSONRPC: "2.0", ID: 1, Method: method, Params: params})
	if err != nil {
		return fmt.Errorf("writing the call %s: %w", method, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("calling %s of the Solana node: the address is not usable", method)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range l.headers {
		request.Header.Set(name, value)
	}
	response, err := l.client.Do(request)
	if err != nil {
		return fmt.Errorf("calling %s of the Solana node: %w", method, withoutURL(err))
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("reading the answer to %s: %w", method, withoutURL(err))
	}
	if len(text) > maxAnswer {
		return fmt.Errorf("reading the answer to %s: more than %d bytes", method, maxAnswer)
	}
	return decodeAnswer(response.StatusCode, text, method, out)
}

func decodeAnswer(status int, text []byte, method string, out any) error {
	var got answer
	if err := json.Unmarshal(text, &got); err != nil || got.Error == nil && status != http.StatusOK {
		if status != http.StatusOK {
			return fmt.Errorf("calling %s of the Solana node: it answered with status %d", method, status)
		}
		return fmt.Errorf("reading the answer to %s: it is not JSON-RPC", method)
	}
	if got.Error != nil {
		return got.Error
	}
	if len(got.Result) == 0 {
		return fmt.Errorf("reading the answer to %s: there is neither result nor error", method)
	}
	if err := json.Unmarshal(got.Result, out); err != nil {
		return fmt.Errorf("reading the answer to %s: %.300s", method, err.Error())
	}
	return nil
}

var errUnused = errors.New("this kind of call is not used here")

// CallWithCallback is not used.
func (l *line) CallWithCallback(context.Context, string, []any, func(*http.Request, *http.Response) error) error {
	return errUnused
}

// CallBatch is not used.
func (l *line) CallBatch(context.Context, jsonrpc.RPCRequests) (jsonrpc.RPCResponses, error) {
	return nil, errUnused
}

// withoutURL is the error behind the one that names the URL.
func withoutURL(err error) error {
	var named *url.Error
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

// plain is err in words that fit into one line; the library's own text of a node's error is a dump over many.
func plain(doing string, err error) error {
	var said *jsonrpc.RPCError
	if errors.As(err, &said) {
		return fmt.Errorf("%s: the node says %d: %s", doing, said.Code, oneLine(said.Message))
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}
