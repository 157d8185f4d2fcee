package jupiter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"raylink/billing/money"
	"raylink/billing/price/feed"
	"raylink/raylink"
)

var _ feed.Source = (*Source)(nil)

const mint = "BZLbGTNCSFfoth2GYDtwr7e4imWzpR5jqcUuGEwr646K"

func says(part string) string { return `{"` + mint + `":` + part + `}` }

func TestSample(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	block := 348004023
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/price/v3" || r.URL.Query().Get("ids") != mint || r.Header.Get("x-api-key") != "hush" {
			t.Errorf("asked for %s with %q", r.URL, r.Header)
		}
		io.WriteString(w, says(fmt.Sprintf(`{"createdAt":"2024-06-05T08:55:25.527Z","liquidity":621679197.67,"usdPrice":0.18712345678901234,"blockId":%d,"decimals":8,"priceChange24h":1.29}`, block)))
	}))
	defer server.Close()
	source, err := New(Config{URL: server.URL, Mint: mint, KeyFile: key})
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	first, err := source.Sample(t.Context())
	if err != nil || first.Price != 187_123_456_789 || first.Confidence != 0 || first.Source != "jupiter" || first.ObservedAt.Before(before.Round(0)) || first.ObservedAt.Location() != time.UTC {
		t.Errorf("%+v, %v", first, err)
	}
	stuck, err := source.Sample(t.Context())
	if err != nil || stuck != first {
		t.Errorf("the same block gave %+v after %+v, %v", stuck, first, err)
	}
	block--
	if back, err := source.Sample(t.Context()); !errors.Is(err, feed.ErrAnswer) {
		t.Errorf("an older block gave %+v, %v", back, err)
	}
	block += 2
	next, err := source.Sample(t.Context())
	if err != nil || !next.ObservedAt.After(first.ObservedAt) {
		t.Errorf("the next block gave %+v, %v", next, err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Sample(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its key: %v", err)
	}
}

// A block counts from when it was first heard of, however long it is repeated.
func TestBlocksGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Source
		begin := time.Now()
		for minute := range 20 {
			at, err := s.observed(uint64(5 + minute/10))
			if err != nil || !at.Equal(begin.Add(time.Duration(minute/10*10)*time.Minute)) {
				t.Errorf("minute %d: %v, %v", minute, at, err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestAnswers(t *testing.T) {
	for answer, want := range map[string]error{
		"": feed.ErrAnswer, "<html>": feed.ErrAnswer, "[]": feed.ErrAnswer, `{"error":"limit"}`: feed.ErrAnswer,
		"{}": feed.ErrNoPrice, "null": feed.ErrNoPrice, says("null"): feed.ErrNoPrice, says("{}"): feed.ErrNoPrice,
		strings.Replace(says(`{"usdPrice":1,"blockId":1}`), "BZ", "bz", 1): feed.ErrNoPrice,
		says(`{"usdPrice":null,"blockId":1}`):                              feed.ErrNoPrice,
		says(`{"usdPrice":0,"blockId":1}`):                                 feed.ErrNoPrice,
		says(`{"usdPrice":1e-20,"blockId":1}`):                             feed.ErrNoPrice,
		says(`{"usdPrice":-0.2,"blockId":1}`):                              feed.ErrAnswer,
		says(`{"usdPrice":"0.2","blockId":1}`):                             feed.ErrAnswer,
		says(`{"usdPrice":1e300,"blockId":1}`):                             feed.ErrAnswer,
		says(`{"usdPrice":1e19,"blockId":1}`):                              feed.ErrAnswer,
		says(`{"usdPrice":[0.2],"blockId":1}`):                             feed.ErrAnswer,
		says(`{"usdPrice":0.2}`):                                           feed.ErrAnswer,
		says(`{"usdPrice":0.2,"blockId":0}`):                               feed.ErrAnswer,
		says(`{"usdPrice":0.2,"blockId":-1}`):                              feed.ErrAnswer,
		says(`{"usdPrice":0.2,"blockId":"1"}`):                             feed.ErrAnswer,
		says(`{"usdPrice":0.2,"blockId":1,"decimals":9}`):                  feed.ErrAnswer,
		says(`{"usdPrice":0.2,"blockId":1,"decimals":8}`):                  nil,
		says(`{"usdPrice":0.2,"blockId":1,"decimals":null}`):               nil,
		says(`{"usdPrice":0.2,"blockId":1}`) + "x":                         feed.ErrAnswer,
		says(`{"usdPrice":0.` + strings.Repeat("1", 100) + `}`):            feed.ErrAnswer,
	} {
		value, block, err := read([]byte(answer), mint)
		if !errors.Is(err, want) || (want == nil) != (err == nil) || (err == nil && (value != money.Price(200_000_000_000) || block != 1)) {
			t.Errorf("%.100s: %v of block %d, %v; want %v", answer, value, block, err, want)
		}
	}
}

func TestStuckServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	source, err := New(Config{URL: server.URL, Mint: mint})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := source.Sample(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	for what, config := range map[string]Config{
		"no mint": {URL: "https://api.example"}, "long mint": {URL: "https://api.example", Mint: mint + "1"}, "no TLS": {URL: "http://api.example", Mint: mint},
	} {
		if _, err := New(config); err == nil || raylink.AsError(err).Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(says(`{"usdPrice":0.2,"blockId":1}`)))
	f.Add([]byte(says(`{"usdPrice":1e9,"blockId":18446744073709551615,"decimals":8}`)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		if value, block, err := read(body, mint); err == nil && (value <= 0 || block == 0) {
			t.Errorf("%v of %d", value, block)
		}
	})
}
