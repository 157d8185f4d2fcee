package solana

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"raylink/billing/settle/chain"
)

// node answers every call with the text.
func node(t *testing.T, status int, text string) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return client(t, server.URL)
}

func client(t *testing.T, url string) *Client {
	t.Helper()
	c, err := New(Config{URL: url + "/secret-key", Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestNodesThatAnswerNonsense: whatever a node says, there is an error of the line and never a panic, an answer made up, or the URL in the words.
func TestNodesThatAnswerNonsense(t *testing.T) {
	account, name := chain.Address(strings.Repeat("2", 43)), chain.Signature(chain.EncodeBase58(make([]byte, 64)))
	answers := map[string]string{
		"nothing": "", "no JSON": "<html>", "null": `null`, "no result": `{"jsonrpc":"2.0","id":1}`, "null result": `{"result":null}`,
		"number": `{"result":7}`, "text": `{"result":"x"}`, "list": `{"result":[null]}`, "empty object": `{"result":{}}`, "null value": `{"result":{"value":null}}`,
		"null in a list": `{"result":{"value":[null,null]}}`, "deep": `{"result":{"value":{"data":["AA==","base64"],"owner":"11111111111111111111111111111111"}}}`,
		"bad transaction": `{"result":{"slot":1,"meta":{},"transaction":["AQID","base64"]}}`, "no meta": `{"result":{"slot":1,"transaction":["AQID","base64"]}}`,
		"error": `{"error":{"code":-32005,"message":"Node is behind\nby 42"}}`, "error without code": `{"error":{}}`,
		"huge": `{"result":"` + strings.Repeat("x", maxAnswer) + `"}`,
	}
	for title, text := range answers {
		c := node(t, http.StatusOK, text)
		ctx := t.Context()
		calls := map[string]func() error{
			"send":      func() error { return c.Send(ctx, make([]byte, 200)) },
			"blockhash": func() error { _, err := c.Blockhash(ctx); return err },
			"effect":    func() error { _, err := c.Effect(ctx, name, account); return err },
			"supply":    func() error { _, err := c.Supply(ctx, account); return err },
			"account":   func() error { _, err := c.Account(ctx, account); return err },
			"check":     func() error { return c.Check(ctx, Mainnet().USDC) },
			"history":   func() error { _, err := c.History(ctx, account, name, 5); return err },
		}
		for what, call := range calls {
			err := call()
			var refused *chain.RefusedError
			if err == nil || errors.As(err, &refused) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %s: %v", title, what, err)
			}
		}
		for _, ask := range []func() error{
			func() error { _, err := c.Height(ctx); return err }, func() error { _, err := c.Lamports(ctx, account); return err },
			func() error { _, err := c.Status(ctx, name); return err }, func() error { return c.CheckGenesis(ctx, Mainnet().Genesis) },
		} {
			if err := ask(); err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", title, err)
			}
		}
	}
}

// TestLineThatBreaks: no node, a node that is slow, one that sends elsewhere, one that answers with a status.
func TestLineThatBreaks(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(other.Close)
	away := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(away.Close)
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(release) })
	limited, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	cases := map[string]struct {
		ctx    context.Context
		client *Client
	}{
		"gone": {t.Context(), client(t, gone.URL)}, "redirect": {t.Context(), client(t, away.URL)}, "slow": {limited, client(t, slow.URL)},
		"too many calls": {t.Context(), node(t, http.StatusTooManyRequests, "slow down")},
		"broken":         {t.Context(), node(t, http.StatusBadGateway, `{"result":5}`)},
	}
	for title, c := range cases {
		_, err := c.client.Height(c.ctx)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", title, err)
		}
		var refused *chain.RefusedError
		if err := c.client.Send(c.ctx, []byte{1}); err == nil || errors.As(err, &refused) {
			t.Errorf("%s: sending answers %v", title, err)
		}
	}
	if reached {
		t.Error("the client followed a redirect")
	}
	for _, bad := range []string{"", "node", "ftp://node", "http://", "://"} {
		if _, err := New(Config{URL: bad}); err == nil {
			t.Errorf("%q is taken for a node's address", bad)
		}
	}
}

// TestRefusals: which errors of a send mean that nothing was taken, and what they say.
func TestRefusals(t *testing.T) {
	preflight := func(err string) string {
		return `{"error":{"code":-32002,"message":"Transaction simulation failed","data":{"err":` + err + `}}}`
	}
	cases := []struct {
		text string
		code chain.FailureCode
	}{
		{preflight(`{"InstructionError":[2,{"Custom":1}]}`), chain.Insufficient}, {preflight(`{"InstructionError":[2,{"Custom":3}]}`), chain.WrongMint},
		{preflight(`{"InstructionError":[2,{"Custom":4}]}`), chain.WrongOwner}, {preflight(`{"InstructionError":[2,{"Custom":17}]}`), chain.Frozen},
		{preflight(`{"InstructionError":[2,{"Custom":18}]}`), chain.WrongDecimals}, {preflight(`{"InstructionError":[2,"InvalidAccountData"]}`), chain.NoAccount},
		{preflight(`{"InstructionError":[2,{"Custom":6000}]}`), chain.Other}, {preflight(`{"InstructionError":[2,{"BorshIoError":"x"}]}`), chain.Other},
		{preflight(`{"InstructionError":7}`), chain.Other}, {preflight(`{"InsufficientFundsForRent":{"account_index":0}}`), chain.Other},
		{preflight(`"BlockhashNotFound"`), chain.Expired}, {preflight(`"AlreadyProcessed"`), chain.Replayed}, {preflight(`"AccountNotFound"`), chain.Other},
		{`{"error":{"code":-32003,"message":"Transaction signature verification failure"}}`, chain.Other},
		{`{"error":{"code":-32602,"message":"too large"}}`, chain.Other},
	}
	for _, c := range cases {
		err := node(t, http.StatusOK, c.text).Send(t.Context(), []byte{1})
		var refused *chain.RefusedError
		if !errors.As(err, &refused) || refused.Code != c.code || refused.Item != -1 || refused.Reason == "" {
			t.Errorf("%s: %v", c.text, err)
		}
	}
	for _, unknown := range []string{
		`{"error":{"code":-32005,"message":"Node is behind"}}`, `{"error":{"code":-32603,"message":"Internal error"}}`,
		`{"error":{"code":-32002,"message":"no data"}}`, preflight(`null`), `{"error":{"code":-32016,"message":"min context slot"}}`,
		`{"result":"` + chain.EncodeBase58(make([]byte, 64)) + `"}`,
	} {
		var refused *chain.RefusedError
		if err := node(t, http.StatusOK, unknown).Send(t.Context(), []byte{1}); err == nil || errors.As(err, &refused) {
			t.Errorf("%s: %v", unknown, err)
		}
	}
}

// TestHistoryAsksWhetherThePlaceIsKnown: a node that answers everything for an unknown place would make old deposits new ones.
func TestHistoryAsksWhetherThePlaceIsKnown(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var got call
		_ = json.NewDecoder(r.Body).Decode(&got)
		asked = append(asked, got.Method)
		_, _ = fmt.Fprint(w, `{"result":{"context":{"slot":1},"value":[{"slot":1,"confirmationStatus":"confirmed","err":null}]}}`)
	}))
	t.Cleanup(server.Close)
	c, err := New(Config{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	name := chain.Signature(chain.EncodeBase58(make([]byte, 64)))
	if _, err := c.History(t.Context(), TokenProgram, name, 5); !errors.Is(err, chain.ErrLag) || len(asked) != 1 {
		t.Fatalf("%v after %v", err, asked)
	}
}
