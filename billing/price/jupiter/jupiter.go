// Package jupiter asks Jupiter's Price API v3 for the price of IO: GET /price/v3?ids=<mint>, as documented at dev.jup.ag. The price is
// a JSON number, which is read from its text and never becomes a float; a token without a reliable price is left out of the answer.
// Jupiter says of which block a price is, but not of what time: a sample counts as observed when its block was first heard of,
// so that an answer that no longer moves grows old.
package jupiter

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"raylink/billing/money"
	"raylink/billing/price"
	"raylink/billing/price/feed"
	"raylink/raylink"
)

// Name is what the source is called in samples and policies.
const Name = "jupiter"

// Config says whom to ask for what.
type Config struct {
	URL     string // such as https://api.jup.ag; a path is kept
	Mint    string // of IO
	KeyFile string // 0600, with the API key; empty to ask without, at Jupiter's lower rate
}

// Source is the feed.Source.
type Source struct {
	address *url.URL
	mint    string
	keyFile string
	client  *http.Client

	guard sync.Mutex
	block uint64    // the newest heard of
	seen  time.Time // when it was first heard of
}

// New checks the configuration and asks nobody yet. Its error is a *raylink.Error.
func New(c Config) (*Source, error) {
	base, err := feed.Base(c.URL)
	if err != nil {
		return nil, err
	}
	if c.Mint == "" || len(c.Mint) > 44 {
		return nil, raylink.Errorf(raylink.CodeInvalid, "mint %.80q is not an address", c.Mint).WithHint("name IO's mint, as in the chain's configuration")
	}
	address := base.JoinPath("price/v3")
	address.RawQuery = url.Values{"ids": {c.Mint}}.Encode()
	return &Source{address: address, mint: c.Mint, keyFile: c.KeyFile, client: feed.NewClient()}, nil
}

// Name is "jupiter".
func (s *Source) Name() string { return Name }

// Sample asks the service. Jupiter knows no confidence.
func (s *Source) Sample(ctx context.Context) (price.Sample, error) {
	var header [][2]string
	if s.keyFile != "" {
		key, err := feed.ReadSecret(s.keyFile)
		if err != nil {
			return price.Sample{}, err
		}
		header = append(header, [2]string{"X-Api-Key", key})
	}
	body, err := feed.Get(ctx, s.client, s.address, header...)
	if err != nil {
		return price.Sample{}, err
	}
	value, block, err := read(body, s.mint)
	if err != nil {
		return price.Sample{}, fmt.Errorf("reading the answer of %s: %w", s.address.Host, err)
	}
	observed, err := s.observed(block)
	if err != nil {
		return price.Sample{}, err
	}
	return price.Sample{Source: Name, Price: value, ObservedAt: observed}, nil
}

// observed is when the block was first heard of. An older block than was heard of already has nothing to say.
func (s *Source) observed(block uint64) (time.Time, error) {
	s.guard.Lock()
	defer s.guard.Unlock()
	if block < s.block {
		return time.Time{}, fmt.Errorf("%w: of block %d, after block %d", feed.ErrAnswer, block, s.block)
	}
	if block > s.block {
		s.block, s.seen = block, time.Now().UTC().Round(0)
	}
	return s.seen, nil
}

// read takes the mint's price out of the answer; other fields may come and go.
func read(body []byte, mint string) (value money.Price, block uint64, err error) {
	var mints map[string]*struct {
		USDPrice json.RawMessage `json:"usdPrice"`
		BlockID  json.RawMessage `json:"blockId"`
		Decimals *int            `json:"decimals"`
	}
	if err := json.Unmarshal(body, &mints); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", feed.ErrAnswer, err)
	}
	token := mints[mint]
	if token == nil || len(token.USDPrice) == 0 || string(token.USDPrice) == "null" {
		return 0, 0, feed.ErrNoPrice
	}
	if token.Decimals != nil && *token.Decimals != money.IO.Decimals() {
		return 0, 0, fmt.Errorf("%w: a token of %d decimals, IO has %d", feed.ErrAnswer, *token.Decimals, money.IO.Decimals())
	}
	if block, err = strconv.ParseUint(string(token.BlockID), 10, 64); err != nil || block == 0 {
		return 0, 0, fmt.Errorf("%w: block %.40q", feed.ErrAnswer, token.BlockID)
	}
	if value, err = feed.Number(string(token.USDPrice)); err != nil {
		return 0, 0, err
	}
	if value == 0 {
		return 0, 0, fmt.Errorf("%w: %s", feed.ErrNoPrice, token.USDPrice)
	}
	return value, block, nil
}
