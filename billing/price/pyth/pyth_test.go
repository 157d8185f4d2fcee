package pyth

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
	"time"

	"raylink/billing/price"
	"raylink/billing/price/feed"
	"raylink/raylink"
)

var _ feed.Source = (*Source)(nil)

const id = "eaa020c61cc479712813461ce153894a96a6c00b21ed0cfc2798d1f9a9e9c94a"

// says answers as Hermes does, with the price part as given.
func says(part string) string {
	return fmt.Sprintf(`{"binary":{"encoding":"hex","data":["504e4155"]},"parsed":[{"id":"%s","price":%s,"ema_price":{"price":"1","conf":"1","expo":-8,"publish_time":1},"metadata":{"slot":1}}]}`, id, part)
}

func sample(t *testing.T, answer string, config Config) (price.Sample, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hermes/v2/updates/price/latest" || r.URL.Query().Get("ids[]") != id || r.URL.Query().Get("parsed") != "true" {
			t.Errorf("asked for %s", r.URL)
		}
		if want := config.KeyFile != ""; want != (r.Header.Get("Authorization") == "Bearer hush") {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
		io.WriteString(w, answer)
	}))
	defer server.Close()
	config.URL, config.Feed = server.URL+"/hermes", "0x"+strings.ToUpper(id)
	source, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return source.Sample(t.Context())
}

func TestSample(t *testing.T) {
	at := time.Now().Add(-5 * time.Second).Truncate(time.Second).UTC()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, keyFile := range []string{"", key} {
		got, err := sample(t, says(fmt.Sprintf(`{"price":"18712345","conf":"31001","expo":-8,"publish_time":%d}`, at.Unix())), Config{KeyFile: keyFile})
		want := price.Sample{Source: "pyth", Price: 187_123_450_000, Confidence: 310_010_000, ObservedAt: at}
		if err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := sample(t, "", Config{KeyFile: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its key: %v", err)
	}
	// Old prices are handed on as what they are; another power of ten is another price, which the state's bands judge.
	if got, err := sample(t, says(`{"price":"18712345","conf":"1","expo":-5,"publish_time":1700000000}`), Config{}); err != nil || got.Price != 187_123_450_000_000 || got.ObservedAt.Unix() != 1700000000 {
		t.Errorf("%+v, %v", got, err)
	}
	// Below what a price can show, a price goes down and its confidence up.
	if got, err := sample(t, says(`{"price":"18712345678909","conf":"1","expo":-13,"publish_time":1700000000}`), Config{}); err != nil || got.Price != 1_871_234_567_890 || got.Confidence != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAbsurdAnswers(t *testing.T) {
	good := `{"price":"18712345","conf":"31001","expo":-8,"publish_time":1700000000}`
	swap := func(old, new string) string { return says(strings.Replace(good, old, new, 1)) }
	for what, row := range map[string]struct {
		answer string
		want   error
	}{
		"nothing":           {"", feed.ErrAnswer},
		"no JSON":           {"<html>", feed.ErrAnswer},
		"cut":               {says(good)[:100], feed.ErrAnswer},
		"null":              {"null", feed.ErrNoPrice},
		"no feed":           {`{"parsed":[]}`, feed.ErrNoPrice},
		"not parsed":        {`{"binary":{"data":["50"]},"parsed":null}`, feed.ErrNoPrice},
		"another feed":      {strings.Replace(says(good), id, strings.Repeat("0", 64), 1), feed.ErrAnswer},
		"two feeds":         {strings.Replace(says(good), `"parsed":[`, `"parsed":[{"id":"`+id+`"},`, 1), feed.ErrAnswer},
		"negative":          {swap(`"18712345"`, `"-18712345"`), feed.ErrAnswer},
		"zero":              {swap(`"18712345"`, `"0"`), feed.ErrNoPrice},
		"fraction":          {swap(`"18712345"`, `"187.12"`), feed.ErrAnswer},
		"no integer text":   {swap(`"18712345"`, `18712345`), feed.ErrAnswer},
		"empty price":       {swap(`"18712345"`, `""`), feed.ErrAnswer},
		"endless price":     {swap(`"18712345"`, `"`+strings.Repeat("9", 5000)+`"`), feed.ErrAnswer},
		"negative conf":     {swap(`"31001"`, `"-1"`), feed.ErrAnswer},
		"expo of a liar":    {swap(`-8`, `8`), feed.ErrAnswer},
		"expo of a madman":  {swap(`-8`, `2147483647`), feed.ErrAnswer},
		"expo into nothing": {swap(`-8`, `-40`), feed.ErrNoPrice},
		"expo as a float":   {swap(`-8`, `-8.5`), feed.ErrAnswer},
		"expo as a text":    {swap(`-8`, `"-8"`), feed.ErrAnswer},
		"never published":   {swap(`1700000000`, `0`), feed.ErrNoPrice},
		"published later":   {swap(`1700000000`, fmt.Sprint(time.Now().Add(time.Hour).Unix())), feed.ErrAnswer},
		"published in 10^9": {swap(`1700000000`, `9223372036854775807`), feed.ErrAnswer},
	} {
		if got, err := sample(t, row.answer, Config{}); !errors.Is(err, row.want) {
			t.Errorf("%s: %+v, %v; want %v", what, got, err, row.want)
		}
	}
}

func TestStuckServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	source, err := New(Config{URL: server.URL, Feed: id})
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
		"no feed": {URL: "https://hermes.example"}, "short feed": {URL: "https://hermes.example", Feed: id[2:]},
		"no hex": {URL: "https://hermes.example", Feed: strings.Repeat("z", 64)}, "no TLS": {URL: "http://hermes.example", Feed: id}, "no URL": {Feed: id},
	} {
		if _, err := New(config); err == nil || raylink.AsError(err).Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(says(`{"price":"18712345","conf":"31001","expo":-8,"publish_time":1700000000}`)))
	f.Add([]byte(`{"parsed":[{"price":{}}]}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		if s, err := read(body, id); err == nil && (s.Price <= 0 || s.Confidence < 0 || s.Source != Name) {
			t.Errorf("%+v", s)
		}
	})
}
